//! The objects of the replicas: Deployment, Service, PodDisruptionBudget, NetworkPolicy, ResourceQuota.

use serde_json::{Value, json};

use crate::missing::MissingProfile;

use super::{NAME, Reach, Settings, chart, metadata, selector};

pub(super) fn objects(settings: &Settings) -> Vec<Value> {
    let mut objects = vec![
        quota(settings),
        service(settings),
        deployment(settings),
        json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata(NAME, Some(settings)),
            // A replica that is not ready does not serve, and must not block the drain of a node.
            "spec": {"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow", "selector": {"matchLabels": selector()}},
        }),
        network_policy(settings),
    ];
    if settings.monitor {
        objects.push(monitor(settings));
    }
    objects
}

/// Some clusters permit `system-cluster-critical` outside of kube-system only if a quota names it.
fn quota(settings: &Settings) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata(NAME, Some(settings)),
        "spec": {
            "hard": {"pods": "20"},
            "scopeSelector": {"matchExpressions": [
                {"scopeName": "PriorityClass", "operator": "In", "values": ["system-cluster-critical"]},
            ]},
        },
    })
}

fn service(settings: &Settings) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": metadata(NAME, Some(settings)),
        "spec": {
            "selector": selector(),
            "ports": [{"name": "https", "port": 443, "targetPort": "https", "protocol": "TCP"}],
        },
    })
}

fn deployment(settings: &Settings) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(NAME, Some(settings)),
        "spec": {
            "replicas": settings.replicas,
            "selector": {"matchLabels": selector()},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": rollout(settings)},
            "template": {"metadata": {"labels": selector()}, "spec": pod(settings)},
        },
    })
}

/// No replica stops before its successor is ready, except on the nodes' network: there the successor may have to wait for
/// its node's port.
fn rollout(settings: &Settings) -> Value {
    let value = |(name, host, pods)| match &settings.host_network {
        Value::Bool(true) => (name, json!(host)),
        Value::Bool(false) => (name, json!(pods)),
        _ => (name, chart::marker(name).into()),
    };
    let values = chart::ROLLOUT.map(value).map(|(name, value)| (name.to_owned(), value));
    values.into_iter().collect()
}

fn pod(settings: &Settings) -> Value {
    json!({
        "serviceAccountName": NAME,
        "priorityClassName": "system-cluster-critical",
        "hostNetwork": settings.host_network,
        "tolerations": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            apart(100, "kubernetes.io/hostname"), apart(50, "topology.kubernetes.io/zone"),
        ]}},
        // Longer than the drain below, so that no request in flight is cut off.
        "terminationGracePeriodSeconds": 60,
        // The user is the image's, or one of the namespace's range if an SCC assigns it.
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container(settings)],
    })
}

/// Replicas are spread over nodes and zones if possible; a cluster of one node runs them all the same. Not by
/// topologySpreadConstraints: with two of them the scheduler gives no preference to nodes without a zone, and may put all
/// replicas on one of them. During an update the replicas of the old version do not count.
fn apart(weight: u8, key: &str) -> Value {
    json!({
        "weight": weight,
        "podAffinityTerm": {
            "topologyKey": key, "labelSelector": {"matchLabels": selector()}, "matchLabelKeys": ["pod-template-hash"],
        },
    })
}

fn container(settings: &Settings) -> Value {
    let port = &settings.port;
    let probe = |path: &str, period: u32| json!({"httpGet": {"path": path, "port": "https", "scheme": "HTTPS"}, "periodSeconds": period, "timeoutSeconds": 2});
    json!({
        "name": "webhook",
        "image": settings.image,
        "args": arguments(settings),
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        ],
        "ports": [{"name": "https", "containerPort": port, "protocol": "TCP"}],
        "readinessProbe": probe("/readyz", 2),
        "livenessProbe": probe("/livez", 10),
        "startupProbe": {"httpGet": {"path": "/livez", "port": "https", "scheme": "HTTPS"}, "periodSeconds": 1, "failureThreshold": 60},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "privileged": false,
            "capabilities": {"drop": ["ALL"]},
        },
    })
}

