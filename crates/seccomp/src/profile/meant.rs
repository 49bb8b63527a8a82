//! What was probably meant by a name or a value that profiles do not have.

use palisade_k8s::manifest::{Node, NodeValue};

use crate::finding::suggestion;

/// What people write for fields, where it is not similar.
pub(super) const SLIPS: [(&str, &str); 4] =
    [("operator", "op"), ("syscall", "names"), ("value2", "valueTwo"), ("errno_ret", "errnoRet")];

/// What else a value of the wrong type may be meant for.
pub(super) fn other_field(field: &str, node: &Node) -> Option<&'static str> {
    match (field, &node.value) {
        ("name", NodeValue::List(_)) => Some("names"),
        ("defaultErrno", NodeValue::Number(_)) => Some("defaultErrnoRet"),
        ("errno", NodeValue::Number(_)) => Some("errnoRet"),
        _ => None,
    }
}

/// A name without its prefix, as `ALLOW` for `SCMP_ACT_ALLOW`, else a similar one.
pub(super) fn constant<'n>(name: &str, prefix: &str, known: impl Iterator<Item = &'n str> + Clone) -> String {
    let is_bare =
        |known: &&str| known.strip_prefix(prefix).is_some_and(|bare| bare.eq_ignore_ascii_case(name));
    match known.clone().find(is_bare) {
        Some(whole) => format!("; did you mean {whole}?"),
        None => suggestion(name, known),
    }
}
