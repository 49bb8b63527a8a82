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
