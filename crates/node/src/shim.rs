//! Shims, the parents of containers. A shim that was starting when the engine was killed has no container, and no
//! engine ever learns of it: it is ended here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::layout::Layout;

/// The processes of this machine, with their parents.
fn parents() -> BTreeMap<u32, u32> {
    let names = std::fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.file_name());
    let pids = names.filter_map(|name| name.to_str()?.parse().ok());
    let stat = |pid: u32| std::fs::read(format!("/proc/{pid}/stat")).ok();
    pids.filter_map(|pid| Some((pid, parent(&stat(pid)?)?))).collect()
}

/// The shims of this node's engine, with the containers that they were started for.
pub(crate) fn all(layout: &Layout) -> Vec<(u32, String)> {
    let socket = layout.socket().display().to_string();
    let id = |pid: u32| container(&std::fs::read(format!("/proc/{pid}/cmdline")).ok()?, &socket);
    parents().into_keys().filter_map(|pid| Some((pid, id(pid)?))).collect()
}

/// The shims of this node's engine without a container, or without a running one.
pub(crate) fn lost(layout: &Layout) -> BTreeSet<u32> {
    let bundles = layout.bundles();
    let parents: BTreeSet<u32> = parents().into_values().collect();
    let is_lost = |(pid, id): &(u32, String)| !bundles.join(id).exists() || !parents.contains(pid);
    all(layout).into_iter().filter(is_lost).map(|(pid, _)| pid).collect()
}

/// Ends the shims of a container, with what they have started: also a runtime that waits without end.
pub(crate) fn end(layout: &Layout, id: &str) {
    let shims = all(layout).into_iter().filter(|(_, other)| other == id);
    for (shim, _) in shims {
        parents().into_iter().filter(|(_, parent)| *parent == shim).for_each(|(child, _)| kill(child));
        kill(shim);
    }
}

/// The parent of a process, from its `stat`: the field after its state, which follows the name in parentheses.
fn parent(stat: &[u8]) -> Option<u32> {
    let after = stat.rsplit(|byte| *byte == b')').next()?;
    std::str::from_utf8(after).ok()?.split_whitespace().nth(1)?.parse().ok()
}

/// The container in the command line of a shim of the engine on a socket.
fn container(line: &[u8], socket: &str) -> Option<String> {
    let words: Vec<&str> =
        line.split(|byte| *byte == 0).map(|word| std::str::from_utf8(word).unwrap_or("")).collect();
    let is_shim = Path::new(words.first()?).file_name()?.to_str()?.starts_with("containerd-shim");
    let after = |name: &str| {
        words.windows(2).find_map(|pair| (pair.first() == Some(&name)).then(|| pair.get(1).copied())?)
    };
    (is_shim && after("-address") == Some(socket)).then(|| after("-id").map(str::to_owned))?
}

/// Ends shims without a running container: those that had none at the last check either, since a container starts after
/// its shim and ends before it.
pub(crate) fn end_lost(layout: &Layout, before: &mut BTreeSet<u32>) {
    let now = lost(layout);
    for pid in now.intersection(before) {
        tracing::info!("the shim {pid} has no container that runs, and is ended");
        kill(*pid);
    }
    *before = now;
}

pub(crate) fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::{container, parent};

    #[test]
    fn a_parent_is_read_whatever_the_name() {
        assert_eq!(parent(b"12 (a) b) S 7 12 12 0"), Some(7));
        assert_eq!(parent(b"12 (a"), None);
        let stat = std::fs::read("/proc/self/stat").unwrap_or_default();
        assert_eq!(parent(&stat), std::os::unix::process::parent_id().into());
    }

    #[test]
    fn only_shims_of_the_socket_are_known() {
        let line = |words: &[&str]| words.join("\0").into_bytes();
        let of = |program: &str, socket: &str| {
            container(
                &line(&[program, "-namespace", "k8s.io", "-id", "abc", "-address", socket, ""]),
                "/run/a.sock",
            )
        };
        assert_eq!(of("/usr/bin/containerd-shim-runc-v2", "/run/a.sock").as_deref(), Some("abc"));
        assert_eq!(of("/usr/bin/containerd-shim-runc-v2", "/run/b.sock"), None);
        assert_eq!(of("/usr/bin/vi", "/run/a.sock"), None);
        assert_eq!(container(b"", "/run/a.sock"), None);
    }
}
