//! The texts of a decision: the refusal's message and the audit annotations.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use palisade_scc::{Entry, Outcome};
use smallvec::SmallVec;

use crate::Policy;
use crate::decide::{Admission, NotTried, PodRequest, Prepared, Refusal};

/// Maximum number of nearest SCCs that a refusal names.
const NEAREST: usize = 3;
/// Maximum number of findings for each.
const FINDINGS: usize = 3;
/// Maximum size of a refusal, in bytes: it is shown in a single line of an event.
const MAX_MESSAGE: usize = 2_000;
/// Maximum size of the findings of one SCC in the audit log, in bytes (values are under the control of the pod's
/// author), and of the names of SCCs.
const MAX_ANNOTATION: usize = 1_024;

/// Audit annotations, without the webhook's name, which the API server prepends to each key.
pub(crate) type Annotations = BTreeMap<String, String>;

/// The SCCs that were not chosen, by reason.
pub(crate) struct PassedOver<'x> {
    denied: Vec<&'x str>,
    tried: Vec<Tried<'x>>,
}

/// An SCC that may be used and did not admit the pod.
struct Tried<'x> {
    name: &'x str,
    is_unusable: bool,
    /// The reasons; never empty.
    errors: Joined,
}

/// Texts separated by ", ", written one after the other into one: a refusal has hundreds, most are read once, and
/// unread ones are only counted.
#[derive(Default)]
struct Joined {
    text: String,
    /// The end of each of the first.
    ends: SmallVec<[usize; FINDINGS]>,
    count: usize,
}

impl Joined {
    fn push(&mut self, text: impl fmt::Display) {
        self.count += 1;
        if self.text.len() > MAX_ANNOTATION && self.count > FINDINGS {
            return;
        }
        join(&mut self.text, text);
        if self.count <= FINDINGS {
            self.ends.push(self.text.len());
        }
    }

    fn len(&self) -> usize {
        self.count
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|end| end + SEPARATOR.len()));
        starts.zip(&self.ends).filter_map(|(start, end)| self.text.get(start..*end))
    }
}

const SEPARATOR: &str = ", ";

/// Appends a text.
fn join(all: &mut String, text: impl fmt::Display) {
    if !all.is_empty() {
        all.push_str(SEPARATOR);
    }
    // Writing to a string cannot fail.
    let _ = write!(all, "{text}");
}

impl<'x> PassedOver<'x> {
    /// The SCCs before the chosen one; all of them if none was chosen.
    pub(crate) fn collect(
        policy: &'x Policy,
        request: &PodRequest<'x>,
        prepared: &Prepared<'x>,
        chosen: Option<&Entry>,
    ) -> Self {
        let mut passed = Self { denied: Vec::new(), tried: Vec::new() };
        let is_before = |entry: &&Entry| chosen.is_none_or(|chosen| !std::ptr::eq(chosen, *entry));
        let before = policy.sccs().entries().take_while(is_before);
        for entry in before.filter(|entry| prepared.considers(entry)) {
            if prepared.grants.candidates.contains(entry) {
                let outcome = entry.outcome_in_brief(prepared.context, request.pod, request.mutation);
                let is_unusable = matches!(outcome, Outcome::Unusable(_));
                passed.tried.push(Tried { name: entry.name(), is_unusable, errors: errors_of(&outcome) });
            } else {
                passed.denied.push(entry.name());
            }
        }
        passed
    }

    /// Lists the SCCs that were not chosen, and the reasons.
    pub(crate) fn annotate(&self, annotations: &mut Annotations) {
        if !self.denied.is_empty() {
            annotations.insert("denied".to_owned(), listed(&self.denied));
        }
        for tried in &self.tried {
            let kind = if tried.is_unusable { "unusable" } else { "too-restrictive" };
            let errors = cut(&tried.errors.text, MAX_ANNOTATION).to_owned();
            annotations.insert(format!("{kind}-{}", tried.name), errors);
        }
    }

