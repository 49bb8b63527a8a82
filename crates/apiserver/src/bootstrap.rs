//! The initial objects of a cluster: namespaces, roles, bindings and a set of SCCs.

use palisade_k8s::manifest;
use palisade_k8s::put;
use palisade_k8s::scc::annotation::{MCS, SUPPLEMENTAL_GROUPS, UID_RANGE};
use palisade_scc::BuiltinSet;
use palisade_store::{Revision, StoreError};
use serde_json::{Value, json};

use crate::api::Api;
use crate::decider::Decider;
use crate::error::{ApiError, ApiResult};
use crate::failure;
use crate::resource::{self, Admission, text};
use crate::{admit, objects, time};

const MANIFEST: &str = include_str!("../bootstrap.yaml");

/// Label of objects that come with the server.
const LABEL: (&str, &str) = ("kubernetes.io/bootstrapping", "rbac-defaults");

/// The initial objects.
pub(crate) fn objects(api: &Api, set: BuiltinSet) -> ApiResult<Vec<Value>> {
    let mut objects = Vec::new();
    let sccs = (api.decider != Decider::Nobody).then(|| set.manifest());
    for text in [MANIFEST].into_iter().chain(sccs) {
        let documents =
            manifest::read(text).map_err(|error| failure::internal("built-in objects", &error))?;
        objects.extend(documents.iter().map(manifest::Node::to_json));
    }
    Ok(objects)
}

/// The set that the stored SCCs are of: that of OpenShift 3 if there are such, and none that only OpenShift 4 has.
pub(crate) fn kept_set(api: &Api) -> ApiResult<BuiltinSet> {
    let mut kept = BuiltinSet::V4;
    for name in BuiltinSet::V4.sccs() {
        let found = api.store.get(&objects::key(&resource::SCCS, "", name));
        match found.map_err(|error| failure::store(&resource::SCCS, name, error))? {
            Some(_) if BuiltinSet::V3.sccs().contains(name) => kept = BuiltinSet::V3,
            Some(_) => return Ok(BuiltinSet::V4),
            None => {}
        }
    }
    Ok(kept)
}

/// Creates the missing initial objects.
pub(crate) fn run(api: &Api, set: BuiltinSet) -> ApiResult<()> {
    settle(api)?;
    for object in objects(api, set)? {
        ensure(api, object)?;
    }
    revoke_nodes(api)?;
    Ok(())
}

/// Removes from node agents the role that older servers gave to all of them: each has rights of its own now.
fn revoke_nodes(api: &Api) -> ApiResult<()> {
    let bindings = &resource::CLUSTER_ROLE_BINDINGS;
    let mut found = objects::get(&api.store, bindings, "", "system:node")?;
    let is_ours = found.object.pointer("/metadata/labels").and_then(|labels| labels.get(LABEL.0))
        == Some(&LABEL.1.into());
    let subjects = found.object.get("subjects").and_then(Value::as_array);
    if !is_ours || subjects.is_none_or(Vec::is_empty) {
        return Ok(());
    }
    put(&mut found.object, &["subjects"], json!([]));
    objects::update(&api.store, bindings, "", found.revision, found.object)
        .map(drop)
        .map_err(|error| failure::store(bindings, "system:node", error))
}

/// Migrates the content of an older store or a backup to the present form.
pub(crate) fn settle(api: &Api) -> ApiResult<()> {
    settle_ranges(api)?;
    crate::password::settle(&api.store)
        .map_err(|error| failure::internal("the passwords cannot be read", &error))
}

/// Gives ranges to the namespaces that lack them.
fn settle_ranges(api: &Api) -> ApiResult<()> {
    let namespaces = &resource::NAMESPACES;
    let all = objects::list(&api.store, namespaces, None, None, None)?.items;
    all.into_iter().try_for_each(|namespace| repair(api, namespace))
}

/// Gives a namespace its missing ranges: one that is older than this server, or whose ranges were removed.
pub(crate) fn repair(api: &Api, mut namespace: Value) -> ApiResult<()> {
    if api.decider != Decider::Server {
        return Ok(());
    }
    let annotations = namespace.pointer("/metadata/annotations");
    let has = |key: &str| annotations.and_then(|map| map.get(key)).is_some_and(|value| value != "");
    if [UID_RANGE, SUPPLEMENTAL_GROUPS, MCS].into_iter().all(has)
        || namespace.pointer("/metadata/deletionTimestamp").is_some()
    {
        return Ok(());
    }
    let namespaces = &resource::NAMESPACES;
    let name = text(&namespace, "/metadata/name").to_owned();
    let seen = text(&namespace, "/metadata/resourceVersion").parse().ok().and_then(Revision::new);
    let reserved = admit::allocate(api, &mut namespace)?;
    // A conflicting write brings the object here again.
    if objects::update(&api.store, namespaces, "", seen.unwrap_or_default(), namespace).is_ok() {
        tracing::warn!("namespace {name} had no complete ranges and was given some");
    }
    drop(reserved);
    Ok(())
}

/// Makes an object if it is missing.
pub(crate) fn ensure(api: &Api, mut object: Value) -> ApiResult<()> {
    let resource = resource::of_object(&object).ok_or_else(ApiError::no_such_path)?;
    let name = text(&object, "/metadata/name").to_owned();
    if api.store.get(&objects::key(resource, "", &name)).is_ok_and(|found| found.is_some()) {
        return Ok(());
    }
    put(&mut object, &["metadata", "uid"], uuid::Uuid::new_v4().to_string().into());
    put(&mut object, &["metadata", "creationTimestamp"], time::now().into());
    if resource.group() == palisade_k8s::rbac::GROUP {
        if object.pointer("/metadata/labels").is_none() {
            put(&mut object, &["metadata", "labels"], json!({}));
        }
        put(&mut object, &["metadata", "labels", LABEL.0], LABEL.1.into());
    }
    resource.prepare(&mut object, None);
    let mut reserved = None;
    match resource.admission {
        Admission::Namespace => reserved = admit::allocate(api, &mut object)?,
        Admission::Scc => drop(admit::complete_scc(&mut object)?),
        _ => {}
    }
    let fitted = resource.shape().fit(&mut object);
    fitted.map_err(|error| failure::internal("a built-in object does not fit its type", &error))?;
    match objects::create(&api.store, resource, "", object) {
        Ok(_) | Err(StoreError::Exists(_)) => {}
        Err(error) => return Err(failure::store(resource, &name, error)),
    }
    drop(reserved);
    if resource.admission == Admission::Namespace {
        admit::furnish(api, &name)?;
    }
    Ok(())
}
