//! What was probably meant by a name or a value that profiles do not have.

use palisade_k8s::manifest::{Node, NodeValue, Position};

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

/// The first entry in the form of Docker before 1.13, with one `name`: its position, its field, and what becomes of it. containerd
/// reads a file of its node as OCI's `LinuxSyscall` (`contrib/seccomp`), which has `names` alone.
pub(super) fn old_form(entries: &[Node]) -> Option<(Position, String, String)> {
    let name = |(at, node): (usize, &Node)| {
        let name = node.get("name").filter(|_| node.get("names").is_none())?;
        name.as_str().filter(|text| !text.is_empty())?;
        Some((name.at, format!("syscalls[{at}].name")))
    };
    let mut old = entries.iter().enumerate().filter_map(name);
    let (at, field) = old.next()?;
    let more = match old.count() {
        0 => String::new(),
        count => format!(" (and {count} more)"),
    };
    let message = format!(
        "containerd reads names alone, so that in a Localhost profile this entry{more} has no syscall; write names, a list"
    );
    Some((at, field, message))
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
