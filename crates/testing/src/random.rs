//! Random policies and pods, made to disagree: values come from small pools, so that they often
//! meet the bounds that SCCs set.

use proptest::collection::vec;
use proptest::option::{of, weighted};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};

const IDS: [i64; 8] = [0, 1, 999, 1000, 65_534, 1_000_000_000, 1_000_009_999, 1_000_010_000];
const CAPABILITIES: [&str; 8] =
    ["KILL", "MKNOD", "NET_RAW", "NET_BIND_SERVICE", "SYS_ADMIN", "CAP_SYS_ADMIN", "net_raw", "ALL"];
const LEVELS: [&str; 5] = ["s0", "s0:c1,c0", "s0:c0,c1", "s0:c5", ""];
const PROFILES: [&str; 6] =
    ["runtime/default", "docker/default", "unconfined", "localhost/a.json", "bogus", "localhost/"];
const SYSCTLS: [&str; 4] =
    ["kernel.shm_rmid_forced", "kernel.msgmax", "net.core.somaxconn", "net.ipv4.tcp_rmem"];
const VOLUMES: [&str; 7] = ["secret", "emptyDir", "configMap", "hostPath", "nfs", "image", "projected"];
const NAMESPACE: &str = "dev";

/// The seed of the random tests: `PALISADE_SEED`, else the same in every run, so that a failure belongs to the commit.
/// It is printed, so that the run can be repeated.
///
/// # Panics
///
/// The variable is not a number.
#[must_use]
pub fn seed() -> u64 {
    let given = std::env::var("PALISADE_SEED").ok();
    let seed = given.map_or(20_261_126, |seed| seed.parse().expect("PALISADE_SEED is a number"));
    println!("PALISADE_SEED={seed}");
    seed
}

/// A source of random values that follows from a seed.
#[must_use]
pub fn runner(seed: u64) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// The namespace of every random pod, with ranges.
#[must_use]
pub fn namespace() -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "annotations": {
        "openshift.io/sa.scc.uid-range": "1000000000/10000",
        "openshift.io/sa.scc.supplemental-groups": "1000000000/10000,1000/10",
        "openshift.io/sa.scc.mcs": "s0:c1,c0"}}})
}

fn id() -> impl Strategy<Value = i64> {
    select(IDS.to_vec())
}

fn names(pool: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(pool.to_vec(), 0..=pool.len().min(3)).prop_shuffle()
}

