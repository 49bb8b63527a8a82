//! Warnings of several kinds: deprecated labels of nodes (`pkg/api/node/util.go` of Kubernetes), and fractional amounts
//! of bytes.

use palisade_k8s::quantity;

use super::at::At;

const OLD: [(&str, &str); 8] = [
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
    ),
    (
        "beta.kubernetes.io/instance-type",
        "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead",
    ),
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    (
        "scheduler.alpha.kubernetes.io/preferAvoidPods",
        "deprecated since v1.22; use Taints and Tolerations instead",
    ),
    ("node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"),
];

/// The replacement of a deprecated label of nodes.
pub(super) fn replacement(label: &str) -> Option<&'static str> {
    OLD.iter().find(|(old, _)| *old == label).map(|(_, what)| *what)
}

/// A warning of a key that is a deprecated label of nodes.
pub(super) fn old_key(key: &At<'_>) -> Option<String> {
    replacement(key.text()).map(|what| format!("{}: {} is {what}", key.path(), key.text()))
}

/// Warnings of one term of a selector of nodes.
pub(super) fn old_keys(term: &At<'_>) -> Vec<String> {
    term.field("matchExpressions").items().filter_map(|one| old_key(&one.field("key"))).collect()
}

/// A warning of a fractional amount of bytes.
pub(super) fn fraction(amount: &At<'_>) -> Option<String> {
    const BYTE: i128 = 1_000_000_000;
    let billionths = quantity::billionths(amount.text())?;
    (billionths % BYTE != 0).then(|| {
        format!(
            "{}: fractional byte value {:?} is invalid, must be an integer",
            amount.path(),
            quantity::written(billionths, amount.text())
        )
    })
}

/// Warnings of fractional amounts of bytes in a claim.
pub(super) fn claim_bytes(spec: &At<'_>) -> Vec<String> {
    let amounts = ["requests", "limits"].map(|list| spec.field("resources").field(list).key("storage"));
    amounts.iter().filter_map(fraction).collect()
}
