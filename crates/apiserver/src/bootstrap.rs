//! What a cluster starts with: namespaces, roles, bindings and a set of SCCs.

use palisade_k8s::manifest;
use palisade_k8s::put;
use palisade_scc::BuiltinSet;
use palisade_store::StoreError;
use serde_json::{Value, json};

use crate::api::Api;
use crate::error::{ApiError, ApiResult};
use crate::resource::{self, Resource, text};
use crate::{admit, objects, time};

const MANIFEST: &str = include_str!("../bootstrap.yaml");

/// Says on an object that it comes with the server.
const LABEL: (&str, &str) = ("kubernetes.io/bootstrapping", "rbac-defaults");

/// The objects of the start.
pub(crate) fn objects(set: BuiltinSet) -> ApiResult<Vec<Value>> {
    let mut objects = Vec::new();
    for text in [MANIFEST, set.manifest()] {
        let documents =
            manifest::read(text).map_err(|error| ApiError::internal("built-in objects", &error))?;
        objects.extend(documents.iter().map(manifest::Node::to_json));
    }
    Ok(objects)
}

/// Makes what is missing, and notes which ranges the namespaces have.
pub(crate) fn run(api: &Api, set: BuiltinSet) -> ApiResult<()> {
    let namespaces = resource::find("", "namespaces").ok_or_else(ApiError::no_such_path)?;
    for namespace in objects::list(&api.store, namespaces, None, None, None)?.items {
        if let Some(block) = block(&namespace) {
            api.ranges.take(block);
        }
    }
    repair(api, namespaces)?;
    for object in objects(set)? {
        ensure(api, object)?;
    }
    api.live.wrote(palisade_k8s::rbac::GROUP, api.store.revision());
    Ok(())
}

/// Namespaces from before there was this server get their ranges and what every namespace holds.
fn repair(api: &Api, namespaces: &Resource) -> ApiResult<()> {
    for mut namespace in objects::list(&api.store, namespaces, None, None, None)?.items {
        let name = text(&namespace, "/metadata/name").to_owned();
        if block(&namespace).is_none() && namespace.pointer("/metadata/deletionTimestamp").is_none() {
            let seen = objects::get(&api.store, namespaces, "", &name)?.revision;
            admit::allocate(api, &mut namespace)?;
            // Whoever changed it meanwhile is this server too, and comes here again.
            let _ = objects::update(&api.store, namespaces, "", seen, namespace);
        }
    }
    Ok(())
}

/// The block of IDs of a namespace.
pub(crate) fn block(namespace: &Value) -> Option<u64> {
    let annotations = namespace.pointer("/metadata/annotations")?;
    let range = annotations.get(palisade_k8s::scc::annotation::UID_RANGE)?.as_str()?;
    crate::ranges::block_of(range)
}

/// Makes an object if it is missing.
pub(crate) fn ensure(api: &Api, mut object: Value) -> ApiResult<()> {
    let (version, kind) = (text(&object, "/apiVersion").to_owned(), text(&object, "/kind").to_owned());
    let mut resources = resource::RESOURCES.iter();
    let resource = resources
        .find(|resource| resource.kind == kind && resource.api_version() == version)
        .ok_or_else(ApiError::no_such_path)?;
    let name = text(&object, "/metadata/name").to_owned();
    if api.store.get(&objects::key(resource, "", &name)).is_ok_and(|found| found.is_some()) {
        return Ok(());
    }
    put(&mut object, &["metadata", "uid"], uuid::Uuid::new_v4().to_string().into());
    put(&mut object, &["metadata", "creationTimestamp"], time::now().into());
    if resource.group == palisade_k8s::rbac::GROUP {
        if object.pointer("/metadata/labels").is_none() {
            put(&mut object, &["metadata", "labels"], json!({}));
        }
        put(&mut object, &["metadata", "labels", LABEL.0], LABEL.1.into());
    }
    (resource.prepare)(&mut object, None);
    match resource.kind {
        "Namespace" => admit::allocate(api, &mut object)?,
        "SecurityContextConstraints" => admit::complete_scc(&mut object)?,
        _ => {}
    }
    crate::fields::fit(&mut object, resource.message())
        .map_err(|error| ApiError::internal("a built-in object does not fit its type", &error))?;
    match objects::create(&api.store, resource, "", object) {
        Ok(_) | Err(StoreError::Exists(_)) => {}
        Err(error) => return Err(ApiError::store(resource, &name, error)),
    }
    api.live.wrote(resource.storage, api.store.revision());
    if resource.kind == "Namespace" {
        admit::furnish(api, &name)?;
    }
    Ok(())
}
