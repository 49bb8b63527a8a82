//! Aggregated cluster roles: authorization resolves them by itself, and here their effective rules are written into
//! them for clients to read.

use palisade_admission::Policy;
use palisade_k8s::{put, rbac};
use palisade_rbac::RbacKind;
use palisade_store::StoreError;
use serde_json::json;

use crate::error::{ApiError, ApiResult, Reason};
use crate::failure;
use crate::resource::{self, Resource};
use crate::server::ApiServer;
use crate::{hub::Event, objects};

/// Whether a change may change the rules of an aggregated role.
pub(crate) fn is_moved_by(event: &Event) -> bool {
    event.storage == "rbac.authorization.k8s.io/clusterroles"
}

/// Writes the effective rules into all aggregated roles where they are out of date.
pub(crate) fn settle(api: &dyn ApiServer) -> ApiResult<()> {
    let resource = resource::find(rbac::GROUP, "clusterroles").ok_or_else(ApiError::no_such_path)?;
    let policy = api.policy().snapshot();
    policy.rbac().aggregated().try_for_each(|name| settle_role(api, resource, &policy, name))
}

fn settle_role(api: &dyn ApiServer, resource: &Resource, policy: &Policy, name: &str) -> ApiResult<()> {
    let found = match objects::get(api.store(), resource, "", name) {
        Err(error) if error.reason == Reason::NotFound => return Ok(()),
        found => found?,
    };
    let mut role = found.object;
    let rules = json!(policy.rbac().role_rules(RbacKind::ClusterRole, "", name).unwrap_or_default());
    if role.get("rules") == Some(&rules) {
        return Ok(());
    }
    put(&mut role, &["rules"], rules);
    // Authorization needs no copy of them, so a role that would be too large to be kept stays as it is.
    objects::check_size(&role)?;
    match objects::update(api.store(), resource, "", found.revision, role) {
        // A conflicting write is an event that brings the role here again.
        Ok(_) | Err(StoreError::Conflict { .. } | StoreError::Missing(_)) => Ok(()),
        Err(error) => Err(failure::store(resource, name, error)),
    }
}
