//! The last look before an object is written, where others may write the same meanwhile: names of definitions, what a namespace may
//! have of a kind, the memory of roles and bindings and of what pods refer to. Webhooks have answered by then, so that none holds others up.

use std::sync::MutexGuard;

use serde_json::Value;

use super::{node, rbac};
use crate::call::Call;
use crate::error::ApiResult;
use crate::locks::Held;
use crate::quota;
use crate::resource::Admission;

/// Held until the object is written: of two at once, the second sees the first.
#[derive(Debug)]
pub(crate) struct Last<'a> {
    _names: Option<MutexGuard<'a, ()>>,
    _ranges: Option<MutexGuard<'a, ()>>,
    _room: Option<Held<'a>>,
}

/// Looks a last time at an object that is written next, and tells a definition whether its names are free.
pub(crate) fn look<'a>(call: &Call<'a>, new: &mut Value, old: Option<&Value>) -> ApiResult<Last<'a>> {
    let names = call.api.definitions.naming(&call.target.resource);
    if names.is_some() && call.target.subresource.is_none() {
        call.api.definitions.judge(new);
    }
    Ok(Last { _names: names, _ranges: node::claim_ranges(call, new, old)?, _room: room(call, new, old)? })
}

fn room<'a>(call: &Call<'a>, new: &Value, old: Option<&Value>) -> ApiResult<Option<Held<'a>>> {
    match call.target.resource.admission {
        Admission::Role | Admission::Binding => rbac::claim_weight(call, new, old),
        Admission::Pod => node::claim_references(call, new, old),
        _ => quota::claim_room(call, new, old),
    }
}
