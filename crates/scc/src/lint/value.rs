//! Values that are accepted, and give a pod something else than their author likely intended.

use palisade_k8s::{FieldPath, KernelVersion, Pod, SecurityContextConstraints, capability};
use serde_json::{Map, Value};

use super::{Finding, Severity, suggestion};
use crate::attempt::{Context, attempt};
use crate::namespace::NamespaceRanges;
use crate::plan::Plan;

type Raw<'r> = Option<&'r Map<String, Value>>;

pub(super) fn check(scc: &SecurityContextConstraints, raw: Raw<'_>, findings: &mut Vec<Finding>) {
    default_capabilities(scc, findings);
    escalation(scc, findings);
    default_profile(scc, findings);
    ignored(scc, findings);
    own_users(scc, findings);
    if let Some(raw) = raw {
        volumes_absent(raw, findings);
        group_ranges(raw, findings);
    }
    passable(scc, findings);
}

fn warn(
    findings: &mut Vec<Finding>,
    rule: &'static str,
    path: FieldPath,
    message: impl Into<String>,
    help: impl Into<String>,
) {
    findings.push(Finding::new(rule, Severity::Warning, path, message, help));
}

/// Findings for capabilities that are added to every container and that no runtime knows.
fn default_capabilities(scc: &SecurityContextConstraints, findings: &mut Vec<Finding>) {
    let added = SecurityContextConstraints::list(scc.default_add_capabilities.as_ref());
    for (index, name) in added.iter().enumerate() {
        let path = FieldPath::of("defaultAddCapabilities").index(index);
        if !super::is_runtime_capability(name) {
            findings.push(Finding::new(
                "default-add-unknown",
                Severity::Error,
                path,
                format!("{name:?} is copied into every container, and no runtime starts one with it"),
                match name.as_str() {
                    "*" => "name the capabilities; `*` is for allowedCapabilities alone".to_owned(),
                    name => suggestion(name, capability::ALL.into_iter(), "name a capability of the kernel"),
                },
            ));
        } else if name.eq_ignore_ascii_case("ALL") {
            let help = "name those that every pod needs";
            warn(
                findings,
                "default-add-all",
                path,
                "every container gets all capabilities, requested or not",
                help,
            );
        }
    }
    let allowed = SecurityContextConstraints::list(scc.allowed_capabilities.as_ref());
    for (index, _) in allowed.iter().enumerate().filter(|(_, name)| *name == "ALL") {
        let message = "ALL allows a container to add ALL, and no capability by its own name";
        let path = FieldPath::of("allowedCapabilities").index(index);
        warn(findings, "allowed-all", path, message, "use `*` to allow each, or name them");
    }
}

fn escalation(scc: &SecurityContextConstraints, findings: &mut Vec<Finding>) {
    if scc.allow_privilege_escalation != Some(false) {
        return;
    }
    let path = FieldPath::of("allowPrivilegeEscalation");
    if scc.allow_privileged_container {
        warn(
            findings,
            "privileged-without-escalation",
            path,
            "a privileged container gets allowPrivilegeEscalation: false, which Kubernetes refuses of it: no privileged pod passes",
            "set allowPrivilegeEscalation: true, or allowPrivilegedContainer: false",
        );
    } else if SecurityContextConstraints::list(scc.default_add_capabilities.as_ref())
        .iter()
        .any(|name| name == "CAP_SYS_ADMIN")
    {
        warn(
            findings,
            "admin-without-escalation",
            path,
            "every container gets CAP_SYS_ADMIN and allowPrivilegeEscalation: false, which Kubernetes refuses together",
            "set allowPrivilegeEscalation: true, or leave CAP_SYS_ADMIN out",
        );
    }
}

/// The first profile is not only allowed, it is set on every pod that names none.
fn default_profile(scc: &SecurityContextConstraints, findings: &mut Vec<Finding>) {
    let profiles = SecurityContextConstraints::list(scc.seccomp_profiles.as_ref());
    let first = profiles.iter().enumerate().find(|(_, profile)| *profile != "*");
    let Some((index, default)) = first else { return };
    if matches!(default.as_str(), "runtime/default" | "docker/default") {
        return;
    }
    let known =
        profiles.iter().any(|profile| matches!(profile.as_str(), "runtime/default" | "docker/default"));
    let what = match default.strip_prefix("localhost/") {
        Some(_) => "; a node without that file does not start them",
        None => "",
    };
    warn(
        findings,
        "seccomp-default",
        FieldPath::of("seccompProfiles").index(index),
        format!("the first entry is the default: every pod that names no profile gets {default}{what}"),
        if known {
            "put runtime/default first"
        } else {
            "put runtime/default before it, if pods without a profile should get that"
        },
    );
}

