//! The values that are tried for each field, tightest first.

use palisade_k8s::SecurityContextConstraints;
use palisade_k8s::pod::VolumeKind;
use palisade_k8s::scc::{
    AllowedFlexVolume, GroupStrategy, ObjectMeta, RunAsUserStrategy, SeLinuxContextStrategy, SeLinuxLabels,
};

use super::demand::{Demand, runs};
use super::judge::Judge;
use crate::rule::sysctl::SAFE;

/// A value of a field.
type Set = Box<dyn Fn(&mut SecurityContextConstraints)>;

fn set(set: impl Fn(&mut SecurityContextConstraints) + 'static) -> Set {
    Box::new(set)
}

pub(crate) fn strategy(type_: &str) -> RunAsUserStrategy {
    RunAsUserStrategy { type_: type_.to_owned(), ..RunAsUserStrategy::default() }
}

pub(super) fn groups(type_: &str) -> GroupStrategy {
    GroupStrategy { type_: type_.to_owned(), ranges: None }
}

pub(super) fn labels(type_: &str, labels: Option<SeLinuxLabels>) -> SeLinuxContextStrategy {
    SeLinuxContextStrategy { type_: type_.to_owned(), se_linux_options: labels }
}

/// The profile that an SCC gives to a pod that names none.
fn default_profile(base: &SecurityContextConstraints) -> Option<&String> {
    base.seccomp_profiles.iter().flatten().find(|profile| *profile != "*")
}

/// An SCC that permits everything that an SCC can, and sets only the base's seccomp profile.
pub(super) fn widest(name: &str, base: &SecurityContextConstraints) -> SecurityContextConstraints {
    let all = || Some(vec!["*".to_owned()]);
    SecurityContextConstraints {
        metadata: ObjectMeta { name: name.to_owned(), ..ObjectMeta::default() },
        allow_privileged_container: true,
        allowed_capabilities: all(),
        default_add_capabilities: Some(Vec::new()),
        required_drop_capabilities: Some(Vec::new()),
        allow_host_dir_volume_plugin: true,
        volumes: all(),
        allow_host_network: true,
        allow_host_ports: true,
        allow_host_pid: true,
        allow_host_ipc: true,
        allow_privilege_escalation: Some(true),
        se_linux_context: labels("RunAsAny", None),
        run_as_user: strategy("RunAsAny"),
        supplemental_groups: groups("RunAsAny"),
        fs_group: groups("RunAsAny"),
        users: Some(Vec::new()),
        groups: Some(Vec::new()),
        seccomp_profiles: Some(default_profile(base).cloned().into_iter().chain(["*".to_owned()]).collect()),
        allowed_unsafe_sysctls: all(),
        ..SecurityContextConstraints::default()
    }
}

/// Field by field the tightest value under which all pods are admitted.
pub(super) fn choose(
    name: &str,
    judge: &Judge<'_>,
    demand: &Demand,
    base: &SecurityContextConstraints,
) -> SecurityContextConstraints {
    let mut scc = widest(name, base);
    let fields = [
        flags(),
        escalation(),
        volumes(demand),
        drivers(demand),
        capabilities(demand),
        drops(demand, base),
        sysctls(demand),
        forbidden(demand),
        profiles(demand, base),
        users(demand),
        selinux(demand),
        group_field(&demand.fs_groups, |scc, strategy| scc.fs_group = strategy),
        group_field(&demand.groups, |scc, strategy| scc.supplemental_groups = strategy),
    ];
    for step in fields.into_iter().flatten() {
        let fits = |set: &Set| {
            let mut tried = scc.clone();
            set(&mut tried);
            crate::default(&mut tried);
            (crate::validate(&tried).is_empty() && judge.admits_all(&tried)).then_some(tried)
        };
        if let Some(tighter) = step.iter().find_map(fits) {
            scc = tighter;
        }
    }
    crate::default(&mut scc);
    scc
}

/// The steps of one field or of several: each a list of values, tightest first.
type Steps = Vec<Vec<Set>>;

fn flags() -> Steps {
    vec![
        vec![set(|scc| scc.allow_privileged_container = false)],
        vec![set(|scc| scc.allow_host_network = false)],
        vec![set(|scc| scc.allow_host_ports = false)],
        vec![set(|scc| scc.allow_host_pid = false)],
        vec![set(|scc| scc.allow_host_ipc = false)],
        vec![set(|scc| scc.read_only_root_filesystem = true)],
        vec![set(|scc| scc.user_namespace_level = "RequirePodLevel".to_owned())],
    ]
}

fn escalation() -> Steps {
    vec![
        [(false, Some(false)), (true, Some(false)), (true, None), (true, Some(true))]
            .into_iter()
            .map(|(allow, default)| {
                set(move |scc| {
                    scc.allow_privilege_escalation = Some(allow);
                    scc.default_allow_privilege_escalation = default;
                })
            })
            .collect(),
    ]
}

