//! The owners of an object: whoever changes them may have the garbage collector delete it, so they need the right to delete it
//! themselves, as with OpenShift's `OwnerReferencesPermissionEnforcement`. Who creates an object names any owners.

use serde_json::Value;

use crate::call::Call;
use crate::error::{ApiError, ApiResult};
use crate::request::Target;

pub(super) fn check(call: &Call<'_>, object: &Value, old: &Value) -> ApiResult<()> {
    if owners(object) == owners(old) {
        return Ok(());
    }
    let target = Target { subresource: None, ..call.target.clone() };
    let permitted = call.api.require(call.identity, "delete", &target, None);
    permitted.map(drop).map_err(|refusal| {
        let said = refusal.message.split_once(": ").map_or(&*refusal.message, |(_, why)| why);
        let why = format!("cannot set an ownerRef on a resource you can't delete: {said}");
        ApiError::forbidden(&target.resource, &target.name, why)
    })
}

fn owners(object: &Value) -> &[Value] {
    object.pointer("/metadata/ownerReferences").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
