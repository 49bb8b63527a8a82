//! Equality of two pods as in Kubernetes' `Semantic.DeepEqual` on their decoded types: equal quantities are equal
//! however they are written, and an absent field equals one of its zero value if the type cannot distinguish the two.
//!
//! Fields are identified by name and, if a name is ambiguous, by their parent. Unlisted fields are taken for pointers,
//! for which `false` and absent differ: an update of an unknown field is checked, never skipped.

use palisade_k8s::quantity;
use serde_json::{Map, Value};

/// Plain fields (core/v1 `types.go`: not pointers), whose zero value equals absence.
const PLAIN: &[&str] = &[
    "apiVersion",
    "args",
    "audience",
    "containerName",
    "containerPort",
    "devicePath",
    "dnsPolicy",
    "driver",
    "effect",
    "failureThreshold",
    "fieldPath",
    "host",
    "hostIP",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostPort",
    "hostname",
    "image",
    "imagePullPolicy",
    "initialDelaySeconds",
    "key",
    "level",
    "medium",
    "mountPath",
    "nodeName",
    "operator",
    "path",
    "periodSeconds",
    "policy",
    "prefix",
    "priorityClassName",
    "protocol",
    "pullPolicy",
    "readOnly",
    "reference",
    "resource",
    "role",
    "schedulerName",
    "scheme",
    "secretName",
    "serviceAccountName",
    "stdin",
    "stdinOnce",
    "subPath",
    "subPathExpr",
    "subdomain",
    "successThreshold",
    "targetContainerName",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "timeoutSeconds",
    "topologyKey",
    "tty",
    "user",
    "value",
    "whenUnsatisfiable",
    "workingDir",
];

/// Fields that are plain in general, and pointers below these parents.
const POINTERS: &[(&str, &str)] = &[("csi", "readOnly"), ("azureDisk", "readOnly"), ("options", "value")];

/// Fields that are plain below these parents only.
const PLAIN_IN: &[(&str, &str)] = &[
    ("spec", "restartPolicy"),
    ("seLinuxOptions", "type"),
    ("seccompProfile", "type"),
    ("appArmorProfile", "type"),
    ("containers", "resources"),
    ("initContainers", "resources"),
    ("ephemeralContainers", "resources"),
    ("metadata", "generateName"),
    ("metadata", "namespace"),
    ("metadata", "creationTimestamp"),
];

/// Maps whose values are all amounts.
const AMOUNTS: &[(&str, &str)] = &[("resources", "limits"), ("resources", "requests"), ("spec", "overhead")];

/// Single amounts.
const AMOUNT: &[(&str, &str)] = &[("emptyDir", "sizeLimit"), ("resourceFieldRef", "divisor")];

/// Maps of strings to strings, in which `null` is an empty string.
const STRING_MAPS: &[&str] =
    &["annotations", "labels", "nodeSelector", "matchLabels", "volumeAttributes", "options"];

/// Whether two objects are semantically equal.
pub(crate) fn equal(a: &Value, b: &Value) -> bool {
    same(["", ""], a, b)
}

/// Whether two values are semantically equal at `at`: the field's parent and the field; the elements of a list are at the
/// list's.
fn same(at: [&str; 2], a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) if STRING_MAPS.contains(&at[1]) => same_strings(a, b),
        (Value::Object(a), Value::Object(b)) => {
            let covered = |a: &Map<String, Value>, b: &Map<String, Value>| {
                a.iter().all(|(key, value)| {
                    let at = [at[1], key];
                    b.get(key).map_or_else(|| is_zero(at, value), |other| same_or_amount(at, value, other))
                })
            };
            covered(a, b) && b.iter().all(|(key, value)| a.contains_key(key) || is_zero([at[1], key], value))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(at, a, b))
        }
        (a, b) => a == b || (is_zero(at, a) && is_zero(at, b)),
    }
}

fn same_or_amount(at: [&str; 2], a: &Value, b: &Value) -> bool {
    match (a, b) {
        _ if AMOUNT.contains(&(at[0], at[1])) => same_amount(a, b),
        (Value::Object(a), Value::Object(b)) if AMOUNTS.contains(&(at[0], at[1])) => {
            a.len() == b.len()
                && a.iter().all(|(name, amount)| b.get(name).is_some_and(|other| same_amount(amount, other)))
        }
        _ => same(at, a, b),
    }
}

