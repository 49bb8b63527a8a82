//! Claims: one that names no class of storage gets the default class.

use palisade_k8s::put;
use serde_json::Value;

use crate::call::Call;
use crate::error::ApiResult;
use crate::objects;
use crate::resource::{STORAGE_CLASSES, text};

/// Annotation of the default storage class.
const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";
/// The annotation that held the class of a claim before the field.
const OLD: &str = "volume.beta.kubernetes.io/storage-class";

/// Gives a claim the default class; the newest if there are several.
pub(super) fn complete(call: &Call<'_>, claim: &mut Value) -> ApiResult<()> {
    let annotation = |object: &Value, name: &str| {
        object.pointer("/metadata/annotations").and_then(|all| all.get(name)).cloned()
    };
    if claim.pointer("/spec/storageClassName").is_some() || annotation(claim, OLD).is_some() {
        return Ok(());
    }
    let mut found: Option<(String, String)> = None;
    objects::each(&call.api.store, &STORAGE_CLASSES, None, |class| {
        if annotation(&class, DEFAULT) == Some("true".into()) {
            let [made, name] =
                ["/metadata/creationTimestamp", "/metadata/name"].map(|at| text(&class, at).to_owned());
            // Classes of the same age are ordered by name.
            if found.as_ref().is_none_or(|(newest, _)| *newest < made) {
                found = Some((made, name));
            }
        }
        Ok(())
    })?;
    if let Some((_, name)) = found {
        put(claim, &["spec", "storageClassName"], name.into());
    }
    Ok(())
}
