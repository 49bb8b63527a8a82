//! Validation of SCCs, as the API server makes it on a write (reference/scc.md 1a).
//!
//! These are the reference's rules, gaps included: problems that it accepts are for [`lint`](crate::lint) to report.

use std::collections::HashSet;

use palisade_k8s::metadata::{self, is_subdomain};
use palisade_k8s::scc::{GroupStrategy, IdRange};
use palisade_k8s::{FieldError, FieldPath, SecurityContextConstraints};
use serde_json::{Value, json};

/// Longest name of a sysctl, in bytes.
const SYSCTL_MAX: usize = 253;
const SYSCTL_RULE: &str = "must have at most 253 characters and match regex \
    ([a-z0-9]([-_a-z0-9]*[a-z0-9])?\\.)*([a-z0-9][-_a-z0-9]*)?[a-z0-9*]";
const NAME_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
    characters, '-' or '.', and must start and end with an alphanumeric character";

/// Every rule that a defaulted SCC violates.
#[must_use]
pub fn validate(scc: &SecurityContextConstraints) -> Vec<FieldError> {
    let mut errors = Vec::new();
    metadata(scc, &mut errors);
    if let Some(priority) = scc.priority.filter(|priority| *priority < 0) {
        errors.push(FieldError::invalid(FieldPath::of("priority"), priority, "priority cannot be negative"));
    }
    strategies(scc, &mut errors);
    groups("fsGroup", &scc.fs_group, &mut errors);
    groups("supplementalGroups", &scc.supplemental_groups, &mut errors);
    capabilities(scc, &mut errors);
    escalation(scc, &mut errors);
    volumes(scc, &mut errors);
    sysctls(scc, &mut errors);
    if !matches!(scc.user_namespace_level.as_str(), "" | "AllowHostLevel" | "RequirePodLevel") {
        let supported = ["AllowHostLevel", "RequirePodLevel"];
        let path = FieldPath::of("userNamespaceLevel");
        errors.push(FieldError::not_supported(path, &scc.user_namespace_level, &supported));
    }
    errors
}

fn metadata(scc: &SecurityContextConstraints, errors: &mut Vec<FieldError>) {
    metadata::labels(&scc.metadata.labels, errors);
    metadata::annotations(&scc.metadata.annotations, errors);
    let path = || FieldPath::of("metadata.name");
    let name = scc.metadata.name.as_str();
    if name.is_empty() {
        return errors.push(FieldError::required(path(), "name or generateName is required"));
    }
    if name.len() > 253 {
        errors.push(FieldError::invalid(path(), name, "must be no more than 253 characters"));
    }
    if !is_subdomain(name) {
        errors.push(FieldError::invalid(path(), name, NAME_RULE));
    }
    if !scc.metadata.namespace.is_empty() {
        errors.push(FieldError::forbidden(FieldPath::of("metadata.namespace"), "not allowed on this type"));
    }
}

fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn is_label(part: &str, inner: &[u8]) -> bool {
    let ends = [part.bytes().next(), part.bytes().next_back()];
    ends.iter().all(|end| end.is_some_and(is_alphanumeric))
        && part.bytes().all(|byte| is_alphanumeric(byte) || inner.contains(&byte))
}

fn strategies(scc: &SecurityContextConstraints, errors: &mut Vec<FieldError>) {
    let user = &scc.run_as_user;
    let mut check = |field, type_: &str, valid: &[&str]| {
        if !valid.contains(&type_) {
            let detail = format!("invalid strategy type.  Valid values are {}", valid.join(", "));
            errors.push(FieldError::invalid(FieldPath::of(field), type_, detail));
        }
    };
    check("runAsUser.type", &user.type_, &["MustRunAs", "MustRunAsNonRoot", "MustRunAsRange", "RunAsAny"]);
    check("seLinuxContext.type", &scc.se_linux_context.type_, &["MustRunAs", "RunAsAny"]);
    if let Some(uid) = user.uid.filter(|uid| *uid < 0) {
        errors.push(FieldError::invalid(FieldPath::of("runAsUser.uid"), uid, "uid cannot be negative"));
    }
}

