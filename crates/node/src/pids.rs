//! Limits on processes, so that a pod that forks without end takes neither the machine's numbers nor other pods' share of them.

use std::path::{Path, PathBuf};

use crate::layout::Layout;
use crate::sandbox;

/// The processes and threads of one pod; a kubelet of OpenShift gives as many (`podPidsLimit`).
const OF_POD: u64 = 4096;

/// Holds a pod whose sandbox runs to its number of processes, and all pods of the node to three quarters of the machine's.
pub(crate) fn limit(layout: &Layout, uid: &str) -> std::io::Result<()> {
    let hierarchy = hierarchy(Path::new("/sys/fs/cgroup"));
    let most = std::fs::read_to_string("/proc/sys/kernel/pid_max")?;
    let of_node = most.trim().parse::<u64>().map_or(OF_POD, of_node);
    let write = |cgroup: &Path, number: u64| {
        let cgroup = cgroup.strip_prefix("/").unwrap_or(cgroup);
        std::fs::write(hierarchy.join(cgroup).join("pids.max"), number.to_string())
    };
    write(Path::new(&layout.cgroup()), of_node)?;
    write(&sandbox::cgroup(layout, uid), OF_POD)
}

/// The hierarchy of cgroups that counts processes: one of its own in version 1, the only one in version 2.
fn hierarchy(root: &Path) -> PathBuf {
    let own = root.join("pids");
    if own.is_dir() { own } else { root.to_owned() }
}

fn of_node(most: u64) -> u64 {
    most / 4 * 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_counted_in_one_hierarchy() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(hierarchy(root.path()), root.path());
        std::fs::create_dir(root.path().join("pids")).unwrap();
        assert_eq!(hierarchy(root.path()), root.path().join("pids"));
        assert_eq!(of_node(32768), 24576);
    }
}
