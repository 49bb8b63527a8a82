//! Every warning, in the words of `pkg/api/pod/warnings_test.go` of Kubernetes.

use serde_json::{Value, json};

use super::warnings;

fn of(spec: Value) -> Vec<String> {
    warnings(&json!({"metadata": {"name": "web"}, "spec": spec}), None)
}

#[test]
fn a_plain_pod_has_none() {
    assert!(of(json!({"containers": [{"name": "a", "image": "i", "ports": [{"containerPort": 80}, {"containerPort": 81}],
        "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "$(A):2"}]}]})).is_empty());
    let twice =
        json!({"metadata": {"name": "A.b"}, "spec": {"containers": [], "imagePullSecrets": [{}, {}]}});
    assert!(warnings(&twice, Some(&twice)).is_empty(), "updates are not warned of");
}

#[test]
fn deprecated_fields_are_warned_of() {
    let cases = [
        (
            json!({"nodeSelector": {"beta.kubernetes.io/arch": "x"}}),
            "spec.nodeSelector[beta.kubernetes.io/arch]: deprecated since v1.14; use \"kubernetes.io/arch\" instead",
        ),
        (
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "foo"}]}, {"matchExpressions": [{"key": "beta.kubernetes.io/instance-type"}]}]}}}}),
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[1].matchExpressions[0].key: beta.kubernetes.io/instance-type is deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead",
        ),
        (
            json!({"topologySpreadConstraints": [{"topologyKey": "failure-domain.beta.kubernetes.io/zone", "labelSelector": {}}]}),
            "spec.topologySpreadConstraints[0].topologyKey: failure-domain.beta.kubernetes.io/zone is deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
        ),
        (
            json!({"topologySpreadConstraints": [{"topologyKey": "foo"}]}),
            "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
        ),
        (
            json!({"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"podAffinityTerm": {}}]}}}),
            "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.labelSelector: a null labelSelector results in matching no pod",
        ),
        (
            json!({"volumes": [{"name": "s"}, {"name": "t", "photonPersistentDisk": {}}]}),
            "spec.volumes[1].photonPersistentDisk: deprecated in v1.11, non-functional in v1.16+",
        ),
        (
            json!({"volumes": [{"name": "s", "gitRepo": {}}]}),
            "spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
        ),
        (
            json!({"volumes": [{"name": "s", "ephemeral": {"volumeClaimTemplate": {"spec": {"resources": {"requests": {"storage": "200100m"}}}}}}]}),
            "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]: fractional byte value \"200100m\" is invalid, must be an integer",
        ),
        (
            json!({"hostAliases": [{"ip": "1.1.1.1"}, {"ip": "1.1.1.1"}]}),
            "spec.hostAliases[1].ip: duplicate ip \"1.1.1.1\"",
        ),
        (
            json!({"imagePullSecrets": [{"name": "a"}, {"name": "a"}]}),
            "spec.imagePullSecrets[1].name: duplicate name \"a\"",
        ),
        (
            json!({"imagePullSecrets": [{"name": ""}]}),
            "spec.imagePullSecrets[0].name: invalid empty name \"\"",
        ),
        (
            json!({"overhead": {"memory": "0.5"}}),
            "spec.overhead[memory]: fractional byte value \"500m\" is invalid, must be an integer",
        ),
        (
            json!({"initContainers": [{"name": "a", "resources": {"limits": {"ephemeral-storage": "200.5"}}}]}),
            "spec.initContainers[0].resources.limits[ephemeral-storage]: fractional byte value \"200500m\" is invalid, must be an integer",
        ),
        (
            json!({"terminationGracePeriodSeconds": -1}),
            "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
        ),
        (
            json!({"dnsConfig": {"nameservers": ["1.2.3.4", "::ffff:1.2.3.4"]}}),
            "spec.dnsConfig.nameservers[1]: non-standard IP address \"::ffff:1.2.3.4\" is invalid: use \"1.2.3.4\"",
        ),
        (
            json!({"hostAliases": [{"ip": "2001:DB8:0::1"}]}),
            "spec.hostAliases[0].ip: IPv6 address \"2001:DB8:0::1\" should be in RFC 5952 canonical format (\"2001:db8::1\")",
        ),
    ];
    for (spec, wanted) in cases {
        assert_eq!(of(spec.clone()), [wanted], "{spec}");
    }
}

