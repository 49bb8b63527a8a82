//! Access reviews: whether a user may do something, and which users may.

use std::collections::{BTreeSet, HashSet};

use palisade_api::weight;
use palisade_k8s::rbac::PolicyRule;
use palisade_k8s::{FieldError, FieldPath, put};
use palisade_rbac::{Action, Holder, User};
use serde_json::{Value, json};

use super::strings;
use crate::authorize::{allowed, allowed_path};
use crate::call::{Answer, Call};
use crate::error::{ApiError, ApiResult};
use crate::identity::Identity;
use crate::limits;
use crate::node;
use crate::request::Target;
use crate::resource::{self, text};

/// Groups and resources as rules name them: SCCs have two groups, and people use the short name.
fn ruled<'t>(group: &'t str, resource: &'t str) -> (&'t str, &'t str) {
    let scc = palisade_k8s::scc::RESOURCE;
    match (group, resource) {
        ("" | palisade_k8s::scc::GROUP, "scc") => (palisade_k8s::scc::GROUP, scc),
        ("", name) if name == scc => (palisade_k8s::scc::GROUP, scc),
        other => other,
    }
}

/// Decides on the attributes of a review's spec.
fn decide(call: &Call<'_>, identity: &Identity, spec: &Value) -> ApiResult<Value> {
    let why = match (spec.get("resourceAttributes"), spec.get("nonResourceAttributes")) {
        (Some(attributes), None) => {
            let (group, name) = ruled(text(attributes, "/group"), text(attributes, "/resource"));
            let resource = match text(attributes, "/subresource") {
                "" => name.to_owned(),
                sub => format!("{name}/{sub}"),
            };
            let action = Action {
                verb: text(attributes, "/verb"),
                group,
                resource: &resource,
                namespace: text(attributes, "/namespace"),
                name: text(attributes, "/name"),
            };
            allowed(&call.api.policy, identity, &action)
        }
        (None, Some(attributes)) => {
            let (verb, path) = (text(attributes, "/verb"), text(attributes, "/path"));
            allowed_path(&call.api.policy, identity, verb, path).then(String::new)
        }
        (both, _) => {
            let path = if both.is_some() { "spec.nonResourceAttributes" } else { "spec.resourceAttributes" };
            let why = "exactly one of resourceAttributes and nonResourceAttributes must be specified";
            return Err(invalid(call, path, why));
        }
    };
    let mut status = json!({"allowed": why.is_some()});
    if let Some(why) = why.filter(|why| !why.is_empty()) {
        put(&mut status, &["reason"], why.into());
    }
    Ok(status)
}

fn invalid(call: &Call<'_>, path: &'static str, why: &'static str) -> Box<ApiError> {
    let error = FieldError::invalid(FieldPath::of(path), Value::Null, why);
    ApiError::invalid(&call.target.resource, "", &[error])
}

fn named(user: &str, groups: Vec<String>) -> Identity {
    Identity { name: user.to_owned(), uid: String::new(), groups, extra: Vec::new() }
}

pub(super) fn own(call: &Call<'_>, mut review: Value) -> ApiResult<Answer> {
    let spec = review.get("spec").cloned().unwrap_or_default();
    let status = match by_node(call, &spec)? {
        Some(why) => json!({"allowed": true, "reason": why}),
        None => decide(call, call.identity, &spec)?,
    };
    put(&mut review, &["status"], status);
    Ok(Answer::created(review))
}

