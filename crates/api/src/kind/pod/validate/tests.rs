//! Each rule with a value that breaks it, and the error's field and kind, as `ValidatePodSpec` of
//! `pkg/apis/core/validation/validation.go` returns them.

use serde_json::{Value, json};

use super::{check_change, validate};

/// A pod that breaks no rule, with a value for every list of the tables below to add to.
fn pod() -> Value {
    json!({"metadata": {"name": "web", "annotations": {}}, "spec": {
        "restartPolicy": "Always",
        "securityContext": {},
        "volumes": [{"name": "data", "emptyDir": {}}, {"name": "claim", "persistentVolumeClaim": {"claimName": "c"}}],
        "containers": [{"name": "a", "image": "i", "securityContext": {}, "resources": {},
            "volumeMounts": [{"name": "data", "mountPath": "/data"}]}],
    }})
}

/// Sets the value at a pointer whose parent exists.
fn set(pod: &mut Value, pointer: &str, value: &Value) {
    let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
    let field = field.replace("~1", "/");
    let parent = pod.pointer_mut(parent).expect("its parent is there");
    match parent {
        Value::Array(items) => items.push(value.clone()),
        parent => parent[field] = value.clone(),
    }
}

fn errors(pointer: &str, value: &Value) -> Vec<String> {
    let mut pod = pod();
    set(&mut pod, pointer, value);
    validate(&pod, None).iter().map(ToString::to_string).collect()
}

/// Every row is a value at a pointer, and how the errors begin that it brings.
fn check(rows: &[(&str, Value, &[&str])]) {
    for (pointer, value, expected) in rows {
        let errors = errors(pointer, value);
        assert_eq!(errors.len(), expected.len(), "{pointer} = {value}: {errors:#?}");
        for (error, expected) in errors.iter().zip(*expected) {
            assert!(error.starts_with(expected), "{pointer} = {value}: {error:?}, not {expected:?}");
        }
    }
}

const SPEC: &str = "/spec/";

/// Rows of one parent.
fn check_in(parent: &str, rows: &[(&str, Value, &[&str])]) {
    for (field, value, expected) in rows {
        check(&[(&format!("{parent}{field}"), value.clone(), expected)]);
    }
}

#[test]
fn the_pod_of_the_tables_is_valid() {
    assert_eq!(validate(&pod(), None), []);
}

#[test]
fn the_spec() {
    check_in(
        SPEC,
        &[
            ("containers", json!([]), &["spec.containers: Required"]),
            ("restartPolicy", json!("Sometimes"), &["spec.restartPolicy: Unsupported"]),
            ("activeDeadlineSeconds", json!(0), &["spec.activeDeadlineSeconds: Invalid"]),
            ("activeDeadlineSeconds", json!(2_147_483_648_i64), &["spec.activeDeadlineSeconds: Invalid"]),
            ("activeDeadlineSeconds", json!(2_147_483_647), &[]),
            ("hostname", json!("a.b"), &["spec.hostname: Invalid"]),
            ("nodeName", json!("A"), &["spec.nodeName: Invalid"]),
            ("preemptionPolicy", json!("x"), &["spec.preemptionPolicy: Unsupported"]),
            (
                "hostAliases",
                json!([{"ip": "1.2.3", "hostnames": ["a_b"]}]),
                &["spec.hostAliases[0].ip: Invalid", "spec.hostAliases[0].hostnames[0]: Invalid"],
            ),
            ("hostAliases", json!([{"ip": "fe80::1", "hostnames": ["a.b"]}]), &[]),
            (
                "readinessGates",
                json!([{"conditionType": "a/b/c"}]),
                &["spec.readinessGates[0].conditionType: Invalid"],
            ),
            ("overhead", json!({"cpu": "-1"}), &["spec.overhead[cpu]: Invalid"]),
            (
                "ephemeralContainers",
                json!([{"name": "e", "image": "i"}]),
                &["spec.ephemeralContainers: Forbidden"],
            ),
            ("dnsPolicy", json!("None"), &["spec.dnsConfig: Required"]),
            (
                "dnsConfig",
                json!({"nameservers": ["1.1.1.1", "1.1.1.2", "1.1.1.3", "a"]}),
                &["spec.dnsConfig.nameservers: Invalid", "spec.dnsConfig.nameservers[3]: Invalid"],
            ),
            (
                "dnsConfig",
                json!({"searches": [".", "_a.b.", "a b"]}),
                &["spec.dnsConfig.searches[2]: Invalid"],
            ),
            (
                "dnsConfig",
                json!({"options": [{"value": "2"}]}),
                &["spec.dnsConfig.options[0].name: Required"],
            ),
        ],
    );
}