fn groups(field: &'static str, strategy: &GroupStrategy, errors: &mut Vec<FieldError>) {
    let path = || FieldPath::of(field);
    let supported = ["MustRunAs", "RunAsAny"];
    if !supported.contains(&strategy.type_.as_str()) {
        errors.push(FieldError::not_supported(path().field("type"), &strategy.type_, &supported));
    }
    for (index, range) in strategy.ranges.iter().flatten().enumerate() {
        let at = |bound| path().field("ranges").index(index).field(bound);
        let IdRange { min, max } = *range;
        if min < 0 {
            errors.push(FieldError::invalid(at("min"), min, "min cannot be negative"));
        }
        if max < 0 {
            errors.push(FieldError::invalid(at("max"), max, "max cannot be negative"));
        }
        if min > max {
            let value = json!({"min": min, "max": max});
            errors.push(FieldError::invalid(at("min"), value, "min cannot be greater than max"));
        }
    }
}

fn capabilities(scc: &SecurityContextConstraints, errors: &mut Vec<FieldError>) {
    let list = SecurityContextConstraints::list;
    let dropped = list(scc.required_drop_capabilities.as_ref());
    let allowed = list(scc.allowed_capabilities.as_ref());
    let added = list(scc.default_add_capabilities.as_ref());
    let unwanted: HashSet<&String> = dropped.iter().collect();
    for (field, listed) in [("defaultAddCapabilities", added), ("allowedCapabilities", allowed)] {
        for name in listed.iter().filter(|name| unwanted.contains(name)) {
            let detail = format!("capability is listed in {field} and requiredDropCapabilities");
            errors.push(FieldError::invalid(FieldPath::of(field), name.as_str(), detail));
        }
    }
    if allowed.iter().any(|name| name == "*") && !dropped.is_empty() {
        let detail = "required capabilities must be empty when all capabilities are allowed by a wildcard";
        errors.push(FieldError::invalid(FieldPath::of("requiredDropCapabilities"), dropped.to_vec(), detail));
    }
}

fn escalation(scc: &SecurityContextConstraints, errors: &mut Vec<FieldError>) {
    let (default, allow) = (scc.default_allow_privilege_escalation, scc.allow_privilege_escalation);
    if (default, allow) == (Some(true), Some(false)) {
        let path = FieldPath::of("defaultAllowPrivilegeEscalation");
        let detail = "Cannot set DefaultAllowPrivilegeEscalation to true without also setting \
                      AllowPrivilegeEscalation to true";
        errors.push(FieldError::invalid(path, true, detail));
    }
}

fn volumes(scc: &SecurityContextConstraints, errors: &mut Vec<FieldError>) {
    let volumes = SecurityContextConstraints::list(scc.volumes.as_ref());
    if volumes.len() > 1 && volumes.iter().any(|name| name == "none") {
        let detail = "if 'none' is specified, no other values are allowed";
        errors.push(FieldError::invalid(FieldPath::of("volumes"), volumes.to_vec(), detail));
    }
    let drivers = scc.allowed_flex_volumes.as_deref().unwrap_or_default();
    if drivers.is_empty() {
        return;
    }
    let path = || FieldPath::of("allowedFlexVolumes");
    if !volumes.iter().any(|name| matches!(name.as_str(), "flexVolume" | "*")) {
        let value: Vec<Value> = drivers.iter().map(|allowed| json!({"driver": allowed.driver})).collect();
        let detail = "volumes does not include 'flexVolume' or '*', so no flex volumes are allowed";
        return errors.push(FieldError::invalid(path(), value, detail));
    }
    for (index, _) in drivers.iter().enumerate().filter(|(_, allowed)| allowed.driver.is_empty()) {
        errors.push(FieldError::required(path().index(index).field("driver"), "must specify a driver"));
    }
}

fn sysctls(scc: &SecurityContextConstraints, errors: &mut Vec<FieldError>) {
    let allowed = SecurityContextConstraints::list(scc.allowed_unsafe_sysctls.as_ref());
    let forbidden = SecurityContextConstraints::list(scc.forbidden_sysctls.as_ref());
    sysctl_list("allowedUnsafeSysctls", allowed, errors);
    sysctl_list("forbiddenSysctls", forbidden, errors);
    overlaps(allowed, forbidden, errors);
}

/// Maximum number of reported pairs of overlapping sysctls. A list of every pair grows with the product of both lists.
const OVERLAPS: usize = 200;

