//! Resource requests and limits of containers.

use palisade_k8s::metadata;

use super::{At, Errors};
use palisade_k8s::quantity::billionths;

pub(super) fn check_resources(resources: &At<'_>, errors: &mut Errors) {
    let (limits, requests) = (resources.field("limits"), resources.field("requests"));
    check_amounts(&limits, errors);
    check_amounts(&requests, errors);
    for name in requests.keys() {
        let (asked, most) = (requests.key(name), limits.key(name));
        if most.is_set() {
            check_order(name, &asked, &most, &requests, errors);
        } else if !is_shared(name) {
            errors.push(limits.required("must be set for what cannot be promised twice"));
        }
    }
    let names = || limits.keys().chain(requests.keys());
    let has_huge = names().any(|name| name.starts_with("hugepages-"));
    if has_huge && !names().any(|name| matches!(name, "cpu" | "memory")) {
        errors.push(resources.forbidden("huge pages need cpu or memory beside them"));
    }
}

fn check_order(name: &str, asked: &At<'_>, most: &At<'_>, requests: &At<'_>, errors: &mut Errors) {
    let (less, more) = (amount(asked), amount(most));
    if is_shared(name) && less > more {
        errors.push(requests.invalid_whole("must not be more than the limit"));
    }
    if !is_shared(name) && less != more {
        errors.push(requests.invalid_whole("must be equal to the limit of what cannot be promised twice"));
    }
}

/// Whether a resource may be overcommitted.
fn is_shared(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage" | "storage")
}

/// In billionths; a quantity is text, or a number as some clients write it.
fn amount(quantity: &At<'_>) -> Option<i128> {
    match quantity.number() {
        Some(number) => billionths(&number.to_string()),
        None => billionths(quantity.text()),
    }
}

/// Names and amounts of a list of resources.
pub(super) fn check_amounts(list: &At<'_>, errors: &mut Errors) {
    for name in list.keys() {
        let quantity = list.key(name);
        if !is_resource(name) {
            errors.push(quantity.invalid("must be a resource of containers, or a qualified name"));
        }
        let amount = amount(&quantity);
        if amount.is_some_and(|amount| amount < 0) {
            errors.push(quantity.invalid("must be greater than or equal to 0"));
        }
        let is_whole = amount.is_none_or(|amount| amount % 1_000_000_000 == 0);
        if is_extended(name) && !is_whole {
            errors.push(quantity.invalid("must be an integer"));
        }
    }
}

fn is_resource(name: &str) -> bool {
    let is_known = matches!(name, "cpu" | "memory" | "ephemeral-storage" | "storage");
    is_known || name.starts_with("hugepages-") || is_extended(name)
}

/// An extended resource, of a domain other than Kubernetes'.
fn is_extended(name: &str) -> bool {
    name.contains('/') && metadata::qualified_name(name).is_empty()
}