#[test]
fn security_of_the_pod() {
    check_in(
        "/spec/securityContext/",
        &[
            ("runAsUser", json!(-1), &["spec.securityContext.runAsUser: Invalid"]),
            ("fsGroup", json!(2_147_483_648_i64), &["spec.securityContext.fsGroup: Invalid"]),
            ("supplementalGroups", json!([0, -1]), &["spec.securityContext.supplementalGroups[1]: Invalid"]),
            ("fsGroupChangePolicy", json!("x"), &["spec.securityContext.fsGroupChangePolicy: Unsupported"]),
            ("seccompProfile", json!({}), &["spec.securityContext.seccompProfile.type: Required"]),
            (
                "seccompProfile",
                json!({"type": "Localhost"}),
                &["spec.securityContext.seccompProfile.localhostProfile: Required"],
            ),
            (
                "seccompProfile",
                json!({"type": "Localhost", "localhostProfile": "a/../b"}),
                &["spec.securityContext.seccompProfile.localhostProfile: Invalid"],
            ),
            ("seccompProfile", json!({"type": "Localhost", "localhostProfile": "a..b"}), &[]),
            (
                "seccompProfile",
                json!({"type": "RuntimeDefault", "localhostProfile": "a"}),
                &["spec.securityContext.seccompProfile.localhostProfile: Invalid"],
            ),
            (
                "seccompProfile",
                json!({"type": "Other"}),
                &["spec.securityContext.seccompProfile.type: Unsupported"],
            ),
            (
                "sysctls",
                json!([{"name": "a.b"}, {"name": "a.b"}, {"name": "A"}, {}]),
                &[
                    "spec.securityContext.sysctls[1].name: Duplicate",
                    "spec.securityContext.sysctls[2].name: Invalid",
                    "spec.securityContext.sysctls[3].name: Required",
                ],
            ),
        ],
    );
    let mut shared = pod();
    set(&mut shared, "/spec/hostUsers", &json!(false));
    set(&mut shared, "/spec/hostPID", &json!(true));
    set(&mut shared, "/spec/shareProcessNamespace", &json!(true));
    let fields: Vec<_> = validate(&shared, None).iter().map(|error| error.path.to_string()).collect();
    assert_eq!(fields, ["spec.shareProcessNamespace", "spec.hostPID"]);
}

#[test]
fn security_of_a_container() {
    check_in(
        "/spec/containers/0/securityContext/",
        &[
            ("procMount", json!("Unmasked"), &["spec.containers[0].securityContext.procMount: Invalid"]),
            ("procMount", json!("x"), &["spec.containers[0].securityContext.procMount: Unsupported"]),
            ("windowsOptions", json!({"hostProcess": true}), &["spec.hostNetwork: Invalid"]),
            (
                "windowsOptions",
                json!({"runAsUserName": "a/b"}),
                &["spec.containers[0].securityContext.windowsOptions.runAsUserName: Invalid"],
            ),
            ("windowsOptions", json!({"runAsUserName": "DOMAIN\\user"}), &[]),
        ],
    );
    for rights in [json!({"privileged": true}), json!({"capabilities": {"add": ["CAP_SYS_ADMIN"]}})] {
        let mut context = rights;
        context["allowPrivilegeEscalation"] = json!(false);
        let expected: &[&str] = &["spec.containers[0].securityContext: Invalid"];
        check(&[("/spec/containers/0/securityContext", context, expected)]);
    }
}

