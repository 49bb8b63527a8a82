//! The differences between two SCCs in what they permit, field by field.

use std::collections::BTreeSet;
use std::fmt::Display;

use palisade_k8s::SecurityContextConstraints;
use palisade_k8s::scc::{GroupStrategy, IdRange, RunAsUserStrategy, SeLinuxContextStrategy};
use serde::Serialize;

use crate::lookup::{Lookup, Patterns, union};

/// One field in which two SCCs differ. A side is `None` where it permits nothing more than the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The field.
    pub field: &'static str,
    /// Permissions of the first beyond the second's.
    pub only_a: Option<String>,
    /// Permissions of the second beyond the first's.
    pub only_b: Option<String>,
}

/// Compares two defaulted SCCs. Their users and priority come last: they permit nothing to a pod.
#[must_use]
pub fn diff(a: &SecurityContextConstraints, b: &SecurityContextConstraints) -> Vec<Difference> {
    let mut found = Vec::new();
    flags(a, b, &mut found);
    lists(a, b, &mut found);
    let mut compare = |field, only_a, only_b| push(&mut found, field, only_a, only_b);
    compare("runAsUser", users_beyond(a, b), users_beyond(b, a));
    compare("seLinuxContext", labels_beyond(a, b), labels_beyond(b, a));
    compare("fsGroup", groups_beyond(&a.fs_group, &b.fs_group), groups_beyond(&b.fs_group, &a.fs_group));
    let (groups_a, groups_b) = (&a.supplemental_groups, &b.supplemental_groups);
    compare("supplementalGroups", groups_beyond(groups_a, groups_b), groups_beyond(groups_b, groups_a));
    let drivers = |scc: &SecurityContextConstraints| -> Vec<String> {
        scc.allowed_flex_volumes.iter().flatten().map(|allowed| allowed.driver.clone()).collect()
    };
    let (drivers_a, drivers_b) = (drivers(a), drivers(b));
    compare(
        "allowedFlexVolumes",
        drivers_beyond(&drivers_a, &drivers_b),
        drivers_beyond(&drivers_b, &drivers_a),
    );
    found
}

fn push(found: &mut Vec<Difference>, field: &'static str, only_a: Option<String>, only_b: Option<String>) {
    if only_a.is_some() || only_b.is_some() {
        found.push(Difference { field, only_a, only_b });
    }
}