fn arguments(settings: &Settings) -> Vec<String> {
    let port = settings.port.as_str().map_or_else(|| settings.port.to_string(), str::to_owned);
    let mut arguments = vec![
        "webhook".to_owned(),
        format!("--listen=[::]:{port}"),
        "--namespace=$(POD_NAMESPACE)".to_owned(),
        "--identity=$(POD_NAME)".to_owned(),
        format!("--mode={}", settings.mode.as_str()),
    ];
    if settings.missing_profile != MissingProfile::Warn {
        arguments.push(format!("--missing-profile={}", settings.missing_profile.as_str()));
    }
    if let Reach::Url(url) = &settings.reach {
        arguments.push(format!("--name={}", host(url)));
    }
    arguments.extend(settings.reports.then(|| "--reports".to_owned()));
    arguments
}

/// The host of a URL, which the replicas' certificate has to name.
fn host(url: &str) -> &str {
    let authority = url.trim_start_matches("https://").split('/').next().unwrap_or_default();
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => authority.split(':').next().unwrap_or_default(),
    }
}

/// No policy can select the API server, so the port is open to all; everything else in is closed.
fn network_policy(settings: &Settings) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata(NAME, Some(settings)),
        "spec": {
            "podSelector": {"matchLabels": selector()},
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"protocol": "TCP", "port": "https"}]}],
        },
    })
}

fn monitor(settings: &Settings) -> Value {
    json!({
        "apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "metadata": metadata(NAME, Some(settings)),
        "spec": {
            "selector": {"matchLabels": {"app.kubernetes.io/name": NAME}},
            "endpoints": [{"port": "https", "scheme": "https", "path": "/metrics", "tlsConfig": {"insecureSkipVerify": true},
                "bearerTokenFile": "/var/run/secrets/kubernetes.io/serviceaccount/token"}],
        },
    })
}

#[cfg(test)]
mod tests {
    use palisade_admission::{PolicyBuilder, respond};
    use palisade_k8s::Pod;
    use palisade_scc::BuiltinSet;
    use palisade_scc::pod_security::{Level, Version, violations};

    use super::*;

    /// The pods start even if SCC and Pod Security are enforced in the installation's own namespace.
    #[test]
    fn the_replicas_keep_to_restricted_and_to_restricted_v2() {
        let pod = json!({"metadata": {"name": "palisade"}, "spec": pod(&Settings::default())});
        let mut builder = PolicyBuilder::default();
        builder.add_set(BuiltinSet::V4).unwrap();
        builder.assume_namespace("palisade-system");
        let request = json!({"uid": "1", "namespace": "palisade-system", "name": "palisade", "operation": "CREATE",
            "resource": {"group": "", "version": "v1", "resource": "pods"}, "object": pod,
            "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller", "groups": ["system:authenticated"]}});
        let review =
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
        let response = respond(&builder.build(), &review.to_string()).unwrap();
        let chosen = response.audit_annotations.get("chosen").map(String::as_str);
        assert_eq!((response.allowed, chosen), (true, Some("restricted-v2")), "{response:?}");
        let text = pod.to_string();
        let pod: Pod<'_> = serde_json::from_str(&text).unwrap();
        assert_eq!(violations(&pod, Level::Restricted, Version::Latest), []);
    }

    #[test]
    fn an_update_needs_no_second_replica_on_a_port_of_a_node() {
        for (host_network, expected) in [
            (false, json!({"maxUnavailable": 0, "maxSurge": 1})),
            (true, json!({"maxUnavailable": 1, "maxSurge": 0})),
        ] {
            let settings = Settings { host_network: host_network.into(), ..Settings::default() };
            assert_eq!(deployment(&settings)["spec"]["strategy"]["rollingUpdate"], expected);
        }
    }

    /// Each preference is one of its own, so that a node without a zone is still preferred to one that has a replica.
    #[test]
    fn replicas_are_kept_apart_by_node_and_by_zone() {
        let pod = pod(&Settings::default());
        let terms = &pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"];
        let keys: Vec<&Value> =
            terms.as_array().unwrap().iter().map(|term| &term["podAffinityTerm"]["topologyKey"]).collect();
        assert_eq!(keys, ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]);
        assert!(pod.get("topologySpreadConstraints").is_none());
    }
}
