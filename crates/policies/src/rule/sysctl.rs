//! `allowedUnsafeSysctls` and `forbiddenSysctls`.

use palisade_k8s::KernelVersion;
use palisade_scc::{SysctlRule, safe_sysctls};

use crate::cel;

use super::Demand;

pub(crate) fn demands(rule: &SysctlRule, kernel: KernelVersion) -> Vec<Demand> {
    let mut demands = Vec::new();
    if !rule.forbidden.is_empty() {
        let holds = format!("!variables.sysctls.exists(s, {})", covered(&rule.forbidden));
        let because = format!("forbiddenSysctls: {}", rule.forbidden.join(", "));
        demands.push(Demand::new(
            "sysctls",
            because,
            holds,
            format!("sysctls {} are forbidden", rule.forbidden.join(", ")),
        ));
    }
    if rule.allowed_unsafe.iter().any(|pattern| pattern == "*") {
        return demands;
    }
    let safe = format!("s in {}", cel::texts(safe_sysctls(kernel)));
    let (allowed, shown) = match rule.allowed_unsafe.as_slice() {
        [] => (String::new(), "none".to_owned()),
        patterns => (format!(" || {}", covered(patterns)), patterns.join(", ")),
    };
    let holds = format!("variables.sysctls.all(s, {safe}{allowed})");
    let because = format!("allowedUnsafeSysctls: {shown}");
    demands.push(Demand::new("sysctls", because, holds, "unsafe sysctls are not allowed"));
    demands
}

/// Whether one of the patterns matches the sysctl `s`.
fn covered(patterns: &[String]) -> String {
    let pattern = |pattern: &String| match pattern.strip_suffix('*') {
        Some(prefix) => format!("s.startsWith({})", cel::text(prefix)),
        None => format!("s == {}", cel::text(pattern)),
    };
    cel::any(patterns.iter().map(pattern)).replace('\n', " ")
}
