//! A write of a pod: the verdict, and its warnings and annotations.

use palisade_k8s::Pod;
use palisade_k8s::patch::{Edits, Patch};
use palisade_k8s::scc::annotation::{SUBJECT_TYPE, VALIDATED_SCC};

use crate::Policy;
use crate::audit::{Annotations, PassedOver, reason};
use crate::decide::{
    Admission, Decision, Exemption, NotTried, PodRequest, Prepared, Refusal, decide, prepare,
};
use crate::update::Update;

/// The decision on a write of a pod.
#[derive(Clone, Debug)]
pub struct PodAnswer<'x> {
    /// The verdict.
    pub verdict: Verdict<'x>,
    /// For the audit log: the reasons, by keys without a prefix.
    pub audit: Annotations,
}

/// The verdict.
#[expect(clippy::large_enum_variant, reason = "there is one a request, and a box would cost an allocation")]
#[derive(Clone, Debug)]
pub enum Verdict<'x> {
    /// SCC does not apply.
    Exempt(Exemption),
    /// It is admitted, with changes.
    Admitted(Admission<'x>),
    /// It is refused, with this message for the user.
    Refused(String),
}

/// Decides on a new or changed pod, with texts for the audit log and the user. An update comes with its changes.
#[must_use]
pub fn admit_pod<'x>(policy: &'x Policy, request: &PodRequest<'x>, update: Option<Update>) -> PodAnswer<'x> {
    let update = || Ok::<_, std::convert::Infallible>(update.unwrap_or(Update::Relevant));
    match admit_with(policy, request, update) {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}

/// The same, with an update that is compared only if SCC applies, and may turn out to be invalid.
pub(crate) fn admit_with<'x, E>(
    policy: &'x Policy,
    request: &PodRequest<'x>,
    update: impl FnOnce() -> Result<Update, E>,
) -> Result<PodAnswer<'x>, E> {
    let prepared = prepare(policy, request);
    if let Err(NotTried::Exempt(why)) = prepared {
        return Ok(PodAnswer::exempt(why));
    }
    match update()? {
        Update::Relevant => {}
        Update::Irrelevant => return Ok(PodAnswer::exempt(Exemption::MetadataOnly)),
        Update::RequiredChanged => return Ok(PodAnswer::refused(Refusal::RequiredChanged.to_string(), None)),
    }
    Ok(match prepared {
        Err(NotTried::Refused(refusal)) => PodAnswer::refused(refusal.to_string(), None),
        Err(NotTried::Exempt(why)) => PodAnswer::exempt(why),
        Ok(prepared) => PodAnswer::of(policy, request, &prepared),
    })
}

impl<'x> PodAnswer<'x> {
    fn of(policy: &'x Policy, request: &PodRequest<'x>, prepared: &Prepared<'x>) -> Self {
        match decide(policy, request, prepared) {
            Decision::Admitted(admission) => {
                let mut audit = Annotations::new();
                audit.insert("reason".to_owned(), reason(policy, request, prepared, &admission));
                audit.insert("chosen".to_owned(), admission.scc.to_owned());
                PassedOver::collect(policy, request, prepared, Some(admission.entry)).annotate(&mut audit);
                Self { verdict: Verdict::Admitted(admission), audit }
            }
            Decision::Refused(Refusal::NoneFits) => {
                let passed = PassedOver::collect(policy, request, prepared, None);
                Self::refused(passed.message(), Some(&passed))
            }
            Decision::Refused(refusal) => Self::refused(refusal.to_string(), None),
            Decision::Exempt(why) => Self::exempt(why),
        }
    }

    pub(crate) fn exempt(why: Exemption) -> Self {
        let audit = [("reason".to_owned(), format!("not subject to SCC: {why}"))].into();
        Self { verdict: Verdict::Exempt(why), audit }
    }

    fn refused(message: String, passed: Option<&PassedOver<'_>>) -> Self {
        let mut audit = Annotations::new();
        passed.iter().for_each(|passed| passed.annotate(&mut audit));
        audit.insert("reason".to_owned(), passed.map_or_else(|| message.clone(), PassedOver::reason));
        Self { verdict: Verdict::Refused(message), audit }
    }
}

