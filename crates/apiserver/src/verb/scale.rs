//! Scale: the number of replicas of an object, read and written through a subresource.

use palisade_k8s::{FieldError, FieldPath, put};
use serde_json::Value;

use super::revise;
use crate::body::{self, Validation};
use crate::call::{Answer, Call};
use crate::convert;
use crate::error::{ApiError, ApiResult};
use crate::objects;
use crate::patch::{self, PatchKind};
use crate::request::Target;
use crate::resource::text;
use crate::schema::{self, Message};

fn message() -> ApiResult<&'static Message> {
    schema::message("Scale").ok_or_else(ApiError::no_such_path)
}

/// `GET` of a scale.
pub(crate) fn get_scale(call: &Call<'_>) -> ApiResult<Answer> {
    let target = call.target;
    let found = objects::get(&call.api.store, &target.resource, &target.namespace, &target.name)?;
    let shown = convert::shown(call.asker(), &target.resource, found.object)?;
    Ok(Answer::ok(target.resource.scale_of(&shown)))
}

/// `PUT` of a scale.
pub(crate) fn update_scale(call: &Call<'_>, bytes: &[u8], content_type: &str) -> ApiResult<Answer> {
    let sent = body::read(bytes, content_type, &mut Vec::new())?;
    if ["", "Scale"].iter().all(|kind| text(&sent, "/kind") != *kind) {
        let why = format!("kind: must be Scale for this path, not {:?}", text(&sent, "/kind"));
        return Err(ApiError::bad_request(why));
    }
    write(call, |_| Ok(sent.clone()))
}

/// `PATCH` of a scale.
pub(crate) fn patch_scale(call: &Call<'_>, bytes: &[u8], content_type: &str) -> ApiResult<Answer> {
    let kind = match PatchKind::of(body::media_type(content_type))? {
        // An applied configuration holds all that its manager wants, which here is one number.
        PatchKind::Apply => PatchKind::Merge,
        kind => kind,
    };
    let sent = body::read(
        bytes,
        if kind == PatchKind::Merge { "application/yaml" } else { "application/json" },
        &mut Vec::new(),
    )?;
    let message = message()?;
    write(call, |scale| {
        let mut new = scale.clone();
        patch::change(&mut new, kind, &sent, message.into())?;
        Ok(new)
    })
}

/// Writes the number of replicas of a changed scale into the object.
fn write(call: &Call<'_>, change: impl Fn(&Value) -> ApiResult<Value>) -> ApiResult<Answer> {
    let target = Target { subresource: None, ..call.target.clone() };
    let message = message()?;
    let written = revise(&call.at(&target), |old| {
        let mut scale = change(&target.resource.scale_of(old))?;
        body::fit(&mut scale, message.into(), Validation::Ignore, Vec::new())?;
        super::check_sent(call, &scale)?;
        let version = text(&scale, "/metadata/resourceVersion");
        if !version.is_empty() && version != text(old, "/metadata/resourceVersion") {
            return Err(ApiError::modified(&target.resource, &target.name));
        }
        let replicas = scale.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or_default();
        if replicas < 0 {
            let path = FieldPath::of("spec.replicas");
            let error = FieldError::invalid(path, replicas, "must be greater than or equal to 0");
            return Err(ApiError::invalid_kind("Scale", "autoscaling", &target.name, &[error]));
        }
        let mut new = old.clone();
        target.resource.set_replicas(&mut new, replicas);
        put(&mut new, &["metadata", "resourceVersion"], "".into());
        Ok(new)
    })?;
    Ok(Answer::ok(target.resource.scale_of(&written)))
}