#[test]
fn containers() {
    let at = "/spec/containers/0/";
    check_in(
        at,
        &[
            ("name", json!(""), &["spec.containers[0].name: Required"]),
            ("name", json!("A"), &["spec.containers[0].name: Invalid"]),
            ("image", json!(" i"), &["spec.containers[0].image: Invalid"]),
            ("imagePullPolicy", json!("x"), &["spec.containers[0].imagePullPolicy: Unsupported"]),
            (
                "volumeMounts",
                json!([{"name": "none", "mountPath": "/a"}]),
                &["spec.containers[0].volumeMounts[0].name: Not found"],
            ),
            (
                "volumeMounts",
                json!([{"name": "data", "mountPath": "/a"}, {"name": "claim", "mountPath": "/a"}]),
                &["spec.containers[0].volumeMounts[1].mountPath: Invalid"],
            ),
            (
                "volumeMounts",
                json!([{"name": "data", "mountPath": "/a", "subPath": "../b"}]),
                &["spec.containers[0].volumeMounts[0].subPath: Invalid"],
            ),
            (
                "volumeMounts",
                json!([{"name": "data", "mountPath": "/a", "subPath": "/b"}]),
                &["spec.containers[0].volumeMounts[0].subPath: Invalid"],
            ),
            (
                "volumeMounts",
                json!([{"name": "data", "mountPath": "/a", "mountPropagation": "Bidirectional"}]),
                &["spec.containers[0].volumeMounts[0].mountPropagation: Forbidden"],
            ),
            (
                "volumeDevices",
                json!([{"name": "data", "devicePath": "/dev/a"}]),
                &["spec.containers[0].volumeDevices[0].name: Invalid"],
            ),
            ("volumeDevices", json!([{"name": "claim", "devicePath": "/dev/a"}]), &[]),
            (
                "ports",
                json!([{"containerPort": 0}]),
                &["spec.containers[0].ports[0].containerPort: Required"],
            ),
            (
                "ports",
                json!([{"containerPort": 65_536}]),
                &["spec.containers[0].ports[0].containerPort: Invalid"],
            ),
            (
                "ports",
                json!([{"containerPort": 1, "name": "80"}]),
                &["spec.containers[0].ports[0].name: Invalid"],
            ),
            (
                "ports",
                json!([{"containerPort": 1, "hostPort": 5}, {"containerPort": 2, "hostPort": 5}]),
                &["spec.containers[0].ports[1].hostPort: Duplicate"],
            ),
            (
                "ports",
                json!([{"containerPort": 1, "hostPort": 5, "protocol": "TCP"}, {"containerPort": 2, "hostPort": 5, "protocol": "UDP"}]),
                &[],
            ),
        ],
    );
}

#[test]
fn environment_and_probes() {
    let at = "/spec/containers/0/";
    check_in(
        at,
        &[
            (
                "env",
                json!([{"name": "a=b"}, {}]),
                &["spec.containers[0].env[0].name: Invalid", "spec.containers[0].env[1].name: Required"],
            ),
            (
                "env",
                json!([{"name": "A", "value": "1", "valueFrom": {}}]),
                &["spec.containers[0].env[0].valueFrom: Invalid"],
            ),
            (
                "env",
                json!([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels"}}}]),
                &["spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported"],
            ),
            (
                "env",
                json!([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}}]),
                &[],
            ),
            (
                "env",
                json!([{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.disk"}}}]),
                &["spec.containers[0].env[0].valueFrom.resourceFieldRef.resource: Unsupported"],
            ),
            (
                "env",
                json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "a/b"}}}]),
                &["spec.containers[0].env[0].valueFrom.secretKeyRef.key: Invalid"],
            ),
            (
                "envFrom",
                json!([{"configMapRef": {}, "secretRef": {"name": "s"}}]),
                &[
                    "spec.containers[0].envFrom[0].secretRef: Forbidden",
                    "spec.containers[0].envFrom[0].configMapRef.name: Required",
                ],
            ),
            ("livenessProbe", json!({}), &["spec.containers[0].livenessProbe: Required"]),
            (
                "livenessProbe",
                json!({"exec": {"command": ["a"]}, "successThreshold": 2}),
                &["spec.containers[0].livenessProbe.successThreshold: Invalid"],
            ),
            (
                "readinessProbe",
                json!({"tcpSocket": {"port": "none at all"}}),
                &["spec.containers[0].readinessProbe.tcpSocket.port: Invalid"],
            ),
            (
                "readinessProbe",
                json!({"grpc": {"port": 1}, "terminationGracePeriodSeconds": 1}),
                &["spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid"],
            ),
            (
                "lifecycle",
                json!({"preStop": {"sleep": {"seconds": -1}}}),
                &["spec.containers[0].lifecycle.preStop.sleep.seconds: Invalid"],
            ),
            (
                "lifecycle",
                json!({"preStop": {"httpGet": {"path": "/", "port": 1, "httpHeaders": [{"name": "a b"}]}}}),
                &["spec.containers[0].lifecycle.preStop.httpGet.httpHeaders[0].name: Invalid"],
            ),
        ],
    );
}