/// Fields that the neighbouring strategy does not use.
fn ignored(scc: &SecurityContextConstraints, findings: &mut Vec<Finding>) {
    let user = &scc.run_as_user;
    let fields = [
        ("runAsUser.uid", user.uid.is_some(), "MustRunAs", user.type_.as_str()),
        ("runAsUser.uidRangeMin", user.uid_range_min.is_some(), "MustRunAsRange", &user.type_),
        ("runAsUser.uidRangeMax", user.uid_range_max.is_some(), "MustRunAsRange", &user.type_),
        ("fsGroup.ranges", scc.fs_group.ranges.is_some(), "MustRunAs", &scc.fs_group.type_),
        (
            "supplementalGroups.ranges",
            scc.supplemental_groups.ranges.is_some(),
            "MustRunAs",
            &scc.supplemental_groups.type_,
        ),
        (
            "seLinuxContext.seLinuxOptions",
            scc.se_linux_context.se_linux_options.is_some(),
            "MustRunAs",
            &scc.se_linux_context.type_,
        ),
    ];
    for (field, _, needed, actual) in
        fields.into_iter().filter(|(_, set, needed, actual)| *set && needed != actual)
    {
        let actual = if actual.is_empty() { "not set" } else { actual };
        let message = format!("it is read with type {needed} alone, and the type is {actual}");
        warn(
            findings,
            "ignored-field",
            FieldPath::of(field),
            message,
            format!("set the type to {needed}, or remove it"),
        );
    }
}

/// Settings that a pod with a user namespace cannot have: Kubernetes refuses host namespaces beside `hostUsers: false`.
fn own_users(scc: &SecurityContextConstraints, findings: &mut Vec<Finding>) {
    if scc.user_namespace_level != "RequirePodLevel" {
        return;
    }
    let allowed = [
        ("allowHostNetwork", scc.allow_host_network),
        ("allowHostPID", scc.allow_host_pid),
        ("allowHostIPC", scc.allow_host_ipc),
    ];
    for (field, _) in allowed.into_iter().filter(|(_, allowed)| *allowed) {
        let message = "no pod can use it: RequirePodLevel asks for hostUsers: false, beside which Kubernetes refuses it";
        warn(
            findings,
            "useless-beside-users",
            FieldPath::of(field),
            message,
            "set it to false, or userNamespaceLevel: AllowHostLevel",
        );
    }
}

fn volumes_absent(raw: &Map<String, Value>, findings: &mut Vec<Finding>) {
    if raw.get("volumes").is_none_or(Value::is_null) {
        let kinds = if raw.get("allowHostDirVolumePlugin") == Some(&Value::Bool(true)) {
            "every kind, hostPath among them,"
        } else {
            "every kind but hostPath"
        };
        let message = format!("without volumes, {kinds} is allowed");
        warn(
            findings,
            "volumes-absent",
            FieldPath::of("volumes"),
            message,
            "list the needed types, or write volumes: [none]",
        );
    }
}

/// Ranges as they were written: an absent bound is 0.
fn group_ranges(raw: &Map<String, Value>, findings: &mut Vec<Finding>) {
    for field in ["fsGroup", "supplementalGroups"] {
        let Some(strategy) = raw.get(field).and_then(Value::as_object) else { continue };
        if strategy.get("type").and_then(Value::as_str).unwrap_or_default().is_empty() {
            let path = FieldPath::of(field).field("type");
            warn(
                findings,
                "empty-type",
                path,
                "without a type, any group is allowed",
                "write type: MustRunAs, or type: RunAsAny to say so",
            );
        }
        let ranges: Vec<&Value> =
            strategy.get("ranges").and_then(Value::as_array).into_iter().flatten().collect();
        let has = |range: &Value, bound: &str| range.get(bound).is_some_and(|value| !value.is_null());
        for (index, range) in ranges.iter().enumerate() {
            let path = || FieldPath::of(field).field("ranges").index(index);
            let next = ranges.get(index + 1);
            match (has(range, "min"), has(range, "max")) {
                (true, false) if next.is_some_and(|next| !has(next, "min") && has(next, "max")) => findings
                    .push(Finding::new(
                        "split-range",
                        Severity::Error,
                        path(),
                        "min and max are two items of the list, each half a range",
                        "write one item: take the dash before max away",
                    )),
                (true, false) => findings.push(Finding::new(
                    "half-range",
                    Severity::Error,
                    path().field("max"),
                    "max is missing, which counts as 0",
                    "set both min and max",
                )),
                (false, true)
                    if index > 0
                        && ranges
                            .get(index - 1)
                            .is_some_and(|last| has(last, "min") && !has(last, "max")) => {}
                (false, true) => {
                    warn(
                        findings,
                        "half-range",
                        path().field("min"),
                        "min is missing, which counts as 0: root's group is the default",
                        "set both min and max",
                    );
                }
                (false, false) => {
                    warn(
                        findings,
                        "empty-range",
                        path(),
                        "the range is empty, which counts as 0 to 0: root's group alone",
                        "set min and max",
                    );
                }
                (true, true) => {}
            }
        }
    }
}

