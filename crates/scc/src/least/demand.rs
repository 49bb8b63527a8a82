//! The values that pods request, each with those pods.

use std::collections::BTreeMap;

use palisade_k8s::pod::VolumeKind;
use palisade_k8s::scc::{IdRange, SeLinuxLabels};
use palisade_k8s::{KernelVersion, Pod};

use super::judge::Judge;
use crate::rule::sysctl::is_safe;

/// The pods that request one value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uses {
    pub(super) first: usize,
    last: usize,
    pub(super) count: usize,
}

/// The requested values, by field of the SCC and in its spelling.
#[derive(Debug, Default)]
pub(super) struct Demand {
    by_field: BTreeMap<&'static str, BTreeMap<String, Uses>>,
    pub(super) users: Vec<i64>,
    pub(super) fs_groups: Vec<i64>,
    pub(super) groups: Vec<i64>,
    /// Distinct labels, at most two: two are enough to show that one SCC does not fit all.
    pub(super) labels: Vec<SeLinuxLabels>,
    pub(super) asks_for_sysctl: bool,
}

impl Demand {
    pub(super) fn of(judge: &Judge<'_>, kernel: KernelVersion) -> Self {
        let mut demand = Self::default();
        judge.pods().enumerate().for_each(|(index, pod)| demand.add(index, pod, kernel));
        for ids in [&mut demand.users, &mut demand.fs_groups, &mut demand.groups] {
            ids.sort_unstable();
            ids.dedup();
        }
        demand
    }

    /// The pods that request a value of a field.
    pub(super) fn uses(&self, field: &str, value: &str) -> Option<Uses> {
        self.by_field.get(field)?.get(value).copied()
    }

    /// The values of a field, in order.
    pub(super) fn values(&self, field: &str) -> Vec<String> {
        self.by_field.get(field).into_iter().flatten().map(|(value, _)| value.clone()).collect()
    }

    fn note(&mut self, field: &'static str, value: impl Into<String>, index: usize) {
        let new = Uses { first: index, last: index, count: 1 };
        let uses = self.by_field.entry(field).or_default().entry(value.into()).or_insert(new);
        if uses.last != index {
            uses.last = index;
            uses.count += 1;
        }
    }

    fn flag(&mut self, asks: bool, field: &'static str, index: usize) {
        if asks {
            self.note(field, "true", index);
        }
    }

    fn add(&mut self, index: usize, pod: &Pod<'_>, kernel: KernelVersion) {
        self.flag(pod.spec.host_network, "allowHostNetwork", index);
        self.flag(pod.spec.host_pid, "allowHostPID", index);
        self.flag(pod.spec.host_ipc, "allowHostIPC", index);
        for volume in &pod.spec.volumes {
            volume.kinds.iter().for_each(|kind| self.volume(*kind, index));
            volume
                .flex_driver
                .iter()
                .for_each(|driver| self.note("allowedFlexVolumes", driver.as_str(), index));
        }
        let Some(security) = &pod.spec.security_context else { return self.containers(index, pod) };
        if let Some(group) = security.fs_group {
            self.fs_groups.push(group);
            self.note("fsGroup", group.to_string(), index);
        }
        for group in security.supplemental_groups.iter().flatten() {
            self.groups.push(*group);
            self.note("supplementalGroups", group.to_string(), index);
        }
        for name in security.sysctls.iter().map(|sysctl| sysctl.name.as_str()) {
            self.asks_for_sysctl = true;
            let field = if is_safe(name, kernel) { "forbiddenSysctls" } else { "allowedUnsafeSysctls" };
            self.note(field, name, index);
        }
        if let Some(options) = &security.se_linux_options {
            self.label(options);
        }
        self.containers(index, pod);
    }

    fn volume(&mut self, kind: VolumeKind, index: usize) {
        self.note("volumes", kind.policy_name(), index);
    }

    fn label(&mut self, options: &palisade_k8s::pod::SeLinuxOptions<'_>) {
        let labels = SeLinuxLabels {
            user: options.user.to_string(),
            role: options.role.to_string(),
            type_: options.type_.to_string(),
            level: options.level.to_string(),
        };
        if self.labels.len() < 2 && !self.labels.contains(&labels) {
            self.labels.push(labels);
        }
    }

    fn containers(&mut self, index: usize, pod: &Pod<'_>) {
        self.profiles(index, pod);
        let of_pod = pod.spec.security_context.as_ref().and_then(|security| security.run_as_user);
        for (_, container) in pod.spec.all_containers() {
            let own = container.security();
            if let Some(user) = own.and_then(|own| own.run_as_user).or(of_pod) {
                self.users.push(user);
                self.note("runAsUser", user.to_string(), index);
            }
            let says = |get: Option<bool>, value| get == Some(value);
            let escalates = says(own.and_then(|own| own.allow_privilege_escalation), true);
            self.flag(escalates, "allowPrivilegeEscalation", index);
            self.flag(says(own.and_then(|own| own.privileged), true), "allowPrivilegedContainer", index);
            self.flag(container.ports.iter().any(|port| port.host_port > 0), "allowHostPorts", index);
            let added =
                own.and_then(|own| own.capabilities.as_ref()).into_iter().flat_map(|lists| &lists.add);
            added.for_each(|name| self.note("allowedCapabilities", name.as_str(), index));
            if let Some(options) = own.and_then(|own| own.se_linux_options.as_ref()) {
                self.label(options);
            }
        }
    }

    /// Seccomp profiles as annotations name them, `runtime/default` by its present name.
    fn profiles(&mut self, index: usize, pod: &Pod<'_>) {
        let security = pod.spec.security_context.as_ref();
        let of_pod = security.and_then(|security| security.seccomp_profile.as_ref());
        let containers = pod.spec.all_containers();
        let own = containers.filter_map(|(_, container)| container.security()?.seccomp_profile.as_ref());
        let mut named: Vec<String> = own.chain(of_pod).map(|field| field.annotation().into_owned()).collect();
        let annotations = pod.metadata.annotations.iter().flat_map(|annotations| annotations.iter());
        named.extend(
            annotations
                .filter(|(key, _)| palisade_k8s::seccomp::is_annotation(key))
                .map(|(_, profile)| profile.to_owned()),
        );
        for profile in named.into_iter().filter(|profile| !profile.is_empty()) {
            let modern = if profile == "docker/default" { "runtime/default".to_owned() } else { profile };
            self.note("seccompProfiles", modern, index);
        }
    }
}

/// IDs, sorted and distinct, as the fewest ranges that contain exactly these.
pub(super) fn runs(ids: &[i64]) -> Vec<IdRange> {
    let mut runs: Vec<IdRange> = Vec::new();
    for &id in ids {
        match runs.last_mut() {
            Some(last) if last.max.checked_add(1) == Some(id) => last.max = id,
            _ => runs.push(IdRange { min: id, max: id }),
        }
    }
    runs
}