#[test]
fn resources() {
    check_in(
        "/spec/containers/0/",
        &[
            (
                "resources",
                json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
                &["spec.containers[0].resources.requests: Invalid"],
            ),
            ("resources", json!({"requests": {"cpu": 1}, "limits": {"cpu": "1000m"}}), &[]),
            (
                "resources",
                json!({"requests": {"a.b/c": "1"}}),
                &["spec.containers[0].resources.limits: Required"],
            ),
            (
                "resources",
                json!({"limits": {"a.b/c": "100m"}}),
                &["spec.containers[0].resources.limits[a.b/c]: Invalid"],
            ),
            (
                "resources",
                json!({"limits": {"disk": "1"}}),
                &["spec.containers[0].resources.limits[disk]: Invalid"],
            ),
            (
                "resources",
                json!({"limits": {"hugepages-2Mi": "2Mi"}}),
                &["spec.containers[0].resources: Forbidden"],
            ),
        ],
    );
}

#[test]
fn init_and_ephemeral_containers() {
    let probed = json!([{"name": "b", "image": "i", "livenessProbe": {"exec": {"command": ["a"]}}}]);
    let mut beside = probed.clone();
    beside[0]["restartPolicy"] = json!("Always");
    check_in(
        SPEC,
        &[
            ("initContainers", probed, &["spec.initContainers[0].livenessProbe: Forbidden"]),
            ("initContainers", beside, &[]),
            (
                "initContainers",
                json!([{"name": "a", "image": "i"}]),
                &["spec.initContainers[0].name: Duplicate"],
            ),
        ],
    );
    let mut old = pod();
    set(&mut old, "/spec/nodeName", &json!("n"));
    let mut new = old.clone();
    let added = json!([{"name": "e", "image": "i", "ports": [{"containerPort": 1}], "targetContainerName": "none",
        "volumeMounts": [{"name": "data", "mountPath": "/d", "subPath": "s"}], "resources": {"limits": {"cpu": "1"}}}]);
    set(&mut new, "/spec/ephemeralContainers", &added);
    let fields: Vec<_> = validate(&new, Some(&old)).iter().map(|error| error.path.to_string()).collect();
    let at = |field: &str| format!("spec.ephemeralContainers[0].{field}");
    assert_eq!(
        fields,
        ["ports", "resources.limits", "volumeMounts[0].subPath", "targetContainerName"].map(at)
    );
}