impl Admission<'_> {
    /// The patch that completes `pod` by the SCC, with the two annotations that record it.
    #[must_use]
    pub fn patch(&self, pod: &Pod<'_>) -> Patch {
        let mut patch = Patch::default();
        self.write(pod, &mut patch);
        patch
    }

    /// The same changes, made on the pod in memory.
    #[must_use]
    pub fn edits(&self, pod: &Pod<'_>) -> Edits {
        Patch::edits(|patch| self.write(pod, patch))
    }

    fn write(&self, pod: &Pod<'_>, patch: &mut Patch) {
        let said = [(VALIDATED_SCC, self.scc), (SUBJECT_TYPE, self.subject.as_str())];
        self.changes.write(pod, &said, patch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PolicyBuilder;
    use palisade_rbac::Scopes;
    use palisade_scc::{BuiltinSet, Mutation};
    use serde::Deserialize;
    use serde_json::{Value, json};

    fn policy() -> Policy {
        let mut builder = PolicyBuilder::default();
        builder.add_set(BuiltinSet::V4).unwrap();
        builder.assume_namespace("dev");
        builder.build()
    }

    #[test]
    fn edits_and_patch_come_to_the_same_pod() {
        let policy = policy();
        for spec in [
            json!({"containers": [{"name": "a"}]}),
            json!({"securityContext": {}, "containers": [{"name": "a", "securityContext": {"capabilities": {"add": ["NET_BIND_SERVICE"]}}}]}),
            json!({"serviceAccount": "default", "initContainers": [{"name": "i"}], "containers": [{"name": "a"}]}),
        ] {
            for metadata in [json!({}), json!({"annotations": {"a": "b"}}), Value::Null] {
                let object = json!({"metadata": metadata, "spec": spec});
                let (mut patched, mut edited) = (object.clone(), object.clone());
                let pod = Pod::deserialize(&object).unwrap();
                let request = PodRequest {
                    namespace: "dev",
                    user: "alice",
                    groups: &["system:authenticated"],
                    scopes: Scopes::default(),
                    pod: &pod,
                    mutation: Mutation::Allowed,
                };
                let answer = admit_pod(&policy, &request, None);
                let Verdict::Admitted(admission) = &answer.verdict else { panic!("{answer:?}") };
                let patch = admission.patch(&pod).finish().unwrap();
                let patch: json_patch::Patch = serde_json::from_str(&patch).unwrap();
                json_patch::patch(&mut patched, &patch).unwrap();
                admission.edits(&pod).apply(&mut edited).unwrap();
                assert_eq!(edited, patched);
                assert_eq!(answer.audit["chosen"], "restricted-v2");
            }
        }
    }

    #[test]
    fn an_update_is_judged_by_what_it_changes() {
        let policy = policy();
        let object = json!({"spec": {"hostNetwork": true, "containers": [{"name": "a"}]}});
        let pod = Pod::deserialize(&object).unwrap();
        let mut request = PodRequest {
            namespace: "dev",
            user: "alice",
            groups: &["system:authenticated"],
            scopes: Scopes::default(),
            pod: &pod,
            mutation: Mutation::Forbidden,
        };
        for (update, namespace, expected) in [
            (Update::Irrelevant, "dev", "not subject to SCC: the update changes nothing that SCC looks at"),
            (Update::RequiredChanged, "dev", "invalid change to SCC annotation"),
            (Update::Relevant, "dev", "unable to validate against any security context constraint"),
            (
                Update::RequiredChanged,
                "kube-system",
                "not subject to SCC: the namespace is exempt by its name",
            ),
            (Update::Relevant, "lost", "namespace \"lost\" is not part of the policy"),
        ] {
            request.namespace = namespace;
            let answer = admit_pod(&policy, &request, Some(update));
            assert!(answer.audit["reason"].starts_with(expected), "{:?}", answer.audit);
        }
    }
}
