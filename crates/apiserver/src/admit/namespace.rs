//! Namespaces: their ranges, the objects that each holds, and whether they accept objects.

use palisade_admission::{Block, Reservation};
use palisade_k8s::put;
use palisade_k8s::scc::annotation::{MCS, SUPPLEMENTAL_GROUPS, UID_RANGE};
use serde_json::{Value, json};

use crate::api::Api;
use crate::call::Call;
use crate::decider::Decider;
use crate::error::{ApiError, ApiResult};
use crate::failure;
use crate::resource;
use crate::{objects, time};

/// A namespaced object needs a namespace that exists and is not being deleted.
pub(super) fn accepts(call: &Call<'_>, name: &str) -> ApiResult<()> {
    let target = call.target;
    if !target.resource.namespaced {
        return Ok(());
    }
    // The policy follows each write before a client sees it, so the namespace need not be read.
    match call.api.policy.snapshot().namespace(&target.namespace) {
        None => return Err(ApiError::not_found(&resource::NAMESPACES, &target.namespace)),
        Some(namespace) if !namespace.is_terminating() => return Ok(()),
        Some(_) => {}
    }
    let why = format!(
        "unable to create new content in namespace {} because it is being terminated",
        target.namespace
    );
    let mut error = ApiError::forbidden(&target.resource, name, why);
    // Controllers stop trying when they see this cause.
    let cause = json!({"reason": "NamespaceTerminating", "field": "metadata.namespace",
                       "message": format!("namespace {} is being terminated", target.namespace)});
    if let Some(details) = &mut error.details {
        put(details, &["causes"], json!([cause]));
    }
    Err(error)
}

pub(super) fn check_delete(call: &Call<'_>) -> ApiResult<()> {
    if call.target.resource.undeletable.contains(&call.target.name.as_str()) {
        return Err(ApiError::forbidden(
            &call.target.resource,
            &call.target.name,
            "this namespace may not be deleted",
        ));
    }
    Ok(())
}

/// Gives a namespace its block of IDs before it is visible, so that no pod is ever in one without. Existing ranges are
/// kept: a namespace that comes from elsewhere keeps its files' owners. The reservation, if one was needed, must be
/// kept until the namespace is written; a namespace that is not written uses no block.
pub(crate) fn allocate(api: &Api, namespace: &mut Value) -> ApiResult<Option<Reservation>> {
    if api.decider != Decider::Server {
        return Ok(None);
    }
    let annotations = namespace.pointer("/metadata/annotations").cloned().unwrap_or_default();
    let present = |key: &str| annotations.get(key).and_then(Value::as_str).map(str::to_owned);
    if [MCS, SUPPLEMENTAL_GROUPS, UID_RANGE]
        .iter()
        .all(|key| present(key).is_some_and(|text| !text.is_empty()))
    {
        return Ok(None);
    }
    let reserved = api.ranges.reserve(&api.policy);
    let reserved =
        reserved.ok_or_else(|| ApiError::unavailable("all blocks of user IDs are taken by namespaces"))?;
    if namespace.pointer("/metadata/annotations").is_none() {
        put(namespace, &["metadata", "annotations"], json!({}));
    }
    // If the namespace has its own range, it determines the level as it determines the groups.
    let own = present(UID_RANGE).as_deref().and_then(Block::of_range);
    for (key, value) in own.unwrap_or_else(|| reserved.block()).annotations(present) {
        put(namespace, &["metadata", "annotations", key], value.into());
    }
    Ok(Some(reserved))
}

/// Creates the objects that every namespace holds: its default service account, and the certificate that its pods
/// trust.
pub(crate) fn furnish(api: &Api, name: &str) -> ApiResult<()> {
    let account = json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default"}});
    let ca = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "kube-root-ca.crt"},
                    "data": {"ca.crt": api.ca}});
    for (plural, mut object) in [("serviceaccounts", account), ("configmaps", ca)] {
        let resource = resource::find("", plural).ok_or_else(ApiError::no_such_path)?;
        put(&mut object, &["metadata", "namespace"], name.into());
        put(&mut object, &["metadata", "uid"], uuid::Uuid::new_v4().to_string().into());
        put(&mut object, &["metadata", "creationTimestamp"], time::now().into());
        match objects::create(&api.store, resource, name, object) {
            Ok(_) | Err(palisade_store::StoreError::Exists(_)) => {}
            Err(error) => return Err(failure::store(resource, "", error)),
        }
    }
    Ok(())
}
