//! The decision of SCC on the running pods: whether each would be admitted as it is, by which SCC, with what changes.
//! The cluster is not changed.

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Client, Error};
use palisade_admission::{
    Decision, PodRequest, Policy, PolicyBuilder, PolicyKind, PolicyObject, Scopes, evaluate, refusal_message,
};
use palisade_k8s::scc::annotation::VALIDATED_SCC;
use palisade_k8s::workload::WorkloadKind;
use palisade_scc::{BuiltinSet, Mutation};
use serde_json::Value;

use crate::install::NAME;
use crate::policy::resource;

/// Number of objects in a page of a list.
const PAGE: u32 = 500;

/// The decision on a running pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// SCC does not apply to it, for this reason.
    Exempt(String),
    /// The SCC that it has already admits it, and changes nothing.
    Same(String),
    /// Another SCC than the pod's own admits it, or changes these fields of it.
    Moves {
        /// The present SCC, if it has one.
        from: Option<String>,
        /// The SCC that admits it.
        to: String,
        /// The fields that change, as JSON Pointers.
        fields: Vec<String>,
    },
    /// It would be refused, with this message.
    Refused(String),
}

impl Change {
    /// Whether a new copy of the pod would differ.
    #[must_use]
    pub fn is_change(&self) -> bool {
        matches!(self, Self::Moves { .. } | Self::Refused(_))
    }
}

/// A running pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod: String,
    /// The decision on it.
    pub change: Change,
}

/// All pods of a cluster, by its own SCCs and grants; by those of a built-in set if it has no SCCs yet.
///
/// # Errors
///
/// The API server refuses or does not answer.
pub async fn running(client: &Client, set: BuiltinSet) -> Result<Vec<Running>, Error> {
    let policy = policy(client, set).await?;
    let exempt = exempt(client).await?;
    let pods: ApiResource = ApiResource::erase::<Pod>(&());
    let mut found = Vec::new();
    each(&Api::all_with(client.clone(), &pods), |pod| found.extend(of_pod(&policy, &exempt, &pod))).await?;
    found.sort_by(|a, b| (&a.namespace, &a.pod).cmp(&(&b.namespace, &b.pod)));
    Ok(found)
}

/// Calls a function with each object, page by page.
async fn each(api: &Api<DynamicObject>, mut take: impl FnMut(Value)) -> Result<(), Error> {
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&params).await?;
        page.items.iter().filter_map(|object| serde_json::to_value(object).ok()).for_each(&mut take);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(()),
        }
    }
}

async fn policy(client: &Client, set: BuiltinSet) -> Result<Policy, Error> {
    let mut objects: Vec<(PolicyKind, Value)> = Vec::new();
    for source in PolicyKind::RESOURCES {
        let api = Api::all_with(client.clone(), &resource(source));
        match each(&api, |object| objects.push((source.2, object))).await {
            // Before the installation there is no such resource: the answer is plain text, a code without a reason.
            Err(Error::Api(status)) if source.2 == PolicyKind::Scc && status.code == 404 => {}
            listed => listed?,
        }
    }
    let has_sccs = objects.iter().any(|(kind, _)| *kind == PolicyKind::Scc);
    let mut policy = match has_sccs {
        true => Policy::default(),
        false => builtin(set),
    };
    for (kind, object) in &objects {
        match PolicyObject::of(*kind, object) {
            Ok(object) => policy.apply(object),
            Err(error) => tracing::warn!("left out: {error}"),
        }
    }
    let names = objects.iter().filter(|(kind, _)| *kind == PolicyKind::Namespace);
    for name in names.filter_map(|(_, object)| object.pointer("/metadata/name")?.as_str()) {
        if policy.namespace(name).is_some_and(|namespace| namespace.ranges().is_err()) {
            policy.assume_namespace(name);
        }
    }
    Ok(policy)
}

/// The built-in set is part of the program and parsed by its own tests.
fn builtin(set: BuiltinSet) -> Policy {
    let mut builder = PolicyBuilder::default();
    drop(builder.add_set(set));
    builder.build()
}

/// The namespaces for which the webhooks are not called.
async fn exempt(client: &Client) -> Result<Vec<String>, Error> {
    let api: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let webhooks = api.get_opt(NAME).await?.and_then(|found| found.webhooks).unwrap_or_default();
    let expressions = webhooks
        .into_iter()
        .find(|webhook| webhook.name.starts_with("pods."))
        .and_then(|webhook| webhook.namespace_selector?.match_expressions)
        .unwrap_or_default();
    let names = expressions.into_iter().filter(|expression| {
        expression.key == "kubernetes.io/metadata.name" && expression.operator == "NotIn"
    });
    Ok(names.filter_map(|expression| expression.values).flatten().collect())
}

