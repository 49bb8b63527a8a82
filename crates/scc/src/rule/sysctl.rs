//! Sysctls. Names compare as they are written; a pattern may end in `*`.

use palisade_k8s::pod::Sysctl;
use palisade_k8s::{FieldError, FieldPath, KernelVersion, SecurityContextConstraints};

use crate::findings::Findings;
use crate::lookup::Patterns;

/// Sysctls that any pod may set, each with the kernel that made it safe (reference/scc.md 2.16).
pub(crate) const SAFE: &[(&str, KernelVersion)] = &[
    ("kernel.shm_rmid_forced", KernelVersion::new(0, 0)),
    ("net.ipv4.ip_local_port_range", KernelVersion::new(0, 0)),
    ("net.ipv4.tcp_syncookies", KernelVersion::new(0, 0)),
    ("net.ipv4.ping_group_range", KernelVersion::new(0, 0)),
    ("net.ipv4.ip_unprivileged_port_start", KernelVersion::new(0, 0)),
    ("net.ipv4.tcp_keepalive_time", KernelVersion::new(0, 0)),
    ("net.ipv4.tcp_fin_timeout", KernelVersion::new(0, 0)),
    ("net.ipv4.tcp_keepalive_intvl", KernelVersion::new(0, 0)),
    ("net.ipv4.tcp_keepalive_probes", KernelVersion::new(0, 0)),
    ("net.ipv4.ip_local_reserved_ports", KernelVersion::new(3, 16)),
    ("net.ipv4.tcp_rmem", KernelVersion::new(4, 15)),
    ("net.ipv4.tcp_wmem", KernelVersion::new(4, 15)),
];

/// The sysctls that any pod may set on this kernel.
pub fn safe_sysctls(kernel: KernelVersion) -> impl Iterator<Item = &'static str> {
    SAFE.iter().filter(move |(_, since)| *since <= kernel).map(|(name, _)| *name)
}

/// Whether any pod may set the sysctl `name` on this kernel.
pub(crate) fn is_safe(name: &str, kernel: KernelVersion) -> bool {
    safe_sysctls(kernel).any(|safe| safe == name)
}

/// The permitted sysctls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SysctlRule {
    /// Patterns of those that may not be set, safe ones included.
    pub forbidden: Vec<String>,
    /// Patterns of unsafe sysctls that may be set.
    pub allowed_unsafe: Vec<String>,
}

impl SysctlRule {
    pub(crate) fn new(scc: &SecurityContextConstraints) -> Self {
        let list = SecurityContextConstraints::list;
        Self {
            forbidden: list(scc.forbidden_sysctls.as_ref()).to_vec(),
            allowed_unsafe: list(scc.allowed_unsafe_sysctls.as_ref()).to_vec(),
        }
    }

    /// Reports each sysctl that is forbidden, or neither safe nor allowed; forbidden takes precedence.
    pub(crate) fn check(&self, sysctls: &[Sysctl<'_>], kernel: KernelVersion, findings: &mut impl Findings) {
        if sysctls.is_empty() {
            return;
        }
        let (forbidden, allowed) = (Patterns::new(&self.forbidden), Patterns::new(&self.allowed_unsafe));
        for (index, sysctl) in sysctls.iter().enumerate() {
            let name = sysctl.name.as_str();
            let refused = |unsafe_: &str| {
                let path = FieldPath::of("spec.securityContext.sysctls").index(index).field("name");
                let detail = format!("{unsafe_}sysctl {name:?} is not allowed");
                FieldError { value: name.into(), ..FieldError::forbidden(path, detail) }
            };
            if forbidden.cover(name) {
                findings.add(|| refused(""));
            } else if !is_safe(name, kernel) && !allowed.cover(name) {
                findings.add(|| refused("unsafe "));
            }
        }
    }
}

/// Whether a pattern of an SCC covers the sysctl.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    type Case = (&'static [&'static str], &'static [&'static str], &'static str, KernelVersion, bool);

    #[test]
    fn forbidden_goes_before_safe_and_allowed() {
        // Forbidden, allowed, the sysctl, the kernel; whether it may be set.
        let old = KernelVersion::new(4, 14);
        let cases: [Case; 10] = [
            (&[], &[], "kernel.shm_rmid_forced", old, true),
            (&["kernel.shm_rmid_forced"], &[], "kernel.shm_rmid_forced", old, false),
            (&["kernel.*"], &["kernel.msgmax"], "kernel.msgmax", old, false),
            (&[], &[], "kernel.msgmax", old, false),
            (&[], &["kernel.msg*"], "kernel.msgmax", old, true),
            (&[], &["*"], "net.core.somaxconn", old, true),
            (&[], &["kernel.msgmax"], "kernel/msgmax", old, false),
            (&[], &[], "net.ipv4.tcp_rmem", old, false),
            (&[], &[], "net.ipv4.tcp_rmem", KernelVersion::new(4, 15), true),
            (&[], &[], "net.ipv4.ip_local_reserved_ports", KernelVersion::new(3, 15), false),
        ];
        for (forbidden, allowed, name, kernel, may) in cases {
            let scc = json!({"forbiddenSysctls": forbidden, "allowedUnsafeSysctls": allowed});
            let rule = SysctlRule::new(&serde_json::from_value(scc.clone()).unwrap());
            let asked = json!([{"name": name, "value": "1"}]);
            let mut findings: Vec<FieldError> = Vec::new();
            rule.check(&Vec::<Sysctl<'_>>::deserialize(&asked).unwrap(), kernel, &mut findings);
            assert_eq!(findings.is_empty(), may, "{scc} {name} {kernel:?}");
        }
    }
}
