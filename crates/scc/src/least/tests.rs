//! The least SCC of small sets of pods, field by field.

use palisade_k8s::scc::IdRange;
use palisade_k8s::{KernelVersion, Pod};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Least, Question, Reason, least};
use crate::Context;
use crate::fixture::{built_in, ranges};

fn of(base: &str, specs: &[Value]) -> Least {
    let pods: Vec<Value> = specs.iter().map(|spec| json!({"spec": spec})).collect();
    let pods: Vec<Pod<'_>> = pods.iter().map(|pod| Pod::deserialize(pod).unwrap()).collect();
    let ranges = ranges();
    let context = Context { ranges: &ranges, kernel: KernelVersion::LATEST };
    least("least", &Question { pods: &pods, context, base: &built_in(base) }).unwrap()
}

fn container(security: &Value) -> Value {
    json!({"containers": [{"name": "c", "securityContext": security}]})
}

#[test]
fn a_pod_that_asks_for_nothing_needs_nothing() {
    let least = of("restricted-v2", &[container(&json!({}))]);
    let scc = &least.scc;
    assert_eq!(scc.volumes.as_deref(), Some(&["none".to_owned()][..]));
    assert_eq!(scc.allowed_capabilities, Some(Vec::new()));
    assert_eq!(scc.required_drop_capabilities, Some(vec!["ALL".to_owned()]));
    assert_eq!(scc.forbidden_sysctls, Some(vec!["*".to_owned()]));
    assert_eq!((scc.run_as_user.type_.as_str(), scc.run_as_user.uid_range_min), ("MustRunAsRange", None));
    assert_eq!(scc.seccomp_profiles, Some(vec!["runtime/default".to_owned()]));
    assert_eq!(scc.supplemental_groups.type_, "MustRunAs");
    assert_eq!(scc.allow_privilege_escalation, Some(false));
    // A pod that does not set its root file system's mode keeps it open.
    assert!(!scc.read_only_root_filesystem);
    assert!(least.blurs.is_empty() && least.hopeless.is_empty());
}

#[test]
fn ranges_keep_their_gaps() {
    let group = |id: i64| json!({"containers": [{"name": "c"}], "securityContext": {"fsGroup": id}});
    let least = of("restricted-v2", &[group(1000), group(1001), group(2000)]);
    let ranges = least.scc.fs_group.ranges.unwrap();
    assert_eq!(ranges, [IdRange { min: 1000, max: 1001 }, IdRange { min: 2000, max: 2000 }]);
    let needs: Vec<_> = least.needs.iter().filter(|need| need.field == "fsGroup").collect();
    assert_eq!(
        needs.iter().map(|need| (need.value.as_str(), need.first)).collect::<Vec<_>>(),
        [("1000", 0), ("1001", 1), ("2000", 2)]
    );
}

#[test]
fn users_that_one_range_spans_are_told_apart_by_two() {
    let user = |id: i64| container(&json!({"runAsUser": id}));
    let least = of("restricted-v2", &[user(1000), user(2000), user(1001)]);
    let users = &least.scc.run_as_user;
    assert_eq!((users.uid_range_min, users.uid_range_max), (Some(1000), Some(2000)));
    let [blur] = least.blurs.as_slice() else { panic!("{:?}", least.blurs) };
    assert_eq!(blur.reason, Reason::Span { min: 1000, max: 2000, asked: 3 });
    assert_eq!(blur.halves, Some([vec![0, 2], vec![1]]));
}

/// One value for both would make the second run as root.
#[test]
fn root_is_given_to_no_pod_that_does_not_ask() {
    let pods = [container(&json!({"runAsUser": 0})), container(&json!({}))];
    let both = of("restricted-v2", &pods);
    assert_eq!(both.scc.run_as_user.type_, "RunAsAny");
    let [blur] = both.blurs.as_slice() else { panic!("{:?}", both.blurs) };
    assert_eq!((&blur.reason, &blur.halves), (&Reason::RootAndOpen, &Some([vec![1], vec![0]])));
    assert_eq!(of("restricted-v2", &pods[..1]).scc.run_as_user.uid, Some(0));
}

#[test]
fn what_kubernetes_refuses_beside_privileged_is_not_set() {
    let least = of("restricted-v2", &[container(&json!({"privileged": true})), container(&json!({}))]);
    assert_eq!(least.scc.allow_privilege_escalation, Some(true));
    assert_eq!(least.scc.default_allow_privilege_escalation, Some(false));
    assert!(least.scc.allow_privileged_container);
}

#[test]
fn each_field_is_as_tight_as_the_pods_allow() {
    let spec = json!({
        "hostNetwork": true, "hostUsers": false,
        "securityContext": {"seccompProfile": {"type": "Unconfined"},
            "sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]},
        "volumes": [{"name": "h", "hostPath": {"path": "/"}}, {"name": "s", "secret": {}},
            {"name": "f", "flexVolume": {"driver": "a/b"}}],
        "containers": [{"name": "c", "ports": [{"hostPort": 80}], "securityContext": {
            "readOnlyRootFilesystem": true, "capabilities": {"add": ["NET_RAW"]},
            "seLinuxOptions": {"type": "spc_t", "level": "s0"}}}]
    });
    let least = of("restricted-v2", &[spec]);
    let scc = &least.scc;
    assert!(scc.allow_host_network && scc.allow_host_ports && scc.read_only_root_filesystem);
    assert!(!scc.allow_host_pid && scc.user_namespace_level == "RequirePodLevel");
    assert_eq!(scc.volumes.as_deref().unwrap(), ["flexVolume", "hostPath", "secret"]);
    assert_eq!(scc.allowed_flex_volumes.as_ref().unwrap()[0].driver, "a/b");
    assert_eq!(scc.allowed_capabilities.as_deref().unwrap(), ["NET_RAW"]);
    assert_eq!(scc.seccomp_profiles.as_deref().unwrap(), ["unconfined"]);
    assert_eq!(scc.se_linux_context.se_linux_options.as_ref().unwrap().type_, "spc_t");
    assert_eq!(scc.allowed_unsafe_sysctls, None);
    let forbidden = scc.forbidden_sysctls.as_deref().unwrap();
    assert!(forbidden.len() == 11 && !forbidden.iter().any(|name| name == "net.ipv4.tcp_syncookies"));
}

/// Another base leaves more open, and nothing is set that it does not set.
#[test]
fn the_base_says_what_silence_means() {
    let scc = of("anyuid", &[container(&json!({}))]).scc;
    assert_eq!(scc.run_as_user.type_, "RunAsAny");
    assert_eq!(scc.required_drop_capabilities.as_deref().unwrap(), ["MKNOD"]);
    assert_eq!(scc.allow_privilege_escalation, Some(true));
    assert_ne!(scc.seccomp_profiles.as_deref(), Some(&["runtime/default".to_owned()][..]));
}

#[test]
fn a_pod_that_no_scc_admits_is_told() {
    let least = of(
        "restricted-v2",
        &[
            container(&json!({})),
            json!({"containers": [{"name": "c"}],
        "securityContext": {"seccompProfile": {"type": "Localhost"}}}),
        ],
    );
    assert!(least.hopeless.len() <= 1, "{:?}", least.hopeless);
}
