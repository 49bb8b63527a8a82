//! Pod Security levels: violations of a level by a pod, and the level that an SCC guarantees.
//!
//! The rules are Kubernetes' Pod Security Standards, each in the versions that a namespace's labels can name; the reasons
//! and the details are worded as its own evaluator words them (`k8s.io/pod-security-admission`, `policy`).

use std::fmt;

use palisade_k8s::Pod;

mod baseline;
mod guarantee;
mod restricted;
mod standards;
mod violation;

pub use guarantee::guaranteed_level;
pub use standards::{LABEL_PREFIX, Standard, Standards};
pub use violation::Violation;

/// A Pod Security level; a later one allows less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Anything.
    Privileged,
    /// Nothing that is known to escape a container.
    Baseline,
    /// Hardened by current best practice.
    Restricted,
}

impl Level {
    /// The level of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Privileged, Self::Baseline, Self::Restricted].into_iter().find(|level| level.as_str() == name)
    }

    /// Its name in labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The Kubernetes release whose rules apply: `latest`, or `v1.` and a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// Release 1.x.
    Minor(u32),
    /// The newest rules that are known.
    #[default]
    Latest,
}

impl Version {
    /// Reads a version as labels name it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "latest" {
            return Some(Self::Latest);
        }
        let minor = text.strip_prefix("v1.")?;
        let is_plain =
            minor.bytes().all(|byte| byte.is_ascii_digit()) && (minor == "0" || !minor.starts_with('0'));
        minor.parse().ok().filter(|_| is_plain).map(Self::Minor)
    }

    /// Whether the rules are those of a release or of a later one.
    fn has(self, minor: u32) -> bool {
        self >= Self::Minor(minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Minor(minor) => write!(f, "v1.{minor}"),
            Self::Latest => f.write_str("latest"),
        }
    }
}

