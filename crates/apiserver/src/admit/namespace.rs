//! Namespaces: their ranges, what every one holds, and when they take objects.

use palisade_k8s::put;
use palisade_k8s::scc::annotation::{MCS, SUPPLEMENTAL_GROUPS, UID_RANGE};
use serde_json::{Value, json};

use crate::api::Api;
use crate::call::Call;
use crate::error::{ApiError, ApiResult};
use crate::failure;
use crate::resource;
use crate::{objects, time};

/// A namespaced object needs a namespace that is there and stays.
pub(super) fn accepts(call: &Call<'_>, name: &str) -> ApiResult<()> {
    let target = call.target;
    if !target.resource.namespaced {
        return Ok(());
    }
    let namespaces = &resource::NAMESPACES;
    let namespace = objects::get(&call.api.store, namespaces, "", &target.namespace)?;
    if namespace.object.pointer("/metadata/deletionTimestamp").is_none() {
        return Ok(());
    }
    let why = format!(
        "unable to create new content in namespace {} because it is being terminated",
        target.namespace
    );
    let mut error = ApiError::forbidden(target.resource, name, why);
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
            call.target.resource,
            &call.target.name,
            "this namespace may not be deleted",
        ));
    }
    Ok(())
}

/// Gives a namespace its block of IDs before anybody sees it, so that no pod is ever in one without. What is written
/// already is kept: a namespace that comes from elsewhere keeps its files' owners.
pub(crate) fn allocate(api: &Api, namespace: &mut Value) -> ApiResult<()> {
    let annotation = |key: &str| {
        let annotations = namespace.pointer("/metadata/annotations");
        annotations.and_then(|map| map.get(key)?.as_str()).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let (uids, groups, mcs) = (annotation(UID_RANGE), annotation(SUPPLEMENTAL_GROUPS), annotation(MCS));
    let block = match uids.as_deref().and_then(crate::ranges::block_of) {
        Some(block) => {
            api.ranges.take(block);
            block
        }
        None => api
            .ranges
            .allocate()
            .ok_or_else(|| ApiError::unavailable("all blocks of user IDs are taken by namespaces"))?,
    };
    let range = crate::ranges::uids(block);
    let values = [
        (MCS, mcs.unwrap_or_else(|| crate::ranges::mcs(block))),
        (SUPPLEMENTAL_GROUPS, groups.unwrap_or_else(|| range.clone())),
        (UID_RANGE, uids.unwrap_or(range)),
    ];
    if namespace.pointer("/metadata/annotations").is_none() {
        put(namespace, &["metadata", "annotations"], json!({}));
    }
    for (key, value) in values {
        put(namespace, &["metadata", "annotations", key], value.into());
    }
    Ok(())
}

/// Keeps the block that somebody writes into a namespace from all that come later.
pub(crate) fn claim(api: &Api, namespace: &Value) {
    if let Some(block) = crate::ranges::of_namespace(namespace) {
        api.ranges.take(block);
    }
}

/// Makes what every namespace holds: its default service account, and the certificate that its pods trust.
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
