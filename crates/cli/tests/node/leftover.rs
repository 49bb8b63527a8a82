//! Leftovers of containers that the engine no longer has, after a shim or the engine was killed.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::crash::socket;
use crate::up::Up;

/// The folders of such a container; its chain of iptables, without rules, and one of another network.
pub(crate) struct Leftovers(Vec<PathBuf>, [String; 2]);

impl Drop for Leftovers {
    fn drop(&mut self) {
        for chain in &self.1 {
            iptables(&["-X", chain]);
        }
    }
}

/// Runs iptables; returns whether it succeeds.
fn iptables(words: &[&str]) -> bool {
    Command::new("iptables").args(["-w", "5", "-t", "nat"]).args(words).output().unwrap().status.success()
}

impl Leftovers {
    /// Makes the bundle with its mounted root, the engine's and the runtime's folders, and a cgroup.
    pub(crate) fn make(up: &Up) -> Self {
        let id = "0123456789abcdef".repeat(4);
        let run = Path::new(&socket(up)).parent().unwrap().to_owned();
        // The plugins of CNI name the chain by network and container; the agent has noted the container.
        let chains = ["", "other"].map(|of| {
            let network = run.file_name().unwrap().to_str().unwrap();
            let named = format!("printf %s {network}{of}{id} | sha512sum");
            let out = Command::new("sh").args(["-c", &named]).output().unwrap();
            format!("CNI-{}", &String::from_utf8(out.stdout).unwrap()[..24])
        });
        assert!(chains.iter().all(|chain| iptables(&["-N", chain])));
        std::fs::create_dir_all(run.join("chains")).unwrap();
        std::fs::write(run.join("chains").join(&id), "").unwrap();
        let task = "io.containerd.runtime.v2.task/k8s.io";
        let bundle = run.join("containerd").join(task).join(&id);
        let work = up.node_dir().join("containerd").join(task).join(&id);
        let root = bundle.join("rootfs");
        let folders =
            vec![bundle, work, run.join("runtime/k8s.io").join(&id), cgroup(&run).join("podgone").join(&id)];
        folders.iter().for_each(|folder| std::fs::create_dir_all(folder).unwrap());
        std::fs::create_dir(&root).unwrap();
        assert!(Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&root).status().unwrap().success());
        Self(folders, chains)
    }

    /// Waits until they are removed, the pod's cgroup with them.
    pub(crate) fn check(&self, up: &Up) {
        up.until("leftovers are removed", |_| self.0.iter().all(|folder| !folder.exists()));
        let [own, other] = &self.1;
        up.until("the chain is removed", |_| !iptables(&["-S", own]));
        assert!(iptables(&["-S", other]), "a chain of another network stays");
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
