//! Node labels that a pod selects.

use super::Warnings;
use crate::kind::at::At;
use crate::kind::warning;

/// Warns of a deprecated label.
pub(super) fn check_key(key: &At<'_>, warnings: &mut Warnings) {
    warning::old_key(key).into_iter().for_each(|what| warnings.say(what));
}

/// Node labels that a pod selects.
pub(super) fn check(spec: &At<'_>, warnings: &mut Warnings) {
    let selector = spec.field("nodeSelector");
    for key in selector.keys() {
        if let Some(what) = warning::replacement(key) {
            warnings.add(&selector.key(key), what);
        }
    }
    let affinity = spec.field("affinity").field("nodeAffinity");
    let required = affinity.field("requiredDuringSchedulingIgnoredDuringExecution");
    required.field("nodeSelectorTerms").items().for_each(|term| check_term(&term, warnings));
    for term in affinity.field("preferredDuringSchedulingIgnoredDuringExecution").items() {
        let preference = term.field("preference");
        check_term(&preference, warnings);
        check_values(&preference, warnings);
    }
}

fn check_term(term: &At<'_>, warnings: &mut Warnings) {
    warning::old_keys(term).into_iter().for_each(|what| warnings.say(what));
}

const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// Values that a label cannot have.
fn check_values(term: &At<'_>, warnings: &mut Warnings) {
    for value in term.field("matchExpressions").items().flat_map(|one| one.field("values").items()) {
        let text = value.text();
        let is_long = text.len() > 63;
        let is_odd = !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            || !text.chars().next().is_none_or(|c| c.is_ascii_alphanumeric())
            || !text.chars().next_back().is_none_or(|c| c.is_ascii_alphanumeric());
        for (is_wrong, why) in [(is_long, "must be no more than 63 bytes"), (is_odd, LABEL_VALUE)] {
            if is_wrong {
                warnings.add(&value, format_args!("{text} is invalid, {why}"));
            }
        }
    }
}
