//! Conversion of a PodSecurityPolicy, which Kubernetes removed in 1.25, to an SCC that permits the same, as nearly as
//! an SCC can.

use std::collections::BTreeSet;
use std::fmt;

use palisade_k8s::scc::{
    AllowedFlexVolume, GroupStrategy, IdRange, ObjectMeta, RunAsUserStrategy, SeLinuxContextStrategy,
    SeLinuxLabels,
};
use palisade_k8s::{FieldPath, Misfit, SecurityContextConstraints, fit};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// An SCC converted from another policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Converted {
    /// The SCC.
    pub scc: SecurityContextConstraints,
    /// Rules of the policy that an SCC cannot express, or only more widely.
    pub lost: Vec<Lost>,
}

/// A rule that is lost in a conversion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Its field.
    pub path: FieldPath,
    /// What becomes of it.
    pub text: String,
}

impl Lost {
    /// A rule of the field of this name of a policy's `spec`.
    fn of_spec(field: &str, text: &str) -> Self {
        Self { path: FieldPath::of("spec").name(field), text: format!("{field}: {text}") }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    privileged: bool,
    default_add_capabilities: Vec<String>,
    required_drop_capabilities: Vec<String>,
    allowed_capabilities: Vec<String>,
    volumes: Vec<String>,
    host_network: bool,
    host_ports: Vec<Value>,
    #[serde(rename = "hostPID")]
    host_pid: bool,
    #[serde(rename = "hostIPC")]
    host_ipc: bool,
    se_linux: Rule,
    run_as_user: Rule,
    run_as_group: Option<Rule>,
    supplemental_groups: Rule,
    fs_group: Rule,
    read_only_root_filesystem: bool,
    default_allow_privilege_escalation: Option<bool>,
    allow_privilege_escalation: Option<bool>,
    allowed_host_paths: Vec<Value>,
    allowed_flex_volumes: Vec<AllowedFlexVolume>,
    #[serde(rename = "allowedCSIDrivers")]
    allowed_csi_drivers: Vec<Value>,
    allowed_unsafe_sysctls: Vec<String>,
    forbidden_sysctls: Vec<String>,
    allowed_proc_mount_types: Vec<String>,
    runtime_class: Option<Value>,
    /// Fields that no PodSecurityPolicy has.
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rule {
    rule: String,
    ranges: Vec<IdRange>,
    se_linux_options: Option<SeLinuxLabels>,
}

/// The name of the SCC made of a policy: the policy's, unless a built-in SCC has it, which it would replace.
fn scc_name(policy: &str) -> String {
    match crate::builtin::is_builtin(policy) {
        true => format!("psp-{policy}"),
        false => policy.to_owned(),
    }
}

/// Converts a PodSecurityPolicy.
///
/// # Errors
///
/// The object does not fit its type.
pub fn from_psp(object: &Map<String, Value>) -> Result<Converted, Box<Misfit>> {
    let spec = object.get("spec").cloned().unwrap_or_else(|| Value::Object(Map::new()));
    let spec: Spec = fit(spec).map_err(|misfit: Box<Misfit>| {
        Box::new(Misfit { path: FieldPath::of("spec").join(&misfit.path), why: misfit.why })
    })?;
    let metadata = object.get("metadata").cloned().unwrap_or_default();
    let old = metadata.get("name").and_then(Value::as_str).unwrap_or_default();
    let name = scc_name(old);
    let annotations = metadata.get("annotations").cloned().unwrap_or_default();
    let mut lost = Vec::new();
    if name != old {
        let text = format!("there is a built-in SCC {old:?}, so that this one is called {name:?}");
        lost.push(Lost { path: FieldPath::of("metadata.name"), text });
    }
    let volumes = volumes(&spec, &mut lost);
    say_what_is_lost(&spec, &mut lost);
    say_what_is_not_read(&spec.unknown, &annotations, &mut lost);
    let scc = SecurityContextConstraints {
        metadata: ObjectMeta { name, ..ObjectMeta::default() },
        allow_privileged_container: spec.privileged,
        default_add_capabilities: Some(spec.default_add_capabilities),
        required_drop_capabilities: Some(spec.required_drop_capabilities),
        allowed_capabilities: Some(spec.allowed_capabilities),
        allow_host_dir_volume_plugin: volumes.iter().any(|name| matches!(name.as_str(), "hostPath" | "*")),
        volumes: Some(volumes),
        allowed_flex_volumes: (!spec.allowed_flex_volumes.is_empty()).then_some(spec.allowed_flex_volumes),
        allow_host_network: spec.host_network,
        allow_host_ports: !spec.host_ports.is_empty(),
        allow_host_pid: spec.host_pid,
        allow_host_ipc: spec.host_ipc,
        default_allow_privilege_escalation: spec.default_allow_privilege_escalation,
        allow_privilege_escalation: Some(spec.allow_privilege_escalation.unwrap_or(true)),
        se_linux_context: labels(spec.se_linux),
        run_as_user: users(&spec.run_as_user, &mut lost),
        supplemental_groups: groups("supplementalGroups", spec.supplemental_groups, &mut lost),
        fs_group: groups("fsGroup", spec.fs_group, &mut lost),
        read_only_root_filesystem: spec.read_only_root_filesystem,
        users: Some(Vec::new()),
        groups: Some(Vec::new()),
        seccomp_profiles: seccomp(&annotations),
        allowed_unsafe_sysctls: (!spec.allowed_unsafe_sysctls.is_empty())
            .then_some(spec.allowed_unsafe_sysctls),
        forbidden_sysctls: (!spec.forbidden_sysctls.is_empty()).then_some(spec.forbidden_sysctls),
        ..SecurityContextConstraints::default()
    };
    Ok(Converted { scc, lost })
}

/// An empty list of volumes permits none.
fn volumes(spec: &Spec, lost: &mut Vec<Lost>) -> Vec<String> {
    if !spec.allowed_host_paths.is_empty()
        && spec.volumes.iter().any(|name| matches!(name.as_str(), "hostPath" | "*"))
    {
        lost.push(Lost::of_spec("allowedHostPaths", "an SCC allows every path of the node, or none"));
    }
    match spec.volumes.as_slice() {
        [] => vec!["none".to_owned()],
        names => names.to_vec(),
    }
}

fn say_what_is_lost(spec: &Spec, lost: &mut Vec<Lost>) {
    let whole = |range: &Value| {
        let bound = |name: &str| range.get(name).and_then(Value::as_i64).unwrap_or_default();
        bound("min") <= 1 && bound("max") >= 65_535
    };
    let told = [
        (
            !spec.host_ports.is_empty() && !spec.host_ports.iter().any(whole),
            "hostPorts",
            "an SCC allows all ports, or none",
        ),
        (!spec.allowed_csi_drivers.is_empty(), "allowedCSIDrivers", "an SCC allows every driver, or none"),
        (
            !spec.allowed_proc_mount_types.is_empty(),
            "allowedProcMountTypes",
            "an SCC does not look at procMount",
        ),
        (spec.runtime_class.is_some(), "runtimeClass", "an SCC does not look at runtime classes"),
        (
            spec.run_as_group.as_ref().is_some_and(|rule| rule.rule != "RunAsAny"),
            "runAsGroup",
            "an SCC does not look at it",
        ),
    ];
    let told = told.into_iter().filter(|(is_lost, ..)| *is_lost);
    lost.extend(told.map(|(_, field, text)| Lost::of_spec(field, text)));
}

/// AppArmor's annotations, and fields that the policy's type does not have.
fn say_what_is_not_read(unknown: &Map<String, Value>, annotations: &Value, lost: &mut Vec<Lost>) {
    const APPARMOR: &str = "apparmor.security.beta.kubernetes.io/";
    let keys = annotations.as_object().into_iter().flat_map(Map::keys);
    lost.extend(keys.filter(|key| key.starts_with(APPARMOR)).map(|key| Lost {
        path: FieldPath::of("metadata.annotations").key(key),
        text: format!(
            "{key}: an SCC does not look at AppArmor; set securityContext.appArmorProfile in the pods"
        ),
    }));
    lost.extend(unknown.keys().map(|field| Lost {
        path: FieldPath::of("spec").name(field),
        text: format!(
            "spec.{field}: no PodSecurityPolicy has this field, so it was never read{}",
            match field.as_str() {
                "seccomp" | "seccompProfile" =>
                    "; in an SCC list the profiles in seccompProfiles, as [runtime/default]",
                "appArmor" | "appArmorProfile" => {
                    ", and no SCC looks at AppArmor; set securityContext.appArmorProfile in the pods"
                }
                _ => "",
            }
        ),
    }));
}

/// A role converted from one that lets its holders `use` PodSecurityPolicies.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvertedRole {
    /// The role, which lets them use the SCCs made of these policies.
    pub role: Value,
    /// Policies that the role names and that are not converted, so that it no longer grants them.
    pub lost: Vec<Lost>,
}

/// Converts a role that lets its holders `use` PodSecurityPolicies, to one that lets them use the SCCs made of these; `None`
/// if it has no such rule. A rule without names was for every policy, and is for those that are `known` by name: of SCCs there are
/// others, `privileged` among them. The rest of a rule that is also about other resources stays.
#[must_use]
pub fn from_psp_role(role: &Value, known: &[String]) -> Option<ConvertedRole> {
    let rules = role.get("rules")?.as_array()?;
    if !rules.iter().any(uses_policies) {
        return None;
    }
    let (mut converted, mut lost) = (Vec::new(), Vec::new());
    for (index, rule) in rules.iter().enumerate() {
        if !uses_policies(rule) {
            converted.push(rule.clone());
            continue;
        }
        let (names, missing) = sccs(rule, known);
        let path = FieldPath::of("rules").index(index).field("resourceNames");
        lost.extend(missing.into_iter().map(|text| Lost { path: path.clone(), text }));
        // Without names it would be for every SCC.
        if !names.is_empty() {
            converted.push(json!({"apiGroups": ["security.openshift.io"], "resources": ["securitycontextconstraints"], "resourceNames": names, "verbs": ["use"]}));
        }
        converted.extend(without_policies(rule));
    }
    let mut role = role.clone();
    role.as_object_mut()?.insert("rules".to_owned(), converted.into());
    Some(ConvertedRole { role, lost })
}

const POLICIES: &str = "podsecuritypolicies";

/// The words of a list of a rule.
fn words<'r>(rule: &'r Value, field: &str) -> impl Iterator<Item = &'r str> {
    rule.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// Whether a rule is for the use of PodSecurityPolicies. One for all resources of all groups is for that of SCCs already.
