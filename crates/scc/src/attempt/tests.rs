//! Defaults and findings of SCCs on pods, field by field; the rows of reference/scc.md 2.8 to 2.18.

use palisade_k8s::patch::Patch;
use palisade_k8s::{FieldError, KernelVersion, Pod, SecurityContextConstraints};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Context, attempt};
use crate::fixture::{built_in, ranges};
use crate::{Entry, Unusable};

/// A pod of one container with this security context, and what else its spec says.
fn pod(security: Value, spec: Value) -> Value {
    let mut pod = json!({"metadata": {"name": "web", "annotations": {}}, "spec": {
        "securityContext": {}, "containers": [{"name": "c", "image": "i", "securityContext": security}]}});
    for (field, value) in spec.as_object().unwrap() {
        pod["spec"][field] = value.clone();
    }
    pod
}

fn tried(scc: SecurityContextConstraints, pod: &Value) -> Result<Vec<String>, Vec<String>> {
    let entry = Entry::new(scc);
    let pod = Pod::deserialize(pod).unwrap();
    let mut errors: Vec<FieldError> = Vec::new();
    let ranges = ranges();
    let context = Context { ranges: &ranges, kernel: KernelVersion::LATEST };
    let changes = attempt(entry.plan().unwrap(), context, &pod, &mut errors).unwrap();
    if !errors.is_empty() {
        return Err(errors.iter().map(ToString::to_string).collect());
    }
    let mut patch = Patch::default();
    changes.write(&pod, &[], &mut patch);
    let operations: Vec<Value> =
        serde_json::from_str(&patch.finish().unwrap_or_else(|| "[]".into())).unwrap();
    Ok(operations.iter().map(|op| format!("{} {}", op["path"].as_str().unwrap(), op["value"])).collect())
}

/// An SCC with some fields changed.
fn changed(name: &str, fields: Value) -> SecurityContextConstraints {
    let mut scc = serde_json::to_value(built_in(name)).unwrap();
    for (field, value) in fields.as_object().unwrap() {
        scc[field] = value.clone();
    }
    SecurityContextConstraints::deserialize(scc).unwrap()
}

const LOW: &str = "/spec/containers/0/securityContext/";