/// Each allowed sysctl is looked up among the sorted forbidden ones, so that long lists cost n log n.
fn overlaps(allowed: &[String], forbidden: &[String], errors: &mut Vec<FieldError>) {
    let mut sorted: Vec<Forbidden<'_>> = (0..)
        .zip(forbidden)
        .filter(|(_, text)| text.len() <= SYSCTL_MAX)
        .map(|(index, text)| Forbidden { base: text.strip_suffix('*').unwrap_or(text), index, text })
        .collect();
    sorted.sort_unstable();
    let most = errors.len() + OVERLAPS;
    for (i, allow) in allowed.iter().enumerate().filter(|(_, text)| text.len() <= SYSCTL_MAX) {
        for (j, forbid) in candidates(&sorted, allow) {
            if errors.len() == most {
                return;
            }
            let (field, index, value, other) = match overlapping(allow, forbid) {
                Some(Inner::Allowed) => ("allowedUnsafeSysctls", i, allow.as_str(), forbid),
                Some(Inner::Forbidden) => ("forbiddenSysctls", j, forbid, allow.as_str()),
                None => continue,
            };
            let path = FieldPath::of(field).index(index);
            errors.push(FieldError::invalid(path, value, format!("sysctl overlaps with {other}")));
        }
    }
}

/// A forbidden sysctl, in the order of the name without its star.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Forbidden<'a> {
    base: &'a str,
    index: usize,
    text: &'a str,
}

/// The forbidden sysctls that may overlap with `allow`, in their order: those with its name as a prefix, and those that
/// are a prefix of it.
fn candidates<'a>(sorted: &[Forbidden<'a>], allow: &str) -> Vec<(usize, &'a str)> {
    let base = allow.strip_suffix('*').unwrap_or(allow);
    let from = |name: &str| sorted.get(sorted.partition_point(|one| one.base < name)..).unwrap_or_default();
    let inside = from(base).iter().take_while(|one| one.base.starts_with(base)).take(OVERLAPS);
    let prefixes = base.char_indices().map(|(end, _)| base.get(..end).unwrap_or_default());
    let around =
        prefixes.flat_map(|name| from(name).iter().take_while(move |one| one.base == name).take(OVERLAPS));
    let mut found: Vec<_> = inside.chain(around).map(|one| (one.index, one.text)).collect();
    found.sort_unstable();
    found
}

fn sysctl_list(field: &'static str, list: &[String], errors: &mut Vec<FieldError>) {
    let mut covers_all = false;
    for (index, sysctl) in list.iter().enumerate() {
        let at = || FieldPath::of(field).index(index);
        if sysctl.is_empty() {
            errors.push(FieldError::invalid(at(), "", "empty sysctl not allowed"));
        } else if !is_sysctl_pattern(sysctl) {
            errors.push(FieldError::invalid(at(), sysctl.as_str(), SYSCTL_RULE));
        } else {
            covers_all |= sysctl.starts_with('*');
        }
    }
    if covers_all && list.len() > 1 {
        let detail = "if '*' is present, must not specify other sysctls";
        errors.push(FieldError::forbidden(FieldPath::of(field).field("items"), detail));
    }
}

/// `([a-z0-9]([-_a-z0-9]*[a-z0-9])?\.)*([a-z0-9][-_a-z0-9]*)?[a-z0-9*]`
fn is_sysctl_pattern(text: &str) -> bool {
    if text.len() > SYSCTL_MAX {
        return false;
    }
    let (outer, last) = text.rsplit_once('.').map_or((None, text), |(outer, last)| (Some(outer), last));
    let last_fits = match last.strip_suffix('*') {
        Some("") => true,
        Some(rest) => {
            rest.bytes().next().is_some_and(is_alphanumeric)
                && rest.bytes().all(|byte| is_alphanumeric(byte) || b"-_".contains(&byte))
        }
        None => is_label(last, b"-_"),
    };
    last_fits && outer.is_none_or(|outer| outer.split('.').all(|part| is_label(part, b"-_")))
}

/// The one of two overlapping patterns that is included in the other.
enum Inner {
    Allowed,
    Forbidden,
}

