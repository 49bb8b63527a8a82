//! Keys that the SCC type does not have: the API server drops them silently.

use palisade_k8s::FieldPath;
use serde_json::{Map, Value};

use super::{Finding, Severity, suggestion, words};

/// The fields of the object.
const TOP: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "priority",
    "allowPrivilegedContainer",
    "defaultAddCapabilities",
    "requiredDropCapabilities",
    "allowedCapabilities",
    "allowHostDirVolumePlugin",
    "volumes",
    "allowedFlexVolumes",
    "allowHostNetwork",
    "allowHostPorts",
    "allowHostPID",
    "allowHostIPC",
    "userNamespaceLevel",
    "defaultAllowPrivilegeEscalation",
    "allowPrivilegeEscalation",
    "seLinuxContext",
    "runAsUser",
    "supplementalGroups",
    "fsGroup",
    "readOnlyRootFilesystem",
    "users",
    "groups",
    "seccompProfiles",
    "allowedUnsafeSysctls",
    "forbiddenSysctls",
];

/// The fields of each strategy.
const STRATEGIES: &[(&str, &[&str])] = &[
    ("seLinuxContext", &["type", "seLinuxOptions"]),
    ("runAsUser", &["type", "uid", "uidRangeMin", "uidRangeMax"]),
    ("supplementalGroups", &["type", "ranges"]),
    ("fsGroup", &["type", "ranges"]),
];

/// The fields that the resource's schema requires, each with the value that means the same as none. A list of volumes has no such
/// value: without one, every kind is allowed.
const REQUIRED: [(&str, &str); 12] = [
    ("allowHostDirVolumePlugin", "false"),
    ("allowHostIPC", "false"),
    ("allowHostNetwork", "false"),
    ("allowHostPID", "false"),
    ("allowHostPorts", "false"),
    ("allowPrivilegedContainer", "false"),
    ("allowedCapabilities", "[]"),
    ("defaultAddCapabilities", "[]"),
    ("priority", "0"),
    ("readOnlyRootFilesystem", "false"),
    ("requiredDropCapabilities", "[]"),
    ("volumes", "[…]"),
];

/// The required fields that an SCC lacks, each with the value that means the same as none. The API server sets them before it
/// compares with the schema; clients that compare themselves take `null` for a missing field too (kube-openapi
/// `pkg/util/proto/validation/types.go`, `mapItem.VisitKind`).
pub fn absent(raw: &Value) -> impl Iterator<Item = (&'static str, &'static str)> {
    REQUIRED.into_iter().filter(|(field, _)| raw.get(field).is_none_or(Value::is_null))
}

/// Reports each unknown key.
pub(super) fn unknown(raw: &Map<String, Value>, findings: &mut Vec<Finding>) {
    report(raw, &FieldPath::root(), TOP, words::of_key, findings);
    for (field, known) in STRATEGIES {
        if let Some(strategy) = raw.get(*field).and_then(Value::as_object) {
            report(strategy, &FieldPath::of(field), known, words::of_strategy_key, findings);
        }
    }
}

fn report(
    object: &Map<String, Value>,
    path: &FieldPath,
    known: &[&str],
    word: fn(&str) -> Option<&'static str>,
    findings: &mut Vec<Finding>,
) {
    for key in object.keys().filter(|key| !known.contains(&key.as_str())) {
        findings.push(Finding::new(
            "unknown-field",
            Severity::Warning,
            path.clone().name(key),
            format!("unknown field {key:?}, which is dropped without a warning"),
            word(key).map_or_else(|| suggestion(key, known.iter().copied(), "remove it"), str::to_owned),
        ));
    }
}
