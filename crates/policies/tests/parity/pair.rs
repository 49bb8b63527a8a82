//! A policy in both forms, and what differs between their answers.

use std::collections::BTreeMap;

use palisade_admission::{Policy, Unreadable, respond, validate};
use palisade_k8s::review::{AdmissionResponse, ReviewResponse};
use palisade_policies::{CompileError, EVERYBODY, Mode, Settings, compile};
use palisade_rbac::{Action, User};
use palisade_testing::corpus;
use serde_json::{Value, json};

use crate::interpreter::{Authorizer, BUDGET, Outcome, Policies, Request, canonical};

/// A policy in both forms.
pub(crate) struct Pair {
    pub(crate) policy: Policy,
    pub(crate) policies: Policies,
    /// The policy that only warns, as far as the budget pays for it.
    trial: Option<Policies>,
    pub(crate) namespaces: Vec<Value>,
}

/// Maximum number of SCCs of which a single policy can ask for all grants.
const ASKED: usize = 13;

impl Pair {
    pub(crate) fn new(policy: Policy, namespaces: Vec<Value>) -> Self {
        Self::try_new(policy, namespaces).unwrap()
    }

    /// Both forms, where there is an SCC that can admit a pod.
    pub(crate) fn try_new(policy: Policy, namespaces: Vec<Value>) -> Result<Self, CompileError> {
        let everybody = Some(everybody(&policy));
        let is_small = policy.sccs().entries().count() <= ASKED;
        let settings =
            Settings { kernel: policy.kernel(), connect: is_small, everybody, ..Settings::default() };
        let policies = Policies::new(&compile(policy.sccs(), &settings)?);
        let warning = Settings { mode: Mode::Warn, connect: false, ..settings };
        let trial = is_small.then(|| compile(policy.sccs(), &warning)).transpose()?;
        Ok(Self { policies, trial: trial.as_ref().map(Policies::new), policy, namespaces })
    }

    pub(crate) fn of_yaml(yaml: &str) -> Self {
        let documents = palisade_k8s::manifest::read(yaml).unwrap();
        let namespaces = documents
            .iter()
            .map(|document| document.to_json())
            .filter(|object| object["kind"] == "Namespace");
        Self::new(palisade_testing::policy(yaml), namespaces.collect())
    }

    pub(crate) fn namespace(&self, name: &str) -> Value {
        let known = self.namespaces.iter().find(|namespace| namespace["metadata"]["name"] == name);
        known.cloned().unwrap_or_else(|| json!({"metadata": {"name": name}}))
    }

    /// The differences between the two answers to a review; `None` if they are the same.
    pub(crate) fn difference(&self, review: &Value) -> Option<String> {
        let review = canonical_review(review);
        let (ours, audit) =
            self.decide(&review, |request, authorizer| self.policies.admit_and_audit(request, authorizer));
        let response = self.expected(&review, respond);
        compare(&review["request"]["object"], &ours, &response)
            .or_else(|| difference_of_audit(&review["request"], &ours, &audit, &response))
            .or_else(|| self.difference_of_trial(&review, response.allowed))
    }

    /// Whether the engine admits a request.
    pub(crate) fn is_admitted(&self, review: &Value) -> bool {
        self.expected(review, respond).allowed
    }

    /// The engine's answer. Mirror pods of kubelets do not come to it: neither the webhooks nor the API server call it for them.
    fn expected(
        &self,
        review: &Value,
        ask: fn(&Policy, &str) -> Result<AdmissionResponse, Unreadable>,
    ) -> AdmissionResponse {
        let (user, pod) = (&review["request"]["userInfo"], &review["request"]["object"]);
        let is_of_node =
            user["groups"].as_array().is_some_and(|groups| groups.contains(&json!("system:nodes")));
        if is_of_node && !pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_null() {
            return AdmissionResponse { allowed: true, ..AdmissionResponse::default() };
        }
        ask(&self.policy, &review.to_string()).expect("the review is readable")
    }

    /// Whether the policy that enforces nothing would warn of another pod than the engine refuses.
    fn difference_of_trial(&self, review: &Value, is_allowed: bool) -> Option<String> {
        let trial = self.trial.as_ref()?;
        let (message, usage) = self.decide(review, |request, authorizer| {
            assert!(matches!(trial.mutate(request, authorizer), Ok((object, _)) if object == request.object));
            trial.validate(request, authorizer)
        });
        assert!(usage.checks <= 28 && usage.spent <= BUDGET, "{usage:?}");
        let is_wrong = message.is_none() != is_allowed || message.as_deref().is_some_and(is_error);
        is_wrong.then(|| format!("a warning {message:?} where the engine says {is_allowed}"))
    }

    /// The same after all mutations: the object must fit as it is.
    pub(crate) fn difference_of_validation(&self, review: &Value) -> Option<String> {
        let review = canonical_review(review);
        let ours =
            self.decide(&review, |request, authorizer| match self.policies.validate(request, authorizer).0 {
                None => Outcome::Allowed(request.object.clone()),
                Some(message) => Outcome::Refused(message),
            });
        let response = self.expected(&review, validate);
        compare(&review["request"]["object"], &ours, &response)
    }

