//! Objects with the changes of an SCC.

use palisade_k8s::Pod;
use palisade_k8s::patch::Patch;
use palisade_scc::Changes;
use serde_json::Value;

/// The pod with the changes of an SCC.
pub(crate) fn changed(pod: &Value, parsed: &Pod<'_>, changes: &Changes<'_>) -> Value {
    let mut patch = Patch::default();
    changes.write(parsed, &[], &mut patch);
    let mut pod = pod.clone();
    apply(patch.finish(), &mut pod);
    pod
}

/// Applies a JSON Patch that was made for this very object.
pub(crate) fn apply(patch: Option<String>, object: &mut Value) {
    let patch = patch.and_then(|text| serde_json::from_str::<json_patch::Patch>(&text).ok());
    if let Some(patch) = patch {
        // An operation that fails leaves the object as it was.
        let _unchanged = json_patch::patch(object, &patch);
    }
}