fn of_pod(policy: &Policy, exempt: &[String], object: &Value) -> Option<Running> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let phase = text("/status/phase");
    if phase == "Succeeded" || phase == "Failed" {
        return None;
    }
    let json = object.to_string();
    let namespace = text("/metadata/namespace");
    let change = match serde_json::from_str::<palisade_k8s::Pod<'_>>(&json) {
        Ok(_) if exempt.contains(&namespace) => {
            Change::Exempt("the namespace is exempt by its name".to_owned())
        }
        Ok(pod) => change(policy, &namespace, object, &pod),
        Err(error) => Change::Refused(format!("it cannot be read: {error}")),
    };
    Some(Running { namespace, pod: text("/metadata/name"), change })
}

fn change(policy: &Policy, namespace: &str, object: &Value, pod: &palisade_k8s::Pod<'_>) -> Change {
    let groups = ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"];
    let controller = controller(object);
    let request = PodRequest {
        namespace,
        user: controller.unwrap_or_default(),
        groups: if controller.is_some() { &groups } else { &groups[2..] },
        scopes: Scopes::default(),
        pod,
        mutation: Mutation::Allowed,
    };
    match evaluate(policy, &request) {
        Decision::Exempt(why) => Change::Exempt(why.to_string()),
        Decision::Refused(refusal) => Change::Refused(refusal_message(policy, &request, &refusal)),
        Decision::Admitted(admission) => {
            let from = pod.metadata.annotation(VALIDATED_SCC).map(str::to_owned);
            let fields = fields(admission.patch(pod).finish().as_deref());
            match from {
                Some(from) if from == admission.scc && fields.is_empty() => Change::Same(from),
                from => Change::Moves { from, to: admission.scc.to_owned(), fields },
            }
        }
    }
}

/// The user that creates pods for the owner of this one.
fn controller(object: &Value) -> Option<&'static str> {
    let owners = object.pointer("/metadata/ownerReferences")?.as_array()?;
    let owner = owners.iter().find(|owner| owner.get("controller").is_some_and(|is| is == true))?;
    let text = |key: &str| owner.get(key)?.as_str();
    let kind = WorkloadKind::of(text("apiVersion")?, text("kind")?)?;
    (!kind.controller.is_empty()).then_some(kind.controller)
}

/// The fields that a patch changes, except SCC's annotations.
fn fields(patch: Option<&str>) -> Vec<String> {
    let operations: Vec<Value> = patch.and_then(|patch| serde_json::from_str(patch).ok()).unwrap_or_default();
    let paths = operations.iter().filter_map(|operation| operation.get("path")?.as_str());
    paths.filter(|path| !path.starts_with("/metadata")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pods_that_run_are_told_apart() {
        let mut policy = builtin(BuiltinSet::V4);
        policy.assume_namespace("shop");
        let pod = |spec: Value, scc: Option<&str>| {
            let annotations = scc.map_or(json!({}), |scc| json!({VALIDATED_SCC: scc}));
            json!({"metadata": {"name": "web", "namespace": "shop", "annotations": annotations,
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "controller": true}]}, "spec": spec})
        };
        let bare = || json!({"serviceAccountName": "default", "containers": [{"name": "a"}]});
        let change = |pod: &Value| of_pod(&policy, &[], pod).unwrap().change;
        let Change::Moves { from, to, fields } = change(&pod(bare(), None)) else { panic!("it is changed") };
        assert_eq!((from, to.as_str()), (None, "restricted-v2"));
        assert!(fields.iter().any(|field| field.contains("securityContext")), "{fields:?}");

        // SCC has completed it already.
        let json = pod(bare(), None).to_string();
        let parsed: palisade_k8s::Pod<'_> = serde_json::from_str(&json).unwrap();
        let request = PodRequest {
            namespace: "shop",
            user: "",
            groups: &["system:authenticated"],
            scopes: Scopes::default(),
            pod: &parsed,
            mutation: Mutation::Allowed,
        };
        let Decision::Admitted(admission) = evaluate(&policy, &request) else { panic!("it is admitted") };
        let mut made = pod(bare(), None);
        admission.edits(&parsed).apply(&mut made).unwrap();
        assert_eq!(change(&made), Change::Same("restricted-v2".to_owned()));

        let mut host = bare();
        host["hostNetwork"] = true.into();
        assert!(matches!(change(&pod(host, None)), Change::Refused(_)));
        let mut done = pod(bare(), None);
        done["status"] = json!({"phase": "Succeeded"});
        assert_eq!(of_pod(&policy, &[], &done), None);
        let mut system = pod(bare(), None);
        system["metadata"]["namespace"] = "kube-system".into();
        assert!(!change(&system).is_change());
    }
}
