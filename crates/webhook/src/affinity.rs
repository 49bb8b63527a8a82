//! A node affinity for a pod that some of the nodes that it fits cannot run.

use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodSpec};
use serde_json::{Value, json};

use crate::fit;
use crate::nodes::Names;

/// Most nodes that an affinity names.
const MOST: usize = 16;
/// Most requirements on names that an affinity gets, in all of its terms.
const MOST_FIELDS: usize = 64;

/// The operation of a JSON Patch that has a pod avoid the nodes that are `lacking` or, if they are too many, keep to those
/// that are `having`; `None` if both are, or the affinity would be too long. A node that comes later is not excluded by the first.
///
/// A requirement on a node's name has one value (kubernetes pkg/apis/core/validation/validation.go,
/// `ValidateNodeFieldSelectorRequirement`), so that several names are several requirements, or several terms.
pub(crate) fn operation(spec: &PodSpec, having: &Names, lacking: &Names) -> Option<Value> {
    let own = match fit::terms(spec) {
        None => vec![NodeSelectorTerm::default()],
        // A term without requirements selects nothing, and would with one.
        Some(own) => own.iter().filter(|term| **term != NodeSelectorTerm::default()).cloned().collect(),
    };
    let most = MOST.min(MOST_FIELDS.checked_div(own.len())?);
    let terms: Vec<NodeSelectorTerm> = if let Some(names) = lacking.all(most) {
        own.iter().map(|term| with(term, names.iter().map(|name| requirement("NotIn", name)))).collect()
    } else {
        let names = having.all(most)?;
        let each = |term| names.iter().map(move |name| with(term, [requirement("In", name)]));
        own.iter().flat_map(each).collect()
    };
    // A longer one would count as fitting the next time, and be made longer still.
    if fit::size(&terms) > fit::MOST {
        return None;
    }
    let required = serde_json::to_value(NodeSelector { node_selector_terms: terms }).ok()?;
    let field = "requiredDuringSchedulingIgnoredDuringExecution";
    let (path, value) = match &spec.affinity {
        None => ("/spec/affinity".to_owned(), json!({"nodeAffinity": {field: required}})),
        Some(affinity) if affinity.node_affinity.is_none() => {
            ("/spec/affinity/nodeAffinity".to_owned(), json!({field: required}))
        }
        Some(_) => (format!("/spec/affinity/nodeAffinity/{field}"), required),
    };
    Some(json!({"op": "add", "path": path, "value": value}))
}

fn with(
    term: &NodeSelectorTerm,
    requirements: impl IntoIterator<Item = NodeSelectorRequirement>,
) -> NodeSelectorTerm {
    let mut term = term.clone();
    term.match_fields.get_or_insert_default().extend(requirements);
    term
}

fn requirement(operator: &str, name: &str) -> NodeSelectorRequirement {
    NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: operator.to_owned(),
        values: Some(vec![name.to_owned()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(affinity: &Value) -> PodSpec {
        serde_json::from_value(json!({"containers": [], "affinity": affinity})).unwrap()
    }

    fn names(count: usize, prefix: &str) -> Names {
        Names::of((0..count).map(|n| format!("{prefix}{n}")))
    }

    fn fields(term: &Value) -> Vec<String> {
        let fields = term["matchFields"].as_array().unwrap();
        fields
            .iter()
            .map(|field| format!("{} {}", field["operator"].as_str().unwrap(), field["values"][0]))
            .collect()
    }

    #[test]
    fn nodes_that_lack_a_profile_are_avoided() {
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        let zone = json!({"matchExpressions": [{"key": "zone", "operator": "Exists"}]});
        for (affinity, path, terms) in [
            (json!(null), "/spec/affinity", 1),
            (json!({"podAffinity": {}}), "/spec/affinity/nodeAffinity", 1),
            (
                json!({"nodeAffinity": {}}),
                "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution",
                1,
            ),
            (
                json!({"nodeAffinity": {required: {"nodeSelectorTerms": [zone, zone, {}]}}}),
                "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution",
                2,
            ),
        ] {
            let patch = operation(&spec(&affinity), &names(3, "h"), &names(2, "l")).unwrap();
            assert_eq!(patch["path"], path);
            let mut pod = json!({"spec": {"containers": [], "affinity": affinity}});
            if affinity.is_null() {
                pod = json!({"spec": {"containers": []}});
            }
            json_patch::patch(
                &mut pod,
                &serde_json::from_value::<json_patch::Patch>(json!([patch])).unwrap(),
            )
            .unwrap();
            let result =
                pod["spec"]["affinity"]["nodeAffinity"][required]["nodeSelectorTerms"].as_array().unwrap();
            assert_eq!(result.len(), terms, "{affinity}");
            for term in result {
                assert_eq!(fields(term), ["NotIn \"l0\"", "NotIn \"l1\""]);
                assert_eq!(term.get("matchExpressions").is_some(), terms == 2);
            }
        }
    }

    #[test]
    fn an_affinity_is_short_or_there_is_none() {
        let patch = operation(&spec(&json!(null)), &names(3, "h"), &names(17, "l")).unwrap();
        let terms = patch["value"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"].clone();
        assert_eq!(
            terms.as_array().unwrap().iter().flat_map(fields).collect::<Vec<_>>(),
            ["In \"h0\"", "In \"h1\"", "In \"h2\""]
        );
        assert_eq!(operation(&spec(&json!(null)), &names(17, "h"), &names(17, "l")), None);
        let zone = json!({"matchExpressions": [{"key": "zone", "operator": "Exists"}]});
        let long = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": vec![zone; 70]}}});
        assert_eq!(operation(&spec(&long), &names(1, "h"), &names(1, "l")), None);
    }

    /// A reinvocation, which the API server makes after other webhooks, changes nothing more.
    #[test]
    fn a_second_operation_would_not_be_made() {
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        let zone = |n: usize| json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": [n.to_string()]}]});
        let long = |values: usize| {
            let values: Vec<String> = (0..values).map(|n| n.to_string()).collect();
            json!({"matchExpressions": [{"key": "own", "operator": "In", "values": values}]})
        };
        for (terms, having, lacking, is_made) in [
            ((0..4).map(zone).collect::<Vec<_>>(), 3, 16, true),
            ((0..4).map(zone).collect(), 16, 17, true),
            (vec![long(200)], 3, 16, true),
            (vec![long(200)], 16, 17, false),
            (vec![long(400)], 3, 1, false),
        ] {
            let spec = spec(&json!({"nodeAffinity": {required: {"nodeSelectorTerms": terms}}}));
            let patch = operation(&spec, &names(having, "h"), &names(lacking, "l"));
            assert_eq!(patch.is_some(), is_made, "{terms:?}");
            let Some(patch) = patch else { continue };
            let pod =
                json!({"spec": {"containers": [], "affinity": {"nodeAffinity": {required: patch["value"]}}}});
            let pod = serde_json::from_value(pod).unwrap();
            let fit = fit::Fit::of(&pod);
            for lacking in 0..lacking {
                assert!(!fit.fits(&format!("l{lacking}"), |_| None), "l{lacking} {patch}");
            }
            assert!((0..having).all(|having| fit.fits(&format!("h{having}"), |_| None)));
        }
    }
}