/// One rule of the standards.
struct Check {
    /// The first release with the rule.
    since: u32,
    /// The release from which a rule of `restricted` includes this one.
    replaced: Option<u32>,
    /// The violations.
    find: fn(&Pod<'_>, Version) -> Option<Violation>,
}

impl Check {
    const fn new(find: fn(&Pod<'_>, Version) -> Option<Violation>) -> Self {
        Self { since: 0, replaced: None, find }
    }

    const fn since(self, since: u32) -> Self {
        Self { since, ..self }
    }

    const fn replaced(self, since: u32) -> Self {
        Self { replaced: Some(since), ..self }
    }
}

/// The violations by a pod of a level of a version, in Kubernetes' order; empty if the pod conforms.
#[must_use]
pub fn violations(pod: &Pod<'_>, level: Level, version: Version) -> Vec<Violation> {
    let is_restricted = level == Level::Restricted;
    let baseline: &[Check] = if level == Level::Privileged { &[] } else { baseline::CHECKS };
    let restricted: &[Check] = if is_restricted { restricted::CHECKS } else { &[] };
    let counts = |check: &&Check| {
        let is_replaced = is_restricted && check.replaced.is_some_and(|since| version.has(since));
        version.has(check.since) && !is_replaced
    };
    baseline.iter().chain(restricted).filter(counts).filter_map(|check| (check.find)(pod, version)).collect()
}

/// The highest level of a version that the pod conforms to.
#[must_use]
pub fn level(pod: &Pod<'_>, version: Version) -> Level {
    let levels = [Level::Restricted, Level::Baseline];
    let conforms = |level: &Level| violations(pod, *level, version).is_empty();
    levels.into_iter().find(conforms).unwrap_or(Level::Privileged)
}

/// A pod's level, and the reasons why it has not the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// The level.
    pub level: Level,
    /// The rules of the next level that the pod violates; empty at the last.
    pub reasons: Vec<&'static str>,
}

/// The highest level that the pod has by the newest rules.
#[must_use]
pub fn assess(pod: &Pod<'_>) -> Assessment {
    let broken = |level| -> Vec<&'static str> {
        violations(pod, level, Version::Latest).iter().map(|violation| violation.reason).collect()
    };
    let reasons = broken(Level::Baseline);
    if !reasons.is_empty() {
        return Assessment { level: Level::Privileged, reasons };
    }
    let reasons = broken(Level::Restricted);
    let level = if reasons.is_empty() { Level::Restricted } else { Level::Baseline };
    Assessment { level, reasons }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pod: &str, level: Level, version: &str) -> String {
        let pod: Pod<'_> = serde_json::from_str(pod).unwrap();
        Violation::join(&violations(&pod, level, Version::parse(version).unwrap()))
    }

    #[test]
    fn versions_are_read_as_labels_name_them() {
        for text in ["latest", "v1.0", "v1.9", "v1.37", "v1.4294967295"] {
            assert_eq!(Version::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "Latest", "1.20", "v1", "v1.", "v1.01", "v1.+1", "v2.0", "v1.2.3", "v1.4294967296"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
        assert!(Version::Minor(99) < Version::Latest);
    }

    /// The words of `k8s.io/pod-security-admission/policy`, from its sources and its tests.
    #[test]
    fn violations_are_worded_as_kubernetes_words_them() {
        let plain = r#"{"spec": {"containers": [{"name": "a"}]}}"#;
        let cases = [
            (plain, Level::Privileged, "latest", ""),
            (plain, Level::Baseline, "latest", ""),
            (
                plain,
                Level::Restricted,
                "latest",
                "allowPrivilegeEscalation != false (container \"a\" must set securityContext.allowPrivilegeEscalation=false), \
                 unrestricted capabilities (container \"a\" must set securityContext.capabilities.drop=[\"ALL\"]), \
                 runAsNonRoot != true (pod or container \"a\" must set securityContext.runAsNonRoot=true), \
                 seccompProfile (pod or container \"a\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")",
            ),
            (
                plain,
                Level::Restricted,
                "v1.18",
                "allowPrivilegeEscalation != false (container \"a\" must set securityContext.allowPrivilegeEscalation=false), \
                 runAsNonRoot != true (pod or container \"a\" must set securityContext.runAsNonRoot=true)",
            ),
            (
                plain,
                Level::Restricted,
                "v1.7",
                "runAsNonRoot != true (pod or container \"a\" must set securityContext.runAsNonRoot=true)",
            ),
            (
                r#"{"spec": {"hostNetwork": true, "hostPID": true, "hostIPC": true,
                    "securityContext": {"seLinuxOptions": {"type": "spc_t", "user": "u", "role": "r"}, "windowsOptions": {"hostProcess": true},
                                        "sysctls": [{"name": "net.ipv4.tcp_rmem"}, {"name": "kernel.msgmax"}]},
                    "volumes": [{"name": "v", "hostPath": {}}, {"name": "w", "hostPath": {}}],
                    "containers": [{"name": "a", "ports": [{"hostPort": 9}, {"hostPort": 80}], "securityContext": {"privileged": true, "procMount": "Unmasked"}},
                                   {"name": "b", "securityContext": {"capabilities": {"add": ["NET_ADMIN", "CHOWN"]},
                                       "seccompProfile": {"type": "Unconfined"}, "appArmorProfile": {"type": "Unconfined"}},
                                    "livenessProbe": {"httpGet": {"host": "h"}}}]}}"#,
                Level::Baseline,
                "v1.31",
                "forbidden AppArmor profile (container \"b\" must not set AppArmor profile type to \"Unconfined\"), \
                 non-default capabilities (container \"b\" must not include \"NET_ADMIN\" in securityContext.capabilities.add), \
                 host namespaces (hostNetwork=true, hostPID=true, hostIPC=true), hostPath volumes (volumes \"v\", \"w\"), \
                 hostPort (container \"a\" uses hostPorts 80, 9), \
                 privileged (container \"a\" must not set securityContext.privileged=true), \
                 procMount (container \"a\" must not set securityContext.procMount to \"Unmasked\"), \
                 seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type \"spc_t\"; user may not be set; role may not be set), \
                 seccompProfile (container \"b\" must not set securityContext.seccompProfile.type to \"Unconfined\"), \
                 forbidden sysctls (net.ipv4.tcp_rmem, kernel.msgmax), \
                 hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
            ),
            (
                r#"{"metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/a": "unconfined"}},
                    "spec": {"hostUsers": false, "securityContext": {"runAsUser": 0, "runAsNonRoot": false, "seccompProfile": {"type": "RuntimeDefault"}},
                    "volumes": [{"name": "n", "nfs": {}}, {"name": "p", "hostPath": {}}, {"name": "e"}],
                    "containers": [{"name": "a", "securityContext": {"allowPrivilegeEscalation": false, "procMount": "Unmasked",
                        "capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}}, "lifecycle": {"preStop": {"tcpSocket": {"host": "h"}}}}]}}"#,
                Level::Restricted,
                "latest",
                "forbidden AppArmor profile (annotation must not set AppArmor profile type to \"container.apparmor.security.beta.kubernetes.io/a=\"unconfined\"\"), \
                 probe or lifecycle host (container \"a\" uses probe or lifecycle host \"h\"), \
                 unrestricted capabilities (container \"a\" must not include \"CHOWN\" in securityContext.capabilities.add), \
                 procMount (container \"a\" must not set securityContext.procMount to \"Unmasked\"), \
                 restricted volume types (volumes \"n\", \"p\" use restricted volume types \"hostPath\", \"nfs\")",
            ),
            (
                r#"{"spec": {"securityContext": {"runAsUser": 0, "runAsNonRoot": false, "seccompProfile": {"type": "Unconfined"}}, "hostUsers": false,
                    "containers": [{"name": "a", "securityContext": {"runAsUser": 0, "runAsNonRoot": true, "allowPrivilegeEscalation": false,
                        "capabilities": {"drop": ["ALL"]}}}]}}"#,
                Level::Restricted,
                "v1.34",
                "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false), \
                 runAsUser=0 (pod and container \"a\" must not set runAsUser=0), \
                 seccompProfile (pod must not set securityContext.seccompProfile.type to \"Unconfined\")",
            ),
            (
                r#"{"metadata": {"annotations": {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}}, "spec": {"containers": [{"name": "a"}]}}"#,
                Level::Baseline,
                "v1.18",
                "seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod=\"unconfined\")",
            ),
        ];
        for (pod, level, version, wanted) in cases {
            assert_eq!(said(pod, level, version), wanted, "{level}:{version} {pod}");
        }
    }
}
