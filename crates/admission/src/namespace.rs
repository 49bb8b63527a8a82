//! Namespaces: their ranges, and which of them are exempt.

use std::collections::BTreeMap;
use std::sync::Arc;

use palisade_k8s::scc::{ObjectMeta, annotation};
use palisade_scc::{NamespaceRanges, RangeError};

use crate::ranges::Block;

/// The block that is assumed for a namespace without one: the first that a cluster allocates.
const ASSUMED_RANGES: [(&str, &str); 2] =
    [(annotation::UID_RANGE, "1000000000/10000"), (annotation::MCS, "s0:c1,c0")];

/// The annotation of a namespace with the user who has requested it as a project.
pub const REQUESTER: &str = "openshift.io/requester";

/// A namespace, as far as policy needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct Namespace {
    ranges: Result<NamespaceRanges, RangeError>,
    opt_out: Option<&'static str>,
    assumed: bool,
    is_terminating: bool,
    /// The user who has requested it.
    requester: Option<Arc<str>>,
    /// The blocks of IDs that it holds.
    blocks: Vec<Block>,
}

impl Namespace {
    pub(crate) fn new(metadata: &ObjectMeta, is_terminating: bool) -> Self {
        let annotations = &metadata.annotations;
        Self {
            ranges: NamespaceRanges::read(|key| annotations.get(key).map(String::as_str)),
            opt_out: opt_out(&metadata.labels),
            assumed: false,
            is_terminating,
            requester: annotations.get(REQUESTER).map(|name| Arc::from(name.as_str())),
            blocks: Block::held_by(|key| annotations.get(key).map(String::as_str)),
        }
    }

    pub(crate) fn assumed(opt_out: Option<&'static str>) -> Self {
        let value = |key: &str| ASSUMED_RANGES.iter().find(|(k, _)| *k == key).map(|(_, value)| *value);
        Self {
            ranges: NamespaceRanges::read(value),
            opt_out,
            assumed: true,
            is_terminating: false,
            requester: None,
            blocks: Vec::new(),
        }
    }

    /// The blocks of IDs that it holds.
    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The user who has requested it, if it is somebody's project.
    #[must_use]
    pub fn requester(&self) -> Option<&Arc<str>> {
        self.requester.as_ref()
    }

    /// The label that exempts the namespace, if any.
    #[must_use]
    pub fn opt_out(&self) -> Option<&'static str> {
        self.opt_out
    }

    /// Whether its ranges are assumed rather than its own.
    #[must_use]
    pub fn is_assumed(&self) -> bool {
        self.assumed
    }

    /// Whether it is being deleted: nothing new is created in it.
    #[must_use]
    pub fn is_terminating(&self) -> bool {
        self.is_terminating
    }

    /// Its ranges.
    ///
    /// # Errors
    ///
    /// A required annotation is missing.
    pub fn ranges(&self) -> Result<&NamespaceRanges, &RangeError> {
        self.ranges.as_ref()
    }
}

/// Namespaces that are exempt by name (reference/scc.md 1b).
pub(crate) const EXEMPT_NAMESPACES: [&str; 6] =
    ["default", "kube-system", "kube-public", "openshift-node", "openshift-infra", "openshift"];

fn opt_out(labels: &BTreeMap<String, String>) -> Option<&'static str> {
    let label = |key: &str| labels.get(key).map(String::as_str);
    if label("security.openshift.io/disable-securitycontextconstraints") == Some("true") {
        return Some("security.openshift.io/disable-securitycontextconstraints=true");
    }
    match label("openshift.io/run-level") {
        Some("0") => Some("openshift.io/run-level=0"),
        Some("1") => Some("openshift.io/run-level=1"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_opt_out() {
        let disable = "security.openshift.io/disable-securitycontextconstraints";
        for (key, value, expected) in [
            (disable, "true", Some("security.openshift.io/disable-securitycontextconstraints=true")),
            (disable, "false", None),
            ("openshift.io/run-level", "0", Some("openshift.io/run-level=0")),
            ("openshift.io/run-level", "1", Some("openshift.io/run-level=1")),
            ("openshift.io/run-level", "2", None),
        ] {
            let labels = BTreeMap::from([(key.to_owned(), value.to_owned())]);
            assert_eq!(opt_out(&labels), expected, "{key}={value}");
        }
    }
}
