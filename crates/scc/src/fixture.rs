//! Fixtures of tests: built-in SCCs and a namespace with ranges.

use palisade_k8s::{SecurityContextConstraints, manifest};
use serde::Deserialize;

use crate::{BuiltinSet, NamespaceRanges, SccSet};

/// All built-in SCCs of OpenShift 4.
pub(crate) fn built_ins() -> SccSet {
    let documents = manifest::read(BuiltinSet::V4.manifest()).unwrap();
    let objects = documents.iter().map(manifest::Node::to_json);
    let sccs = objects.filter(|object| object["kind"] == "SecurityContextConstraints");
    SccSet::new(sccs.map(|scc| SecurityContextConstraints::deserialize(scc).unwrap()))
}

/// One of them.
pub(crate) fn built_in(name: &str) -> SecurityContextConstraints {
    built_ins().get(name).unwrap().scc().clone()
}

/// Ten thousand IDs from 1,000,000,000 on, and the level `s0:c1,c0`.
pub(crate) fn ranges() -> NamespaceRanges {
    NamespaceRanges::read(|key| match key {
        "openshift.io/sa.scc.uid-range" => Some("1000000000/10000"),
        "openshift.io/sa.scc.mcs" => Some("s0:c1,c0"),
        _ => None,
    })
    .unwrap()
}
