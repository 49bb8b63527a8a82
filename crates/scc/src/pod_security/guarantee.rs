//! The level that an SCC guarantees of every pod that it admits (reference/scc.md 1d).
//!
//! Only for fields of an SCC: `procMount`, AppArmor, hosts of probes and Windows host processes are not among them.

use palisade_k8s::SecurityContextConstraints;
use palisade_k8s::pod::VolumeKind;

use super::baseline::{is_confined_type, is_default_capability, is_safe_sysctl};
use super::restricted::VOLUMES;
use super::{Level, Version};

/// The level of a defaulted SCC.
#[must_use]
pub fn guaranteed_level(scc: &SecurityContextConstraints) -> Level {
    if !is_baseline(scc) {
        Level::Privileged
    } else if !is_restricted(scc) {
        Level::Baseline
    } else {
        Level::Restricted
    }
}

fn volumes(scc: &SecurityContextConstraints) -> impl Iterator<Item = &str> {
    SecurityContextConstraints::list(scc.volumes.as_ref()).iter().map(String::as_str)
}

/// Whether a container may add a capability that is not harmless.
fn may_add<'s>(scc: &'s SecurityContextConstraints, is_harmless: impl Fn(&str) -> bool) -> bool {
    let lists: [Option<&'s Vec<String>>; 2] =
        [scc.allowed_capabilities.as_ref(), scc.default_add_capabilities.as_ref()];
    lists.into_iter().flatten().flatten().any(|name| !is_harmless(name))
}

fn is_baseline(scc: &SecurityContextConstraints) -> bool {
    let host = scc.allow_host_dir_volume_plugin
        || scc.allow_host_network
        || scc.allow_host_pid
        || scc.allow_host_ipc
        || scc.allow_host_ports
        || scc.allow_privileged_container
        || volumes(scc).any(|name| matches!(name, "*" | "hostPath"));
    let unsafe_sysctls = SecurityContextConstraints::list(scc.allowed_unsafe_sysctls.as_ref())
        .iter()
        .any(|name| !is_safe_sysctl(name, Version::Latest));
    let context = &scc.se_linux_context;
    let confined = context.type_ == "MustRunAs"
        && context.se_linux_options.as_ref().is_none_or(|labels| {
            is_confined_type(&labels.type_, Version::Latest)
                && labels.user.is_empty()
                && labels.role.is_empty()
        });
    let seccomp = SecurityContextConstraints::list(scc.seccomp_profiles.as_ref());
    !host
        && !unsafe_sysctls
        && confined
        && seccomp.iter().all(|profile| confines(profile))
        && !may_add(scc, is_default_capability)
}

fn confines(profile: &str) -> bool {
    matches!(profile, "runtime/default" | "docker/default") || profile.starts_with("localhost/")
}

fn is_restricted(scc: &SecurityContextConstraints) -> bool {
    let list = SecurityContextConstraints::list;
    let user = &scc.run_as_user;
    let non_root = match user.type_.as_str() {
        "MustRunAsNonRoot" => true,
        "MustRunAs" => user.uid.is_some_and(|uid| uid > 0),
        // Without bounds the range is the namespace's, which never starts at 0.
        "MustRunAsRange" => user.uid_range_min.is_none_or(|min| min > 0),
        _ => false,
    };
    scc.allow_privilege_escalation == Some(false)
        && !list(scc.seccomp_profiles.as_ref()).is_empty()
        && list(scc.required_drop_capabilities.as_ref()).iter().any(|name| name == "ALL")
        && !may_add(scc, |name| name == "NET_BIND_SERVICE")
        && (non_root || scc.user_namespace_level == "RequirePodLevel")
        && volumes(scc).filter_map(VolumeKind::from_policy_name).all(|kind| VOLUMES.contains(&kind))
}