fn uses_policies(rule: &Value) -> bool {
    let has = |field: &str, wanted: &[&str]| words(rule, field).any(|word| wanted.contains(&word));
    has("apiGroups", &["policy", "extensions", "*"])
        && has("resources", &[POLICIES, "*"])
        && has("verbs", &["use", "*"])
        && !(has("apiGroups", &["*"]) && has("resources", &["*"]))
}

/// The SCCs that stand for the policies of a rule, and what is lost of it.
fn sccs(rule: &Value, known: &[String]) -> (Vec<String>, Vec<String>) {
    let known: BTreeSet<&str> = known.iter().map(String::as_str).collect();
    let mut named = words(rule, "resourceNames").peekable();
    if named.peek().is_none() {
        return (known.into_iter().map(scc_name).collect(), Vec::new());
    }
    let (found, missing): (Vec<_>, Vec<_>) = named.partition(|name| known.contains(name));
    let lost = |name| {
        format!(
            "the PodSecurityPolicy {name} is not among the input: the role no longer grants it, nor an SCC of that name"
        )
    };
    (found.into_iter().map(scc_name).collect(), missing.into_iter().map(lost).collect())
}

/// The part of a rule that is about other resources.
fn without_policies(rule: &Value) -> Option<Value> {
    let others: Vec<&str> = words(rule, "resources").filter(|resource| *resource != POLICIES).collect();
    let mut rest = rule.clone();
    rest.as_object_mut()?.insert("resources".to_owned(), json!(others));
    (!others.is_empty()).then_some(rest)
}

