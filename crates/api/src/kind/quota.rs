//! Quotas: usage by objects, and whether it is within the limits.
//!
//! The rules are those of `k8s.io/kubernetes/pkg/quota/v1/evaluator/core` and of the admission plugin `resourcequota`.

use std::collections::BTreeSet;

use palisade_k8s::{FieldError, FieldPath, metadata, put, quantity};
use serde_json::{Value, json};

use super::{Counted, Resource, text};
use crate::amount::{self, Amount, Amounts, List};

/// Resources of pods that a quota may name without `requests.`.
const NATIVE: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
/// Of these, the resources that every container must specify if a quota counts them.
const REQUIRED: [&str; 6] =
    ["cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory"];
const STORAGE_CLASS: &str = ".storageclass.storage.k8s.io/";
/// Names without a domain that count objects.
const OBJECTS: [&str; 9] = [
    "pods",
    "services",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];
const SCOPES: [&str; 7] = [
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
];

/// The names that a quota limits.
fn hard(quota: &Value) -> impl Iterator<Item = (&String, &Value)> {
    quota.pointer("/spec/hard").and_then(Value::as_object).into_iter().flatten()
}

/// Whether objects of a resource count against a name of a quota.
#[must_use]
pub fn counts(resource: &Resource, name: &str) -> bool {
    if name.strip_prefix("count/") == Some(resource.qualified().as_str()) {
        return true;
    }
    match resource.counted {
        Counted::Plainly => false,
        Counted::ByName => name == resource.plural(),
        Counted::Services => matches!(name, "services" | "services.nodeports" | "services.loadbalancers"),
        Counted::Claims => {
            let of = name.rsplit_once(STORAGE_CLASS).map_or(name, |(_, of)| of);
            matches!(of, "persistentvolumeclaims" | "requests.storage")
        }
        Counted::Pods => {
            let of = name.strip_prefix("requests.").or_else(|| name.strip_prefix("limits.")).unwrap_or(name);
            let is_extended = name.starts_with("requests.") && of.contains('/');
            name == "pods" || NATIVE.contains(&of) || of.starts_with("hugepages-") || is_extended
        }
    }
}

/// The usage of an object.
#[must_use]
pub fn usage(resource: &Resource, object: &Value) -> Amounts {
    let one = Amount::of(1);
    let mut used = Amounts::from([(format!("count/{}", resource.qualified()), one)]);
    match resource.counted {
        Counted::Plainly => {}
        Counted::ByName => drop(used.insert(resource.plural().to_owned(), one)),
        Counted::Services => add_service(&mut used, object),
        Counted::Claims => add_claim(&mut used, object),
        Counted::Pods => add_pod(&mut used, object),
    }
    used
}

fn add_service(used: &mut Amounts, service: &Value) {
    let ports = service.pointer("/spec/ports").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let kind = text(service, "/spec/type");
    let is_balanced = kind == "LoadBalancer";
    let gives_none = service.pointer("/spec/allocateLoadBalancerNodePorts") == Some(&Value::Bool(false));
    let own = || ports.iter().filter(|port| port.get("nodePort").is_some_and(|port| *port != 0)).count();
    let node_ports = match kind {
        "LoadBalancer" if gives_none => own(),
        "LoadBalancer" | "NodePort" => ports.len(),
        _ => 0,
    };
    used.insert("services".to_owned(), Amount::of(1));
    used.insert("services.nodeports".to_owned(), Amount::of(node_ports));
    used.insert("services.loadbalancers".to_owned(), Amount::of(usize::from(is_balanced)));
}

fn add_claim(used: &mut Amounts, claim: &Value) {
    let storage = claim.pointer("/spec/resources/requests/storage").map(Amount::read);
    let class = text(claim, "/spec/storageClassName");
    let prefixes = [Some(String::new()), (!class.is_empty()).then(|| format!("{class}{STORAGE_CLASS}"))];
    for prefix in prefixes.into_iter().flatten() {
        used.insert(format!("{prefix}persistentvolumeclaims"), Amount::of(1));
        if let Some(storage) = storage {
            used.insert(format!("{prefix}requests.storage"), storage);
        }
    }
}

