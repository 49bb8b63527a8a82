//! Leftovers of crashes: processes, cgroups, folders, rules and addresses of containers that the engine no longer has.
//!
//! An engine that is killed while it creates or removes a container forgets it. Processes whose shim was killed at the
//! same moment have no parent that waits for them; a network whose removal was interrupted keeps some of its rules; a
//! root file system stays mounted in its bundle until the engine's next start.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::chain;
use crate::cri::Cri;
use crate::cri::message::{ListContainersRequest, ListPodSandboxRequest};
use crate::iptables::{self, Rule, iptables};
use crate::layout::Layout;
use crate::shim;
use crate::volume::unmount_below;
use crate::worker::remove_cgroup;

/// Number of consecutive checks after which an orphaned object is removed: a network exists before its container, on a
/// slow machine for a minute.
const LOOKS: u32 = 6;

/// Maximum time from a container's folder to its first process in the engine.
const BEGIN: Duration = Duration::from_secs(60);

/// The leftovers that were seen, by the ID of their container, and the number of consecutive checks.
#[derive(Debug, Default)]
pub(crate) struct Sweep(BTreeMap<String, u32>);

impl Sweep {
    /// Searches for leftovers, and removes those that were there before.
    pub(crate) async fn look(&mut self, layout: &Layout, cri: &Cri) {
        // Without the rules it is not known which chains still exist.
        let Some(rules) = iptables::rules().await else { return };
        let found = leftovers(layout, &rules);
        let unknown: BTreeSet<String> = match found.is_empty() {
            true => BTreeSet::new(),
            false => {
                let Some(known) = known(layout, cri, &found).await else { return };
                forget(layout, &rules, &known);
                found.difference(&known).cloned().collect()
            }
        };
        for id in self.add(unknown) {
            tracing::info!("container {id} no longer exists, and its leftovers are removed");
            remove(layout, &rules, &id).await;
        }
    }

    /// Counts a check; returns the leftovers to remove.
    fn add(&mut self, unknown: BTreeSet<String>) -> Vec<String> {
        self.0.retain(|id, _| unknown.contains(id));
        for id in unknown {
            *self.0.entry(id).or_insert(0) += 1;
        }
        let due: Vec<String> =
            self.0.iter().filter(|(_, looks)| **looks >= LOOKS).map(|(id, _)| id.clone()).collect();
        self.0.retain(|_, looks| *looks < LOOKS);
        due
    }
}

/// Removes all objects of a node that has ended.
pub(crate) async fn remove_all(layout: &Layout) {
    let rules = iptables::rules().await.unwrap_or_default();
    for id in leftovers(layout, &rules) {
        remove(layout, &rules, &id).await;
    }
}

/// Those of the given containers that the engine has or is about to create; `None` if it does not answer.
async fn known(layout: &Layout, cri: &Cri, ids: &BTreeSet<String>) -> Option<BTreeSet<String>> {
    let containers = cri.list_containers(ListContainersRequest::default()).await.ok()?.containers;
    let sandboxes = cri.list_sandboxes(ListPodSandboxRequest::default()).await.ok()?.items;
    let bundles = layout.bundles();
    let is_young = |id: &&String| {
        let made = bundles.join(id).metadata().and_then(|bundle| bundle.modified());
        made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age < BEGIN))
    };
    let begun = ids.iter().filter(is_young).cloned();
    let of_engine = containers.into_iter().map(|it| it.id).chain(sandboxes.into_iter().map(|it| it.id));
    Some(of_engine.chain(begun).collect())
}

/// The containers with leftovers.
fn leftovers(layout: &Layout, rules: &[Rule]) -> BTreeSet<String> {
    let network = layout.network();
    let of_rules = rules.iter().filter_map(|rule| rule.container(&network)).map(str::to_owned);
    let of_addresses = addresses(layout).into_iter().map(|(id, _)| id);
    let of_cgroups = cgroups(layout).into_iter().map(|(id, _)| id);
    let of_folders = folders(layout).into_iter().map(|(id, _)| id);
    let of_networks = lonely_networks(layout).into_iter().map(|(id, _)| id);
    let of_shims = shim::all(layout).into_iter().map(|(_, id)| id);
    let noted = chain::noted(layout).into_iter();
    let of_chains = noted.filter(|id| !chain::existing(rules, &network, id).is_empty());
    let of_rules = of_rules.chain(of_chains);
    let of_machine = of_rules.chain(of_addresses).chain(of_cgroups).chain(of_networks);
    of_machine.chain(of_folders).chain(of_shims).collect()
}

/// Forgets the containers without chains that the engine does not have.
fn forget(layout: &Layout, rules: &[Rule], known: &BTreeSet<String>) {
    let network = layout.network();
    for id in chain::noted(layout).into_iter().filter(|id| !known.contains(id)) {
        if chain::existing(rules, &network, &id).is_empty() {
            chain::forget(layout, &id);
        }
    }
}

