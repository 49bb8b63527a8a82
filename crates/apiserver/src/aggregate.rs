//! Cluster roles that are made of others: authorization looks through them by itself, and here they get the rules that
//! they come to, for clients to read.

use palisade_k8s::{put, rbac};
use palisade_store::StoreError;
use serde_json::{Value, json};

use crate::api::Api;
use crate::error::{ApiError, ApiResult};
use crate::failure;
use crate::resource::{self, text};
use crate::{hub::Event, objects};

/// Whether a change may change what such roles come to.
pub(crate) fn is_moved_by(event: &Event) -> bool {
    event.storage == "rbac.authorization.k8s.io/clusterroles"
}

/// Writes their rules into all roles that are made of others, where they are not as they should be.
pub(crate) fn settle(api: &Api) -> ApiResult<()> {
    let resource = resource::find(rbac::GROUP, "clusterroles").ok_or_else(ApiError::no_such_path)?;
    let roles = objects::list(&api.store, resource, None, None, None)?.items;
    let rbac = api.live.rbac()?;
    for mut role in roles.into_iter().filter(|role| role.get("aggregationRule").is_some_and(Value::is_object))
    {
        let name = text(&role, "/metadata/name").to_owned();
        let rules = json!(rbac.role_rules("ClusterRole", "", &name).unwrap_or_default());
        let seen =
            text(&role, "/metadata/resourceVersion").parse().ok().and_then(palisade_store::Revision::new);
        let Some(seen) = seen.filter(|_| role.get("rules") != Some(&rules)) else { continue };
        put(&mut role, &["rules"], rules);
        match objects::update(&api.store, resource, "", seen, role) {
            Ok(_) => api.live.wrote(resource.storage, api.store.revision()),
            // Who else wrote it brings it here again.
            Err(StoreError::Conflict { .. } | StoreError::Missing(_)) => {}
            Err(error) => return Err(failure::store(resource, &name, error)),
        }
    }
    Ok(())
}
