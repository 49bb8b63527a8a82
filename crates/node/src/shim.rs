//! Shims, the parents of containers. One that was on its way when the engine was killed has no container, and no engine
//! ever learns of it: it is ended here.

use std::collections::BTreeSet;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::engine::NAMESPACE;
use crate::layout::Layout;

/// The shims of this node's engine that have no container.
pub(crate) fn lost(layout: &Layout) -> BTreeSet<u32> {
    let bundles = layout.run().join("containerd/io.containerd.runtime.v2.task").join(NAMESPACE);
    let socket = layout.socket().display().to_string();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let lost = processes.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let id = container(&std::fs::read(entry.path().join("cmdline")).ok()?, &socket)?;
        (!bundles.join(id).exists()).then_some(pid)
    });
    lost.collect()
}

/// The container in the command line of a shim of the engine at a socket.
fn container(line: &[u8], socket: &str) -> Option<String> {
    let words: Vec<&str> =
        line.split(|byte| *byte == 0).map(|word| std::str::from_utf8(word).unwrap_or("")).collect();
    let is_shim = Path::new(words.first()?).file_name()?.to_str()?.starts_with("containerd-shim");
    let after = |name: &str| {
        words.windows(2).find_map(|pair| (pair.first() == Some(&name)).then(|| pair.get(1).copied())?)
    };
    (is_shim && after("-address") == Some(socket)).then(|| after("-id").map(str::to_owned))?
}

/// Ends shims without a container: those that were without one before, too, since an engine makes the container's folder
/// before its shim, and removes it before the shim has ended.
pub(crate) fn end_lost(layout: &Layout, before: &mut BTreeSet<u32>) {
    let now = lost(layout);
    for pid in now.intersection(before) {
        tracing::info!("the shim {pid} has no container, and is ended");
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
    use super::container;

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