/// The decision on a node's agent, which is authorized without a role.
fn by_node(call: &Call<'_>, spec: &Value) -> ApiResult<Option<&'static str>> {
    let (node, attributes) = (node::of(call.identity), spec.get("resourceAttributes"));
    let Some((name, attributes)) = node.zip(attributes) else { return Ok(None) };
    let Some(resource) = resource::find(text(attributes, "/group"), text(attributes, "/resource")) else {
        return Ok(None);
    };
    let part = text(attributes, "/subresource");
    let subresource = resource.subresource(part);
    if subresource.is_none() && !part.is_empty() {
        return Ok(None);
    }
    let target = Target {
        resource: resource.clone(),
        namespace: text(attributes, "/namespace").to_owned(),
        name: text(attributes, "/name").to_owned(),
        subresource,
    };
    node::authorize((&call.api.store, &call.api.placed), name, text(attributes, "/verb"), &target, None)
}

pub(super) fn subject(call: &Call<'_>, mut review: Value) -> ApiResult<Answer> {
    let mut spec = review.get("spec").cloned().unwrap_or_default();
    let namespace = call.target.namespace.as_str();
    if !namespace.is_empty() {
        let asked = text(&spec, "/resourceAttributes/namespace");
        if spec.get("resourceAttributes").is_none() || !matches!(asked, "") && asked != namespace {
            let path = "spec.resourceAttributes.namespace";
            return Err(invalid(call, path, "must be the namespace of the request"));
        }
        put(&mut spec, &["resourceAttributes", "namespace"], namespace.into());
    }
    let (user, groups) = (text(&spec, "/user"), strings(spec.get("groups")));
    if user.is_empty() && groups.is_empty() {
        return Err(invalid(call, "spec.user", "a user or a group must be specified"));
    }
    put(&mut review, &["status"], decide(call, &named(user, groups), &spec)?);
    Ok(Answer::created(review))
}

pub(super) fn rules(call: &Call<'_>, mut review: Value) -> ApiResult<Answer> {
    let namespace = text(&review, "/spec/namespace").to_owned();
    if namespace.is_empty() {
        return Err(ApiError::bad_request("no namespace on request"));
    }
    let groups = call.identity.groups();
    let user = User { name: &call.identity.name, groups: &groups };
    let policy = call.api.policy.snapshot();
    let rbac = policy.rbac();
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    if call.identity.is_master() {
        resources.push(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
        paths.push(json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
    }
    let (mut seen, mut room, mut is_whole) = (HashSet::new(), limits::RULES, true);
    for rule in rbac.rules(&user, &namespace).filter(|rule| seen.insert(*rule)) {
        let said = shown(rule);
        let Some(left) = room.checked_sub(weight::of(&said)) else {
            is_whole = false;
            break;
        };
        room = left;
        if rule.non_resource_urls.is_empty() { resources.push(said) } else { paths.push(said) }
    }
    let mut status = json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": !is_whole});
    if !is_whole {
        let why = format!("the first rules only: more than {} KiB of them", limits::RULES >> 10);
        put(&mut status, &["evaluationError"], why.into());
    }
    put(&mut review, &["status"], status);
    Ok(Answer::created(review))
}

/// A rule as a review lists it.
fn shown(rule: &PolicyRule) -> Value {
    if !rule.non_resource_urls.is_empty() {
        return json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls});
    }
    let mut shown = json!({"verbs": rule.verbs, "apiGroups": rule.api_groups, "resources": rule.resources});
    if !rule.resource_names.is_empty() {
        put(&mut shown, &["resourceNames"], json!(rule.resource_names));
    }
    shown
}

/// OpenShift's review, whose attributes are in one flat object.
pub(super) fn openshift(call: &Call<'_>, review: &Value) -> ApiResult<Answer> {
    let namespace = match call.target.namespace.as_str() {
        "" => text(review, "/namespace"),
        namespace => namespace,
    };
    let (user, groups) = (text(review, "/user"), strings(review.get("groups")));
    let is_own = user.is_empty() && groups.is_empty();
    let other = named(user, groups);
    let identity = if is_own { call.identity } else { &other };
    let spec = if review.get("isNonResourceURL") == Some(&Value::Bool(true)) {
        json!({"nonResourceAttributes": {"verb": text(review, "/verb"), "path": text(review, "/path")}})
    } else {
        json!({"resourceAttributes": {
            "verb": text(review, "/verb"), "group": text(review, "/resourceAPIGroup"),
            "resource": text(review, "/resource"), "name": text(review, "/resourceName"), "namespace": namespace,
        }})
    };
    let decided = decide(call, identity, &spec)?;
    Ok(Answer::created(json!({
        "kind": "SubjectAccessReviewResponse", "apiVersion": call.target.resource.api_version(),
        "namespace": namespace, "allowed": decided.get("allowed"),
        "reason": decided.get("reason").cloned().unwrap_or_else(|| "".into()), "evaluationError": "",
    })))
}

/// Answers a ResourceAccessReview. SCCs also grant their use by their own lists of users and groups.
pub(super) fn who_can(call: &Call<'_>, review: &Value) -> ApiResult<Answer> {
    let namespace = match call.target.namespace.as_str() {
        "" => text(review, "/namespace"),
        namespace => namespace,
    };
    let (group, plural) = ruled(text(review, "/resourceAPIGroup"), text(review, "/resource"));
    let (verb, name) = (text(review, "/verb"), text(review, "/resourceName"));
    let mut users = BTreeSet::new();
    let mut groups = BTreeSet::from([crate::identity::MASTERS.to_owned()]);
    let policy = call.api.policy.snapshot();
    let rbac = policy.rbac();
    for grant in rbac.grants(verb, group, plural) {
        let is_here = grant.namespace.is_none_or(|granted| granted == namespace);
        if is_here && grant.names.contains(name) {
            match grant.holder {
                Holder::User(user) => users.insert(user.to_owned()),
                Holder::Group(group) => groups.insert(group.to_owned()),
            };
        }
    }
    if (verb, plural) == ("use", palisade_k8s::scc::RESOURCE) && !name.is_empty() {
        let resource = resource::find(palisade_k8s::scc::GROUP, plural).ok_or_else(ApiError::no_such_path)?;
        if let Ok(scc) = crate::objects::get(&call.api.store, resource, "", name) {
            users.extend(strings(scc.object.get("users")));
            groups.extend(strings(scc.object.get("groups")));
        }
    }
    Ok(Answer::created(json!({
        "kind": "ResourceAccessReviewResponse", "apiVersion": call.target.resource.api_version(),
        "namespace": namespace, "users": users, "groups": groups, "evalutionError": "",
    })))
}
