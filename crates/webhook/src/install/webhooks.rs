//! The two webhook configurations: the requests that the API server sends, the URL, and the failure policy.

use palisade_k8s::scc::{GROUP, RESOURCE};
use serde_json::{Value, json};

use super::{EXEMPT_LABEL, FailurePolicy, NAME, Reach, Settings, metadata};

/// Namespaces that SCC exempts by name (docs/differences.md); the webhooks are not called for them, so that a cluster
/// starts while no replica answers.
const EXEMPT: [&str; 7] = [
    "default",
    "kube-system",
    "kube-public",
    "kube-node-lease",
    "openshift",
    "openshift-infra",
    "openshift-node",
];

/// Mirror pods, which a kubelet runs already.
const NOT_MIRRORED: &str = "!('system:nodes' in request.userInfo.groups && object != null && has(object.metadata.annotations) && 'kubernetes.io/config.mirror' in object.metadata.annotations)";

/// One webhook of either configuration.
struct Webhook {
    name: &'static str,
    path: &'static str,
    rules: Value,
    /// The failure policy; that of [`Settings`] if it is `None`.
    failure_policy: Option<FailurePolicy>,
    side_effects: &'static str,
    timeout: u8,
    /// Whether namespaces are exempt by name and by label: not for cluster-scoped objects.
    namespaced: bool,
    conditions: &'static [(&'static str, &'static str)],
    reinvoke: bool,
}

const POD: Webhook = Webhook {
    name: "",
    path: "",
    rules: Value::Null,
    failure_policy: None,
    side_effects: "None",
    timeout: 3,
    namespaced: true,
    conditions: &[("not-mirrored", NOT_MIRRORED)],
    reinvoke: false,
};

fn rule(group: &str, version: &str, resources: &[&str], operations: &[&str]) -> Value {
    json!({
        "apiGroups": [group], "apiVersions": [version], "resources": resources, "operations": operations, "scope": "*",
    })
}

fn mutating() -> Vec<Webhook> {
    vec![
        Webhook {
            name: "pods.palisade.openshift.io",
            path: "/mutate/pods",
            rules: json!([
                rule("", "v1", &["pods"], &["CREATE"]),
                rule("", "v1", &["pods/ephemeralcontainers"], &["UPDATE"]),
            ]),
            // Mutating webhooks are called one after another: their latencies add up.
            timeout: 2,
            reinvoke: true,
            ..POD
        },
        Webhook {
            name: "sccs.palisade.openshift.io",
            path: "/mutate/sccs",
            rules: json!([rule(GROUP, "v1", &[RESOURCE], &["CREATE", "UPDATE"])]),
            timeout: 2,
            namespaced: false,
            conditions: &[],
            ..POD
        },
        Webhook {
            name: "namespaces.palisade.openshift.io",
            path: "/mutate/namespaces",
            rules: json!([rule("", "v1", &["namespaces"], &["CREATE"])]),
            // The controller gives ranges to any namespace without, so its creation need not wait for an answer.
            failure_policy: Some(FailurePolicy::Ignore),
            side_effects: "NoneOnDryRun",
            timeout: 2,
            namespaced: false,
            conditions: &[],
            ..POD
        },
    ]
}

fn validating() -> Vec<Webhook> {
    vec![
        Webhook {
            name: "pods.palisade.openshift.io",
            path: "/validate/pods",
            rules: json!([rule(
                "",
                "v1",
                &["pods", "pods/ephemeralcontainers", "pods/resize"],
                &["CREATE", "UPDATE"]
            ),]),
            ..POD
        },
        Webhook {
            name: "connect.palisade.openshift.io",
            path: "/validate/connect",
            rules: json!([rule("", "v1", &["pods/exec", "pods/attach"], &["CONNECT"])]),
            conditions: &[],
            ..POD
        },
        Webhook {
            name: "sccs.palisade.openshift.io",
            path: "/validate/sccs",
            rules: json!([rule(GROUP, "v1", &[RESOURCE], &["CREATE", "UPDATE"])]),
            namespaced: false,
            conditions: &[],
            ..POD
        },
        Webhook {
            name: "workloads.palisade.openshift.io",
            path: "/validate/workloads",
            rules: json!([
                rule(
                    "apps",
                    "v1",
                    &["deployments", "replicasets", "statefulsets", "daemonsets"],
                    &["CREATE", "UPDATE"]
                ),
                rule("batch", "v1", &["jobs", "cronjobs"], &["CREATE", "UPDATE"]),
                rule("", "v1", &["replicationcontrollers"], &["CREATE", "UPDATE"]),
            ]),
            // It only warns.
            failure_policy: Some(FailurePolicy::Ignore),
            timeout: 1,
            conditions: &[],
            ..POD
        },
    ]
}