/// Amounts are strings, or bare numbers.
fn same_amount(a: &Value, b: &Value) -> bool {
    let amount = |value: &Value| match value {
        Value::String(text) => quantity::billionths(text),
        Value::Number(number) => quantity::billionths(&number.to_string()),
        _ => None,
    };
    a == b || amount(a).is_some_and(|ours| amount(b) == Some(ours))
}

fn same_strings(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    let text = |value: &Value| if value.is_null() { Value::from("") } else { value.clone() };
    a.len() == b.len()
        && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| text(value) == text(other)))
}

/// Whether a field of this value equals an absent one.
fn is_zero(at: [&str; 2], value: &Value) -> bool {
    let pair = (at[0], at[1]);
    let is_plain = (PLAIN.contains(&at[1]) && !POINTERS.contains(&pair)) || PLAIN_IN.contains(&pair);
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) if AMOUNTS.contains(&pair) || STRING_MAPS.contains(&at[1]) => map.is_empty(),
        Value::Object(map) if is_plain => map.iter().all(|(key, value)| is_zero([at[1], key], value)),
        Value::Object(_) => false,
        Value::String(amount) if pair == ("resourceFieldRef", "divisor") => {
            quantity::billionths(amount) == Some(0)
        }
        Value::Bool(flag) => is_plain && !flag,
        Value::String(text) => is_plain && text.is_empty(),
        Value::Number(number) => is_plain && number.as_i64() == Some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_equal_in_their_go_type_are_equal() {
        let memory = |amount: Value| json!({"spec": {"containers": [{"resources": {"requests": {"memory": amount}}}]}});
        let spec = |spec: Value| json!({ "spec": spec });
        let container = |container: Value| spec(json!({"containers": [container]}));
        for (a, b, expected) in [
            (memory(json!("1Gi")), memory(json!("1073741824")), true),
            (memory(json!("1k")), memory(json!("1e3")), true),
            (memory(json!(1)), memory(json!("1000m")), true),
            (memory(json!("1Gi")), memory(json!("1G")), false),
            (spec(json!({"hostNetwork": false})), spec(json!({})), true),
            (spec(json!({"hostNetwork": true})), spec(json!({})), false),
            (spec(json!({"hostUsers": false})), spec(json!({})), false),
            (spec(json!({"restartPolicy": ""})), spec(json!({})), true),
            (container(json!({"restartPolicy": ""})), container(json!({})), false),
            (container(json!({"resources": {}})), container(json!({})), true),
            (container(json!({"resources": {"limits": {}}})), container(json!({})), true),
            (spec(json!({"resources": {}})), spec(json!({})), false),
            (container(json!({"securityContext": {}})), container(json!({})), false),
            (
                container(json!({"securityContext": {"runAsUser": 0}})),
                container(json!({"securityContext": {}})),
                false,
            ),
            (container(json!({"ports": [{"hostPort": 0}]})), container(json!({"ports": [{}]})), true),
            (container(json!({"ports": [{"hostPort": 1}]})), container(json!({"ports": [{}]})), false),
            (spec(json!({"nodeSelector": {"a": null}})), spec(json!({"nodeSelector": {"a": ""}})), true),
            (spec(json!({"nodeSelector": {"a": null}})), spec(json!({})), false),
            (spec(json!({"nodeSelector": null})), spec(json!({"nodeSelector": {}})), true),
            (
                spec(json!({"volumes": [{"csi": {"readOnly": false}}]})),
                spec(json!({"volumes": [{"csi": {}}]})),
                false,
            ),
            (
                spec(json!({"volumes": [{"nfs": {"readOnly": false}}]})),
                spec(json!({"volumes": [{"nfs": {}}]})),
                true,
            ),
            (
                spec(json!({"volumes": [{"emptyDir": {"sizeLimit": "1k"}}]})),
                spec(json!({"volumes": [{"emptyDir": {"sizeLimit": "1000"}}]})),
                true,
            ),
            (
                spec(json!({"volumes": [{"csi": {"volumeAttributes": {"sizeLimit": "1k"}}}]})),
                spec(json!({"volumes": [{"csi": {"volumeAttributes": {"sizeLimit": "1000"}}}]})),
                false,
            ),
            (spec(json!({"newer": false})), spec(json!({})), false),
        ] {
            assert_eq!(equal(&a, &b), expected, "{a} {b}");
            assert_eq!(equal(&b, &a), expected, "{b} {a}");
        }
    }
}
