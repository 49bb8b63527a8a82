//! `palisade install --apply`, `palisade uninstall`, `palisade status` and `palisade review --cluster`: an
//! administrator's operations on a cluster.

use std::io::Write;
use std::time::Duration;

use clap::Args as ClapArgs;
use palisade_console::terminal;
use palisade_policies::IDENTITIES;
use palisade_scc::BuiltinSet;
use palisade_webhook::install::Settings;
use palisade_webhook::operate::{self, Change, Extent, Policies, Running, State};

use crate::cluster::ClusterArgs;
use crate::exit::Exit;

/// Report on one screen whether SCC is enforced on the cluster of KUBECONFIG
///
/// Checks webhooks or compiled policies, certificates, replicas and the age of their data, exempt namespaces, and workloads whose pods are
/// refused. Exits with 1 if a check fails.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
If it does not hold: docs/cluster.md, \"When everything is down\". In short, `palisade uninstall --break-glass` lets
pods pass without SCC, and `palisade install --apply` brings SCC back.")]
pub(crate) struct StatusArgs {
    /// Namespace of the installation
    #[arg(long, default_value = "palisade-system")]
    namespace: String,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Remove SCC from the cluster of KUBECONFIG, webhooks first
///
/// Works with every replica dead. Compiled policies are removed too. SCCs, their definition, their roles and all
/// workloads stay.
#[derive(Debug, ClapArgs)]
pub(crate) struct UninstallArgs {
    /// Namespace of the installation
    #[arg(long, default_value = "palisade-system")]
    namespace: String,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Remove only the webhooks, at once: pods pass without SCC until `palisade install --apply`
    #[arg(long)]
    break_glass: bool,
}

fn run<T>(work: impl Future<Output = Result<T, crate::Failure>>) -> Result<T, crate::Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

fn say(text: &str) {
    terminal::note(format_args!("{text}"));
}

/// Installs with these settings, within `timeout`. Without an image of the administrator's that of the installation
/// stays: the default one is a name under which nothing is published.
pub(crate) fn apply(
    cluster: &ClusterArgs,
    mut settings: Settings,
    has_image: bool,
    timeout: Duration,
) -> crate::Outcome {
    run(async {
        let client = cluster.reach().await?;
        if !has_image {
            let image = operate::image(&client, &settings.namespace).await?;
            settings.image = image.ok_or_else(|| no_image(&settings.namespace))?;
            say(&format!("the image stays {}", settings.image));
        }
        operate::apply(&client, &settings, timeout, &mut say).await?;
        say("SCC is installed: `palisade status` tells whether it holds");
        Ok(Exit::Fine)
    })
}

fn no_image(namespace: &str) -> String {
    format!(
        "nothing is installed in {namespace} yet, and no image is published: --image names one that the nodes can pull \
         (docs/cluster.md says how to build it). Nothing was changed"
    )
}

pub(crate) fn uninstall(args: &UninstallArgs) -> crate::Outcome {
    let cluster = &args.cluster;
    run(async {
        let client = cluster.reach().await?;
        let settings = Settings { namespace: args.namespace.clone(), ..Settings::default() };
        let extent = if args.break_glass { Extent::Webhooks } else { Extent::All };
        operate::remove(&client, &settings, extent, &IDENTITIES, &mut say).await?;
        say(match extent {
            Extent::Webhooks if decide(&client).await => {
                "compiled policies decide on pods still; `palisade policies remove` lets pods pass without SCC"
            }
            Extent::Webhooks => "pods pass without SCC now; `palisade install --apply` brings it back",
            Extent::All => "SCCs, their definition and their roles are kept",
        });
        Ok(Exit::Fine)
    })
}

/// Whether compiled policies may refuse pods. Policies that cannot be read count as absent.
async fn decide(client: &kube::Client) -> bool {
    let policies = operate::policies(client, &IDENTITIES).await;
    matches!(policies, Ok(Policies::Enforced | Policies::Broken(_)))
}

pub(crate) fn status(args: &StatusArgs) -> crate::Outcome {
    let cluster = &args.cluster;
    let lines = run(async {
        let client = cluster.reach().await?;
        Ok(operate::status(&client, &args.namespace, &IDENTITIES).await?)
    })?;
    let mut out = terminal::out();
    for line in &lines {
        let verdict = match line.state {
            State::Holds => "ok",
            State::Note => "--",
            State::Fails => "NO",
        };
        writeln!(out, "{verdict}  {:<12}  {}", line.topic, line.text)?;
    }
    let holds = lines.iter().all(|line| line.state != State::Fails);
    Ok(if holds { Exit::Fine } else { Exit::Findings })
}

/// Prints the decision of SCC on the running pods.
pub(crate) fn running(cluster: &ClusterArgs, set: BuiltinSet) -> crate::Outcome {
    let pods = run(async {
        let client = cluster.reach().await?;
        Ok(operate::running(&client, set).await?)
    })?;
    let mut out = terminal::out();
    for Running { namespace, pod, change } in &pods {
        let what = match change {
            Change::Exempt(_) | Change::Same(_) => continue,
            Change::Refused(why) => format!("refused: {why}"),
            Change::Moves { from, to, fields } => {
                let from = from.as_deref().unwrap_or("no SCC");
                let fields = if fields.is_empty() { "nothing else".to_owned() } else { fields.join(", ") };
                format!("from {from} to {to}, changes {fields}")
            }
        };
        writeln!(out, "{namespace}/{pod}: {what}")?;
    }
    let count = |is: fn(&Change) -> bool| pods.iter().filter(|running| is(&running.change)).count();
    let refused = count(|change| matches!(change, Change::Refused(_)));
    let moved = count(|change| matches!(change, Change::Moves { .. }));
    let exempt = count(|change| matches!(change, Change::Exempt(_)));
    let same = pods.len() - refused - moved - exempt;
    writeln!(
        out,
        "{} pods: {same} stay as they are, {moved} would change, {refused} would be refused, {exempt} are exempt",
        pods.len()
    )?;
    Ok(if moved + refused == 0 { Exit::Fine } else { Exit::Findings })
}
