//! Every single step from an SCC to one that permits less.

use palisade_k8s::SecurityContextConstraints;
use palisade_k8s::scc::{GroupStrategy, IdRange, RunAsUserStrategy};

use super::candidate::{groups, labels, strategy};
use crate::rule::sysctl::{SAFE, matches};

/// Maximum number of IDs within one range that are removed from it, one in each step.
const INNER: i64 = 64;

/// A step to an SCC that permits less, in one field.
#[derive(Clone, Debug)]
pub struct Tightening {
    /// The field.
    pub field: &'static str,
    /// The value, or the part of it, that the step removes.
    pub value: String,
    /// The tighter SCC, defaulted and valid.
    pub scc: SecurityContextConstraints,
}

/// Every single step from a defaulted SCC to one that permits less. Capabilities are removed from a container no
/// further than `base` removes them.
#[must_use]
pub fn tightenings(scc: &SecurityContextConstraints, base: &SecurityContextConstraints) -> Vec<Tightening> {
    let mut steps = Steps { scc, found: Vec::new() };
    steps.flags();
    steps.escalation();
    steps.lists();
    steps.volumes();
    steps.drops(base);
    steps.sysctls();
    steps.users();
    steps.selinux();
    let put_fs = |scc: &mut SecurityContextConstraints, groups| scc.fs_group = groups;
    steps.groups("fsGroup", &scc.fs_group, put_fs);
    let put_groups = |scc: &mut SecurityContextConstraints, groups| scc.supplemental_groups = groups;
    steps.groups("supplementalGroups", &scc.supplemental_groups, put_groups);
    steps.found
}

struct Steps<'s> {
    scc: &'s SecurityContextConstraints,
    found: Vec<Tightening>,
}

/// A flag of an SCC.
type Flag = fn(&mut SecurityContextConstraints) -> &mut bool;

