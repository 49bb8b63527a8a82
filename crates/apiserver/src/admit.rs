//! Admission: mutation and validation of a request, between authorization and the store.
//!
//! In this order: the namespace's life cycle, ranges of limits, the service account, the priority and the runtime class, SCC
//! (for pods and for SCCs themselves), webhooks that change the object, the rules of its kind, the namespace's Pod Security
//! levels, the limits on owners, roles and bindings and on what nodes write, webhooks that validate, quotas, what `last` looks at. A refusal by any is final; what a webhook changes, SCC decides on again.

mod account;
mod claim;
mod last;
mod limit_range;
mod namespace;
mod node;
mod owners;
mod pod_security;
mod priority;
mod rbac;
mod runtime_class;
mod scc;
mod workload;

use palisade_admission::Reservation;
use palisade_hooks::{Operation, Reinvocation};
use palisade_registry::services::Reserved;
use palisade_scc::Mutation;
use serde_json::Value;

use crate::call::Call;
use crate::decider::Decider;
use crate::definitions;
use crate::error::ApiResult;
use crate::objects;
use crate::remove::remove;
use crate::resource::{Admission, Serves, text};
use crate::webhook::attributes;

/// Completes a new object: the server's own admission first, then webhooks, whose changes `settle` fits to the type.
/// Reservations for the object must be kept until it is written.
pub(crate) fn create(
    call: &Call<'_>,
    object: &mut Value,
    settle: Settle<'_>,
) -> ApiResult<Option<Reservation>> {
    definitions::accepts(&call.target.resource)?;
    namespace::accepts(call, text(object, "/metadata/name"))?;
    let reserved = complete_new(call, object)?;
    let mut further = None;
    by_webhooks(call, Operation::Create, object, None, settle, &mut |object| {
        further = complete_new(call, object)?.or(further.take());
        Ok(())
    })?;
    Ok(further.or(reserved))
}

fn complete_new(call: &Call<'_>, object: &mut Value) -> ApiResult<Option<Reservation>> {
    let decides = call.api.decider == Decider::Server;
    match call.target.resource.admission {
        Admission::Namespace => return namespace::allocate(call.api, object),
        Admission::Claim => claim::complete(call, object)?,
        Admission::Pod => {
            limit_range::complete(call, object)?;
            if !node::is_mirror(call, object) {
                account::complete(call, object)?;
            }
            priority::complete(call, object)?;
            runtime_class::complete(call, object)?;
            if decides {
                scc::pod(call, object, None, Mutation::Allowed)?;
            }
        }
        Admission::Definition => call.api.definitions.judge(object),
        Admission::Scc if decides => call.notes.warn(scc::complete(object)?),
        _ => {}
    }
    Ok(None)
}

/// Gives a service what it lacks, as it is about to be written. The reservation must be kept until then.
pub(crate) fn reserve(
    call: &Call<'_>,
    object: &mut Value,
    old: Option<&Value>,
) -> ApiResult<Option<Reserved>> {
    let target = call.target;
    if target.resource.admission != Admission::Service || target.subresource.is_some() {
        return Ok(None);
    }
    let key = objects::key(&target.resource, &target.namespace, text(object, "/metadata/name"));
    call.api.services.reserve(&key, object, old).map(Some)
}

/// Completes a changed object, as [`create`] does.
pub(crate) fn update(call: &Call<'_>, object: &mut Value, old: &Value, settle: Settle<'_>) -> ApiResult<()> {
    complete_changed(call, object, old)?;
    if call.target.subresource.is_none_or(|part| matches!(part.serves, Serves::Part(_))) {
        let again = &mut |object: &mut Value| complete_changed(call, object, old);
        by_webhooks(call, Operation::Update, object, Some(old), settle, again)?;
    }
    Ok(())
}