#[test]
fn annotations_that_do_nothing_are_named() {
    let pod = |key: &str, spec: Value| {
        warnings(
            &json!({"metadata": {"name": "web", "annotations": {key: "runtime/default"}}, "spec": spec}),
            None,
        )
    };
    let plain = json!({"containers": [{"name": "a"}]});
    let said = |key: &str, what: &str| [format!("metadata.annotations[{key}]: {what}")];
    for (key, what) in [
        (
            "scheduler.alpha.kubernetes.io/critical-pod",
            "non-functional in v1.16+; use the \"priorityClassName\" field instead",
        ),
        (
            "security.alpha.kubernetes.io/unsafe-sysctls",
            "non-functional in v1.11+; use the \"sysctls\" field instead",
        ),
        (
            "seccomp.security.alpha.kubernetes.io/pod",
            "non-functional in v1.27+; use the \"seccompProfile\" field instead",
        ),
        (
            "container.seccomp.security.alpha.kubernetes.io/a",
            "non-functional in v1.27+; use the \"seccompProfile\" field instead",
        ),
        (
            "container.apparmor.security.beta.kubernetes.io/a",
            "deprecated since v1.30; use the \"appArmorProfile\" field instead",
        ),
    ] {
        assert_eq!(pod(key, plain.clone()), said(key, what));
    }
    let key = "container.apparmor.security.beta.kubernetes.io/a";
    let same = json!({"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}, "containers": [{"name": "a"}]});
    assert!(pod(key, same).is_empty());
    assert!(pod(key, json!({"os": {"name": "windows"}, "containers": [{"name": "a"}]})).is_empty());
    assert!(pod("container.apparmor.security.beta.kubernetes.io/b", plain).is_empty());
}

#[test]
fn ports_and_variables_that_are_given_twice_are_named() {
    let ports = |ports: Value| of(json!({"containers": [{"name": "a", "ports": ports}]}));
    let p = "spec.containers[0].ports";
    let cases = [
        (json!([{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 80, "protocol": "UDP"}]), vec![]),
        (
            json!([{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 80, "protocol": "TCP"}]),
            vec![format!("{p}[1]: duplicate port definition with {p}[0]")],
        ),
        (
            json!([{"containerPort": 80}, {"containerPort": 80, "hostPort": 80}]),
            vec![format!("{p}[1]: overlapping port definition with {p}[0]")],
        ),
        (
            json!([{"containerPort": 80, "hostPort": 80}, {"containerPort": 80}, {"containerPort": 80, "hostPort": 81}]),
            vec![
                format!("{p}[1]: overlapping port definition with {p}[0]"),
                format!("{p}[2]: overlapping port definition with {p}[1]"),
            ],
        ),
        (
            json!([{"containerPort": 80, "hostPort": 80}, {"containerPort": 80, "hostPort": 80, "hostIP": "10.0.0.1"}]),
            vec![format!("{p}[1]: dangerously ambiguous port definition with {p}[0]")],
        ),
        (
            json!([{"containerPort": 80, "hostPort": 80, "hostIP": "10.0.0.2"}, {"containerPort": 80, "hostPort": 80, "hostIP": "10.0.0.1"}]),
            vec![],
        ),
        (
            json!([{"name": "n", "containerPort": 80, "protocol": "TCP", "hostIP": "10.0.0.1"}]),
            vec![format!(
                "{p}[0]: hostIP set without hostPort: {{Name:n HostPort:0 ContainerPort:80 Protocol:TCP HostIP:10.0.0.1}}"
            )],
        ),
        (
            json!([{"name": "x", "containerPort": 80}, {"name": "x", "containerPort": 81}]),
            vec![format!(
                "{p}[1]: duplicate port name \"x\" with {p}[0], services and probes that select ports by name will use {p}[0]"
            )],
        ),
    ];
    for (list, wanted) in cases {
        assert_eq!(ports(list.clone()), wanted, "{list}");
    }
    let env = of(json!({"containers": [{"name": "a", "env": [{"name": "a"}, {"name": "a", "value": "x"},
        {"name": "b", "value": "1"}, {"name": "b", "value": "$(b)2"}, {"name": "b", "value": "$(b)"}, {"name": "b", "valueFrom": {}}]}]}));
    let hides = |at: usize, name: &str| {
        format!(
            "spec.containers[0].env[{at}]: hides previous definition of {name:?}, which may be dropped when using apply"
        )
    };
    assert_eq!(env, [hides(1, "a"), hides(4, "b"), hides(5, "b")]);
}

#[test]
fn files_that_overlap_are_named() {
    let items =
        |paths: &[&str]| -> Value { paths.iter().map(|path| json!({"key": "k", "path": path})).collect() };
    let cases = [
        (json!({"name": "v", "configMap": {"name": "m", "items": items(&["a", "b"])}}), vec![]),
        (
            json!({"name": "v", "configMap": {"name": "m", "items": items(&["a", "a/b/", "ab"])}}),
            vec!["volume \"v\" (ConfigMap \"m\"): overlapping paths: \"a/b\" with \"a\""],
        ),
        (
            json!({"name": "v", "secret": {"secretName": "s", "items": items(&["a/b", "a"])}}),
            vec!["volume \"v\" (Secret \"s\"): overlapping paths: \"a\" with \"a/b\""],
        ),
        (
            json!({"name": "v", "downwardAPI": {"items": items(&["a", "a"])}}),
            vec!["volume \"v\" (DownwardAPI): overlapping paths: \"a\" with \"a\""],
        ),
        (
            json!({"name": "v", "projected": {"sources": [{"configMap": {"name": "m", "items": items(&["x"])}},
            {"serviceAccountToken": {"path": "x/token"}}, {}]}}),
            vec![
                "volume \"v\" (Projected) has no sources provided",
                "volume \"v\" (Projected): overlapping paths: \"x/token\" (ServiceAccountToken) with \"x\" (ConfigMap \"m\")",
            ],
        ),
    ];
    for (volume, wanted) in cases {
        assert_eq!(of(json!({"volumes": [volume.clone()]})), wanted, "{volume}");
    }
}

#[test]
fn names_that_make_odd_host_names_are_named() {
    let said = |name: &str| warnings(&json!({"metadata": {"name": name}, "spec": {}}), None);
    assert!(said("my-pod-0").is_empty());
    let odd = said("my.pod");
    assert_eq!(odd.len(), 1);
    assert!(
        odd[0].starts_with("metadata.name: this is used in the Pod's hostname")
            && odd[0].contains("RFC 1123"),
        "{odd:?}"
    );
    assert!(said(&"a".repeat(64))[0].ends_with("[must be no more than 63 bytes]"));
}

/// Warnings do not take long, whatever the input.
#[test]
fn warnings_of_many_clashes_take_bounded_time() {
    let many = 30_000;
    let same: Vec<Value> = (0..many).map(|_| json!({"containerPort": 80})).collect();
    let other: Vec<Value> = (1..many).map(|at| json!({"containerPort": 80, "hostPort": 1 + at % 60000, "hostIP": format!("10.0.{}.{}", at / 250, at % 250)})).collect();
    let paths: Vec<Value> = (0..many).map(|at| json!({"path": format!("a/{at}")})).collect();
    let started = std::time::Instant::now();
    assert_eq!(of(json!({"containers": [{"name": "a", "ports": same}]})).len(), super::ENOUGH);
    assert!(of(json!({"containers": [{"name": "a", "ports": other}]})).is_empty());
    assert!(of(json!({"volumes": [{"name": "v", "configMap": {"items": paths}}]})).is_empty());
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}
