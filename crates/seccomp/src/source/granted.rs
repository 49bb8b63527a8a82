//! The capabilities that the description of a container gives, on which the entries of its profile depend.

use std::collections::BTreeSet;

use palisade_k8s::capability::{CONTAINER_DEFAULT, PREFIXED, parse_prefixed};
use palisade_k8s::manifest::Node;

/// The capabilities of Podman's containers, unless containers.conf(5) names others as `default_capabilities`
/// (containers/common, `pkg/config/default.go`, line 107).
const PODMAN: [&str; 11] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Capabilities and privileges of a container, which decide how its profile applies.
#[derive(Debug, Default)]
pub(super) struct Granted<'n> {
    pub(super) adds: Vec<&'n str>,
    pub(super) drops: Vec<&'n str>,
    pub(super) is_privileged: bool,
}

impl<'n> Granted<'n> {
    /// The same fields by their names in `node`.
    pub(super) fn of(node: &'n Node, adds: &str, drops: &str, privileged: &str) -> Self {
        let words = |field: &str| {
            let items = node.get(field).map(Node::items).unwrap_or_default();
            items.iter().filter_map(Node::as_str).collect()
        };
        let is_privileged = node.get(privileged).is_some_and(|flag| flag.to_json() == true);
        Self { adds: words(adds), drops: words(drops), is_privileged }
    }

    /// The capabilities as Docker computes them (moby/moby, `oci/caps/defaults.go`, and `TweakCapabilities` of
    /// `oci/caps/utils.go`).
    pub(super) fn by_docker(&self) -> BTreeSet<String> {
        self.among(&CONTAINER_DEFAULT)
    }

    /// The same as Podman does (containers/common, `pkg/capabilities/capabilities.go`, line 131); it refuses to both add and
    /// drop one, or all.
    pub(super) fn by_podman(&self) -> BTreeSet<String> {
        self.among(&PODMAN)
    }

    fn among(&self, default: &[&str]) -> BTreeSet<String> {
        let named = |list: &[&str]| list.iter().filter_map(|word| parse_prefixed(word)).collect();
        let (adds, drops): (BTreeSet<_>, BTreeSet<_>) = (named(&self.adds), named(&self.drops));
        let has_all = |list: &[&str]| list.iter().any(|word| word.eq_ignore_ascii_case("all"));
        let kept = |base: &[&'static str]| base.iter().copied().filter(|cap| !drops.contains(cap)).collect();
        let caps: BTreeSet<&str> = match (self.is_privileged, has_all(&self.adds), has_all(&self.drops)) {
            (true, ..) => PREFIXED.into(),
            (_, true, _) => kept(&PREFIXED),
            (_, _, true) => adds,
            _ => default.iter().copied().filter(|cap| !drops.contains(cap)).chain(adds).collect(),
        };
        caps.into_iter().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_added_and_dropped_as_docker_does() {
        let caps = |adds: &[&'static str], drops: &[&'static str], is_privileged| Granted {
            adds: adds.to_vec(),
            drops: drops.to_vec(),
            is_privileged,
        };
        // What is added and dropped, whether privileged; how many there are, one among them, and one not.
        for (granted, count, has, lacks) in [
            (caps(&[], &[], false), 14, "CAP_MKNOD", "CAP_SYS_ADMIN"),
            (caps(&["SYS_ADMIN", "cap_bpf"], &["chown"], false), 15, "CAP_BPF", "CAP_CHOWN"),
            (caps(&["ALL"], &["SYS_ADMIN"], false), 40, "CAP_BPF", "CAP_SYS_ADMIN"),
            (caps(&["CHOWN"], &["all"], false), 1, "CAP_CHOWN", "CAP_KILL"),
            (caps(&["ALL"], &["ALL"], false), 41, "CAP_BPF", ""),
            (caps(&[], &["ALL"], true), 41, "CAP_BPF", ""),
        ] {
            let found = granted.by_docker();
            assert!(
                found.len() == count && found.contains(has) && !found.contains(lacks),
                "{granted:?}: {found:?}"
            );
        }
        let by_podman = caps(&[], &[], false).by_podman();
        let without = ["CAP_AUDIT_WRITE", "CAP_MKNOD", "CAP_NET_RAW"].map(str::to_owned);
        assert!(
            by_podman.union(&without.into()).eq(&caps(&[], &[], false).by_docker()) && by_podman.len() == 11
        );
    }
}
