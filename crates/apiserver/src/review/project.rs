//! Requests for projects.

use palisade_admission::REQUESTER;
use palisade_k8s::put;
use serde_json::{Value, json};

use super::create_as_system;
use crate::admit;
use crate::call::{Answer, Call};
use crate::error::{ApiError, ApiResult, Reason};
use crate::resource::{self, text};

/// The names that the platform reserves for its own namespaces, also followed by `-` and more (openshift-apiserver,
/// `pkg/project/apiserver/registry/projectrequest/delegated`): SCC exempts some, and names accounts in others.
const RESERVED: [&str; 3] = ["openshift", "kubernetes", "kube"];

fn check_name(name: &str) -> ApiResult<()> {
    let Some(reserved) = RESERVED.iter().find(|reserved| {
        name.strip_prefix(**reserved).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }) else {
        return Ok(());
    };
    let why = match name == *reserved {
        true => format!("cannot request a project with the name {name:?}"),
        false => format!("cannot request a project starting with \"{reserved}-\""),
    };
    let projects = resource::find("project.openshift.io", "projects").ok_or_else(ApiError::no_such_path)?;
    Err(ApiError::forbidden(projects, name, why))
}

/// Whether only the platform may set an annotation.
fn is_reserved(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    ["openshift.io", "kubernetes.io", "k8s.io"]
        .iter()
        .any(|own| domain.strip_suffix(own).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

/// Creates a project with the requester as its administrator.
pub(super) fn request(call: &Call<'_>, request: &Value) -> ApiResult<Answer> {
    let name = text(request, "/metadata/name");
    check_name(name)?;
    let mut annotations = json!({
        "openshift.io/description": text(request, "/description"),
        "openshift.io/display-name": text(request, "/displayName"),
        REQUESTER: call.identity.name,
    });
    let given = request.pointer("/metadata/annotations").and_then(Value::as_object);
    for (key, value) in given.into_iter().flatten().filter(|(key, _)| !is_reserved(key)) {
        put(&mut annotations, &[key], value.clone());
    }
    let namespace = json!({"kind": "Namespace", "apiVersion": "v1",
                           "metadata": {"name": name, "annotations": annotations}});
    let projects = &resource::PROJECTS;
    admit::check_requested(call, projects, name)?;
    let created = create_as_system(call, "", "namespaces", "", namespace).map_err(|mut error| {
        if error.reason == Reason::AlreadyExists {
            error = ApiError::exists(projects, name);
        }
        error
    })?;
    if !call.is_dry_run() && !call.identity.is_master() {
        let group = palisade_k8s::rbac::GROUP;
        let binding = json!({
            "kind": "RoleBinding", "apiVersion": format!("{group}/v1"), "metadata": {"name": "admin"},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "admin"},
            "subjects": [{"apiGroup": group, "kind": "User", "name": call.identity.name}],
        });
        create_as_system(call, group, "rolebindings", name, binding)?;
    }
    Ok(Answer::created(projects.show(created)))
}