fn labels(rule: Rule) -> SeLinuxContextStrategy {
    match rule.rule.as_str() {
        "MustRunAs" => {
            SeLinuxContextStrategy { type_: "MustRunAs".to_owned(), se_linux_options: rule.se_linux_options }
        }
        _ => SeLinuxContextStrategy { type_: "RunAsAny".to_owned(), se_linux_options: None },
    }
}

fn users(rule: &Rule, lost: &mut Vec<Lost>) -> RunAsUserStrategy {
    let strategy =
        |type_: &str| RunAsUserStrategy { type_: type_.to_owned(), ..RunAsUserStrategy::default() };
    if rule.ranges.len() > 1 {
        lost.push(Lost::of_spec("runAsUser", "an SCC has one range; this one spans all of the policy's"));
    }
    let bounds =
        rule.ranges.iter().map(|range| range.min).min().zip(rule.ranges.iter().map(|range| range.max).max());
    match (rule.rule.as_str(), bounds) {
        ("MustRunAs", Some((min, max))) if min == max => {
            RunAsUserStrategy { uid: Some(min), ..strategy("MustRunAs") }
        }
        ("MustRunAs", Some((min, max))) => RunAsUserStrategy {
            uid_range_min: Some(min),
            uid_range_max: Some(max),
            ..strategy("MustRunAsRange")
        },
        ("MustRunAs", None) => strategy("MustRunAsRange"),
        ("MustRunAsNonRoot", _) => strategy("MustRunAsNonRoot"),
        _ => strategy("RunAsAny"),
    }
}