/// A pod that has ended uses only `count/pods`.
fn add_pod(used: &mut Amounts, pod: &Value) {
    if matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") {
        return;
    }
    used.insert("pods".to_owned(), Amount::of(1));
    add_computing(used, &amount::of_pod(pod, List::Requests), &amount::of_pod(pod, List::Limits));
}

fn add_computing(used: &mut Amounts, requests: &Amounts, limits: &Amounts) {
    for (name, request) in requests {
        if NATIVE.contains(&name.as_str()) || name.starts_with("hugepages-") {
            used.insert(name.clone(), *request);
        }
        used.insert(format!("requests.{name}"), *request);
    }
    for (name, limit) in limits.iter().filter(|(name, _)| NATIVE.contains(&name.as_str())) {
        used.insert(format!("limits.{name}"), *limit);
    }
}

/// Whether a quota counts an object: it limits a name of the object's resource, and all of its scopes match.
#[must_use]
pub fn matches(quota: &Value, resource: &Resource, object: &Value) -> bool {
    bounds(quota, resource) && covers(quota, resource, object)
}

/// Whether a quota limits a name of a resource.
#[must_use]
pub fn bounds(quota: &Value, resource: &Resource) -> bool {
    hard(quota).any(|(name, _)| counts(resource, name))
}

/// Whether all scopes of a quota match an object.
#[must_use]
pub fn covers(quota: &Value, resource: &Resource, object: &Value) -> bool {
    scopes(quota).all(|scope| scope.fits(resource, object))
}

/// A scope of a quota.
struct Scope<'q> {
    name: &'q str,
    operator: &'q str,
    values: &'q [Value],
}

fn scopes(quota: &Value) -> impl Iterator<Item = Scope<'_>> {
    let list = |pointer: &str| quota.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    let plain = list("/spec/scopes")
        .filter_map(|name| Some(Scope { name: name.as_str()?, operator: "Exists", values: &[] }));
    let selected = list("/spec/scopeSelector/matchExpressions").map(|term| Scope {
        name: text(term, "/scopeName"),
        operator: text(term, "/operator"),
        values: term.get("values").and_then(Value::as_array).map_or(&[], Vec::as_slice),
    });
    plain.chain(selected)
}

impl Scope<'_> {
    fn fits(&self, resource: &Resource, object: &Value) -> bool {
        if resource.counted != Counted::Pods {
            return false;
        }
        let deadline = object.pointer("/spec/activeDeadlineSeconds").and_then(Value::as_i64);
        let is_terminating = deadline.is_some_and(|deadline| deadline >= 0);
        let is_best_effort = text(object, "/status/qosClass") == "BestEffort";
        match self.name {
            "Terminating" => is_terminating,
            "NotTerminating" => !is_terminating,
            "BestEffort" => is_best_effort,
            "NotBestEffort" => !is_best_effort,
            "PriorityClass" => self.fits_class(text(object, "/spec/priorityClassName")),
            "CrossNamespacePodAffinity" => is_attracted_elsewhere(object),
            _ => false,
        }
    }

    fn fits_class(&self, class: &str) -> bool {
        let is_listed = || self.values.iter().any(|value| value == class);
        match self.operator {
            "In" => is_listed(),
            "NotIn" => !is_listed(),
            "DoesNotExist" => class.is_empty(),
            _ => !class.is_empty(),
        }
    }
}

fn is_attracted_elsewhere(pod: &Value) -> bool {
    let kinds = ["podAffinity", "podAntiAffinity"];
    let lists = kinds.into_iter().flat_map(|kind| {
        let list = |name: &str| {
            let all = pod.pointer(&format!("/spec/affinity/{kind}/{name}")).and_then(Value::as_array);
            all.into_iter().flatten()
        };
        let required = list("requiredDuringSchedulingIgnoredDuringExecution");
        let preferred = list("preferredDuringSchedulingIgnoredDuringExecution");
        required.chain(preferred.filter_map(|term| term.get("podAffinityTerm")))
    });
    let names =
        |term: &Value| term.get("namespaces").and_then(Value::as_array).is_some_and(|all| !all.is_empty());
    lists
        .into_iter()
        .any(|term| names(term) || term.get("namespaceSelector").is_some_and(|some| !some.is_null()))
}

