//! Scheduling: node selectors, affinity, tolerations, topology spread.

use std::collections::HashSet;

use palisade_k8s::metadata;

use super::{At, Errors};

const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "PreferNoSchedule"];

pub(super) fn check_schedule(spec: &At<'_>, errors: &mut Errors) {
    let selector = spec.field("nodeSelector");
    for key in selector.keys() {
        metadata::label(key, selector.key(key).text(), &|| selector.path(), errors);
    }
    spec.field("tolerations").items().for_each(|toleration| check_toleration(&toleration, errors));
    check_spread(spec, errors);
    check_affinity(&spec.field("affinity"), errors);
    let mut gates = HashSet::new();
    for name in spec.field("schedulingGates").items().map(|gate| gate.field("name")) {
        errors.extend(metadata::qualified_name(name.text()).into_iter().map(|why| name.invalid(why)));
        if !gates.insert(name.text()) {
            errors.push(name.duplicate());
        }
    }
}

fn check_toleration(toleration: &At<'_>, errors: &mut Errors) {
    let [key, operator, value, effect, seconds] =
        ["key", "operator", "value", "effect", "tolerationSeconds"].map(|field| toleration.field(field));
    if key.text().is_empty() {
        if operator.text() != "Exists" {
            errors.push(operator.invalid("must be Exists if `key` is empty"));
        }
    } else {
        errors.extend(metadata::qualified_name(key.text()).into_iter().map(|why| key.invalid(why)));
    }
    match operator.text() {
        "" | "Equal" => {
            let mut broken = Vec::new();
            metadata::label("a", value.text(), &|| operator.path(), &mut broken);
            errors.extend(broken);
        }
        "Exists" if !value.text().is_empty() => {
            errors.push(operator.invalid("needs no value"));
        }
        _ => errors.extend(operator.none_of(&["Equal", "Exists"])),
    }
    if !effect.text().is_empty() {
        errors.extend(effect.none_of(&EFFECTS));
    }
    if seconds.is_set() && effect.text() != "NoExecute" {
        errors.push(effect.invalid("must be NoExecute where `tolerationSeconds` is set"));
    }
}

fn check_spread(spec: &At<'_>, errors: &mut Errors) {
    let mut pairs = HashSet::new();
    for constraint in spec.field("topologySpreadConstraints").items() {
        let (skew, key) = (constraint.field("maxSkew"), constraint.field("topologyKey"));
        let otherwise = constraint.field("whenUnsatisfiable");
        if skew.number().unwrap_or_default() < 1 {
            errors.push(skew.invalid("must be greater than zero"));
        }
        errors.extend(key.missing());
        let is_known = matches!(otherwise.text(), "DoNotSchedule" | "ScheduleAnyway");
        if !is_known {
            let known = ["DoNotSchedule", "ScheduleAnyway"];
            errors.push(palisade_k8s::FieldError::not_supported(otherwise.path(), otherwise.text(), &known));
        }
        if !pairs.insert((key.text(), otherwise.text())) {
            errors.push(constraint.duplicate());
        }
    }
}

fn check_affinity(affinity: &At<'_>, errors: &mut Errors) {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    let nodes = affinity.field("nodeAffinity");
    let terms = nodes.field(REQUIRED).field("nodeSelectorTerms");
    if nodes.field(REQUIRED).is_set() && terms.items().next().is_none() {
        errors.push(terms.required("must have one term at least"));
    }
    terms.items().for_each(|term| check_node_term(&term, errors));
    for preferred in nodes.field(PREFERRED).items() {
        check_weight(&preferred, errors);
        check_node_term(&preferred.field("preference"), errors);
    }
    for pods in affinity.set(&["podAffinity", "podAntiAffinity"]) {
        for term in pods.field(REQUIRED).items() {
            errors.extend(term.field("topologyKey").missing());
        }
        for preferred in pods.field(PREFERRED).items() {
            check_weight(&preferred, errors);
            errors.extend(preferred.field("podAffinityTerm").field("topologyKey").missing());
        }
    }
}

fn check_weight(preferred: &At<'_>, errors: &mut Errors) {
    let weight = preferred.field("weight");
    if !(1..=100).contains(&weight.number().unwrap_or_default()) {
        errors.push(weight.invalid("must be between 1 and 100, inclusive"));
    }
}

fn check_node_term(term: &At<'_>, errors: &mut Errors) {
    for expression in ["matchExpressions", "matchFields"].iter().flat_map(|list| term.field(list).items()) {
        let (operator, values) = (expression.field("operator"), expression.field("values"));
        let count = values.items().count();
        match operator.text() {
            "In" | "NotIn" if count == 0 => errors.push(values.required("must have one for In and NotIn")),
            "Exists" | "DoesNotExist" if count > 0 => {
                errors.push(values.forbidden("may not be set for Exists and DoesNotExist"));
            }
            "Gt" | "Lt" if count != 1 => errors.push(values.required("must be one for Gt and Lt")),
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            _ => errors.push(operator.invalid("must be In, NotIn, Exists, DoesNotExist, Gt or Lt")),
        }
    }
}
