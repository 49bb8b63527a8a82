//! Admission: what is completed and what is refused, between authorization and the store.
//!
//! In this order: the namespace's life cycle, the service account, SCC (for pods and for SCCs themselves), then, of what
//! fits its type, the namespace's Pod Security levels, the limits on roles and bindings, and on what nodes write. A refusal by any is final.

mod account;
mod namespace;
mod node;
mod pod_security;
mod rbac;
mod scc;

use palisade_admission::Reservation;
use serde_json::Value;

use crate::call::Call;
use crate::error::ApiResult;
use crate::remove::remove;
use crate::resource::{Admission, text};

/// Completes a new object. What is reserved for it is to be kept until it is written.
pub(crate) fn create(call: &Call<'_>, object: &mut Value) -> ApiResult<Option<Reservation>> {
    namespace::accepts(call, text(object, "/metadata/name"))?;
    match call.target.resource.admission {
        Admission::Namespace => return namespace::allocate(call.api, object),
        Admission::Pod => {
            if !node::is_mirror(call, object) {
                account::complete(call, object)?;
            }
            scc::pod(call, object, None)?;
        }
        Admission::Scc => call.notes.warn(scc::complete(object)?),
        _ => {}
    }
    Ok(None)
}

/// Completes a changed object.
pub(crate) fn update(call: &Call<'_>, object: &mut Value, old: &Value) -> ApiResult<()> {
    match call.target.resource.admission {
        // The status and the deletion of a pod are none of SCC's business; nor is a pod that is on its way out.
        Admission::Pod if is_admitted(call) => scc::pod(call, object, Some(old)),
        Admission::Scc => {
            call.notes.warn(scc::complete(object)?);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn is_admitted(call: &Call<'_>) -> bool {
    call.target.subresource.is_none_or(|part| part.is_admitted)
}

/// Refuses a new object that fits its type but may not be.
pub(crate) fn check_create(call: &Call<'_>, object: &Value) -> ApiResult<()> {
    node::check_create(call, object)?;
    match call.target.resource.admission {
        Admission::Pod => pod_security::check_pod(call, object, None),
        Admission::Namespace => pod_security::check_namespace(call, object, None),
        Admission::Role => rbac::check_role(call, object, None),
        Admission::Binding => rbac::check_binding(call, object, None),
        _ => Ok(()),
    }
}

/// Refuses a change.
pub(crate) fn check_update(call: &Call<'_>, object: &Value, old: &Value) -> ApiResult<()> {
    node::check_update(call, object, old)?;
    match call.target.resource.admission {
        Admission::Pod if is_admitted(call) => pod_security::check_pod(call, object, Some(old)),
        Admission::Namespace if call.target.subresource.is_none() => {
            pod_security::check_namespace(call, object, Some(old))
        }
        Admission::Role => rbac::check_role(call, object, Some(old)),
        Admission::Binding => rbac::check_binding(call, object, Some(old)),
        _ => Ok(()),
    }
}

/// Does what belongs to a new object.
pub(crate) fn created(call: &Call<'_>, object: &Value) -> ApiResult<()> {
    let (resource, name) = (call.target.resource, text(object, "/metadata/name"));
    // Its namespace may have been emptied and taken away since it was asked for; the object must not stay behind.
    if let Err(error) = namespace::accepts(call, name) {
        remove(call.api, resource, &call.target.namespace, name, None)?;
        return Err(error);
    }
    match resource.admission {
        Admission::Namespace => namespace::furnish(call.api, name),
        _ => Ok(()),
    }
}

/// Refuses the deletion of what the cluster cannot be without, and of what is not a node's own.
pub(crate) fn delete(call: &Call<'_>) -> ApiResult<()> {
    node::check_delete(call)?;
    namespace::check_delete(call)
}

pub(crate) use namespace::{allocate, furnish};
pub(crate) use node::{check_system, check_token};
pub(crate) use scc::{complete as complete_scc, connect};