/// Resources that a quota counts and a pod does not specify.
#[must_use]
pub fn unsaid(quota: &Value, resource: &Resource, pod: &Value) -> Option<String> {
    if resource.counted != Counted::Pods
        || pod.pointer("/spec/resources").is_some_and(|own| *own != json!({}))
    {
        return None;
    }
    let mut missing = Vec::new();
    for name in REQUIRED.into_iter().filter(|name| hard(quota).any(|(hard, _)| hard == name)) {
        let list = if name.starts_with("limits.") { List::Limits } else { List::Requests };
        let of = name.rsplit('.').next().unwrap_or(name);
        let mut silent = BTreeSet::new();
        for containers in ["containers", "initContainers"] {
            let all = pod.pointer(&format!("/spec/{containers}")).and_then(Value::as_array);
            let without = all
                .into_iter()
                .flatten()
                .filter(|one| list.of(one).is_none_or(|list| list.get(of).is_none()));
            silent.extend(without.map(|container| text(container, "/name")));
        }
        if !silent.is_empty() {
            missing.push(format!("{name} for: {}", silent.into_iter().collect::<Vec<_>>().join(",")));
        }
    }
    (!missing.is_empty()).then(|| format!("must specify {}", missing.join("; ")))
}

/// The usage that exceeds a quota, in Kubernetes' words.
#[must_use]
pub fn exceeded(quota: &Value, further: &Amounts) -> Option<String> {
    let used = amount::read(quota.pointer("/status/used"));
    let (mut requested, mut have, mut limited) = (Vec::new(), Vec::new(), Vec::new());
    let bounds = amount::read(quota.pointer("/spec/hard"));
    for (name, most) in &bounds {
        let Some(more) = further.get(name).filter(|more| !more.is_zero()) else { continue };
        let now = used.get(name).copied().unwrap_or_default();
        if now.plus(*more).billionths() > most.billionths() {
            requested.push(format!("{name}={more}"));
            have.push(format!("{name}={now}"));
            limited.push(format!("{name}={most}"));
        }
    }
    let [requested, have, limited] = [requested, have, limited].map(|list| list.join(","));
    let name = text(quota, "/metadata/name");
    (!requested.is_empty())
        .then(|| format!("exceeded quota: {name}, requested: {requested}, used: {have}, limited: {limited}"))
}

/// The status of a quota with this usage.
#[must_use]
pub fn status(quota: &Value, used: &Amounts) -> Value {
    let mut status =
        json!({"hard": quota.pointer("/spec/hard").cloned().unwrap_or_else(|| json!({})), "used": {}});
    for (name, _) in hard(quota) {
        let amount = used.get(name).copied().unwrap_or_default();
        put(&mut status, &["used", name], amount.to_string().into());
    }
    status
}

/// Whether the status of a quota has its present limits.
#[must_use]
pub fn is_counted(quota: &Value) -> bool {
    let used = quota.pointer("/status/used");
    quota.pointer("/status/hard") == quota.pointer("/spec/hard")
        && hard(quota).all(|(name, _)| used.is_some_and(|used| used.get(name).is_some()))
}

