//! Pods: binding to a node, eviction, and the pod security policy reviews of OpenShift.

use std::collections::HashSet;

use palisade_admission::{Decision, PodRequest, Scopes, evaluate, refusal_message};
use palisade_api::weight;
use palisade_controllers::budget;
use palisade_k8s::{FieldError, FieldPath, Pod, metadata, put};
use palisade_scc::Mutation;
use serde::Deserialize;
use serde_json::{Value, json};

use super::strings;
use crate::authenticate::service_account;
use crate::call::{Answer, Call};
use crate::error::{ApiError, ApiResult};
use crate::failure;
use crate::identity::Identity;
use crate::limits;
use crate::objects;
use crate::request::Target;
use crate::resource::{self, text};
use crate::verb;

/// Binds a pod to a node.
pub(crate) fn bind(call: &Call<'_>, name: &str, binding: &Value) -> ApiResult<Answer> {
    let node = text(binding, "/target/name");
    let pods = &resource::PODS;
    let kind = text(binding, "/target/kind");
    let wrong = match (kind, node) {
        ("" | "Node", "") => Some(FieldError::required(FieldPath::of("target.name"), "")),
        ("" | "Node", _) => None,
        (kind, _) => Some(FieldError::not_supported(FieldPath::of("target.kind"), kind, &["Node"])),
    };
    if let Some(error) = wrong {
        return Err(ApiError::invalid(&call.target.resource, name, &[error]));
    }
    let target = Target {
        resource: pods.clone(),
        namespace: call.target.namespace.clone(),
        name: name.to_owned(),
        subresource: pods.subresource("binding"),
    };
    verb::revise(&call.at(&target), |old| {
        let current = text(old, "/spec/nodeName");
        if !current.is_empty() {
            return Err(ApiError::conflict(
                pods,
                name,
                format!("pod {name} is already assigned to node {current:?}"),
            ));
        }
        crate::admit::check_system(call, old, node)?;
        let mut new = old.clone();
        put(&mut new, &["spec", "nodeName"], node.into());
        let scheduled =
            json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": crate::time::now()});
        match new.pointer_mut("/status/conditions").and_then(Value::as_array_mut) {
            Some(conditions) => {
                conditions.retain(|condition| text(condition, "/type") != "PodScheduled");
                conditions.push(scheduled);
            }
            None => put(&mut new, &["status", "conditions"], json!([scheduled])),
        }
        Ok(new)
    })?;
    Ok(Answer::created(
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
    ))
}

/// Evicts a pod, unless a disruption budget forbids it.
pub(crate) fn evict(call: &Call<'_>, eviction: &Value) -> ApiResult<Answer> {
    let (api, namespace) = (call.api, call.target.namespace.as_str());
    let found = objects::get(&api.store, &resource::PODS, namespace, &call.target.name)?;
    budget::check(&api.store, namespace, &found.object)?;
    // Of two concurrent evictions the second sees the result of the first. Webhooks have answered by then.
    let last = |pod: &Value| {
        let held = api.evictions.lock(namespace);
        budget::check(&api.store, namespace, pod).map(|()| Some(held))
    };
    let options = eviction.get("deleteOptions").cloned().unwrap_or_else(|| json!({}));
    let target = Target { subresource: None, ..call.target.clone() };
    verb::delete_if(&call.at(&target), options.to_string().as_bytes(), "application/json", &last)?;
    Ok(Answer::created(
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
    ))
}

/// The status of a review by the SCC decision on a pod, or the reason why there is none.
fn decide(call: &Call<'_>, identity: &Identity, pod: &Value) -> ApiResult<Result<(String, Value), String>> {
    let policy = call.api.policy.snapshot();
    let parsed = Pod::deserialize(pod).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let (groups, scopes) = (identity.groups(), identity.scopes());
    let request = PodRequest {
        namespace: &call.target.namespace,
        user: &identity.name,
        groups: &groups,
        scopes: Scopes(&scopes),
        pod: &parsed,
        mutation: Mutation::Allowed,
    };
    Ok(match evaluate(&policy, &request) {
        Decision::Admitted(admission) => {
            let mut changed = pod.clone();
            admission
                .edits(&parsed)
                .apply(&mut changed)
                .map_err(|error| failure::internal("the changes of SCC cannot be made", &error))?;
            Ok((admission.scc.to_owned(), changed))
        }
        Decision::Exempt(why) => Err(format!("not subject to SCC: {why}")),
        Decision::Refused(refusal) => Err(refusal_message(&policy, &request, &refusal)),
    })
}

/// The pod that a template makes. Its annotations count, as they do for the pod itself.
fn pod_of(review: &Value, account: Option<&str>) -> ApiResult<Value> {
    let template = review.pointer("/spec/template").cloned().unwrap_or_default();
    let mut pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": template.get("metadata").cloned().unwrap_or_else(|| json!({})),
                         "spec": template.get("spec").cloned().unwrap_or_else(|| json!({}))});
    if let Some(account) = account {
        put(&mut pod, &["spec", "serviceAccountName"], account.into());
    }
    let pods = &resource::PODS;
    pods.prepare(&mut pod, None);
    let errors = pods.validate(&pod, None);
    if !errors.is_empty() {
        let kind = &resource::PODS;
        return Err(ApiError::invalid(kind, text(&pod, "/metadata/name"), &errors));
    }
    Ok(pod)
}