#[test]
fn restricted_v2_hardens_a_pod_that_says_nothing() {
    let set = tried(built_in("restricted-v2"), &pod(json!({}), json!({}))).unwrap();
    assert_eq!(
        set,
        [
            r#"/metadata/annotations/seccomp.security.alpha.kubernetes.io~1pod "runtime/default""#.to_owned(),
            r#"/spec/securityContext/fsGroup 1000000000"#.to_owned(),
            r#"/spec/securityContext/seLinuxOptions {"level":"s0:c1,c0"}"#.to_owned(),
            r#"/spec/securityContext/seccompProfile {"type":"RuntimeDefault"}"#.to_owned(),
            format!("{LOW}runAsUser 1000000000"),
            format!("{LOW}runAsNonRoot true"),
            format!(r#"{LOW}capabilities {{"drop":["ALL"]}}"#),
            format!("{LOW}allowPrivilegeEscalation false"),
        ]
    );
}

#[test]
fn privileged_sets_nothing() {
    let asked = json!({"privileged": true, "allowPrivilegeEscalation": true});
    assert_eq!(tried(built_in("privileged"), &pod(asked, json!({}))), Ok(Vec::new()));
}

#[test]
fn each_field_in_the_way_is_found() {
    let at = "spec.containers[0].securityContext";
    let rows = [
        (json!({"privileged": true, "allowPrivilegeEscalation": true}), json!({}),
            vec![format!("{at}.privileged: Invalid value: true: Privileged containers are not allowed"),
                 format!("{at}.allowPrivilegeEscalation: Invalid value: true: Allowing privilege escalation for containers is not allowed")]),
        (json!({"runAsUser": 1}), json!({}),
            vec![format!("{at}.runAsUser: Invalid value: 1: must be in the ranges: [1000000000, 1000009999]")]),
        (json!({"seLinuxOptions": {"level": "s0:c2"}}), json!({}),
            vec![format!("{at}.seLinuxOptions.level: Invalid value: \"s0:c2\": must be s0:c1,c0")]),
        (json!({"capabilities": {"add": ["SYS_ADMIN"]}}), json!({}),
            vec![format!("{at}.capabilities.add: Invalid value: \"SYS_ADMIN\": capability may not be added")]),
        (json!({"seccompProfile": {"type": "Unconfined"}}), json!({}),
            vec![format!("{at}.seccompProfile: Forbidden: unconfined is not an allowed seccomp profile. Valid values are runtime/default")]),
        (json!({}), json!({"hostNetwork": true, "hostPID": true, "hostIPC": true}),
            vec!["spec.hostNetwork: Invalid value: true: Host network is not allowed to be used".into(),
                 "spec.hostPID: Invalid value: true: Host PID is not allowed to be used".into(),
                 "spec.hostIPC: Invalid value: true: Host IPC is not allowed to be used".into()]),
        (json!({}), json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}),
            vec!["spec.volumes[0]: Invalid value: \"hostPath\": hostPath volumes are not allowed to be used".into()]),
        (json!({}), json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}),
            vec!["spec.securityContext.sysctls[0].name: Forbidden: unsafe sysctl \"kernel.msgmax\" is not allowed".into()]),
        (json!({}), json!({"containers": [{"name": "c", "ports": [{"hostPort": 80}]}]}),
            vec!["spec.containers[0].ports[0].hostPort: Invalid value: 80: Host ports are not allowed to be used".into()]),
        (json!({}), json!({"securityContext": {"fsGroup": 1}}),
            vec!["spec.securityContext.fsGroup: Invalid value: 1: 1 is not an allowed group, must be in [1000000000, 1000000000]".into()]),
    ];
    for (security, spec, expected) in rows {
        let found = tried(built_in("restricted-v2"), &pod(security.clone(), spec.clone()));
        assert_eq!(found, Err(expected), "{security} {spec}");
    }
}

#[test]
fn a_finding_for_the_whole_pod_is_named_once() {
    let two = json!({"containers": [{"name": "a"}, {"name": "b"}], "securityContext": {"seccompProfile": {"type": "Unconfined"}}});
    let errors = tried(built_in("restricted-v2"), &pod(json!({}), two)).unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:?}");
}

#[test]
fn a_pods_user_counts_for_its_containers() {
    let asked = json!({"securityContext": {"runAsUser": 0}});
    let anyuid = tried(built_in("anyuid"), &pod(json!({}), asked.clone())).unwrap();
    assert!(
        anyuid.iter().all(|set| !set.contains("runAsUser") && !set.contains("runAsNonRoot")),
        "{anyuid:?}"
    );
    let nonroot = tried(built_in("nonroot-v2"), &pod(json!({}), asked)).unwrap_err();
    let at = "spec.containers[0].securityContext";
    assert_eq!(
        nonroot,
        [format!("{at}.runAsUser: Invalid value: 0: running with the root UID is forbidden")]
    );
}

#[test]
fn escalation_has_a_default_unless_the_container_needs_it() {
    let scc = |fields: Value| changed("privileged", fields);
    let set = |scc: SecurityContextConstraints, security: Value| {
        let set = tried(scc, &pod(security, json!({}))).unwrap();
        set.into_iter()
            .find_map(|set| set.strip_prefix(&format!("{LOW}allowPrivilegeEscalation ")).map(str::to_owned))
    };
    let default = json!({"defaultAllowPrivilegeEscalation": false});
    assert_eq!(set(scc(default.clone()), json!({})).as_deref(), Some("false"));
    assert_eq!(set(scc(default.clone()), json!({"privileged": true})), None);
    assert_eq!(set(scc(default.clone()), json!({"capabilities": {"add": ["CAP_SYS_ADMIN"]}})), None);
    assert_eq!(
        set(scc(default.clone()), json!({"capabilities": {"add": ["SYS_ADMIN"]}})).as_deref(),
        Some("false")
    );
    assert_eq!(set(scc(default), json!({"allowPrivilegeEscalation": true})), None);
    let none = json!({"allowPrivilegeEscalation": false});
    assert_eq!(set(scc(none), json!({"privileged": true})).as_deref(), Some("false"));
}

