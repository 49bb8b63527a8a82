//! What a decision says to people: the refusal's message and the audit annotations.

use std::collections::BTreeMap;

use palisade_scc::{Changes, Entry, Outcome};

use crate::Policy;
use crate::decide::{Admission, Decision, PodRequest, Prepared, Refusal};

/// Audit annotations, without the webhook's name, which the API server puts before each key.
pub(crate) type Annotations = BTreeMap<String, String>;

/// What became of the SCCs that were passed over.
pub(crate) struct PassedOver<'x> {
    denied: Vec<&'x str>,
    tried: Vec<(&'x str, Outcome<'x>)>,
}

impl<'x> PassedOver<'x> {
    /// The SCCs before the chosen one; all of them where none was chosen.
    pub(crate) fn collect(
        policy: &'x Policy,
        request: &PodRequest<'x>,
        prepared: &Prepared<'x>,
        chosen: Option<usize>,
    ) -> Self {
        let entries = policy.sccs.entries();
        let end = chosen.unwrap_or(entries.len());
        let mut passed = Self { denied: Vec::new(), tried: Vec::new() };
        let considered = entries.iter().enumerate().take(end);
        for (place, entry) in considered.filter(|(place, _)| prepared.required.is_none_or(|only| only == *place)) {
            if prepared.grants.candidates.contains(place) {
                let outcome = policy.sccs.outcome(entry, prepared.context, request.pod, request.mutation);
                passed.tried.push((entry.name(), outcome));
            } else {
                passed.denied.push(entry.name());
            }
        }
        passed
    }

    /// Says who was passed over, and why.
    pub(crate) fn annotate(&self, annotations: &mut Annotations) {
        if !self.denied.is_empty() {
            annotations.insert("denied".to_owned(), self.denied.join(","));
        }
        for (name, outcome) in &self.tried {
            let kind = if matches!(outcome, Outcome::Unusable(_)) { "unusable" } else { "too-restrictive" };
            annotations.insert(format!("{kind}-{name}"), errors_of(name, outcome).join(", "));
        }
    }

    /// The refusal: what stands closest to a yes first, who may not be used last.
    pub(crate) fn message(&self) -> String {
        let mut tried: Vec<Vec<String>> =
            self.tried.iter().map(|(name, outcome)| errors_of(name, outcome)).collect();
        tried.sort_by_key(Vec::len);
        let mut parts = tried.concat();
        parts.extend(self.denied.iter().map(|name| {
            format!("provider \"{name}\": Forbidden: not usable by user or serviceaccount")
        }));
        format!("{}: [{}]", Refusal::NoneFits, parts.join(", "))
    }
}

/// Why an SCC that may be used did not admit the pod; never empty.
fn errors_of(name: &str, outcome: &Outcome<'_>) -> Vec<String> {
    match outcome {
        Outcome::Refuses(errors) => {
            errors.iter().map(|error| format!("provider {name}: .{error}")).collect()
        }
        Outcome::Changes(changes) => vec![format!("provider {name}: {}", would_change(changes))],
        Outcome::Unusable(why) => vec![format!("provider {name}: unusable: {why}")],
        Outcome::Admits(_) => vec![format!("provider {name}: admits the pod")],
    }
}

fn would_change(changes: &Changes<'_>) -> String {
    format!(
        "would have to change {}, which an update may not",
        changes.fields().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )
}

/// Why the SCC was chosen: that it may be used, and what puts it before the next that may.
pub(crate) fn reason(policy: &Policy, prepared: &Prepared<'_>, admission: &Admission<'_>) -> String {
    let entries = policy.sccs.entries();
    let mut text = format!("{} admits the pod", admission.scc);
    if prepared.required.is_some() {
        text.push_str(" and is the one that it requires");
    }
    let next = prepared.candidates().find(|place| *place > admission.place);
    let next = next.and_then(|place| entries.get(place)).map(Entry::rank);
    let chosen = entries.get(admission.place).map(Entry::rank);
    if let Some((chosen, next)) = chosen.zip(next)
        && let Some(preference) = chosen.preference(&next)
    {
        text.push_str(&format!("; it is tried before {} because {preference}", next.name));
    }
    text
}

/// The message of a refusal, in full.
#[must_use]
pub fn refusal_message(policy: &Policy, request: &PodRequest<'_>, refusal: &Refusal) -> String {
    match (refusal, crate::decide::prepare(policy, request)) {
        (Refusal::NoneFits, Ok(prepared)) => {
            PassedOver::collect(policy, request, &prepared, None).message()
        }
        (_, Err(Decision::Refused(other))) => other.to_string(),
        (other, _) => other.to_string(),
    }
}