fn overlapping(allow: &str, forbid: &str) -> Option<Inner> {
    match (allow.strip_suffix('*'), forbid.strip_suffix('*')) {
        (Some(allow), Some(forbid)) if allow.starts_with(forbid) => Some(Inner::Allowed),
        (Some(allow), Some(forbid)) if forbid.starts_with(allow) => Some(Inner::Forbidden),
        (Some(allow), None) if forbid.starts_with(allow) => Some(Inner::Forbidden),
        (None, Some(forbid)) if allow.starts_with(forbid) => Some(Inner::Allowed),
        (None, None) if allow == forbid => Some(Inner::Allowed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_blames_its_field() {
        let long = "a".repeat(254);
        let cases: [(Value, &[&str]); 29] = [
            (json!({}), &[]),
            (json!({"metadata": {"name": ""}}), &["metadata.name"]),
            (json!({"metadata": {"name": "A_b"}}), &["metadata.name"]),
            (json!({"metadata": {"name": long}}), &["metadata.name"]),
            (json!({"metadata": {"name": "a", "namespace": "n"}}), &["metadata.namespace"]),
            (json!({"priority": -1}), &["priority"]),
            (json!({"priority": 0}), &[]),
            (json!({"runAsUser": {"type": "Any"}}), &["runAsUser.type"]),
            (json!({"runAsUser": {"type": "MustRunAs", "uid": -1}}), &["runAsUser.uid"]),
            (json!({"seLinuxContext": {"type": "MustRunAsRange"}}), &["seLinuxContext.type"]),
            (json!({"fsGroup": {"type": "MayRunAs"}}), &["fsGroup.type"]),
            (
                json!({"supplementalGroups": {"type": "MustRunAs", "ranges": [{"min": -2, "max": -3}]}}),
                &[
                    "supplementalGroups.ranges[0].min",
                    "supplementalGroups.ranges[0].max",
                    "supplementalGroups.ranges[0].min",
                ],
            ),
            (
                json!({"requiredDropCapabilities": ["A"], "defaultAddCapabilities": ["A"], "allowedCapabilities": ["A"]}),
                &["defaultAddCapabilities", "allowedCapabilities"],
            ),
            (json!({"requiredDropCapabilities": ["A"], "allowedCapabilities": ["a"]}), &[]),
            (
                json!({"requiredDropCapabilities": ["A"], "allowedCapabilities": ["*"]}),
                &["requiredDropCapabilities"],
            ),
            (
                json!({"defaultAllowPrivilegeEscalation": true, "allowPrivilegeEscalation": false}),
                &["defaultAllowPrivilegeEscalation"],
            ),
            (json!({"volumes": ["none", "secret"]}), &["volumes"]),
            (
                json!({"volumes": ["secret"], "allowedFlexVolumes": [{"driver": "d"}]}),
                &["allowedFlexVolumes"],
            ),
            (
                json!({"volumes": ["flexVolume"], "allowedFlexVolumes": [{"driver": ""}]}),
                &["allowedFlexVolumes[0].driver"],
            ),
            (json!({"allowedUnsafeSysctls": [""]}), &["allowedUnsafeSysctls[0]"]),
            (json!({"allowedUnsafeSysctls": ["a.*.b"]}), &["allowedUnsafeSysctls[0]"]),
            (json!({"allowedUnsafeSysctls": ["a.b*", "*"]}), &["allowedUnsafeSysctls.items"]),
            (json!({"allowedUnsafeSysctls": ["a.*"], "forbiddenSysctls": ["a.b"]}), &["forbiddenSysctls[0]"]),
            (
                json!({"allowedUnsafeSysctls": ["a.b"], "forbiddenSysctls": ["a.*"]}),
                &["allowedUnsafeSysctls[0]"],
            ),
            (json!({"allowedUnsafeSysctls": ["a.b"], "forbiddenSysctls": ["a.c"]}), &[]),
            (
                json!({"allowedUnsafeSysctls": ["a.*"], "forbiddenSysctls": ["a.b*"]}),
                &["forbiddenSysctls[0]"],
            ),
            (
                json!({"allowedUnsafeSysctls": ["a.b", "c"], "forbiddenSysctls": ["c", "a*", "b"]}),
                &["allowedUnsafeSysctls[0]", "allowedUnsafeSysctls[1]"],
            ),
            (json!({"userNamespaceLevel": "RequireAll"}), &["userNamespaceLevel"]),
            (json!({"userNamespaceLevel": "RequirePodLevel"}), &[]),
        ];
        for (fields, expected) in cases {
            let mut scc = json!({"metadata": {"name": "a"}, "runAsUser": {"type": "RunAsAny"},
                "seLinuxContext": {"type": "RunAsAny"}, "fsGroup": {"type": "RunAsAny"},
                "supplementalGroups": {"type": "RunAsAny"}, "volumes": ["secret"]});
            for (field, value) in fields.as_object().unwrap() {
                scc[field] = value.clone();
            }
            let errors = validate(&serde_json::from_value(scc).unwrap());
            let blamed: Vec<String> = errors.iter().map(|error| error.path.to_string()).collect();
            assert_eq!(blamed, expected, "{fields}");
        }
    }
}