/// A pod without settings, with and without a user namespace, passes any useful SCC.
fn passable(scc: &SecurityContextConstraints, findings: &mut Vec<Finding>) {
    let Ok(plan) = Plan::new(scc) else { return };
    let assumed = |key: &str| match key {
        palisade_k8s::scc::annotation::UID_RANGE => Some("1000000000/10000"),
        palisade_k8s::scc::annotation::MCS => Some("s0:c1,c0"),
        _ => None,
    };
    let Ok(ranges) = NamespaceRanges::read(assumed) else { return };
    let context = Context { ranges: &ranges, kernel: KernelVersion::LATEST };
    let pods = [
        r#"{"spec":{"containers":[{"name":"c"}]}}"#,
        r#"{"spec":{"hostUsers":false,"containers":[{"name":"c"}]}}"#,
    ];
    let mut first = None;
    for pod in pods {
        let Ok(pod) = serde_json::from_str::<Pod<'_>>(pod) else { return };
        let mut errors = Vec::new();
        if attempt(&plan, context, &pod, &mut errors).is_err() || errors.is_empty() {
            return;
        }
        first = first.or(errors.into_iter().next());
    }
    if let Some(error) = first {
        let reversed = findings.iter().any(|finding| finding.rule == "reversed-uid-range");
        if !reversed {
            findings.push(Finding::new(
                "no-pod-passes",
                Severity::Error,
                FieldPath::root(),
                format!("even a pod without settings is refused, by the SCC's own defaults: {error}"),
                "make the defaults fit the rules",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rules(more: Value) -> Vec<String> {
        let mut object = json!({"metadata": {"name": "x"}, "seLinuxContext": {"type": "RunAsAny"}, "volumes": ["secret"],
            "runAsUser": {"type": "RunAsAny"}});
        for (key, value) in more.as_object().unwrap() {
            object[key] = value.clone();
        }
        let mut scc: SecurityContextConstraints = serde_json::from_value(object.clone()).unwrap();
        crate::default(&mut scc);
        let mut findings = Vec::new();
        check(&scc, object.as_object(), &mut findings);
        findings.iter().map(|finding| finding.rule.to_owned()).collect()
    }

    #[test]
    fn each_value_is_judged_by_what_a_pod_gets() {
        for (more, expected) in [
            (json!({}), &[][..]),
            (json!({"defaultAddCapabilities": ["*"]}), &["default-add-unknown"]),
            (json!({"defaultAddCapabilities": ["SYS_ADMINN"]}), &["default-add-unknown"]),
            (json!({"defaultAddCapabilities": ["cap_chown"]}), &[]),
            (json!({"defaultAddCapabilities": ["all"]}), &["default-add-all"]),
            (json!({"allowedCapabilities": ["ALL"]}), &["allowed-all"]),
            (
                json!({"allowPrivilegedContainer": true, "allowPrivilegeEscalation": false}),
                &["privileged-without-escalation"],
            ),
            (
                json!({"defaultAddCapabilities": ["CAP_SYS_ADMIN"], "allowPrivilegeEscalation": false}),
                &["admin-without-escalation"],
            ),
            (json!({"seccompProfiles": ["localhost/a.json", "runtime/default"]}), &["seccomp-default"]),
            (json!({"seccompProfiles": ["*", "unconfined"]}), &["seccomp-default"]),
            (json!({"seccompProfiles": ["*", "runtime/default", "localhost/a.json"]}), &[]),
            (
                json!({"userNamespaceLevel": "RequirePodLevel", "allowHostNetwork": true, "allowHostIPC": true}),
                &["useless-beside-users", "useless-beside-users"],
            ),
            (json!({"userNamespaceLevel": "AllowHostLevel", "allowHostPID": true}), &[]),
            (json!({"volumes": null}), &["volumes-absent"]),
            (json!({"volumes": []}), &[]),
            (json!({"fsGroup": {}}), &["empty-type"]),
            (json!({"fsGroup": {"type": "MustRunAs", "ranges": [{"min": 5}, {"max": 9}]}}), &["split-range"]),
            (
                json!({"fsGroup": {"type": "MustRunAs", "ranges": [{"min": 5}]}}),
                &["half-range", "no-pod-passes"],
            ),
            (json!({"fsGroup": {"type": "MustRunAs", "ranges": [{"max": 5}]}}), &["half-range"]),
            (json!({"fsGroup": {"type": "MustRunAs", "ranges": [{}]}}), &["empty-range"]),
            (json!({"fsGroup": {"type": "RunAsAny", "ranges": [{"min": 1, "max": 2}]}}), &["ignored-field"]),
            (json!({"runAsUser": {"type": "RunAsAny", "uid": 5}}), &["ignored-field"]),
            (json!({"runAsUser": {"type": "MustRunAs", "uid": 5, "uidRangeMin": 1}}), &["ignored-field"]),
            (
                json!({"seLinuxContext": {"type": "RunAsAny", "seLinuxOptions": {"type": "t"}}}),
                &["ignored-field"],
            ),
        ] {
            assert_eq!(rules(more.clone()), expected, "{more}");
        }
    }
}
