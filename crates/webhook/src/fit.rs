//! The nodes that a pod fits, as far as the objects of their agents tell: by name, node selector and required node
//! affinity. What these do not tell, such as other labels and taints, counts as fitting.

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec};
use palisade_profiles::report::COPIED;

/// Most requirements and values of a node affinity that are looked at, since they are compared with every node. A
/// longer affinity counts as fitting.
pub(crate) const MOST: usize = 384;

/// The required node affinity of a pod: it fits the nodes of any of its terms.
pub(crate) fn terms(spec: &PodSpec) -> Option<&[NodeSelectorTerm]> {
    let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?;
    let required = affinity.required_during_scheduling_ignored_during_execution.as_ref()?;
    Some(&required.node_selector_terms)
}

/// All requirements of a term.
fn requirements(term: &NodeSelectorTerm) -> impl Iterator<Item = &NodeSelectorRequirement> {
    term.match_expressions.iter().flatten().chain(term.match_fields.iter().flatten())
}

/// The number of terms, requirements and values.
pub(crate) fn size(terms: &[NodeSelectorTerm]) -> usize {
    let values = |one: &NodeSelectorRequirement| 1 + one.values.iter().flatten().count();
    terms.len() + terms.iter().flat_map(requirements).map(values).sum::<usize>()
}

/// The nodes that a pod fits.
#[derive(Debug)]
pub(crate) struct Fit<'p> {
    /// The node that it is bound to.
    pub(crate) node: Option<&'p str>,
    /// The labels of its selector that are known of nodes.
    pub(crate) selector: Vec<(&'p str, &'p str)>,
    terms: Option<&'p [NodeSelectorTerm]>,
}

impl<'p> Fit<'p> {
    pub(crate) fn of(pod: &'p Pod) -> Self {
        let Some(spec) = pod.spec.as_ref() else {
            return Self { node: None, selector: Vec::new(), terms: None };
        };
        let selector = spec.node_selector.iter().flatten();
        let selector = selector.filter(|(key, _)| COPIED.contains(&key.as_str()));
        Self {
            node: spec.node_name.as_deref().filter(|name| !name.is_empty()),
            selector: selector.map(|(key, value)| (key.as_str(), value.as_str())).collect(),
            terms: terms(spec).filter(|terms| size(terms) <= MOST),
        }
    }

    /// Whether it fits the node of this name, with these of the labels [`COPIED`].
    pub(crate) fn fits<'n>(&self, name: &'n str, label: impl Fn(&str) -> Option<&'n str>) -> bool {
        let fits_term = |term: &NodeSelectorTerm| {
            let expressions = term.match_expressions.iter().flatten();
            let fields = term.match_fields.iter().flatten();
            // A term without requirements selects nothing.
            requirements(term).next().is_some()
                && expressions
                    .filter(|one| COPIED.contains(&one.key.as_str()))
                    .all(|one| holds(one, label(&one.key)))
                && fields.filter(|one| one.key == "metadata.name").all(|one| holds(one, Some(name)))
        };
        self.node.is_none_or(|node| node == name)
            && self.selector.iter().all(|(key, value)| label(key) == Some(value))
            && self.terms.is_none_or(|terms| terms.iter().any(fits_term))
    }
}

/// Whether a requirement holds for a value. One that compares numbers is for labels that are not known here.
fn holds(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let is_listed = || requirement.values.iter().flatten().any(|listed| Some(listed.as_str()) == value);
    match requirement.operator.as_str() {
        "In" => is_listed(),
        "NotIn" => !is_listed(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_pod_fits_nodes_by_what_is_known_of_them() {
        let node = [("kubernetes.io/arch", "amd64"), ("topology.kubernetes.io/zone", "b")];
        let label = |key: &str| node.iter().find(|(known, _)| *known == key).map(|(_, value)| *value);
        let affinity = |terms: Value| json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}});
        let term = |key: &str, operator: &str, values: Value| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        let named = |operator: &str, name: &str| json!({"matchFields": [{"key": "metadata.name", "operator": operator, "values": [name]}]});
        let (arch, zone) = ("kubernetes.io/arch", "topology.kubernetes.io/zone");
        let many: Vec<String> = (0..500).map(|n| n.to_string()).collect();
        for (spec, expected) in [
            (json!({}), true),
            (json!({"nodeName": "a"}), true),
            (json!({"nodeName": "b"}), false),
            (json!({"nodeSelector": {(arch): "amd64", "own": "x"}}), true),
            (json!({"nodeSelector": {(arch): "arm64"}}), false),
            (affinity(json!([term(arch, "In", json!(["arm64", "amd64"]))])), true),
            (affinity(json!([term(arch, "In", json!(["arm64"]))])), false),
            (affinity(json!([term(arch, "In", json!(["arm64"])), term(zone, "NotIn", json!(["a"]))])), true),
            (affinity(json!([term(zone, "NotIn", json!(["b"]))])), false),
            (affinity(json!([term(zone, "DoesNotExist", json!([]))])), false),
            (affinity(json!([term(zone, "Exists", json!([]))])), true),
            (affinity(json!([term("own", "In", json!(["x"]))])), true),
            (affinity(json!([term(arch, "In", many.into())])), true),
            (affinity(json!([named("In", "a")])), true),
            (affinity(json!([named("In", "b")])), false),
            (affinity(json!([named("NotIn", "a")])), false),
            (affinity(json!([{}])), false),
        ] {
            let mut spec = spec;
            spec["containers"] = json!([]);
            let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
            assert_eq!(Fit::of(&pod).fits("a", label), expected, "{spec}");
        }
    }
}