/// An object of the fields that are there.
fn object(fields: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Value {
    let present = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(present.collect::<Map<_, _>>())
}

fn selinux() -> BoxedStrategy<Value> {
    (of(select(LEVELS.to_vec())), weighted(0.2, Just("container_t")), weighted(0.1, Just("u")))
        .prop_map(|(level, type_, user)| {
            object([
                ("level", level.map(Value::from)),
                ("type", type_.map(Value::from)),
                ("user", user.map(Value::from)),
            ])
        })
        .boxed()
}

fn seccomp_field() -> BoxedStrategy<Value> {
    prop_oneof![
        Just(json!({"type": "RuntimeDefault"})),
        Just(json!({"type": "Unconfined"})),
        Just(json!({"type": "Localhost", "localhostProfile": "a.json"})),
    ]
    .boxed()
}

fn capabilities() -> BoxedStrategy<Value> {
    (of(names(&CAPABILITIES)), of(names(&CAPABILITIES)))
        .prop_map(|(add, drop)| object([("add", add.map(Value::from)), ("drop", drop.map(Value::from))]))
        .boxed()
}

fn container_security() -> BoxedStrategy<Value> {
    let flags = (
        weighted(0.2, any::<bool>()),
        weighted(0.3, any::<bool>()),
        weighted(0.3, any::<bool>()),
        weighted(0.3, any::<bool>()),
    );
    (
        flags,
        weighted(0.4, id()),
        weighted(0.3, capabilities()),
        weighted(0.2, selinux()),
        weighted(0.2, seccomp_field()),
    )
        .prop_map(|((privileged, non_root, escalation, read_only), user, capabilities, selinux, seccomp)| {
            object([
                ("privileged", privileged.map(Value::from)),
                ("runAsNonRoot", non_root.map(Value::from)),
                ("allowPrivilegeEscalation", escalation.map(Value::from)),
                ("readOnlyRootFilesystem", read_only.map(Value::from)),
                ("runAsUser", user.map(Value::from)),
                ("capabilities", capabilities),
                ("seLinuxOptions", selinux),
                ("seccompProfile", seccomp),
            ])
        })
        .boxed()
}

fn container(name: &'static str) -> BoxedStrategy<Value> {
    (weighted(0.6, container_security()), weighted(0.1, Just(json!([{"containerPort": 80, "hostPort": 80}]))))
        .prop_map(move |(security, ports)| {
            object([("name", Some(name.into())), ("securityContext", security), ("ports", ports)])
        })
        .boxed()
}

fn pod_security() -> BoxedStrategy<Value> {
    let groups = weighted(0.2, vec(id(), 0..3));
    let sysctls = weighted(0.2, names(&SYSCTLS));
    (
        weighted(0.2, id()),
        weighted(0.3, any::<bool>()),
        weighted(0.2, id()),
        groups,
        weighted(0.2, selinux()),
        weighted(0.2, seccomp_field()),
        sysctls,
    )
        .prop_map(|(user, non_root, fs_group, groups, selinux, seccomp, sysctls)| {
            let sysctls =
                sysctls.map(|names| names.iter().map(|name| json!({"name": name, "value": "1"})).collect());
            object([
                ("runAsUser", user.map(Value::from)),
                ("runAsNonRoot", non_root.map(Value::from)),
                ("fsGroup", fs_group.map(Value::from)),
                ("supplementalGroups", groups.map(Value::from)),
                ("seLinuxOptions", selinux),
                ("seccompProfile", seccomp),
                ("sysctls", sysctls),
            ])
        })
        .boxed()
}

/// A pod of one to three containers.
pub fn pod() -> BoxedStrategy<Value> {
    let host = (weighted(0.05, Just(true)), weighted(0.05, Just(true)), weighted(0.15, any::<bool>()));
    let annotations = (weighted(0.15, select(PROFILES.to_vec())), weighted(0.1, select(PROFILES.to_vec())));
    let containers = (weighted(0.3, container("i0")), container("c0"), weighted(0.3, container("c1")));
    (host, annotations, containers, weighted(0.7, pod_security()), names(&VOLUMES), weighted(0.6, Just("sa")))
        .prop_map(
            |(
                (network, pid, users),
                (pod_profile, container_profile),
                (init, first, second),
                security,
                volumes,
                account,
            )| {
                let annotations = object([
                    ("seccomp.security.alpha.kubernetes.io/pod", pod_profile.map(Value::from)),
                    ("container.seccomp.security.alpha.kubernetes.io/c0", container_profile.map(Value::from)),
                ]);
                let annotations =
                    annotations.as_object().is_some_and(|map| !map.is_empty()).then_some(annotations);
                let volumes: Vec<Value> = volumes
                    .iter()
                    .map(|kind| object([("name", Some(json!(kind))), (kind, Some(json!({})))]))
                    .collect();
                let containers: Vec<Value> = [Some(first), second].into_iter().flatten().collect();
                json!({
                    "metadata": object([("name", Some("p".into())), ("annotations", annotations)]),
                    "spec": object([
                        ("initContainers", init.map(|init| json!([init]))),
                        ("containers", Some(json!(containers))),
                        ("volumes", (!volumes.is_empty()).then(|| json!(volumes))),
                        ("securityContext", security),
                        ("hostNetwork", network.map(Value::from)),
                        ("hostPID", pid.map(Value::from)),
                        ("hostUsers", users.map(Value::from)),
                        ("serviceAccountName", account.map(Value::from)),
                    ]),
                })
            },
        )
        .boxed()
}

fn ranges() -> impl Strategy<Value = Option<Value>> {
    let range = (id(), 0..20_000_i64).prop_map(|(min, size)| json!({"min": min, "max": min + size}));
    weighted(0.5, vec(range, 1..3)).prop_map(|ranges| ranges.map(Value::from))
}

fn group_strategy() -> BoxedStrategy<Value> {
    (any::<bool>(), ranges())
        .prop_map(|(must, ranges)| {
            object([("type", Some(if must { "MustRunAs" } else { "RunAsAny" }.into())), ("ranges", ranges)])
        })
        .boxed()
}

fn user_strategy() -> BoxedStrategy<Value> {
    prop_oneof![
        Just(json!({"type": "RunAsAny"})),
        Just(json!({"type": "MustRunAsNonRoot"})),
        Just(json!({"type": "MustRunAsRange"})),
        (id(), 0..20_000_i64).prop_map(
            |(min, size)| json!({"type": "MustRunAsRange", "uidRangeMin": min, "uidRangeMax": min + size})
        ),
        id().prop_map(|uid| json!({"type": "MustRunAs", "uid": uid})),
        // The two that the API server accepts and that can admit no pod.
        Just(json!({"type": "MustRunAs"})),
        Just(json!({"type": "MustRunAsRange", "uidRangeMin": 5})),
    ]
    .boxed()
}

/// An SCC of that name that the API server accepts.
pub fn scc(name: String) -> BoxedStrategy<Value> {
    let flags = vec(weighted(0.3, Just(true)), 7);
    let escalation = (weighted(0.4, any::<bool>()), weighted(0.3, Just(false)));
    let lists = (
        names(&CAPABILITIES),
        names(&CAPABILITIES),
        names(&CAPABILITIES),
        weighted(0.8, names(&VOLUMES)),
        names(&PROFILES),
        weighted(0.3, names(&SYSCTLS)),
    );
    let strategies = (user_strategy(), group_strategy(), group_strategy(), of(of(selinux())));
    (
        flags,
        escalation,
        lists,
        strategies,
        weighted(0.3, 0..20_i32),
        weighted(0.6, Just("system:authenticated")),
        weighted(0.3, Just("system:serviceaccount:dev:sa")),
    )
        .prop_map(
            move |(flags, (escalation, default_escalation), lists, strategies, priority, group, user)| {
                let (dropped, allowed, added, volumes, profiles, sysctls) = lists;
                let keep = |list: Vec<&'static str>| -> Vec<&'static str> {
                    list.into_iter().filter(|name| !dropped.contains(name)).collect()
                };
                let (users, fs_group, groups, selinux) = strategies;
                let selinux = match selinux {
                    None => json!({"type": "RunAsAny"}),
                    Some(options) => {
                        object([("type", Some("MustRunAs".into())), ("seLinuxOptions", options)])
                    }
                };
                let flag = |index: usize| Some(Value::from(flags[index].unwrap_or_default()));
                object([
                    ("apiVersion", Some("security.openshift.io/v1".into())),
                    ("kind", Some("SecurityContextConstraints".into())),
                    ("metadata", Some(json!({"name": name}))),
                    ("priority", priority.map(Value::from)),
                    ("allowPrivilegedContainer", flag(0)),
                    ("allowHostNetwork", flag(1)),
                    ("allowHostPorts", flag(2)),
                    ("allowHostPID", flag(3)),
                    ("allowHostDirVolumePlugin", flag(4)),
                    ("readOnlyRootFilesystem", flag(5)),
                    ("userNamespaceLevel", flags[6].map(|_| "RequirePodLevel".into())),
                    ("allowPrivilegeEscalation", escalation.map(Value::from)),
                    ("defaultAllowPrivilegeEscalation", default_escalation.map(Value::from)),
                    ("allowedCapabilities", Some(json!(keep(allowed)))),
                    ("defaultAddCapabilities", Some(json!(keep(added)))),
                    ("requiredDropCapabilities", Some(json!(dropped))),
                    ("volumes", volumes.map(Value::from)),
                    ("seccompProfiles", Some(json!(profiles))),
                    ("allowedUnsafeSysctls", sysctls.map(Value::from)),
                    ("runAsUser", Some(users)),
                    ("fsGroup", Some(fs_group)),
                    ("supplementalGroups", Some(groups)),
                    ("seLinuxContext", Some(selinux)),
                    ("groups", group.map(|group| json!([group]))),
                    ("users", user.map(|user| json!([user]))),
                ])
            },
        )
        .boxed()
}

/// One to five SCCs and the namespace: a whole policy.
pub fn policy() -> impl Strategy<Value = Vec<Value>> {
    (1..=5_usize)
        .prop_flat_map(|count| (0..count).map(|index| scc(format!("s{index}"))).collect::<Vec<_>>())
        .prop_map(|mut objects| {
            objects.push(namespace());
            objects
        })
}

/// The review of creating `pod`, by a plain user.
#[must_use]
pub fn review(pod: &Value) -> String {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": NAMESPACE, "name": "p", "operation": "CREATE",
        "userInfo": {"username": "alice", "groups": ["system:authenticated"]}, "object": pod}})
    .to_string()
}