fn status(decided: Result<(String, Value), String>) -> Value {
    match decided {
        Ok((scc, pod)) => json!({
            "allowedBy": {"kind": palisade_k8s::scc::KIND, "name": scc,
                          "apiVersion": format!("{}/v1", palisade_k8s::scc::GROUP)},
            "template": {"metadata": pod.get("metadata").cloned().unwrap_or_default(),
                         "spec": pod.get("spec").cloned().unwrap_or_default()},
        }),
        Err(why) => json!({"reason": why, "template": {"metadata": {}, "spec": {"containers": null}}}),
    }
}

/// Refuses to disclose anything about a namespace that the requester cannot see, its existence included.
fn must_see(call: &Call<'_>, namespace: &str) -> ApiResult<()> {
    if verb::sees(&call.api.policy, call.identity, "namespaces", namespace) {
        return Ok(());
    }
    let why = format!("User {:?} cannot see the namespace {namespace:?}", call.identity.name);
    Err(ApiError::forbidden(&call.target.resource, "", why))
}

pub(super) fn review_self(call: &Call<'_>, mut review: Value) -> ApiResult<Answer> {
    must_see(call, &call.target.namespace)?;
    let pod = pod_of(&review, None)?;
    put(&mut review, &["status"], status(decide(call, call.identity, &pod)?));
    Ok(Answer::created(review))
}

pub(super) fn review_subject(call: &Call<'_>, mut review: Value) -> ApiResult<Answer> {
    let pod = pod_of(&review, None)?;
    let (user, groups) = (text(&review, "/spec/user"), strings(review.pointer("/spec/groups")));
    // A service account is reviewed by its user name, or as the template's account.
    let account = service_account(user);
    let of_group = groups.iter().filter_map(|group| group.strip_prefix("system:serviceaccounts:"));
    for namespace in account.iter().map(|(namespace, _)| *namespace).chain(of_group) {
        must_see(call, namespace)?;
    }
    let identity = match account.filter(|_| groups.is_empty()) {
        Some((namespace, name)) => Identity::service_account(namespace, name, ""),
        None => Identity { name: user.to_owned(), uid: String::new(), groups, extra: Vec::new() },
    };
    put(&mut review, &["status"], status(decide(call, &identity, &pod)?));
    Ok(Answer::created(review))
}

/// The account of the review's namespace that a name refers to: by its name, or by its user name.
fn account_here<'n>(call: &Call<'_>, name: &'n str) -> ApiResult<&'n str> {
    match service_account(name) {
        Some((namespace, account)) if namespace == call.target.namespace => Ok(account),
        None if metadata::is_subdomain(name) => Ok(name),
        _ => {
            let path = FieldPath::of("spec.serviceAccountNames");
            let error =
                FieldError::invalid(path, name, "must be the name of a service account of this namespace");
            Err(ApiError::invalid(&call.target.resource, "", &[error]))
        }
    }
}

/// Refuses a review of more accounts than the answer may have pods of a weight: each account is answered with one.
fn check_number(call: &Call<'_>, names: &[String], weight: usize) -> ApiResult<()> {
    let most = (limits::REVIEWED / weight.max(1)).max(1);
    if names.len() <= most {
        return Ok(());
    }
    let why = format!("has {} names: with a template of this size at most {most}", names.len());
    let error = FieldError::forbidden(FieldPath::of("spec.serviceAccountNames"), why);
    Err(ApiError::invalid(&call.target.resource, "", &[error]))
}

pub(super) fn review_accounts(call: &Call<'_>, mut review: Value) -> ApiResult<Answer> {
    let mut names = strings(review.pointer("/spec/serviceAccountNames"));
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    if names.is_empty() {
        names.push(match text(&review, "/spec/template/spec/serviceAccountName") {
            "" => "default".to_owned(),
            name => name.to_owned(),
        });
    }
    check_number(call, &names, weight::of(&pod_of(&review, None)?))?;
    let accounts = &resource::SERVICE_ACCOUNTS;
    let mut allowed = Vec::new();
    for name in names {
        let (namespace, account) = (call.target.namespace.as_str(), account_here(call, &name)?);
        let pod = pod_of(&review, Some(account))?;
        objects::get(&call.api.store, accounts, namespace, account)?;
        let identity = Identity::service_account(namespace, account, "");
        let decided = decide(call, &identity, &pod)?;
        if decided.is_ok() {
            let mut entry = status(decided);
            put(&mut entry, &["name"], account.into());
            allowed.push(entry);
        }
    }
    put(&mut review, &["status"], json!({"allowedServiceAccounts": allowed}));
    Ok(Answer::created(review))
}