    /// The usable SCC with the fewest fields in violation.
    fn nearest(&self) -> Option<&Tried<'x>> {
        self.tried.iter().min_by_key(|tried| tried.errors.len())
    }

    /// The refusal in one sentence, for the audit log, which has the errors beside it.
    pub(crate) fn reason(&self) -> String {
        match self.nearest() {
            Some(tried) => format!("{}; {} comes nearest", Refusal::NoneFits, tried.name),
            None => format!("{}; none may be used", Refusal::NoneFits),
        }
    }

    /// The refusal: the SCC with the fewest violations first, those that may not be used last.
    pub(crate) fn message(&self) -> String {
        let mut tried: Vec<&Tried<'_>> = self.tried.iter().collect();
        tried.sort_by_key(|tried| tried.errors.len());
        let shown = tried.iter().take(NEAREST);
        let mut findings = String::new();
        for tried in shown {
            let first = tried.errors.iter().take(FINDINGS);
            first.for_each(|error| join(&mut findings, format_args!("provider {}: {error}", tried.name)));
        }
        if tried.is_empty() {
            for name in self.denied.iter().take(NEAREST) {
                let why = "Forbidden: not usable by user or serviceaccount";
                join(&mut findings, format_args!("provider {name:?}: {why}"));
            }
        }
        let text = format!("{}: [{}]", Refusal::NoneFits, findings);
        let rest = self.rest(&tried);
        let room = MAX_MESSAGE.saturating_sub(rest.len());
        format!("{}{rest}", cut(&text, room))
    }

    /// The last sentence: how much is left out, and the command that shows it.
    fn rest(&self, tried: &[&Tried<'_>]) -> String {
        let findings = tried.iter().take(NEAREST).any(|tried| tried.errors.len() > FINDINGS);
        let refusing = tried.len().saturating_sub(NEAREST);
        let denied = self.denied.len().saturating_sub(if tried.is_empty() { NEAREST } else { 0 });
        let mut parts = Vec::new();
        if findings {
            parts.push("further fields".to_owned());
        }
        if refusing > 0 {
            parts.push(format!("{refusing} more SCCs that refuse it"));
        }
        if denied > 0 {
            parts.push(format!("{denied} that neither the user nor the service account may use"));
        }
        match parts.as_slice() {
            [] => String::new(),
            parts => format!("; not shown: {} (palisade review -o wide shows all)", parts.join(", ")),
        }
    }
}

/// Names separated by commas: as many as fit into an annotation, and how many more there are.
fn listed(names: &[&str]) -> String {
    let mut text = String::new();
    for (index, name) in names.iter().enumerate() {
        if text.len() + name.len() >= MAX_ANNOTATION {
            text.push_str(&format!(" and {} more", names.len() - index));
            break;
        }
        if index > 0 {
            text.push(',');
        }
        text.push_str(name);
    }
    text
}

