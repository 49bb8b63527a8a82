//! Violations of a level by a pod, in Kubernetes' words.

use palisade_k8s::{Container, Pod};

/// A rule that a pod violates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule, in short.
    pub reason: &'static str,
    /// The containers, volumes and values that violate it.
    pub detail: String,
}

impl Violation {
    /// Several as one text: `REASON (DETAIL), REASON (DETAIL)`.
    #[must_use]
    pub fn join(violations: &[Self]) -> String {
        let one = |violation: &Self| format!("{} ({})", violation.reason, violation.detail);
        violations.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

/// `one` for a single thing, `many` otherwise.
pub(super) fn plural<'t>(one: &'t str, many: &'t str, count: usize) -> &'t str {
    if count == 1 { one } else { many }
}

/// `"a", "b"`
pub(super) fn quoted<T: AsRef<str>>(items: &[T]) -> String {
    items.iter().map(|item| format!("\"{}\"", item.as_ref())).collect::<Vec<_>>().join(", ")
}

/// `container "a"`, `containers "a", "b"`.
pub(super) fn containers(names: &[&str]) -> String {
    format!("{} {}", plural("container", "containers", names.len()), quoted(names))
}

/// The containers for which a condition holds.
pub(super) fn those<'p>(pod: &'p Pod<'_>, does: impl Fn(&'p Container<'_>) -> bool) -> Vec<&'p str> {
    let all = pod.spec.all_containers().map(|(_, container)| container);
    all.filter(|container| does(container)).map(|container| container.name.as_str()).collect()
}

/// Sorted, each once.
pub(super) fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    items.into_iter().collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

/// The places that set a field to a forbidden value: the pod itself, some of its containers, or both.
pub(super) struct Setters<'p> {
    is_pod: bool,
    names: Vec<&'p str>,
}

impl<'p> Setters<'p> {
    pub(super) fn new(is_pod: bool, names: Vec<&'p str>) -> Option<Self> {
        (is_pod || !names.is_empty()).then_some(Self { is_pod, names })
    }

    /// `pod`, `container "a"`, `pod and containers "a", "b"`.
    pub(super) fn words(&self) -> String {
        let pod = self.is_pod.then(|| "pod".to_owned());
        let names = (!self.names.is_empty()).then(|| containers(&self.names));
        pod.into_iter().chain(names).collect::<Vec<_>>().join(" and ")
    }
}