fn complete_changed(call: &Call<'_>, object: &mut Value, old: &Value) -> ApiResult<()> {
    if call.target.resource.admission == Admission::Definition && call.target.subresource.is_none() {
        call.api.definitions.judge(object);
    }
    if call.target.resource.admission == Admission::Pod && call.target.subresource.is_none() {
        priority::keep(object, old);
    }
    if call.api.decider != Decider::Server {
        return Ok(());
    }
    match call.target.resource.admission {
        // SCC ignores the status and the deletion of a pod, and pods that are being deleted.
        Admission::Pod if is_admitted(call) => {
            let mutation = match call.target.subresource_name() {
                "ephemeralcontainers" => Mutation::EphemeralOnly,
                _ => Mutation::Forbidden,
            };
            scc::pod(call, object, Some(old), mutation)
        }
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

/// Fits an object that a webhook has changed to its type, and restores its name and namespace.
pub(crate) type Settle<'f> = &'f dyn Fn(Value) -> ApiResult<Value>;

/// Calls the mutating webhooks. The server completes and decides again on what they change; if that changes the object
/// once more, webhooks with `reinvocationPolicy: IfNeeded` are called again, and after that nothing is completed, only
/// decided.
fn by_webhooks(
    call: &Call<'_>,
    operation: Operation,
    object: &mut Value,
    old: Option<&Value>,
    settle: Settle<'_>,
    complete: &mut dyn FnMut(&mut Value) -> ApiResult<()>,
) -> ApiResult<()> {
    let request = attributes(call, operation, old);
    let (mut round, mut current) = (Reinvocation::default(), Some(object.take()));
    palisade_hooks::mutate(request, &mut current, &mut round, settle)?;
    *object = current.take().unwrap_or_default();
    if !round.has_changed {
        return Ok(());
    }
    let before = object.clone();
    complete(object)?;
    if *object != before {
        round.require();
    }
    if !round.is_required() {
        return Ok(());
    }
    current = Some(object.take());
    palisade_hooks::mutate(request, &mut current, &mut round, settle)?;
    *object = current.unwrap_or_default();
    let is_pod = call.target.resource.admission == Admission::Pod
        && call.target.subresource.is_none_or(|part| part.is_admitted);
    if round.has_changed && is_pod && call.api.decider == Decider::Server {
        scc::pod(call, object, old, Mutation::Forbidden)?;
    }
    Ok(())
}

/// Refuses a new object that fits its type but is not permitted.
pub(crate) fn check_create(call: &Call<'_>, object: &Value) -> ApiResult<()> {
    node::check_create(call, object)?;
    owners::check(call, object, None)?;
    match call.target.resource.admission {
        Admission::Pod => {
            pod_security::check_pod(call, object, None)?;
            limit_range::check(call, object)?;
            runtime_class::check(call, object)
        }
        Admission::Claim => limit_range::check(call, object),
        Admission::PriorityClass => priority::check_class(call, object),
        Admission::Namespace => pod_security::check_namespace(call, object, None),
        Admission::Role => rbac::check_role(call, object, None),
        Admission::Binding => rbac::check_binding(call, object, None),
        Admission::Workload => workload::check(call, object, None),
        _ => Ok(()),
    }
}

/// Refuses a change.
pub(crate) fn check_update(call: &Call<'_>, object: &Value, old: &Value) -> ApiResult<()> {
    node::check_update(call, object, old)?;
    owners::check(call, object, Some(old))?;
    match call.target.resource.admission {
        Admission::Pod if is_admitted(call) => {
            pod_security::check_pod(call, object, Some(old))?;
            match call.target.subresource_name() {
                "resize" => limit_range::check(call, object),
                _ => Ok(()),
            }
        }
        Admission::Claim if call.target.subresource.is_none() => limit_range::check(call, object),
        Admission::PriorityClass => priority::check_class(call, object),
        Admission::Namespace if call.target.subresource.is_none() => {
            pod_security::check_namespace(call, object, Some(old))
        }
        Admission::Role => rbac::check_role(call, object, Some(old)),
        Admission::Binding => rbac::check_binding(call, object, Some(old)),
        Admission::Workload if call.target.subresource.is_none() => workload::check(call, object, Some(old)),
        _ => Ok(()),
    }
}

/// Creates what belongs to a new object.
pub(crate) fn created(call: &Call<'_>, object: &Value) -> ApiResult<()> {
    let (resource, name) = (&call.target.resource, text(object, "/metadata/name"));
    call.api.definitions.keeps(resource).or_else(|error| {
        remove(call.api, resource, &call.target.namespace, name, None)?;
        Err(error)
    })?;
    // Its namespace may have been emptied and deleted since the request began; the object must not stay behind.
    if let Err(error) = namespace::accepts(call, name) {
        remove(call.api, resource, &call.target.namespace, name, None)?;
        return Err(error);
    }
    match resource.admission {
        Admission::Namespace => namespace::furnish(call.api, name),
        _ => Ok(()),
    }
}

/// Refuses the deletion of objects that the cluster needs, and of objects that are not a node's own.
pub(crate) fn delete(call: &Call<'_>) -> ApiResult<()> {
    node::check_delete(call)?;
    namespace::check_delete(call)
}

pub(crate) use last::look as look_last;
pub(crate) use namespace::{allocate, furnish};
pub(crate) use node::{check_system, check_token};
pub(crate) use rbac::check_requested;
pub(crate) use scc::{complete as complete_scc, connect};