impl Steps<'_> {
    fn push(
        &mut self,
        field: &'static str,
        value: impl Into<String>,
        change: impl FnOnce(&mut SecurityContextConstraints),
    ) {
        let mut scc = self.scc.clone();
        change(&mut scc);
        crate::default(&mut scc);
        if scc != *self.scc && crate::validate(&scc).is_empty() {
            self.found.push(Tightening { field, value: value.into(), scc });
        }
    }

    fn flags(&mut self) {
        let permitting: [(&'static str, Flag); 5] = [
            ("allowPrivilegedContainer", |scc| &mut scc.allow_privileged_container),
            ("allowHostNetwork", |scc| &mut scc.allow_host_network),
            ("allowHostPorts", |scc| &mut scc.allow_host_ports),
            ("allowHostPID", |scc| &mut scc.allow_host_pid),
            ("allowHostIPC", |scc| &mut scc.allow_host_ipc),
        ];
        for (field, flag) in permitting {
            self.push(field, "true", |scc| *flag(scc) = false);
        }
        self.push("readOnlyRootFilesystem", "false", |scc| scc.read_only_root_filesystem = true);
        self.push("userNamespaceLevel", "AllowHostLevel", |scc| {
            "RequirePodLevel".clone_into(&mut scc.user_namespace_level);
        });
    }

    fn escalation(&mut self) {
        if self.scc.allow_privilege_escalation == Some(false) {
            return;
        }
        self.push("allowPrivilegeEscalation", "true", |scc| {
            scc.allow_privilege_escalation = Some(false);
            scc.default_allow_privilege_escalation = Some(false);
        });
        if self.scc.default_allow_privilege_escalation != Some(false) {
            let value = if self.scc.default_allow_privilege_escalation.is_some() { "true" } else { "unset" };
            self.push("defaultAllowPrivilegeEscalation", value, |scc| {
                scc.default_allow_privilege_escalation = Some(false);
            });
        }
    }

    /// Lists of which each element permits something.
    fn lists(&mut self) {
        type List = fn(&mut SecurityContextConstraints) -> &mut Option<Vec<String>>;
        let lists: [(&'static str, List); 4] = [
            ("allowedCapabilities", |scc| &mut scc.allowed_capabilities),
            ("defaultAddCapabilities", |scc| &mut scc.default_add_capabilities),
            ("allowedUnsafeSysctls", |scc| &mut scc.allowed_unsafe_sysctls),
            ("seccompProfiles", |scc| &mut scc.seccomp_profiles),
        ];
        for (field, list) in lists {
            let names = list(&mut self.scc.clone()).clone().unwrap_or_default();
            for name in &names {
                self.push(field, name, |scc| {
                    list(scc).iter_mut().for_each(|names| names.retain(|other| other != name));
                });
            }
        }
    }

    fn volumes(&mut self) {
        let kinds = SecurityContextConstraints::list(self.scc.volumes.as_ref());
        for kind in kinds.iter().filter(|kind| *kind != "none") {
            self.push("volumes", kind, |scc| {
                scc.allow_host_dir_volume_plugin &= kind != "hostPath" && kind != "*";
                // Of all kinds, those that an SCC can name.
                if kind != "*" {
                    scc.volumes.iter_mut().for_each(|kinds| kinds.retain(|other| other != kind));
                }
                if kind == "flexVolume" {
                    scc.allowed_flex_volumes = None;
                }
            });
        }
        // The last listed driver restricts: without it all are permitted.
        let drivers = self.scc.allowed_flex_volumes.as_deref().unwrap_or_default();
        for driver in drivers.iter().filter(|_| drivers.len() > 1) {
            self.push("allowedFlexVolumes", &driver.driver, |scc| {
                scc.allowed_flex_volumes.iter_mut().for_each(|all| all.retain(|other| other != driver));
            });
        }
    }

    fn drops(&mut self, base: &SecurityContextConstraints) {
        let known = SecurityContextConstraints::list(self.scc.required_drop_capabilities.as_ref());
        let missing = base.required_drop_capabilities.iter().flatten().filter(|name| !known.contains(name));
        for name in missing {
            self.push("requiredDropCapabilities", format!("without {name}"), |scc| {
                scc.required_drop_capabilities.get_or_insert_default().push(name.clone());
            });
        }
    }

    fn sysctls(&mut self) {
        let forbidden = SecurityContextConstraints::list(self.scc.forbidden_sysctls.as_ref());
        let is_forbidden = |name: &str| forbidden.iter().any(|pattern| matches(pattern, name));
        for (name, _) in SAFE.iter().filter(|(name, _)| !is_forbidden(name)) {
            self.push("forbiddenSysctls", *name, |scc| {
                scc.forbidden_sysctls.get_or_insert_default().push((*name).to_owned());
            });
        }
        if !is_forbidden("") {
            self.push("forbiddenSysctls", "not all", |scc| {
                scc.forbidden_sysctls = Some(vec!["*".to_owned()]);
            });
        }
    }

    fn users(&mut self) {
        let users = &self.scc.run_as_user;
        let to = |to: RunAsUserStrategy| move |scc: &mut SecurityContextConstraints| scc.run_as_user = to;
        match (users.type_.as_str(), users.uid, users.uid_range_min, users.uid_range_max) {
            ("MustRunAsRange", _, None, None) => {}
            ("MustRunAs", Some(uid), ..) => {
                self.push("runAsUser", uid.to_string(), to(strategy("MustRunAsRange")));
            }
            ("MustRunAsRange", _, Some(min), Some(max)) => {
                self.push("runAsUser", min.to_string(), to(user_range(min.saturating_add(1), max)));
                self.push("runAsUser", max.to_string(), to(user_range(min, max.saturating_sub(1))));
                self.push("runAsUser", format!("{min} to {max}"), to(strategy("MustRunAsRange")));
            }
            ("MustRunAsNonRoot", ..) => {
                self.push("runAsUser", "MustRunAsNonRoot", to(strategy("MustRunAsRange")));
            }
            (other, ..) => {
                self.push("runAsUser", other, to(strategy("MustRunAsNonRoot")));
                self.push("runAsUser", other, to(strategy("MustRunAsRange")));
            }
        }
    }

    fn selinux(&mut self) {
        let strategy = &self.scc.se_linux_context;
        let value = match &strategy.se_linux_options {
            Some(own) => {
                let parts = [&own.user, &own.role, &own.type_, &own.level];
                parts.into_iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(":")
            }
            None if strategy.type_ == "MustRunAs" => return,
            None => strategy.type_.clone(),
        };
        self.push("seLinuxContext", value, |scc| scc.se_linux_context = labels("MustRunAs", None));
    }

    fn groups(
        &mut self,
        field: &'static str,
        from: &GroupStrategy,
        put: impl Fn(&mut SecurityContextConstraints, GroupStrategy),
    ) {
        let ranges = from.ranges.as_deref().unwrap_or_default();
        if from.type_ == "RunAsAny" {
            return self.push(field, "RunAsAny", |scc| put(scc, groups("MustRunAs")));
        }
        if let [only] = ranges
            && only.min == only.max
        {
            return self.push(field, only.min.to_string(), |scc| put(scc, groups("MustRunAs")));
        }
        for (index, range) in ranges.iter().enumerate() {
            for id in inner(*range) {
                let mut fewer = ranges.to_vec();
                fewer.splice(index..=index, without(*range, id));
                let to = GroupStrategy { ranges: Some(fewer), ..groups("MustRunAs") };
                self.push(field, id.to_string(), |scc| put(scc, to));
            }
        }
    }
}

/// One user ID, or a range of them.
pub(crate) fn user_range(min: i64, max: i64) -> RunAsUserStrategy {
    match min == max {
        true => RunAsUserStrategy { uid: Some(min), ..strategy("MustRunAs") },
        false => RunAsUserStrategy {
            uid_range_min: Some(min),
            uid_range_max: Some(max),
            ..strategy("MustRunAsRange")
        },
    }
}

/// The first and the last ID of a range, and the first few between.
fn inner(range: IdRange) -> impl Iterator<Item = i64> {
    let last = range.max.min(range.min.saturating_add(INNER));
    (range.min..=last).chain((last < range.max).then_some(range.max))
}

fn without(range: IdRange, id: i64) -> Vec<IdRange> {
    let below = IdRange { min: range.min, max: id.saturating_sub(1) };
    let above = IdRange { min: id.saturating_add(1), max: range.max };
    [below, above].into_iter().filter(|part| part.min <= part.max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_out_of_a_range() {
        let range = IdRange { min: 5, max: 7 };
        let parts = |id| without(range, id).iter().map(|part| (part.min, part.max)).collect::<Vec<_>>();
        assert_eq!(parts(5), [(6, 7)]);
        assert_eq!(parts(6), [(5, 5), (7, 7)]);
        assert_eq!(parts(7), [(5, 6)]);
        assert_eq!(without(IdRange { min: 5, max: 5 }, 5), []);
        assert_eq!(inner(IdRange { min: 0, max: 1_000 }).count(), 66);
        assert_eq!(inner(IdRange { min: i64::MAX, max: i64::MAX }).collect::<Vec<_>>(), [i64::MAX]);
    }
}