fn volumes(demand: &Demand) -> Steps {
    let mut kinds = demand.values("volumes");
    kinds.retain(|kind| VolumeKind::from_policy_name(kind).is_some());
    // The account's token is a projected volume that `secret` permits too.
    let without: Vec<String> = match kinds.iter().any(|kind| kind == "secret") {
        true => kinds.iter().filter(|kind| *kind != "projected").cloned().collect(),
        false => kinds.clone(),
    };
    let of = |kinds: Vec<String>| {
        set(move |scc| {
            scc.allow_host_dir_volume_plugin = kinds.iter().any(|kind| kind == "hostPath");
            scc.volumes = Some(if kinds.is_empty() { vec!["none".to_owned()] } else { kinds.clone() });
        })
    };
    vec![vec![of(without), of(kinds)]]
}

fn drivers(demand: &Demand) -> Steps {
    let drivers = demand.values("allowedFlexVolumes");
    if drivers.is_empty() {
        return Vec::new();
    }
    vec![vec![set(move |scc| {
        let allowed = drivers.iter().map(|driver| AllowedFlexVolume { driver: driver.clone() });
        scc.allowed_flex_volumes = Some(allowed.collect());
    })]]
}

fn capabilities(demand: &Demand) -> Steps {
    let asked = demand.values("allowedCapabilities");
    vec![vec![set(move |scc| scc.allowed_capabilities = Some(asked.clone()))]]
}

fn drops(demand: &Demand, base: &SecurityContextConstraints) -> Steps {
    let asked = demand.values("allowedCapabilities");
    let mut drops = base.required_drop_capabilities.clone().unwrap_or_default();
    drops.retain(|name| !asked.contains(name));
    vec![vec![set(move |scc| scc.required_drop_capabilities = Some(drops.clone()))]]
}

fn sysctls(demand: &Demand) -> Steps {
    let asked = demand.values("allowedUnsafeSysctls");
    vec![vec![set(move |scc| scc.allowed_unsafe_sysctls = (!asked.is_empty()).then(|| asked.clone()))]]
}

/// All sysctls are forbidden if none is requested, else the safe ones that are not requested.
fn forbidden(demand: &Demand) -> Steps {
    let asked = demand.values("forbiddenSysctls");
    let rest = SAFE.iter().map(|(name, _)| *name).filter(|name| !asked.iter().any(|asked| asked == name));
    let forbidden: Vec<String> = match demand.asks_for_sysctl {
        true => rest.map(str::to_owned).collect(),
        false => vec!["*".to_owned()],
    };
    vec![vec![set(move |scc| scc.forbidden_sysctls = Some(forbidden.clone()))]]
}

fn profiles(demand: &Demand, base: &SecurityContextConstraints) -> Steps {
    let asked = demand.values("seccompProfiles");
    let first = |first: &str| -> Vec<String> {
        let rest = asked.iter().filter(|profile| *profile != first).cloned();
        [first.to_owned()].into_iter().chain(rest).collect()
    };
    let mut lists = vec![Vec::new()];
    if asked.iter().any(|profile| profile == "runtime/default") {
        lists.push(first("runtime/default"));
    }
    lists.push(asked.clone());
    lists.extend(default_profile(base).map(|default| first(default)));
    let set_list =
        |list: Vec<String>| set(move |scc| scc.seccomp_profiles = (!list.is_empty()).then(|| list.clone()));
    vec![lists.into_iter().map(set_list).collect()]
}

fn users(demand: &Demand) -> Steps {
    let mut tried = vec![strategy("MustRunAsRange")];
    match (demand.users.first(), demand.users.last()) {
        (Some(only), Some(last)) if only == last => {
            tried.push(RunAsUserStrategy { uid: Some(*only), ..strategy("MustRunAs") });
        }
        (Some(min), Some(max)) => tried.push(RunAsUserStrategy {
            uid_range_min: Some(*min),
            uid_range_max: Some(*max),
            ..strategy("MustRunAsRange")
        }),
        _ => {}
    }
    tried.push(strategy("MustRunAsNonRoot"));
    let set_users = |users: RunAsUserStrategy| set(move |scc| scc.run_as_user = users.clone());
    vec![tried.into_iter().map(set_users).collect()]
}

fn selinux(demand: &Demand) -> Steps {
    let mut tried = vec![labels("MustRunAs", None)];
    if let [only] = demand.labels.as_slice() {
        tried.push(labels("MustRunAs", Some(only.clone())));
    }
    let set_labels = |labels: SeLinuxContextStrategy| set(move |scc| scc.se_linux_context = labels.clone());
    vec![tried.into_iter().map(set_labels).collect()]
}

fn group_field(asked: &[i64], put: fn(&mut SecurityContextConstraints, GroupStrategy)) -> Steps {
    let mut ranges = runs(asked);
    // The first is the default of a pod without one: preferably not root's.
    ranges.sort_by_key(|range| (range.contains(0), range.min));
    let own = GroupStrategy { ranges: Some(ranges.clone()), ..groups("MustRunAs") };
    let mut tried = vec![groups("MustRunAs")];
    tried.extend((!ranges.is_empty()).then_some(own));
    vec![tried.into_iter().map(|strategy| set(move |scc| put(scc, strategy.clone()))).collect()]
}