/// Validates a quota.
pub(crate) fn validate(quota: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (name, amount) in hard(quota) {
        let path = || FieldPath::of("spec.hard").key(name.clone());
        if !is_name(name) {
            errors.push(FieldError::invalid(path(), name.clone(), "must be a standard resource for quota"));
        }
        let billionths =
            quantity::billionths(&amount.as_str().map_or_else(|| amount.to_string(), str::to_owned));
        if billionths.is_some_and(|amount| amount < 0) {
            errors.push(FieldError::invalid(path(), amount.clone(), "must be greater than or equal to 0"));
        }
        if is_whole(name) && billionths.is_some_and(|amount| amount % 1_000_000_000 != 0) {
            errors.push(FieldError::invalid(path(), amount.clone(), "must be an integer"));
        }
    }
    let all = quota.pointer("/spec/scopes").and_then(Value::as_array);
    let mut seen = BTreeSet::new();
    for scope in all.into_iter().flatten().map(|scope| scope.as_str().unwrap_or_default()) {
        let refuse = |why| FieldError::invalid(FieldPath::of("spec.scopes"), scope, why);
        if !SCOPES.contains(&scope) {
            errors.push(refuse("unsupported scope"));
        }
        if SCOPES.contains(&scope) && !fits_names(quota, scope) {
            errors.push(refuse("unsupported scope applied to resource"));
        }
        let counterpart = scope.strip_prefix("Not").map_or_else(|| format!("Not{scope}"), str::to_owned);
        if seen.contains(counterpart.as_str()) {
            errors.push(refuse("conflicting scopes"));
        }
        seen.insert(scope);
    }
    errors.extend(check_terms(quota));
    errors.extend(super::immutable(quota, old, &["spec.scopes"]));
    errors
}

/// Whether a scope is for all that a quota bounds (`IsResourceQuotaScopeValidForResource`); what is counted as `count/NAME`, and what
/// Kubernetes does not know, fits any.
fn fits_names(quota: &Value, scope: &str) -> bool {
    const COMPUTE: [&str; 6] =
        ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
    const OTHERS: [&str; 9] = [
        "configmaps",
        "ephemeral-storage",
        "limits.ephemeral-storage",
        "replicationcontrollers",
        "requests.ephemeral-storage",
        "resourcequotas",
        "secrets",
        "services.loadbalancers",
        "services.nodeports",
    ];
    const CLAIMS: [&str; 2] = ["persistentvolumeclaims", "requests.storage"];
    let names = quota.pointer("/spec/hard").and_then(Value::as_object);
    names.into_iter().flatten().all(|(name, _)| {
        let name = name.as_str();
        let is_known = COMPUTE.contains(&name)
            || OTHERS.contains(&name)
            || CLAIMS.contains(&name)
            || matches!(name, "pods" | "services")
            || name.strip_prefix("requests.").unwrap_or(name).starts_with("hugepages-");
        !is_known
            || match scope {
                "BestEffort" => name == "pods",
                "VolumeAttributesClass" => CLAIMS.contains(&name),
                _ => name == "pods" || COMPUTE.contains(&name),
            }
    })
}

