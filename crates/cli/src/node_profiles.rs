//! `palisade node-profiles`: the seccomp profiles of a cluster as files of the kubelet on this machine.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use palisade_profiles::{Config, Folder, Machine};

use crate::exit::Exit;

/// Keep the SeccompProfile objects of a cluster as files of this machine's kubelet
///
/// Each profile, with its bases, is resolved for this machine and written atomically to seccomp/palisade/DIGEST.json
/// below the kubelet's root directory. A file is removed when no object refers to it and no pod of the node uses it.
/// The NodeSeccompProfiles object of this node reports the files. The cluster is that of KUBECONFIG or, in a pod, of
/// its service account; `palisade install --node-profiles` installs the DaemonSet.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  palisade install --part profiles | kubectl apply --server-side -f -       on every node
  palisade node-profiles --node \"$(hostname)\" --kubelet-dir /var/lib/kubelet   on this one, by hand
  palisade seccomp path profile.yaml                                        what pods write as localhostProfile")]
pub(crate) struct NodeProfilesArgs {
    /// Name of this machine's node
    #[arg(long, value_name = "NAME", required_unless_present = "own")]
    node: Option<String>,
    /// The kubelet's root directory
    #[arg(long, value_name = "FOLDER", default_value = "/var/lib/kubelet")]
    kubelet_dir: PathBuf,
    /// Seconds for which a file without an object and a pod is kept
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    grace: u64,
    /// Write the profile that the agent itself runs under, and exit
    #[arg(long)]
    own: bool,
}

pub(crate) fn run(args: NodeProfilesArgs) -> crate::Outcome {
    crate::log::init();
    let NodeProfilesArgs { node, kubelet_dir: kubelet, grace, own } = args;
    let Some(node) = node.filter(|_| !own) else {
        let own = palisade_profiles::own()?;
        let folder = Folder::open(&kubelet)?;
        folder.put(own.digest(), &Machine::here().resolve(&own)?)?;
        return Ok(Exit::Fine);
    };
    // The profiles of one node do not need many threads, and each thread would take memory on every node.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let shutdown = crate::stop::shutdown()?;
        let client = palisade_webhook::connect().await?;
        let config = Config { node, kubelet, grace: Duration::from_secs(grace) };
        palisade_profiles::run(client, config, shutdown).await?;
        Ok(Exit::Fine)
    })
}