fn groups(field: &str, rule: Rule, lost: &mut Vec<Lost>) -> GroupStrategy {
    let ranges = (!rule.ranges.is_empty()).then_some(rule.ranges);
    match rule.rule.as_str() {
        "MustRunAs" => GroupStrategy { type_: "MustRunAs".to_owned(), ranges },
        "MayRunAs" => {
            let text = "MayRunAs becomes MustRunAs, which also gives a group to pods without one";
            lost.push(Lost::of_spec(field, text));
            GroupStrategy { type_: "MustRunAs".to_owned(), ranges }
        }
        _ => GroupStrategy { type_: "RunAsAny".to_owned(), ranges: None },
    }
}

/// The default comes first in an SCC.
fn seccomp(annotations: &Value) -> Option<Vec<String>> {
    const ALLOWED: &str = "seccomp.security.alpha.kubernetes.io/allowedProfileNames";
    const DEFAULT: &str = "seccomp.security.alpha.kubernetes.io/defaultProfileName";
    let text = |key: &str| annotations.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut profiles: Vec<String> = text(DEFAULT).map(str::to_owned).into_iter().collect();
    for name in text(ALLOWED).unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty()) {
        if !profiles.iter().any(|known| known == name) {
            profiles.push(name.to_owned());
        }
    }
    (!profiles.is_empty()).then_some(profiles)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn converted(spec: Value) -> Converted {
        let object = json!({"kind": "PodSecurityPolicy", "metadata": {"name": "p", "annotations": {
            "seccomp.security.alpha.kubernetes.io/allowedProfileNames": "runtime/default,localhost/a",
            "seccomp.security.alpha.kubernetes.io/defaultProfileName": "localhost/a"}}, "spec": spec});
        from_psp(object.as_object().unwrap()).unwrap()
    }

    #[test]
    fn each_rule_has_its_strategy() {
        let range = |min: i64, max: i64| json!({"rule": "MustRunAs", "ranges": [{"min": min, "max": max}]});
        for (rule, expected) in [
            (json!({"rule": "RunAsAny"}), json!({"type": "RunAsAny"})),
            (json!({"rule": "MustRunAsNonRoot"}), json!({"type": "MustRunAsNonRoot"})),
            (range(5, 5), json!({"type": "MustRunAs", "uid": 5})),
            (range(1, 9), json!({"type": "MustRunAsRange", "uidRangeMin": 1, "uidRangeMax": 9})),
        ] {
            let scc = converted(json!({"runAsUser": rule})).scc;
            assert_eq!(serde_json::to_value(&scc.run_as_user).unwrap(), expected);
        }
    }

    #[test]
    fn what_an_scc_cannot_say_is_told() {
        let lost = |spec: Value| {
            let lost = converted(spec.clone()).lost;
            // Each names a field that is there.
            for Lost { path, text } in &lost {
                let pointer = path.to_string().replace('.', "/");
                assert!(json!({"spec": spec}).pointer(&format!("/{pointer}")).is_some(), "{path} {text}");
            }
            lost.len()
        };
        assert_eq!(lost(json!({})), 0);
        assert_eq!(lost(json!({"hostPorts": [{"min": 80, "max": 90}]})), 1);
        assert_eq!(lost(json!({"hostPorts": [{"min": 0, "max": 65535}]})), 0);
        assert_eq!(lost(json!({"volumes": ["hostPath"], "allowedHostPaths": [{"pathPrefix": "/a"}]})), 1);
        assert_eq!(lost(json!({"fsGroup": {"rule": "MayRunAs"}})), 1);
        assert_eq!(lost(json!({"runAsGroup": {"rule": "MustRunAs"}})), 1);
        assert_eq!(lost(json!({"runtimeClass": {}, "allowedProcMountTypes": ["Unmasked"]})), 2);
        // Fields as people write them.
        assert_eq!(lost(json!({"seccomp": {}, "appArmor": {}, "privileged": false})), 2);
        let object = json!({"metadata": {"name": "flannel", "annotations": {
            "apparmor.security.beta.kubernetes.io/allowedProfileNames": "runtime/default"}}, "spec": {}});
        let lost = from_psp(object.as_object().unwrap()).unwrap().lost;
        assert!(lost.len() == 1 && lost[0].text.contains("an SCC does not look at AppArmor"), "{lost:?}");
    }

    #[test]
    fn a_field_of_another_type_is_named() {
        let object = json!({"spec": {"fsGroup": {"ranges": [{"min": 1, "max": "x"}]}}});
        let misfit = from_psp(object.as_object().unwrap()).unwrap_err();
        assert_eq!(misfit.path.to_string(), "spec.fsGroup.ranges[0].max");
    }

    #[test]
    fn roles_of_policies_become_roles_of_sccs() {
        let rule = |group: &str, resource: &str, verb: &str, names: &[&str]| json!({"apiGroups": [group], "resources": [resource], "verbs": [verb], "resourceNames": names});
        let role =
            |rules: Value| json!({"kind": "ClusterRole", "metadata": {"name": "flannel"}, "rules": rules});
        let known = ["flannel".to_owned(), "web".to_owned()];
        let scc = |names: &[&str]| rule("security.openshift.io", "securitycontextconstraints", "use", names);
        for (rules, expected) in [
            (
                json!([rule("policy", "podsecuritypolicies", "use", &["flannel"])]),
                Some(json!([scc(&["flannel"])])),
            ),
            (
                json!([rule("extensions", "podsecuritypolicies", "use", &[])]),
                Some(json!([scc(&["flannel", "web"])])),
            ),
            (
                json!([rule("", "nodes", "get", &[]), rule("policy", "podsecuritypolicies", "*", &["web"])]),
                Some(json!([rule("", "nodes", "get", &[]), scc(&["web"])])),
            ),
            (json!([rule("*", "podsecuritypolicies", "use", &["web"])]), Some(json!([scc(&["web"])]))),
            (
                json!([{"apiGroups": ["policy"], "resources": ["podsecuritypolicies", "poddisruptionbudgets"], "verbs": ["*"]}]),
                Some(
                    json!([scc(&["flannel", "web"]), {"apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": ["*"]}]),
                ),
            ),
            (
                json!([rule("policy", "*", "*", &[])]),
                Some(json!([scc(&["flannel", "web"]), rule("policy", "*", "*", &[])])),
            ),
            // It is for SCCs as it is.
            (json!([rule("*", "*", "*", &[])]), None),
            // The built-in SCC of that name is another.
            (
                json!([rule("policy", "podsecuritypolicies", "use", &["privileged", "web"])]),
                Some(json!([scc(&["web"])])),
            ),
            (json!([rule("policy", "podsecuritypolicies", "use", &["privileged"])]), Some(json!([]))),
            (json!([rule("policy", "podsecuritypolicies", "get", &["web"])]), None),
            (json!([rule("policy", "poddisruptionbudgets", "use", &[])]), None),
        ] {
            let converted = from_psp_role(&role(rules.clone()), &known);
            assert_eq!(converted.clone().map(|converted| converted.role), expected.map(role), "{rules}");
            let unknown = rules.to_string().matches("privileged").count();
            assert_eq!(converted.map_or(0, |converted| converted.lost.len()), unknown, "{rules}");
        }
    }

    #[test]
    fn what_comes_out_is_accepted() {
        let mut scc =
            converted(json!({"seLinux": {"rule": "RunAsAny"}, "volumes": ["*"], "hostNetwork": true})).scc;
        assert_eq!(scc.seccomp_profiles.as_deref().unwrap(), ["localhost/a", "runtime/default"]);
        crate::default(&mut scc);
        assert_eq!(crate::validate(&scc), []);
        assert!(scc.allow_host_dir_volume_plugin && scc.allow_host_network && !scc.allow_host_pid);
    }
}
