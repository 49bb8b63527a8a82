//! The end of a node: its pods, its engine, and their leftovers on the machine.

use std::path::Path;

use crate::claim::{self, Claim};
use crate::cri::Cri;
use crate::cri::message::{ListPodSandboxRequest, SandboxId};
use crate::engine::{self, Engine, EngineError, Programs};
use crate::iptables::{self, Rule, iptables};
use crate::layout::Layout;
use crate::proxy;
use crate::range::PodRange;
use crate::shim;
use crate::sweep;
use crate::volume::{unmount_below, unmount_inside};
use crate::worker;

/// Ends every pod of a node and its engine, and removes networks, mounts and cgroups.
///
/// # Errors
///
/// The node's agent runs, or there were pods and the engine that has them cannot be started, or a mount cannot be removed.
pub async fn down(layout: &Layout) -> Result<(), EngineError> {
    // A folder that is gone, or never belonged to a node, has no agent.
    let has_been = layout.root().join(claim::LOCK).exists();
    if !has_been && !layout.run().exists() {
        return Ok(());
    }
    let _claim = has_been.then(|| Claim::new(layout.clone())).transpose()?;
    if !layout.engine_config().exists() && !layout.bundles().exists() {
        // Its engine has never started.
        let _ = std::fs::remove_dir_all(layout.run());
        return Ok(());
    }
    let cri = Cri::new(&layout.socket());
    if cri.version(Default::default()).await.is_err() && layout.root().join("containerd").exists() {
        // Only the engine has the list of its objects.
        let start = async || Engine::start(layout, Programs::find(None)?, PodRange::default()).await;
        let mut engine = match start().await {
            Ok(engine) => engine,
            // The disk may be full of the pods' volumes, which go anyway.
            Err(error) => {
                tracing::warn!("the engine does not start, and the pods' files are removed first: {error}");
                clean_pods(layout)?;
                start().await?
            }
        };
        end_pods(&cri).await;
        engine.stop().await;
    } else {
        end_pods(&cri).await;
        engine::end_other(layout).await;
    }
    clean_pods(layout)?;
    unmount_below(&layout.run()).map_err(failed(&layout.run()))?;
    unmount_inside(layout.root()).map_err(failed(layout.root()))?;
    sweep::remove_all(layout).await;
    let _ = std::fs::remove_dir_all(layout.run());
    // The engine has ended, and the folders of all containers are removed: every remaining shim is an orphan.
    shim::lost(layout).into_iter().for_each(shim::kill);
    worker::remove_cgroup(Path::new(&layout.cgroup()));
    remove_network(layout).await;
    Ok(())
}

/// The error of a file.
fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> EngineError {
    let path = path.to_owned();
    move |error| EngineError::File(path, error)
}

/// Removes the volumes and the logs of all pods.
fn clean_pods(layout: &Layout) -> Result<(), EngineError> {
    worker::clean_files(&layout.pods()).map_err(failed(&layout.pods()))?;
    let _ = std::fs::remove_dir_all(layout.logs());
    Ok(())
}

async fn end_pods(cri: &Cri) {
    let sandboxes = cri.list_sandboxes(ListPodSandboxRequest::default()).await.unwrap_or_default().items;
    let ends = sandboxes.into_iter().map(|sandbox| async move {
        let id = || SandboxId { pod_sandbox_id: sandbox.id.clone() };
        let _ = cri.stop_sandbox(id()).await;
        if let Err(error) = cri.remove_sandbox(id()).await {
            tracing::warn!("sandbox {}: {error}", sandbox.id);
        }
    });
    futures::future::join_all(ends).await;
}

/// Removes the bridge, and the chains of CNI's port mappings if no other network uses them.
async fn remove_network(layout: &Layout) {
    let bridge = layout.bridge();
    if Path::new("/sys/class/net").join(&bridge).exists()
        && let Err(error) = palisade_sys::bridge::remove(&bridge)
    {
        tracing::warn!("the bridge {bridge} stays: {error}");
    }
    let results = std::fs::read_dir("/var/lib/cni/results").into_iter().flatten().flatten();
    let network = layout.network();
    for result in results.filter(|entry| entry.file_name().to_string_lossy().starts_with(&network)) {
        let _ = std::fs::remove_file(result.path());
    }
    proxy::remove(layout).await;
    let Some(rules) = iptables::rules().await else { return };
    let is_used = |rule: &Rule| {
        let chain = rule.0.get(1).map(String::as_str).unwrap_or_default();
        let is_added = rule.0.first().is_some_and(|word| word == "-A");
        is_added
            && (chain == "CNI-HOSTPORT-DNAT"
                || chain.starts_with("CNI-DN-")
                || (chain == "CNI-HOSTPORT-MASQ" && rule.0.get(2).is_some_and(|word| word == "-s")))
    };
    if rules.iter().any(is_used) {
        return;
    }
    let leads = |rule: &&Rule| {
        rule.0.iter().rev().nth(1).is_some_and(|word| word == "-j")
            && rule.0.last().is_some_and(|chain| chain.starts_with("CNI-HOSTPORT-"))
    };
    for rule in rules.iter().filter(leads) {
        iptables::delete(rule).await;
    }
    for chain in ["CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-SETMARK", "CNI-HOSTPORT-MASQ"] {
        iptables(&["-F", chain]).await;
        iptables(&["-X", chain]).await;
    }
}
