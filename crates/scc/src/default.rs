//! Defaults of SCCs, as the API server fills them in on a write (reference/scc.md 1a).

use std::collections::BTreeSet;

use palisade_k8s::SecurityContextConstraints;
use palisade_k8s::pod::VolumeKind;

const ALL: &str = "*";
const NONE: &str = "none";
const HOST_PATH: &str = "hostPath";

/// Sets the defaults of an SCC. Idempotent.
pub fn default(scc: &mut SecurityContextConstraints) {
    for strategy in [&mut scc.fs_group, &mut scc.supplemental_groups] {
        if strategy.type_.is_empty() {
            "RunAsAny".clone_into(&mut strategy.type_);
        }
    }
    scc.users.get_or_insert_default();
    scc.groups.get_or_insert_default();
    let volumes = volumes(scc.volumes.as_deref(), scc.allow_host_dir_volume_plugin);
    scc.volumes = Some(volumes.into_iter().map(str::to_owned).collect());
    scc.allow_privilege_escalation.get_or_insert(true);
}

/// `allowHostDirVolumePlugin` is the older field, and takes precedence over `hostPath` in `volumes`.
fn volumes(listed: Option<&[String]>, host_dir: bool) -> BTreeSet<&str> {
    let mut volumes: BTreeSet<&str> = match listed {
        None => [ALL].into(),
        Some([]) => [if host_dir { HOST_PATH } else { NONE }].into(),
        Some(listed) => listed.iter().map(String::as_str).collect(),
    };
    let all = volumes.contains(ALL);
    if host_dir {
        if !all {
            volumes.insert(HOST_PATH);
        }
        return volumes;
    }
    volumes.remove(HOST_PATH);
    if volumes.remove(ALL) {
        let known = VolumeKind::ALL.iter().filter(|kind| **kind != VolumeKind::HostPath);
        volumes.extend(known.map(|kind| kind.policy_name()));
    }
    volumes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaulted(volumes: Option<&[&str]>, host_dir: bool) -> Vec<String> {
        let mut scc = SecurityContextConstraints {
            volumes: volumes.map(|list| list.iter().map(ToString::to_string).collect()),
            allow_host_dir_volume_plugin: host_dir,
            ..Default::default()
        };
        default(&mut scc);
        let once = scc.clone();
        default(&mut scc);
        assert_eq!(scc, once, "defaulting is idempotent");
        scc.volumes.unwrap()
    }

    #[test]
    fn host_dir_wins_over_volumes() {
        assert_eq!(defaulted(None, true), ["*"]);
        assert_eq!(defaulted(None, false).len(), 29);
        assert_eq!(defaulted(Some(&[]), false), ["none"]);
        assert_eq!(defaulted(Some(&[]), true), ["hostPath"]);
        assert_eq!(defaulted(Some(&["secret", "hostPath"]), false), ["secret"]);
        assert_eq!(defaulted(Some(&["secret", "csi"]), true), ["csi", "hostPath", "secret"]);
    }
}