impl Webhook {
    fn to_json(&self, settings: &Settings, is_mutating: bool) -> Value {
        let policy = self.failure_policy.unwrap_or(settings.failure_policy);
        let mut webhook = json!({
            "name": self.name,
            "admissionReviewVersions": ["v1"],
            "clientConfig": self.client(settings),
            "rules": self.rules,
            "failurePolicy": policy.as_str(),
            "matchPolicy": "Equivalent",
            "sideEffects": self.side_effects,
            "timeoutSeconds": self.timeout,
        });
        let Some(map) = webhook.as_object_mut() else { return webhook };
        if self.namespaced {
            map.insert("namespaceSelector".to_owned(), namespace_selector(settings));
        }
        if !self.conditions.is_empty() {
            let conditions = self
                .conditions
                .iter()
                .map(|(name, expression)| json!({"name": name, "expression": expression}));
            map.insert("matchConditions".to_owned(), conditions.collect());
        }
        if is_mutating {
            let policy = if self.reinvoke { "IfNeeded" } else { "Never" };
            map.insert("reinvocationPolicy".to_owned(), policy.into());
        }
        webhook
    }

    fn client(&self, settings: &Settings) -> Value {
        let mut client = match &settings.reach {
            Reach::Service => json!({
                "service": {"name": NAME, "namespace": settings.namespace, "path": self.path, "port": 443},
            }),
            Reach::Url(url) => json!({"url": format!("{url}{}", self.path)}),
        };
        if let (Some(bundle), Some(map)) = (&settings.ca_bundle, client.as_object_mut()) {
            map.insert("caBundle".to_owned(), bundle.clone().into());
        }
        client
    }
}

/// The names of all namespaces that the webhooks are not called for.
pub(super) fn exempt_names(settings: &Settings) -> Vec<&str> {
    let chosen = settings.exempt.iter().map(String::as_str);
    EXEMPT.into_iter().chain([settings.namespace.as_str()]).chain(chosen).collect()
}

fn namespace_selector(settings: &Settings) -> Value {
    let names = exempt_names(settings);
    json!({"matchExpressions": [
        {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": names},
        {"key": EXEMPT_LABEL, "operator": "NotIn", "values": ["true"]},
        {"key": "openshift.io/run-level", "operator": "NotIn", "values": ["0", "1"]},
    ]})
}

fn configuration(kind: &str, webhooks: &[Webhook], settings: &Settings) -> Value {
    let is_mutating = kind == "MutatingWebhookConfiguration";
    let mut metadata = metadata(NAME, None);
    // AKS otherwise adds selectors of its own, in a loop with the owner of the object.
    if let Some(map) = metadata.as_object_mut() {
        map.insert("annotations".to_owned(), json!({"admissions.enforcer/disabled": "true"}));
    }
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": metadata,
        "webhooks": webhooks.iter().map(|webhook| webhook.to_json(settings, is_mutating)).collect::<Vec<_>>(),
    })
}

pub(super) fn objects(settings: &Settings) -> Vec<Value> {
    vec![
        configuration("ValidatingWebhookConfiguration", &validating(), settings),
        configuration("MutatingWebhookConfiguration", &mutating(), settings),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhooks() -> Vec<Value> {
        let objects = objects(&Settings::default());
        objects.iter().flat_map(|object| object["webhooks"].as_array().unwrap().clone()).collect()
    }

    #[test]
    fn what_a_cluster_starts_with_is_never_asked_about() {
        for webhook in webhooks() {
            for rule in webhook["rules"].as_array().unwrap() {
                for field in ["apiGroups", "apiVersions", "resources"] {
                    for value in rule[field].as_array().unwrap() {
                        assert!(!value.as_str().unwrap().contains('*'), "{webhook}");
                    }
                }
                for resource in
                    ["nodes", "leases", "events", "certificatesigningrequests", "pods/status", "pods/binding"]
                {
                    assert!(!rule["resources"].as_array().unwrap().contains(&resource.into()), "{webhook}");
                }
            }
            let rules = webhook["rules"].to_string();
            let outside = rules.contains("securitycontextconstraints") || rules.contains("namespaces");
            let selector = webhook["namespaceSelector"].to_string();
            assert_eq!(!outside, selector.contains("kube-system"), "{webhook}");
        }
    }

    #[test]
    fn users_wait_for_at_most_three_seconds_and_connections_have_no_object_selector() {
        for webhook in webhooks() {
            assert!(webhook["timeoutSeconds"].as_u64().unwrap() <= 3, "{webhook}");
            // With one, the API server never calls a webhook on CONNECT (kubernetes/kubernetes#132287).
            assert_eq!(webhook["objectSelector"], Value::Null, "{webhook}");
        }
    }
}