fn flags(a: &SecurityContextConstraints, b: &SecurityContextConstraints, found: &mut Vec<Difference>) {
    type Flag = fn(&SecurityContextConstraints) -> bool;
    // Each means "permits", so that true is always more.
    let flags: [(&'static str, &str, Flag); 9] = [
        ("allowPrivilegedContainer", "privileged containers", |scc| scc.allow_privileged_container),
        ("allowHostNetwork", "the node's network", |scc| scc.allow_host_network),
        ("allowHostPorts", "ports of the node", |scc| scc.allow_host_ports),
        ("allowHostPID", "the node's processes", |scc| scc.allow_host_pid),
        ("allowHostIPC", "the node's IPC", |scc| scc.allow_host_ipc),
        ("allowPrivilegeEscalation", "privilege escalation", |scc| {
            scc.allow_privilege_escalation != Some(false)
        }),
        ("defaultAllowPrivilegeEscalation", "privilege escalation by default", |scc| {
            scc.allow_privilege_escalation != Some(false)
                && scc.default_allow_privilege_escalation != Some(false)
        }),
        ("readOnlyRootFilesystem", "a writable root file system", |scc| !scc.read_only_root_filesystem),
        ("userNamespaceLevel", "the node's user namespace", |scc| {
            scc.user_namespace_level != "RequirePodLevel"
        }),
    ];
    for (field, what, permits) in flags {
        let only = |x, y| (permits(x) && !permits(y)).then(|| what.to_owned());
        push(found, field, only(a, b), only(b, a));
    }
}

fn lists(a: &SecurityContextConstraints, b: &SecurityContextConstraints, found: &mut Vec<Difference>) {
    type List = fn(&SecurityContextConstraints) -> Option<&Vec<String>>;
    // Listed values are permitted.
    let permitting: [(&'static str, List); 6] = [
        ("allowedCapabilities", |scc| scc.allowed_capabilities.as_ref()),
        ("defaultAddCapabilities", |scc| scc.default_add_capabilities.as_ref()),
        ("volumes", |scc| scc.volumes.as_ref().filter(|list| !list.iter().any(|name| name == "none"))),
        ("allowedUnsafeSysctls", |scc| scc.allowed_unsafe_sysctls.as_ref()),
        ("seccompProfiles", |scc| scc.seccomp_profiles.as_ref()),
        ("users", |scc| scc.users.as_ref()),
    ];
    for (field, list) in permitting {
        push(found, field, names_beyond(list(a), list(b)), names_beyond(list(b), list(a)));
    }
    push(
        found,
        "groups",
        names_beyond(a.groups.as_ref(), b.groups.as_ref()),
        names_beyond(b.groups.as_ref(), a.groups.as_ref()),
    );
    // Listed values are removed: the other side permits them.
    let keeps = |names: Option<String>| names.map(|names| format!("keeping or setting {names}"));
    let (drop_a, drop_b) = (a.required_drop_capabilities.as_ref(), b.required_drop_capabilities.as_ref());
    push(
        found,
        "requiredDropCapabilities",
        keeps(drops_beyond(drop_b, drop_a)),
        keeps(drops_beyond(drop_a, drop_b)),
    );
    let (forbid_a, forbid_b) = (a.forbidden_sysctls.as_ref(), b.forbidden_sysctls.as_ref());
    push(
        found,
        "forbiddenSysctls",
        keeps(names_beyond(forbid_b, forbid_a)),
        keeps(names_beyond(forbid_a, forbid_b)),
    );
    let (priority_a, priority_b) = (a.priority.unwrap_or(0), b.priority.unwrap_or(0));
    let ahead =
        |ours: i32, theirs: i32| (ours > theirs).then(|| format!("being tried first (priority {ours})"));
    push(found, "priority", ahead(priority_a, priority_b), ahead(priority_b, priority_a));
}

/// Differences of the defaults for a pod without settings, one for each field.
#[must_use]
pub fn defaults(scc: &SecurityContextConstraints) -> Vec<(&'static str, String)> {
    let list = SecurityContextConstraints::list;
    let names = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let user = &scc.run_as_user;
    let user = match (user.type_.as_str(), user.uid, user.uid_range_min) {
        ("MustRunAs", Some(uid), _) | ("MustRunAsRange", _, Some(uid)) => uid.to_string(),
        ("MustRunAsRange", ..) => "the first of the namespace's range".to_owned(),
        ("MustRunAsNonRoot", ..) => "the image's, which must not be root".to_owned(),
        _ => "the image's".to_owned(),
    };
    let group = |strategy: &GroupStrategy| match (strategy.type_.as_str(), strategy.ranges.as_deref()) {
        ("MustRunAs", Some([first, ..])) => first.min.to_string(),
        ("MustRunAs", _) => "the first of the namespace's range".to_owned(),
        _ => "none".to_owned(),
    };
    let profiles = list(scc.seccomp_profiles.as_ref());
    let profile = profiles.iter().find(|profile| *profile != "*").map_or("none", String::as_str);
    let escalation = match (scc.allow_privilege_escalation, scc.default_allow_privilege_escalation) {
        (Some(false), _) | (_, Some(false)) => "false",
        (_, Some(true)) => "true",
        (_, None) => "not set",
    };
    vec![
        ("user", user),
        ("fsGroup", group(&scc.fs_group)),
        ("supplementalGroups", group(&scc.supplemental_groups)),
        (
            "SELinux labels",
            match scc.se_linux_context.type_.as_str() {
                "MustRunAs" => labels(&scc.se_linux_context),
                _ => "none".to_owned(),
            },
        ),
        ("seccomp profile", profile.to_owned()),
        ("capabilities added", names(list(scc.default_add_capabilities.as_ref()))),
        ("capabilities dropped", names(list(scc.required_drop_capabilities.as_ref()))),
        ("allowPrivilegeEscalation", escalation.to_owned()),
        ("readOnlyRootFilesystem", if scc.read_only_root_filesystem { "true" } else { "not set" }.to_owned()),
    ]
}

/// The names of `ours` that `theirs` does not match; `*`, alone or at the end, matches any suffix.
fn names_beyond(ours: Option<&Vec<String>>, theirs: Option<&Vec<String>>) -> Option<String> {
    let theirs = Patterns::new(SecurityContextConstraints::list(theirs));
    let beyond: BTreeSet<&String> =
        SecurityContextConstraints::list(ours).iter().filter(|name| !theirs.cover(name)).collect();
    join(beyond)
}

/// The drops of `ours` that `theirs` does not require; `ALL` requires every one.
fn drops_beyond(ours: Option<&Vec<String>>, theirs: Option<&Vec<String>>) -> Option<String> {
    let theirs = Lookup::new(SecurityContextConstraints::list(theirs).iter().map(String::as_str));
    let covered = |name: &String| theirs.has("ALL") || theirs.has(name);
    join(SecurityContextConstraints::list(ours).iter().filter(|name| !covered(name)).collect())
}

/// An empty list of drivers permits all.
fn drivers_beyond(ours: &[String], theirs: &[String]) -> Option<String> {
    match (ours, theirs) {
        (_, []) => None,
        ([], theirs) => Some(format!("any driver other than {}", theirs.join(", "))),
        (ours, theirs) => {
            let theirs = Lookup::new(theirs.iter().map(String::as_str));
            join(ours.iter().filter(|name| !theirs.has(name)).collect())
        }
    }
}

fn join<T: Display>(names: BTreeSet<T>) -> Option<String> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// The user IDs of a strategy: intervals, and perhaps the namespace's own range.
struct Ids {
    intervals: Vec<IdRange>,
    namespace: bool,
}

const EVERY_ID: IdRange = IdRange { min: 0, max: i64::MAX };

fn user_ids(strategy: &RunAsUserStrategy) -> Ids {
    let one = |min, max| Ids { intervals: vec![IdRange { min, max }], namespace: false };
    match (strategy.type_.as_str(), strategy.uid, strategy.uid_range_min, strategy.uid_range_max) {
        ("RunAsAny", ..) => Ids { intervals: vec![EVERY_ID], namespace: true },
        // An allocated range never starts at 0, so it lies inside.
        ("MustRunAsNonRoot", ..) => {
            Ids { intervals: vec![IdRange { min: 1, max: i64::MAX }], namespace: true }
        }
        ("MustRunAs", Some(uid), ..) => one(uid, uid),
        ("MustRunAsRange", _, Some(min), Some(max)) => one(min, max),
        ("MustRunAsRange", _, None, None) => Ids { intervals: Vec::new(), namespace: true },
        _ => Ids { intervals: Vec::new(), namespace: false },
    }
}

fn group_ids(strategy: &GroupStrategy) -> Ids {
    match (strategy.type_.as_str(), strategy.ranges.as_deref()) {
        ("MustRunAs", Some(ranges @ [_, ..])) => Ids { intervals: ranges.to_vec(), namespace: false },
        ("MustRunAs", _) => Ids { intervals: Vec::new(), namespace: true },
        _ => Ids { intervals: vec![EVERY_ID], namespace: true },
    }
}

impl Ids {
    /// The IDs of `self` that are not in `other`, in words.
    fn beyond(&self, other: &Self) -> Option<String> {
        let rest = beyond(&union(&self.intervals), &union(&other.intervals));
        let mut words: Vec<String> = rest
            .iter()
            .map(|range| match *range {
                IdRange { min, max } if min == max => min.to_string(),
                EVERY_ID => "any ID".to_owned(),
                IdRange { min, max: i64::MAX } => format!("{min} and above"),
                IdRange { min, max } => format!("{min} to {max}"),
            })
            .collect();
        if self.namespace && !other.namespace {
            words.push("the namespace's own range".to_owned());
        }
        (!words.is_empty()).then(|| words.join(", "))
    }
}

/// The IDs of ranges that are in none of others; both are in order, with others between them.
fn beyond(ranges: &[IdRange], cuts: &[IdRange]) -> Vec<IdRange> {
    let (mut rest, mut cuts) = (Vec::new(), cuts.iter().peekable());
    for range in ranges {
        // The first ID that is not classified yet; `None` after the largest.
        let mut first = Some(range.min);
        while let (Some(from), Some(cut)) = (first, cuts.peek().filter(|cut| cut.min <= range.max)) {
            if cut.min > from {
                rest.push(IdRange { min: from, max: cut.min - 1 });
            }
            first = cut.max.checked_add(1).map(|after| after.max(from));
            if cut.max > range.max {
                break;
            }
            cuts.next();
        }
        let last = first.filter(|from| *from <= range.max);
        rest.extend(last.map(|from| IdRange { min: from, max: range.max }));
    }
    rest
}

fn users_beyond(a: &SecurityContextConstraints, b: &SecurityContextConstraints) -> Option<String> {
    let ids = user_ids(&a.run_as_user).beyond(&user_ids(&b.run_as_user));
    let unset = |strategy: &RunAsUserStrategy| strategy.type_ == "RunAsAny";
    let image = unset(&a.run_as_user) && !unset(&b.run_as_user);
    let image = image.then(|| "the image's own user, root included".to_owned());
    join_two(ids, image)
}

fn join_two(first: Option<String>, second: Option<String>) -> Option<String> {
    let words: Vec<String> = first.into_iter().chain(second).collect();
    (!words.is_empty()).then(|| words.join("; "))
}

fn groups_beyond(a: &GroupStrategy, b: &GroupStrategy) -> Option<String> {
    group_ids(a).beyond(&group_ids(b))
}

fn labels_beyond(a: &SecurityContextConstraints, b: &SecurityContextConstraints) -> Option<String> {
    let (a, b) = (&a.se_linux_context, &b.se_linux_context);
    match (a.type_.as_str(), b.type_.as_str()) {
        (_, "RunAsAny") => None,
        ("RunAsAny", _) => Some("any labels".to_owned()),
        _ if labels(a) == labels(b) => None,
        _ => Some(format!("labels {}", labels(a))),
    }
}

fn labels(strategy: &SeLinuxContextStrategy) -> String {
    let labels = strategy.se_linux_options.clone().unwrap_or_default();
    let level = if labels.level.is_empty() { "the namespace's level" } else { &labels.level };
    let parts = [labels.user.as_str(), &labels.role, &labels.type_, level];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(type_: &str, min: Option<i64>, max: Option<i64>) -> Ids {
        user_ids(&RunAsUserStrategy { type_: type_.into(), uid: min, uid_range_min: min, uid_range_max: max })
    }

    #[test]
    fn user_ids_subtract_exactly() {
        let any = user("RunAsAny", None, None);
        let non_root = user("MustRunAsNonRoot", None, None);
        let range = user("MustRunAsRange", Some(1000), Some(2000));
        let namespace = user("MustRunAsRange", None, None);
        assert_eq!(any.beyond(&non_root).as_deref(), Some("0"));
        assert_eq!(non_root.beyond(&any), None);
        assert_eq!(
            non_root.beyond(&range).as_deref(),
            Some("1 to 999, 2001 and above, the namespace's own range")
        );
        assert_eq!(namespace.beyond(&non_root), None);
        assert_eq!(namespace.beyond(&range).as_deref(), Some("the namespace's own range"));
    }

    #[test]
    fn the_first_profile_is_what_a_pod_gets() {
        let profile = |list: &[&str]| {
            let seccomp_profiles = Some(list.iter().map(ToString::to_string).collect());
            let scc = SecurityContextConstraints { seccomp_profiles, ..Default::default() };
            defaults(&scc).into_iter().find(|(field, _)| *field == "seccomp profile").unwrap().1
        };
        assert_eq!(profile(&["runtime/default", "localhost/a"]), "runtime/default");
        assert_eq!(profile(&["*", "localhost/a", "runtime/default"]), "localhost/a");
        assert_eq!(profile(&["*"]), "none");
    }

    #[test]
    fn an_scc_differs_from_itself_in_nothing() {
        let mut scc = SecurityContextConstraints::default();
        assert_eq!(diff(&scc, &scc), []);
        scc.run_as_user = RunAsUserStrategy {
            type_: "MustRunAsRange".into(),
            uid: None,
            uid_range_min: Some(10),
            uid_range_max: Some(5),
        };
        assert_eq!(diff(&scc, &scc), [], "a reversed range holds no ID");
    }
}