async fn remove(layout: &Layout, rules: &[Rule], id: &str) {
    shim::end(layout, id);
    for (_, cgroup) in cgroups(layout).into_iter().filter(|(other, _)| other == id) {
        processes(&cgroup).into_iter().for_each(shim::kill);
        remove_cgroup(&cgroup_path(&cgroup));
        // The pod's, if this was its last.
        let _ = cgroup.parent().map(std::fs::remove_dir);
    }
    for (_, folder) in folders(layout).into_iter().filter(|(other, _)| other == id) {
        if let Err(error) = remove_folder(&folder) {
            tracing::warn!("{} stays: {error}", folder.display());
        }
    }
    for (_, file) in addresses(layout).into_iter().filter(|(other, _)| other == id) {
        let _ = std::fs::remove_file(file);
    }
    for (_, place) in lonely_networks(layout).into_iter().filter(|(other, _)| other == id) {
        let _ = unmount_below(&place);
        let _ = std::fs::remove_file(place);
    }
    let network = layout.network();
    let own: Vec<&Rule> = rules.iter().filter(|rule| rule.container(&network) == Some(id)).collect();
    // First the rules that lead to the container's chains, then the chains.
    for rule in own.iter().filter(|rule| !rule.is_in_own_chain()) {
        iptables::delete(rule).await;
    }
    for chain in &chain::existing(rules, &network, id) {
        iptables(&["-F", chain]).await;
        iptables(&["-X", chain]).await;
    }
}

/// The cgroups of containers, in every hierarchy, with the containers' IDs.
fn cgroups(layout: &Layout) -> Vec<(String, PathBuf)> {
    let root = PathBuf::from("/sys/fs/cgroup");
    let folders = |path: &Path| {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect::<Vec<_>>()
    };
    let hierarchies = folders(&root).into_iter().chain([root]);
    let pods = hierarchies.flat_map(|hierarchy| folders(&hierarchy.join(layout.cgroup())));
    let containers = pods.flat_map(|pod| folders(&pod));
    containers.filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), path))).collect()
}

/// The folders of containers in the engine and its runtime, with the containers' IDs.
fn folders(layout: &Layout) -> Vec<(String, PathBuf)> {
    let is_id = |name: &str| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parents = layout.container_folders();
    let entries = parents.iter().flat_map(|parent| std::fs::read_dir(parent).into_iter().flatten().flatten());
    let named = entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())));
    named.filter(|(name, _)| is_id(name)).collect()
}

/// Removes a folder of a container, after the mounts in it: what is mounted there is not the container's alone.
fn remove_folder(folder: &Path) -> std::io::Result<()> {
    unmount_below(folder)?;
    std::fs::remove_dir_all(folder)
}

/// A cgroup's path below its hierarchy: `/NODE/POD/CONTAINER`.
fn cgroup_path(folder: &Path) -> PathBuf {
    let mut names: Vec<_> = folder.components().rev().take(3).collect();
    names.reverse();
    names.into_iter().collect()
}

fn processes(cgroup: &Path) -> Vec<u32> {
    let text = std::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// The allocated addresses, as files, with their containers.
fn addresses(layout: &Layout) -> Vec<(String, PathBuf)> {
    let folder = layout.run().join("addresses").join(layout.network());
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_address = |path: &PathBuf| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.parse::<std::net::IpAddr>().is_ok())
    };
    let owner = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).ok()?;
        Some((text.lines().next()?.trim().to_owned(), path))
    };
    files.filter(is_address).filter_map(owner).collect()
}

/// Network namespaces of the engine without a process of the node, by the names of their files.
fn lonely_networks(layout: &Layout) -> Vec<(String, PathBuf)> {
    use std::os::unix::fs::MetadataExt;
    let inode = |path: &Path| std::fs::metadata(path).map(|found| found.ino()).ok();
    let pids = cgroups(layout).into_iter().flat_map(|(_, cgroup)| processes(&cgroup));
    let used: BTreeSet<u64> =
        pids.filter_map(|pid| inode(Path::new(&format!("/proc/{pid}/ns/net")))).collect();
    let files = std::fs::read_dir(layout.run().join("containerd/io.containerd.grpc.v1.cri/netns"))
        .into_iter()
        .flatten()
        .flatten();
    let files = files.map(|file| (file.file_name().to_string_lossy().into_owned(), file.path()));
    files.filter(|(_, path)| inode(path).is_some_and(|inode| !used.contains(&inode))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_go_after_some_looks_in_a_row() {
        let mut sweep = Sweep::default();
        let of = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>();
        for _ in 1..LOOKS {
            assert!(sweep.add(of(&["a", "b"])).is_empty());
        }
        assert_eq!(sweep.add(of(&["a"])), ["a"], "b was known meanwhile");
        for _ in 1..LOOKS {
            assert!(sweep.add(of(&["b"])).is_empty());
        }
        assert_eq!(sweep.add(of(&["b"])), ["b"]);
    }

    #[test]
    fn folders_of_containers_are_found_by_their_names() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        let id = "0a".repeat(32);
        let work = root.path().join("containerd/io.containerd.runtime.v2.task/k8s.io");
        for name in [&id, "0a", "tmp"] {
            std::fs::create_dir_all(work.join(name).join("rootfs")).unwrap();
        }
        assert_eq!(folders(&layout), [(id.clone(), work.join(&id))]);
        assert!(leftovers(&layout, &[]).contains(&id));
        remove_folder(&work.join(&id)).unwrap();
        assert_eq!(folders(&layout), []);
    }

    #[test]
    fn a_cgroup_has_a_path_below_every_hierarchy() {
        let folder = Path::new("/sys/fs/cgroup/pids/node/pod1/abc");
        assert_eq!(cgroup_path(folder), Path::new("node/pod1/abc"));
    }
}
