//! Leftovers of containers that the engine no longer has, after a shim or the engine was killed.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::crash::socket;
use crate::up::Up;

/// The folders of such a container.
pub(crate) struct Leftovers(Vec<PathBuf>);

impl Leftovers {
    /// Makes the bundle with its mounted root, the engine's and the runtime's folders, and a cgroup.
    pub(crate) fn make(up: &Up) -> Self {
        let id = "0123456789abcdef".repeat(4);
        let run = Path::new(&socket(up)).parent().unwrap().to_owned();
        let task = "io.containerd.runtime.v2.task/k8s.io";
        let bundle = run.join("containerd").join(task).join(&id);
        let work = up.node_dir().join("containerd").join(task).join(&id);
        let root = bundle.join("rootfs");
        let folders =
            vec![bundle, work, run.join("runtime/k8s.io").join(&id), cgroup(&run).join("podgone").join(&id)];
        folders.iter().for_each(|folder| std::fs::create_dir_all(folder).unwrap());
        std::fs::create_dir(&root).unwrap();
        assert!(Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&root).status().unwrap().success());
        Self(folders)
    }

    /// Waits until they are removed, the pod's cgroup with them.
    pub(crate) fn check(&self, up: &Up) {
        up.until("leftovers are removed", |_| self.0.iter().all(|folder| !folder.exists()));
        let pod = self.0.last().unwrap().parent().unwrap();
        assert!(!pod.exists(), "{}", pod.display());
    }
}

/// The node's cgroup, in any hierarchy.
fn cgroup(run: &Path) -> PathBuf {
    let name = run.file_name().unwrap();
    let root = Path::new("/sys/fs/cgroup");
    // Of the hierarchies, one with containers' own cgroups; the second version has but one.
    ["pids", "memory", "."]
        .map(|hierarchy| root.join(hierarchy).join(name))
        .into_iter()
        .find(|path| path.parent().unwrap().join("cgroup.procs").exists())
        .unwrap()
}