#[test]
fn volumes() {
    check_in(
        SPEC,
        &[
            ("volumes", json!([{"name": "data"}]), &["spec.volumes[0]: Required"]),
            (
                "volumes",
                json!([{"name": "data", "emptyDir": {}, "hostPath": {"path": "/a"}}]),
                &["spec.volumes[0].hostPath: Forbidden"],
            ),
            (
                "volumes",
                json!([{"name": "data", "hostPath": {"path": "/a/../b"}}]),
                &["spec.volumes[0].hostPath.path: Invalid"],
            ),
            (
                "volumes",
                json!([{"name": "data", "hostPath": {"path": "/a", "type": "Disk"}}]),
                &["spec.volumes[0].hostPath.type: Unsupported"],
            ),
            (
                "volumes",
                json!([{"name": "data", "nfs": {"server": "s", "path": "a"}}]),
                &["spec.volumes[0].nfs.path: Invalid"],
            ),
            (
                "volumes",
                json!([{"name": "data", "secret": {"secretName": "s", "defaultMode": 512}}]),
                &["spec.volumes[0].secret.defaultMode: Invalid"],
            ),
            (
                "volumes",
                json!([{"name": "data", "secret": {"secretName": "s", "items": [{"key": "k", "path": "../p"}]}}]),
                &["spec.volumes[0].secret.items[0].path: Invalid"],
            ),
            (
                "volumes",
                json!([{"name": "data", "projected": {"sources": [{"secret": {"name": "s"}, "configMap": {"name": "c"}}]}}]),
                &["spec.volumes[0].projected.sources[0].configMap: Forbidden"],
            ),
            (
                "volumes",
                json!([{"name": "data", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 599}}]}}]),
                &["spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid"],
            ),
            (
                "volumes",
                json!([{"name": "data", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}, {"downwardAPI": {"items": [{"path": "t", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}}]),
                &["spec.volumes[0].projected.sources[1].downwardAPI.items[0].path: Duplicate"],
            ),
            (
                "volumes",
                json!([{"name": "data", "iscsi": {"targetPortal": "p", "iqn": "x", "lun": 256}}]),
                &["spec.volumes[0].iscsi.iqn: Invalid", "spec.volumes[0].iscsi.lun: Invalid"],
            ),
            (
                "volumes",
                json!([{"name": "data", "rbd": {"image": "i"}}]),
                &["spec.volumes[0].rbd.monitors: Required"],
            ),
        ],
    );
}

#[test]
fn scheduling() {
    check_in(
        SPEC,
        &[
            ("nodeSelector", json!({"a": "b c"}), &["spec.nodeSelector: Invalid"]),
            ("tolerations", json!([{"operator": "Equal"}]), &["spec.tolerations[0].operator: Invalid"]),
            ("tolerations", json!([{"operator": "Exists"}]), &[]),
            (
                "tolerations",
                json!([{"key": "a", "operator": "Exists", "value": "b"}]),
                &["spec.tolerations[0].operator: Invalid"],
            ),
            (
                "tolerations",
                json!([{"key": "a", "effect": "NoSchedule", "tolerationSeconds": 1}]),
                &["spec.tolerations[0].effect: Invalid"],
            ),
            (
                "topologySpreadConstraints",
                json!([{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "x"}]),
                &[
                    "spec.topologySpreadConstraints[0].maxSkew: Invalid",
                    "spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported",
                ],
            ),
            (
                "affinity",
                json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}),
                &[
                    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required",
                ],
            ),
            (
                "affinity",
                json!({"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 101, "podAffinityTerm": {"topologyKey": "z"}}]}}),
                &[
                    "spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid",
                ],
            ),
            (
                "schedulingGates",
                json!([{"name": "g"}, {"name": "g"}]),
                &["spec.schedulingGates[1].name: Duplicate"],
            ),
        ],
    );
}

