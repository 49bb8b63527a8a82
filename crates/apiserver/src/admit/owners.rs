//! The owners of an object, as with OpenShift's `OwnerReferencesPermissionEnforcement`. Whoever changes them may have the garbage
//! collector delete the object, so they need the right to delete it themselves; who creates an object names any owners. An owner
//! that waits for the object takes the right to change the owner's finalizers.

use std::collections::{BTreeMap, HashMap};

use palisade_rbac::Action;
use palisade_workloads::Controller;
use serde_json::Value;

use crate::authorize::allowed;
use crate::call::Call;
use crate::error::{ApiError, ApiResult};
use crate::request::Target;
use crate::resource::{Resource, text};

/// Refuses owners that the requester may not name; `old` is the object before a change.
pub(super) fn check(call: &Call<'_>, object: &Value, old: Option<&Value>) -> ApiResult<()> {
    let before = old.map(owners).unwrap_or_default();
    // The controllers of workloads have these rights in each cluster.
    if owners(object) == before || Controller::is_account(&call.identity.name) {
        return Ok(());
    }
    if old.is_some() {
        check_deletion(call)?;
    }
    check_blocking(call, newly_blocking(owners(object), before))
}

fn check_deletion(call: &Call<'_>) -> ApiResult<()> {
    let target = Target { subresource: None, ..call.target.clone() };
    let permitted = call.api.require(call.identity, "delete", &target, None);
    permitted.map(drop).map_err(|refusal| {
        let said = refusal.message.split_once(": ").map_or(&*refusal.message, |(_, why)| why);
        let why = format!("cannot set an ownerRef on a resource you can't delete: {said}");
        ApiError::forbidden(&target.resource, &target.name, why)
    })
}

/// The owners that are to wait for the object, and were not before.
fn newly_blocking<'v>(new: &'v [Value], old: &[Value]) -> Vec<&'v Value> {
    let blocks = |owner: &Value| owner.get("blockOwnerDeletion") == Some(&Value::Bool(true));
    let before: HashMap<&str, bool> = old.iter().map(|owner| (text(owner, "/uid"), blocks(owner))).collect();
    new.iter().filter(|owner| blocks(owner) && before.get(text(owner, "/uid")) != Some(&true)).collect()
}

fn check_blocking(call: &Call<'_>, owners: Vec<&Value>) -> ApiResult<()> {
    let may = |group: &str, resource: &str, namespace: &str, name: &str| {
        let resource = format!("{resource}/finalizers");
        let action = Action { verb: "update", group, resource: &resource, namespace, name };
        allowed(&call.api.policy, call.identity, &action).is_some()
    };
    if owners.is_empty() || may("*", "*", "", "*") {
        return Ok(());
    }
    let refuse = |why: String| Err(ApiError::forbidden(&call.target.resource, &call.target.name, why));
    let definitions = call.api.definitions.now();
    let of = |version: &str, kind: &str| -> Option<Resource> {
        let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
        definitions.of_group(group, version).into_iter().find(|resource| resource.kind() == kind)
    };
    let mut kinds = BTreeMap::new();
    for owner in owners {
        let (version, kind) = (text(owner, "/apiVersion"), text(owner, "/kind"));
        let Some(resource) = kinds.entry((version, kind)).or_insert_with(|| of(version, kind)) else {
            return refuse(format!(
                "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion {version} Kind {kind}"
            ));
        };
        let namespace = if resource.namespaced { &*call.target.namespace } else { "" };
        if !may(resource.rule_group(), resource.plural(), namespace, text(owner, "/name")) {
            return refuse(
                "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on"
                    .to_owned(),
            );
        }
    }
    Ok(())
}

fn owners(object: &Value) -> &[Value] {
    object.pointer("/metadata/ownerReferences").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn owners_that_wait_since_the_change_are_found() {
        let owner = |uid: &str, blocks: Option<bool>| json!({"uid": uid, "blockOwnerDeletion": blocks});
        let old = [owner("a", Some(true)), owner("b", Some(false)), owner("c", None)];
        let new = [owner("a", Some(true)), owner("b", Some(true)), owner("c", None), owner("d", Some(true))];
        let found = |old: &[Value]| -> Vec<String> {
            newly_blocking(&new, old).iter().map(|owner| text(owner, "/uid").to_owned()).collect()
        };
        assert_eq!(
            (found(&old), found(&[])),
            (vec!["b".into(), "d".into()], vec!["a".into(), "b".into(), "d".into()])
        );
    }
}