    /// Puts a review, which is canonical, to the compiled policies.
    pub(crate) fn decide<T>(
        &self,
        review: &Value,
        decide: impl FnOnce(&Request<'_>, &Authorizer<'_>) -> T,
    ) -> T {
        let request = &review["request"];
        let namespace = self.namespace(request["namespace"].as_str().unwrap());
        let given = Request {
            request,
            object: request["object"].clone(),
            old_object: request["oldObject"].clone(),
            parameter: Value::Null,
            namespace: &namespace,
        };
        decide(&given, &|account, scc| self.may_use(request, account, scc))
    }

    pub(crate) fn may_use(&self, request: &Value, account: Option<&str>, scc: &str) -> bool {
        let namespace = request["namespace"].as_str().unwrap();
        let of = account.and_then(|name| name.split(':').nth(2)).unwrap_or(namespace);
        let own = format!("system:serviceaccounts:{of}");
        let groups: Vec<&str> = match account {
            Some(_) => vec!["system:serviceaccounts", &own],
            None => request["userInfo"]["groups"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect(),
        };
        let name = account.or(request["userInfo"]["username"].as_str()).unwrap_or_default();
        let action = Action {
            verb: "use",
            group: "security.openshift.io",
            resource: "securitycontextconstraints",
            name: scc,
            namespace,
        };
        self.policy.rbac().authorize(&User { name, groups: &groups }, &action).is_some()
    }
}

/// The SCCs that all authenticated users may use.
fn everybody(policy: &Policy) -> Vec<String> {
    let user = User { name: "", groups: &[EVERYBODY] };
    let names = policy.sccs().entries().map(|entry| entry.name());
    let is_open = |name: &&str| {
        let action = Action {
            verb: "use",
            group: "security.openshift.io",
            resource: "securitycontextconstraints",
            name,
            namespace: "",
        };
        policy.rbac().authorize(&user, &action).is_some()
    };
    names.filter(is_open).map(str::to_owned).collect()
}

/// The same value with the keys of all maps in order.
pub(crate) fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            Value::Object(entries.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect())
        }
        Value::Array(list) => list.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// A review whose objects are as the API server passes them to admission.
pub(crate) fn canonical_review(review: &Value) -> Value {
    let mut review = review.clone();
    for object in ["object", "oldObject"] {
        if review["request"][object].is_object() {
            review["request"][object] = canonical(&review["request"][object]);
        }
    }
    review
}

fn compare(object: &Value, ours: &Outcome, theirs: &AdmissionResponse) -> Option<String> {
    let theirs = serde_json::to_value(ReviewResponse::new(theirs)).unwrap();
    let theirs = &theirs["response"];
    match ours {
        Outcome::Allowed(pod) if theirs["allowed"] == true => {
            let (pod, expected) = (sorted(pod), sorted(&corpus::patched(object, theirs)));
            (pod != expected).then(|| format!("{pod}\ndiffers from\n{expected}"))
        }
        Outcome::Refused(message) if theirs["allowed"] == false => {
            // A refusal for another reason than the decision would be a difference by luck alone.
            is_error(message).then(|| format!("refused by an error: {message}"))
        }
        other => Some(format!("{other:?}\nwhere the engine says\n{theirs}")),
    }
}

/// The chosen SCC is audited under the engine's key. The API server drops the annotations that a mutation sets on a
/// subresource, so that those requests have that of the running pod. An update of which the mutation leaves nothing is none
/// to the validating policy.
fn difference_of_audit(
    request: &Value,
    ours: &Outcome,
    audit: &BTreeMap<String, String>,
    theirs: &AdmissionResponse,
) -> Option<String> {
    let chosen = theirs.audit_annotations.get("chosen");
    let is_undone = audit.is_empty()
        && matches!(ours, Outcome::Allowed(pod) if sorted(pod) == sorted(&request["oldObject"]));
    let is_same = is_undone
        || request["subResource"].as_str().is_some_and(|name| !name.is_empty())
        || audit.get("chosen") == chosen;
    let is_explained = chosen.is_none() || !audit.contains_key("denied");
    (!is_same || !is_explained).then(|| format!("{audit:?} where the engine audits {chosen:?}"))
}

fn is_error(message: &str) -> bool {
    !["unable to validate", "namespace ", "invalid change to SCC", "failed to retrieve"]
        .iter()
        .any(|known| message.starts_with(known))
}

impl Pair {
    /// The pod of a review once the compiled policies have admitted it.
    pub(crate) fn admitted(&self, review: &Value) -> Option<Value> {
        let review = canonical_review(review);
        match self.decide(&review, |request, authorizer| self.policies.admit(request, authorizer)) {
            Outcome::Allowed(pod) => Some(pod),
            Outcome::Refused(_) => None,
        }
    }
}

/// A review of a request by a plain user, in the namespace `dev`.
pub(crate) fn review(operation: &str, sub_resource: &str, object: Value, old_object: Value) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "resource": {"group": "", "version": "v1", "resource": "pods"}, "subResource": sub_resource,
        "namespace": "dev", "name": "p", "operation": operation,
        "userInfo": {"username": "alice", "groups": ["system:authenticated"]},
        "object": object, "oldObject": old_object}})
}