fn check_terms(quota: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let terms = quota.pointer("/spec/scopeSelector/matchExpressions").and_then(Value::as_array);
    for (at, term) in terms.into_iter().flatten().enumerate() {
        let path = |field| FieldPath::of("spec.scopeSelector.matchExpressions").index(at).field(field);
        let (scope, operator) = (text(term, "/scopeName"), text(term, "/operator"));
        let has_values = term.get("values").and_then(Value::as_array).is_some_and(|all| !all.is_empty());
        if !SCOPES.contains(&scope) {
            errors.push(FieldError::invalid(path("scopeName"), scope, "unsupported scope"));
        } else if !fits_names(quota, scope) {
            let path = FieldPath::of("spec.scopeSelector.matchExpressions");
            errors.push(FieldError::invalid(path, scope, "unsupported scope applied to resource"));
        }
        let is_of_class = matches!(scope, "PriorityClass" | "VolumeAttributesClass");
        match operator {
            "In" | "NotIn" if !is_of_class => {
                errors.push(FieldError::invalid(
                    path("operator"),
                    operator,
                    "must be 'Exist' for this scope",
                ));
            }
            "In" | "NotIn" if !has_values => {
                errors.push(FieldError::required(
                    path("values"),
                    "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
                ));
            }
            "Exists" | "DoesNotExist" if has_values => {
                errors.push(FieldError::invalid(
                    path("values"),
                    json!(term.get("values")),
                    "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
                ));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => {
                errors.push(FieldError::invalid(path("operator"), operator, "not a valid selector operator"))
            }
        }
    }
    errors
}

/// Whether a quota may limit a resource of this name.
fn is_name(name: &str) -> bool {
    let of = name.strip_prefix("requests.").or_else(|| name.strip_prefix("limits.")).unwrap_or(name);
    let is_known = OBJECTS.contains(&name) || name == "requests.storage" || NATIVE.contains(&of);
    is_known
        || of.starts_with("hugepages-")
        || name.contains('/') && metadata::qualified_name(name).is_empty()
}

fn is_whole(name: &str) -> bool {
    OBJECTS.contains(&name) || name.starts_with("count/")
}

#[cfg(test)]
mod tests {
    use super::super as kind;
    use super::*;

    fn of(group: &str, plural: &str) -> &'static Resource {
        kind::find(group, plural).unwrap()
    }

    fn quota(hard: Value, more: Value) -> Value {
        let mut quota = json!({"metadata": {"name": "q"}, "spec": {"hard": hard}});
        for (field, value) in more.as_object().unwrap() {
            quota["spec"][field] = value.clone();
        }
        quota
    }

    fn pod(requests: Value) -> Value {
        json!({"spec": {"containers": [{"name": "c", "resources": {"requests": requests}}]}})
    }

    #[test]
    fn usage_counts_objects_and_their_requests() {
        let used = |resource: &Resource, object: Value| {
            let used = usage(resource, &object);
            assert!(used.keys().all(|name| counts(resource, name)), "{used:?}");
            used.into_iter().map(|(name, amount)| format!("{name}={amount}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            used(of("", "pods"), pod(json!({"cpu": "100m", "memory": "64Mi", "example.com/gpu": "2"}))),
            "count/pods=1 cpu=100m memory=64Mi pods=1 requests.cpu=100m requests.example.com/gpu=2 requests.memory=64Mi"
        );
        let mut over = pod(json!({"cpu": "1"}));
        over["status"] = json!({"phase": "Succeeded"});
        assert_eq!(used(of("", "pods"), over), "count/pods=1");
        assert_eq!(used(of("apps", "deployments"), json!({})), "count/deployments.apps=1");
        assert_eq!(used(of("", "secrets"), json!({})), "count/secrets=1 secrets=1");
        assert_eq!(
            used(of("", "services"), json!({"spec": {"type": "LoadBalancer", "ports": [{}, {}]}})),
            "count/services=1 services=1 services.loadbalancers=1 services.nodeports=2"
        );
        let claim =
            json!({"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "5Gi"}}}});
        assert_eq!(
            used(of("", "persistentvolumeclaims"), claim),
            "count/persistentvolumeclaims=1 fast.storageclass.storage.k8s.io/persistentvolumeclaims=1 \
             fast.storageclass.storage.k8s.io/requests.storage=5Gi persistentvolumeclaims=1 requests.storage=5Gi"
        );
    }

    #[test]
    fn scopes_say_which_pods_a_quota_counts() {
        let pods = of("", "pods");
        let term = |operator: &str, values: &[&str]| json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": operator, "values": values}]}});
        let mut critical = pod(json!({}));
        critical["spec"]["priorityClassName"] = "system-cluster-critical".into();
        let mut late = pod(json!({}));
        late["spec"]["activeDeadlineSeconds"] = 5.into();
        let mut near = pod(json!({}));
        near["spec"]["affinity"] = json!({"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 1, "podAffinityTerm": {"namespaces": ["other"]}}]}});
        let cases = [
            (json!({}), &late, true),
            (json!({"scopes": ["Terminating"]}), &late, true),
            (json!({"scopes": ["NotTerminating"]}), &late, false),
            (json!({"scopes": ["PriorityClass"]}), &critical, true),
            (json!({"scopes": ["PriorityClass"]}), &late, false),
            (term("In", &["system-cluster-critical"]), &critical, true),
            (term("In", &["other"]), &critical, false),
            (term("NotIn", &["other"]), &late, true),
            (term("DoesNotExist", &[]), &critical, false),
            (json!({"scopes": ["CrossNamespacePodAffinity"]}), &near, true),
            (json!({"scopes": ["CrossNamespacePodAffinity"]}), &late, false),
        ];
        for (more, pod, expected) in cases {
            assert_eq!(matches(&quota(json!({"pods": "1"}), more.clone()), pods, pod), expected, "{more}");
        }
        assert!(!matches(&quota(json!({"secrets": "1"}), json!({})), pods, &late));
        assert!(!matches(
            &quota(json!({"secrets": "1"}), json!({"scopes": ["PriorityClass"]})),
            of("", "secrets"),
            &late
        ));
    }

    #[test]
    fn exceeded_quotas_are_worded_as_in_kubernetes() {
        let mut quota = quota(json!({"pods": "2", "requests.memory": "1Gi", "limits.cpu": "1"}), json!({}));
        let one = pod(json!({"memory": "768Mi"}));
        assert_eq!(unsaid(&quota, of("", "pods"), &one).unwrap(), "must specify limits.cpu for: c");
        assert!(!is_counted(&quota));
        let used = usage(of("", "pods"), &one);
        assert_eq!(exceeded(&quota, &used), None);
        quota["status"] = status(&quota, &used);
        assert!(is_counted(&quota));
        assert_eq!(
            quota["status"]["used"],
            json!({"pods": "1", "requests.memory": "768Mi", "limits.cpu": "0"})
        );
        assert_eq!(
            exceeded(&quota, &used).unwrap(),
            "exceeded quota: q, requested: requests.memory=768Mi, used: requests.memory=768Mi, limited: requests.memory=1Gi"
        );
    }

    #[test]
    fn quotas_of_nothing_known_are_refused() {
        let errors = |quota: Value| -> Vec<String> {
            validate(&quota, None).iter().map(|error| error.path.to_string()).collect()
        };
        assert_eq!(
            errors(quota(
                json!({"pods": "1", "count/jobs.batch": "2", "requests.cpu": "1500m", "limits.hugepages-2Mi": "1",
            "a.storageclass.storage.k8s.io/requests.storage": "1Gi"}),
                json!({})
            )),
            Vec::<String>::new()
        );
        for (name, scope, is_fine) in [
            ("pods", "BestEffort", true),
            ("requests.cpu", "BestEffort", false),
            ("requests.cpu", "NotTerminating", true),
            ("secrets", "PriorityClass", false),
            ("hugepages-2Mi", "NotBestEffort", false),
            ("persistentvolumeclaims", "VolumeAttributesClass", true),
            ("count/jobs.batch", "Terminating", true),
        ] {
            let of = |more: Value| errors(quota(json!({name: "1"}), more));
            assert_eq!(of(json!({"scopes": [scope]})).is_empty(), is_fine, "{name} {scope}");
            let term = json!([{"scopeName": scope, "operator": "Exists"}]);
            let by_term = of(json!({"scopeSelector": {"matchExpressions": term}}));
            assert_eq!(by_term.is_empty(), is_fine, "{name} {scope}: {by_term:?}");
        }
        assert_eq!(errors(quota(json!({"cars": "1"}), json!({}))), ["spec.hard[cars]"]);
        assert_eq!(errors(quota(json!({"pods": "-1"}), json!({}))), ["spec.hard[pods]"]);
        assert_eq!(errors(quota(json!({"pods": "1500m"}), json!({}))), ["spec.hard[pods]"]);
        assert_eq!(
            errors(quota(json!({}), json!({"scopes": ["BestEffort", "NotBestEffort"]}))),
            ["spec.scopes"]
        );
        let term = json!({"scopeSelector": {"matchExpressions": [{"scopeName": "BestEffort", "operator": "In", "values": ["a"]}]}});
        assert_eq!(errors(quota(json!({}), term)), ["spec.scopeSelector.matchExpressions[0].operator"]);
    }
}