/// The beginning of a text, of at most this many bytes.
fn cut(text: &str, room: usize) -> &str {
    let end = (0..=room.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

/// The reasons why an SCC that may be used did not admit the pod; never empty.
fn errors_of(outcome: &Outcome<'_>) -> Joined {
    let mut joined = Joined::default();
    match outcome {
        Outcome::Refuses(errors) => errors.iter().for_each(|error| joined.push(format_args!(".{error}"))),
        Outcome::Changes(changes) => {
            let fields = changes.fields().iter().map(ToString::to_string).collect::<Vec<_>>().join(SEPARATOR);
            joined.push(format_args!("would have to change {fields}, which an update may not"));
        }
        Outcome::Unusable(why) => joined.push(format_args!("unusable: {why}")),
        Outcome::Admits(_) => joined.push("admits the pod"),
    }
    joined
}

/// The reason why the SCC was chosen: that it may be used, and what orders it before the next one that may be used and
/// fits.
pub(crate) fn reason<'x>(
    policy: &'x Policy,
    request: &PodRequest<'x>,
    prepared: &Prepared<'x>,
    admission: &Admission<'_>,
) -> String {
    let mut text = format!("{} admits the pod", admission.scc);
    if prepared.required.is_some() {
        text.push_str(" and is the one that it requires");
    }
    let chosen = admission.entry.rank();
    let later = prepared.candidates(policy).filter(|entry| entry.rank() > chosen);
    let next = palisade_scc::evaluate(later, prepared.context, request.pod, request.mutation);
    if let Some(next) = next.map(|(entry, _)| entry.rank())
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
        (Refusal::NoneFits, Ok(prepared)) => PassedOver::collect(policy, request, &prepared, None).message(),
        (_, Err(NotTried::Refused(other))) => other.to_string(),
        (other, _) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PolicyBuilder;
    use palisade_k8s::Pod;
    use palisade_rbac::Scopes;
    use palisade_scc::{BuiltinSet, Mutation};
    use serde::Deserialize;
    use serde_json::{Value, json};

    #[test]
    fn texts_are_cut_between_characters() {
        for (text, room, expected) in [
            ("abc", 2, "ab"),
            ("abc", 3, "abc"),
            ("abc", 9, "abc"),
            ("aé", 2, "a"),
            ("é", 1, ""),
            ("", 0, ""),
        ] {
            assert_eq!(cut(text, room), expected, "{text:?} {room}");
        }
    }

    #[test]
    fn names_that_do_not_fit_are_counted() {
        let names = |count: usize| (0..count).map(|index| format!("scc-{index:06}")).collect::<Vec<_>>();
        for (count, expected) in [(0, ""), (1, "scc-000000"), (2, "scc-000000,scc-000001")] {
            let names = names(count);
            assert_eq!(listed(&names.iter().map(String::as_str).collect::<Vec<_>>()), expected);
        }
        for count in [93, 94, 1_000] {
            let names = names(count);
            let text = listed(&names.iter().map(String::as_str).collect::<Vec<_>>());
            let (shown, more) = text.split_once(" and ").unwrap_or((&text, "0 more"));
            let more: usize = more.strip_suffix(" more").unwrap().parse().unwrap();
            assert_eq!(shown.split(',').count() + more, count);
            assert!(shown.len() <= MAX_ANNOTATION && (more > 0) == (count > 93), "{text}");
            assert!(shown.split(',').zip(&names).all(|(shown, name)| shown == name), "{text}");
        }
    }

    fn message(groups: &[&str], pod: &Value) -> String {
        let mut builder = PolicyBuilder::default();
        builder.add_set(BuiltinSet::V4).unwrap();
        builder.assume_namespace("dev");
        let policy = builder.build();
        let pod = Pod::deserialize(pod).unwrap();
        let request = PodRequest {
            namespace: "dev",
            user: "alice",
            groups,
            scopes: Scopes::default(),
            pod: &pod,
            mutation: Mutation::Allowed,
        };
        refusal_message(&policy, &request, &Refusal::NoneFits)
    }

    #[test]
    fn a_refusal_names_the_nearest_fields_and_is_short() {
        let host = json!({"spec": {"hostNetwork": true, "containers": [{"name": "a"}]}});
        let denied = message(&[], &host);
        assert!(
            denied.contains("provider \"anyuid\": Forbidden: not usable by user or serviceaccount"),
            "{denied}"
        );
        assert!(denied.contains("10 that neither the user nor the service account may use"), "{denied}");
        let tried = message(&["system:authenticated"], &host);
        assert!(tried.contains("provider restricted-v2: .spec.hostNetwork: Invalid value"), "{tried}");
        assert!(!tried.contains("not usable"), "{tried}");
        let volumes: Vec<Value> = (0..50)
            .map(|index| json!({"name": format!("v{index}"), "hostPath": {"path": "x".repeat(90)}}))
            .collect();
        let long = json!({"spec": {"volumes": volumes, "containers": [{"name": "a"}]}});
        let long = message(&["system:authenticated"], &long);
        assert!(long.len() <= MAX_MESSAGE, "{}", long.len());
        assert!(long.ends_with("(palisade review -o wide shows all)"), "{long}");
        assert!(long.contains("further fields"), "{long}");
    }

    #[test]
    fn a_refusal_without_a_trial_says_why() {
        let mut builder = PolicyBuilder::default();
        builder.add_set(BuiltinSet::V4).unwrap();
        let policy = builder.build();
        let pod = json!({"spec": {"containers": []}});
        let pod = Pod::deserialize(&pod).unwrap();
        let request = PodRequest {
            namespace: "lost",
            user: "alice",
            groups: &[],
            scopes: Scopes::default(),
            pod: &pod,
            mutation: Mutation::Allowed,
        };
        let text = refusal_message(&policy, &request, &Refusal::NoneFits);
        assert_eq!(text, "namespace \"lost\" is not part of the policy");
    }
}