#[test]
fn a_profile_is_written_as_field_and_annotation() {
    let key = "seccomp.security.alpha.kubernetes.io/pod";
    let escaped = "/metadata/annotations/seccomp.security.alpha.kubernetes.io~1pod";
    let any = || changed("privileged", json!({"seccompProfiles": ["*"]}));
    let mut annotated = pod(json!({}), json!({}));
    annotated["metadata"]["annotations"][key] = json!("localhost/a.json");
    let field = r#"/spec/securityContext/seccompProfile {"type":"Localhost","localhostProfile":"a.json"}"#;
    assert_eq!(tried(any(), &annotated), Ok(vec![field.to_owned()]));
    let named = pod(
        json!({}),
        json!({"securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "a.json"}}}),
    );
    assert_eq!(tried(any(), &named), Ok(vec![format!(r#"{escaped} "localhost/a.json""#)]));
    // Of the two the annotation wins, and an unknown one takes the field away.
    let mut both = named;
    both["metadata"]["annotations"][key] = json!("runtime/default");
    let field = r#"/spec/securityContext/seccompProfile {"type":"RuntimeDefault"}"#;
    assert_eq!(tried(any(), &both), Ok(vec![field.to_owned()]));
    both["metadata"]["annotations"][key] = json!("bogus");
    assert_eq!(tried(any(), &both), Ok(vec!["/spec/securityContext/seccompProfile null".to_owned()]));
}

#[test]
fn a_context_that_is_absent_is_added_whole() {
    let mut bare = pod(json!({}), json!({}));
    bare["metadata"].as_object_mut().unwrap().remove("annotations");
    bare["spec"].as_object_mut().unwrap().remove("securityContext");
    bare["spec"]["containers"][0].as_object_mut().unwrap().remove("securityContext");
    let set = tried(built_in("restricted-v2"), &bare).unwrap();
    let paths: Vec<_> = set.iter().filter_map(|set| set.split(' ').next()).collect();
    assert_eq!(
        paths,
        ["/metadata/annotations", "/spec/securityContext", "/spec/containers/0/securityContext"]
    );
}

#[test]
fn init_and_ephemeral_containers_are_held_too() {
    let spec = json!({"initContainers": [{"name": "i", "securityContext": {"privileged": true, "allowPrivilegeEscalation": true}}],
        "ephemeralContainers": [{"name": "e", "securityContext": {"runAsUser": 1}}]});
    let errors = tried(built_in("restricted-v2"), &pod(json!({}), spec)).unwrap_err();
    let fields: Vec<_> = errors.iter().filter_map(|error| error.split(": ").next()).collect();
    assert_eq!(
        fields,
        [
            "spec.initContainers[0].securityContext.privileged",
            "spec.initContainers[0].securityContext.allowPrivilegeEscalation",
            "spec.ephemeralContainers[0].securityContext.runAsUser"
        ]
    );
}

#[test]
fn a_user_namespace_is_required_by_restricted_v3() {
    let errors = tried(built_in("restricted-v3"), &pod(json!({"runAsUser": 1000}), json!({}))).unwrap_err();
    assert_eq!(errors, ["spec.hostUsers: Invalid value: null: Host Users must be set to false"]);
    assert!(tried(built_in("restricted-v3"), &pod(json!({}), json!({"hostUsers": false}))).is_ok());
}

#[test]
fn an_scc_without_what_it_needs_admits_no_pod() {
    let scc = changed("restricted-v2", json!({"runAsUser": {"type": "MustRunAs"}}));
    assert_eq!(Entry::new(scc).plan().unwrap_err(), &Unusable::NoUid);
}