#[test]
fn operating_systems() {
    let windows = |field: &str, value: Value| {
        let mut pod = pod();
        pod["spec"]["os"] = json!({"name": "windows"});
        set(&mut pod, field, &value);
        validate(&pod, None).iter().map(|error| error.path.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(windows("/spec/hostPID", json!(false)), Vec::<String>::new());
    assert_eq!(windows("/spec/hostPID", json!(true)), ["spec.hostPID"]);
    assert_eq!(windows("/spec/securityContext/runAsUser", json!(1)), ["spec.securityContext.runAsUser"]);
    let privileged = windows("/spec/containers/0/securityContext/privileged", json!(false));
    assert_eq!(privileged, ["spec.containers[0].securityContext.privileged"]);
    check_in(
        SPEC,
        &[
            ("os", json!({}), &["spec.os.name: Required"]),
            ("os", json!({"name": "plan9"}), &["spec.os.name: Unsupported"]),
        ],
    );
}

#[test]
fn annotations() {
    check_in(
        "/metadata/annotations/",
        &[
            ("seccomp.security.alpha.kubernetes.io~1pod", json!("localhost/a"), &[]),
            (
                "seccomp.security.alpha.kubernetes.io~1pod",
                json!("localhost//a"),
                &["metadata.annotations.seccomp.security.alpha.kubernetes.io/pod: Invalid"],
            ),
            (
                "container.apparmor.security.beta.kubernetes.io~1b",
                json!("unconfined"),
                &["metadata.annotations[container.apparmor.security.beta.kubernetes.io/b]: Invalid"],
            ),
            (
                "container.apparmor.security.beta.kubernetes.io~1a",
                json!("none"),
                &["metadata.annotations[container.apparmor.security.beta.kubernetes.io/a]: Invalid"],
            ),
            (
                "kubernetes.io~1config.mirror",
                json!("x"),
                &["metadata.annotations[kubernetes.io/config.mirror]: Invalid"],
            ),
        ],
    );
}

#[test]
fn changes() {
    let change = |subresource: &str, pointer: &str, value: Value| {
        let mut old = pod();
        old["spec"]["activeDeadlineSeconds"] = json!(10);
        old["spec"]["tolerations"] = json!([{"key": "a", "operator": "Exists", "tolerationSeconds": 5}]);
        old["spec"]["schedulingGates"] = json!([{"name": "g"}]);
        old["metadata"]["annotations"] =
            json!({"container.apparmor.security.beta.kubernetes.io/a": "unconfined"});
        let mut new = old.clone();
        set(&mut new, pointer, &value);
        check_change(&new, &old, subresource).iter().map(|error| error.path.to_string()).collect::<Vec<_>>()
    };
    let rows: &[(&str, &str, Value, &[&str])] = &[
        ("", "/spec/containers/0/image", json!("other"), &[]),
        ("", "/spec/containers/0/resources", json!({"limits": {"cpu": "1"}}), &["spec"]),
        ("resize", "/spec/containers/0/resources", json!({"limits": {"cpu": "1"}}), &[]),
        ("resize", "/spec/containers/0/image", json!("other"), &["spec"]),
        ("", "/spec/nodeName", json!("n"), &["spec"]),
        ("binding", "/spec/nodeName", json!("n"), &[]),
        ("ephemeralcontainers", "/spec/ephemeralContainers", json!([{"name": "e"}]), &[]),
        ("ephemeralcontainers", "/spec/hostPID", json!(true), &["spec"]),
        ("", "/spec/containers/-", json!({"name": "b", "image": "i"}), &["spec.containers"]),
        ("", "/spec/activeDeadlineSeconds", json!(9), &[]),
        ("", "/spec/activeDeadlineSeconds", json!(11), &["spec.activeDeadlineSeconds"]),
        ("", "/spec/activeDeadlineSeconds", Value::Null, &["spec.activeDeadlineSeconds"]),
        ("", "/spec/terminationGracePeriodSeconds", json!(1), &["spec.terminationGracePeriodSeconds"]),
        ("", "/spec/tolerations", json!([{"key": "a", "operator": "Exists"}, {"key": "b"}]), &[]),
        ("", "/spec/tolerations", json!([]), &["spec.tolerations"]),
        ("", "/spec/schedulingGates", json!([]), &[]),
        ("", "/spec/schedulingGates", json!([{"name": "h"}]), &["spec.schedulingGates[0]"]),
        ("status", "/spec/containers/0/image", json!("other"), &["spec"]),
        ("", "/metadata/annotations/other", json!("x"), &[]),
        (
            "",
            "/metadata/annotations/kubernetes.io~1config.mirror",
            json!("x"),
            &["metadata.annotations[kubernetes.io/config.mirror]"],
        ),
        (
            "ephemeralcontainers",
            "/metadata/annotations",
            Value::Null,
            &["metadata.annotations[container.apparmor.security.beta.kubernetes.io/a]"],
        ),
    ];
    for (subresource, pointer, value, expected) in rows {
        assert_eq!(
            change(subresource, pointer, value.clone()),
            *expected,
            "{subresource} {pointer} = {value}"
        );
    }
}
