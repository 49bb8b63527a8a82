//! `palisade webhook` and `palisade install`: SCC on a cluster that others operate.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};
use palisade_console::terminal;
use palisade_k8s::yaml;
use palisade_webhook::install::{self, Engine, FailurePolicy, File, Part, Reach, Settings};
use palisade_webhook::{Config, MissingProfile, Mode, Server, UnknownMode};

use crate::exit::Exit;

/// Answer the admission webhooks of a cluster: one replica
///
/// It follows SCCs, namespaces, roles and bindings, and stores nothing. `palisade install` prints the Deployment that
/// runs it. The cluster is that of KUBECONFIG or, in a pod, of its service account.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Paths: /livez, /readyz (503 with the reason while the policy is not known), /metrics, and the reviews.
SIGTERM makes it unready, and ends it when endpoints have had half a minute to change.

Example: palisade webhook --listen 127.0.0.1:9443 --name 127.0.0.1")]
pub(crate) struct WebhookArgs {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "[::]:10250")]
    listen: SocketAddr,
    /// Namespace of the installation: of the Secret with the certificate authority and of the Lease
    #[arg(long, default_value = "palisade-system")]
    namespace: String,
    /// Unique name of this replica: the pod's
    #[arg(long, default_value = "palisade")]
    identity: String,
    /// Further name or address by which the API server reaches it; may be repeated
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    /// PEM file of the authorities that sign API servers' client certificates: reviews from clients without one are refused
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// The mode of SCC in namespaces without the label palisade.openshift.io/mode: enforce, warn or audit
    #[arg(long, default_value = "enforce")]
    mode: Mode,
    /// The treatment of pods whose seccomp profiles nodes lack: warn; affinity: they avoid these nodes; refuse: none that
    /// fits has them
    #[arg(long, value_name = "TREATMENT", default_value = "warn")]
    missing_profile: MissingProfile,
    /// Write refused pods into reports of openreports.io, one for each namespace; its definition must exist
    #[arg(long)]
    reports: bool,
}

/// The interval between reports.
const REPORTS: Duration = Duration::from_secs(60);

/// Install SCC in a cluster, or print the objects for that
///
/// --apply installs in an order that locks nobody out: definitions, policy, replicas that are ready, webhooks that may
/// fail, a probe through them, and only then webhooks that must answer. Without it the objects are printed in that
/// order.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  palisade install --apply                            into the cluster of KUBECONFIG
  palisade install --part definitions | kubectl apply --server-side -f -
  kubectl wait --for=condition=Established crd/securitycontextconstraints.security.openshift.io
  palisade install --part policy,server,guard | kubectl apply --server-side -f -
  kubectl -n palisade-system rollout status deployment/palisade
  palisade install --part webhooks | kubectl apply --server-side -f -
  palisade install --part profiles | kubectl apply --server-side -f -       seccomp profiles on the nodes
  palisade install --helm chart/
  palisade install --part definitions,policy,guard,webhooks --mode policies   with nothing that runs; see docs/policies.md
  palisade uninstall                                  to be rid of it")]
pub(crate) struct InstallArgs {
    /// Install in the cluster of KUBECONFIG, or update an installation
    #[arg(long, conflicts_with_all = ["part", "helm", "kustomize"])]
    apply: bool,
    #[command(flatten)]
    cluster: crate::cluster::ClusterArgs,
    /// With --apply: maximum time in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 180, requires = "apply")]
    timeout: u64,
    /// Parts to print, in the order of creation. Default: all
    #[arg(long, value_delimiter = ',')]
    part: Vec<PartArg>,
    /// Write a Helm chart into this folder instead
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["part", "kustomize"])]
    helm: Option<PathBuf>,
    /// Write a kustomize base into this folder instead
    #[arg(long, value_name = "FOLDER", conflicts_with = "part")]
    kustomize: Option<PathBuf>,
    /// Namespace of the installation
    #[arg(long, default_value = "palisade-system")]
    namespace: String,
    /// Image that holds `palisade`. With --apply the default is that of the installation which is updated
    #[arg(long)]
    image: Option<String>,
    /// The number of replicas
    #[arg(long, default_value_t = 3)]
    replicas: u16,
    /// Port of the replicas. Default: 10250; with --host-network, where that is the kubelet's, 10270
    #[arg(long)]
    port: Option<u16>,
    /// Use the nodes' network, if the API server cannot reach pods. Takes as many nodes as replicas
    #[arg(long)]
    host_network: bool,
    /// URL by which the API server reaches the replicas, if it cannot use Services
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Namespace to exempt in addition to those that SCC exempts; may be repeated
    #[arg(long, value_name = "NAMESPACE")]
    exempt: Vec<String>,
    /// The treatment of pods while no replica answers
    #[arg(long, value_enum, default_value_t = FailurePolicyArg::Fail)]
    failure_policy: FailurePolicyArg,
    /// The mode of SCC in namespaces without the label palisade.openshift.io/mode: enforce, warn or audit; or policies, which is
    /// enforce with --policies
    #[arg(long, default_value = "enforce")]
    mode: ModeArg,
    /// Use admission policies of the API server itself in place of the webhooks, from Kubernetes 1.36 on: the built-in
    /// set 4, compiled. The replicas then only allocate ranges
    #[arg(long, conflicts_with_all = ["apply", "helm", "kustomize", "url", "failure_policy", "missing_profile"])]
    policies: bool,
    /// Write refused pods into reports of openreports.io, one for each namespace; its definition must exist
    #[arg(long)]
    reports: bool,
    /// Install the seccomp profiles of SeccompProfile objects on the nodes, by a DaemonSet: the part `profiles`
    #[arg(long)]
    node_profiles: bool,
    /// The treatment of pods whose seccomp profiles nodes lack: warn; affinity: they avoid these nodes; refuse: none that
    /// fits has them
    #[arg(long, value_name = "TREATMENT", default_value = "warn")]
    missing_profile: MissingProfile,
    /// With --node-profiles: the kubelet's root directory on the nodes
    #[arg(long, value_name = "FOLDER", default_value = "/var/lib/kubelet")]
    kubelet_dir: PathBuf,
    /// With --node-profiles or --part profiles: copy the OCI runtime to the nodes too, for this engine, whose configuration and
    /// restart stay yours; see docs/cluster.md
    #[arg(long, value_enum, value_name = "ENGINE")]
    oci: Option<EngineArg>,
    /// Add a ServiceMonitor for the Prometheus operator
    #[arg(long)]
    monitor: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PartArg {
    Definitions,
    Policy,
    Server,
    Guard,
    Profiles,
    Webhooks,
}

impl From<PartArg> for Part {
    fn from(part: PartArg) -> Self {
        match part {
            PartArg::Definitions => Self::Definitions,
            PartArg::Policy => Self::Policy,
            PartArg::Server => Self::Server,
            PartArg::Guard => Self::Guard,
            PartArg::Profiles => Self::Profiles,
            PartArg::Webhooks => Self::Webhooks,
        }
    }
}

/// A mode, or the admission policies that enforce SCC in place of webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ModeArg {
    Of(Mode),
    Policies,
}

impl std::str::FromStr for ModeArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "policies" => Ok(Self::Policies),
            text => {
                text.parse().map(Self::Of).map_err(|error: UnknownMode| format!("{error}, or here policies"))
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EngineArg {
    Containerd,
    Crio,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailurePolicyArg {
    /// Requests are refused
    Fail,
    /// Requests are admitted without SCC
    Ignore,
}

/// A value that a cluster would refuse.
#[derive(Debug, thiserror::Error)]
enum BadValue {
    #[error("--url {0:?}: a webhook is reached by https://HOST[:PORT], with nothing after it but a path")]
    NotHttps(String),
    #[error("--mode policies prints objects for the API server itself: {0} cannot be used with it")]
    ForWebhooks(&'static str),
    #[error("--oci is for the nodes' agents: --node-profiles or --part profiles is missing")]
    NoAgents,
    #[error("--port {KUBELET_PORT} is the kubelet's on every node; with --host-network choose another")]
    KubeletPort,
    #[error("--kubelet-dir {0:?}: a path from / on without .. is expected")]
    NotAbsolute(String),
}

/// The port on which a kubelet serves, on all addresses of its node.
const KUBELET_PORT: u16 = 10250;
/// The port of replicas on the nodes' network.
const HOST_PORT: u16 = 10270;

pub(crate) fn serve(args: WebhookArgs) -> crate::Outcome {
    crate::log::init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let clients = args.client_ca.as_deref().map(authorities).transpose()?;
    runtime.block_on(async {
        // Before it listens, so that no signal is lost.
        let shutdown = crate::stop::shutdown()?;
        let client = palisade_webhook::connect().await?;
        let WebhookArgs { listen, namespace, identity, names, client_ca: _, mode, missing_profile, reports } =
            args;
        let reports = reports.then_some(REPORTS);
        let config = Config { listen, namespace, identity, clients, names, mode, missing_profile, reports };
        let server = Server::start(client, config).await?;
        tracing::info!("listening on {}", server.address()?);
        server.run(shutdown).await;
        Ok(Exit::Fine)
    })
}

/// The certificates of a file in PEM.
fn authorities(path: &Path) -> Result<String, String> {
    let wrong = |why: &dyn std::fmt::Display| format!("--client-ca {}: {why}", path.display());
    let bytes = palisade_console::input::read(path).map_err(|error| wrong(&error))?;
    let text = String::from_utf8(bytes).map_err(|error| wrong(&error))?;
    match text.contains("-----BEGIN CERTIFICATE-----") {
        true => Ok(text),
        false => Err(wrong(&"no certificate in PEM")),
    }
}

pub(crate) fn install(args: &InstallArgs) -> crate::Outcome {
    if args.cluster.is_named() && !args.apply {
        return Err("--kubeconfig and --context go with --apply".into());
    }
    let settings = settings(args)?;
    if args.mode == ModeArg::Policies {
        for_policies(args)?;
    }
    if args.apply {
        let timeout = Duration::from_secs(args.timeout);
        return crate::operate::apply(&args.cluster, settings, args.image.is_some(), timeout);
    }
    if let Some(folder) = &args.helm {
        return write(folder, &install::chart(&settings, yaml::write));
    }
    if let Some(folder) = &args.kustomize {
        return write(folder, &install::kustomization(&settings, yaml::write));
    }
    let parts = if args.part.is_empty() { Part::chosen(&settings) } else { ordered(&args.part) };
    if args.image.is_none() && parts.iter().any(|part| [Part::Server, Part::Profiles].contains(part)) {
        terminal::warn(format_args!("no image is published as {}: --image names yours", settings.image));
    }
    let mut out = std::io::stdout().lock();
    for part in parts {
        let objects = match part {
            Part::Webhooks if args.policies || args.mode == ModeArg::Policies => {
                crate::policies::built_in(settings.mode, &exempt(args, &settings))?
            }
            part => install::objects(part, &settings),
        };
        for object in objects {
            write!(out, "---\n{}", yaml::write(&object))?;
        }
    }
    Ok(Exit::Fine)
}

/// Refuses options that are for webhooks, as the parser does for --policies.
fn for_policies(args: &InstallArgs) -> Result<(), BadValue> {
    let options = [
        (args.apply, "--apply"),
        (args.helm.is_some(), "--helm"),
        (args.kustomize.is_some(), "--kustomize"),
        (args.url.is_some(), "--url"),
        (args.failure_policy != FailurePolicyArg::Fail, "--failure-policy"),
        (args.missing_profile != MissingProfile::default(), "--missing-profile"),
    ];
    match options.into_iter().find(|(is_given, _)| *is_given) {
        Some((_, option)) => Err(BadValue::ForWebhooks(option)),
        None => Ok(()),
    }
}

/// The exempt namespaces of compiled policies: the built-in set lacks the SCC of the nodes' agents.
fn exempt(args: &InstallArgs, settings: &Settings) -> Vec<String> {
    let nodes = settings.node_profiles.then(|| install::node_namespace(&settings.namespace));
    args.exempt.iter().cloned().chain(nodes).collect()
}

/// The parts once each, in the order of creation, whatever their order on the command line.
fn ordered(parts: &[PartArg]) -> Vec<Part> {
    let mut parts: Vec<Part> = parts.iter().map(|part| Part::from(*part)).collect();
    parts.sort();
    parts.dedup();
    parts
}

fn settings(args: &InstallArgs) -> Result<Settings, BadValue> {
    let defaults = Settings::default();
    // The values of a chart choose its parts later.
    let has_agents = args.node_profiles || args.helm.is_some() || args.part.contains(&PartArg::Profiles);
    if args.oci.is_some() && !has_agents {
        return Err(BadValue::NoAgents);
    }
    let reach = match &args.url {
        None => Reach::Service,
        Some(url) if url.starts_with("https://") && !url.contains(['?', '#', '@']) => {
            Reach::Url(url.trim_end_matches('/').to_owned())
        }
        Some(url) => return Err(BadValue::NotHttps(url.clone())),
    };
    Ok(Settings {
        namespace: args.namespace.clone(),
        image: args.image.clone().unwrap_or(defaults.image),
        replicas: args.replicas.into(),
        host_network: args.host_network.into(),
        port: port(args)?.into(),
        reach,
        failure_policy: match args.failure_policy {
            FailurePolicyArg::Fail => FailurePolicy::Fail,
            FailurePolicyArg::Ignore => FailurePolicy::Ignore,
        },
        exempt: args.exempt.clone(),
        ca_bundle: None,
        mode: match args.mode {
            ModeArg::Of(mode) => mode,
            ModeArg::Policies => Mode::Enforce,
        },
        missing_profile: args.missing_profile,
        monitor: args.monitor,
        reports: args.reports,
        node_profiles: args.node_profiles,
        kubelet_dir: kubelet_dir(&args.kubelet_dir)?,
        oci: args.oci.map(|engine| match engine {
            EngineArg::Containerd => Engine::Containerd,
            EngineArg::Crio => Engine::Crio,
        }),
    })
}

/// The port of the replicas.
fn port(args: &InstallArgs) -> Result<u16, BadValue> {
    match (args.port, args.host_network) {
        (Some(KUBELET_PORT), true) => Err(BadValue::KubeletPort),
        (None, true) => Ok(HOST_PORT),
        // Private clusters of GKE permit the API server to reach only 443 and 10250 of the nodes.
        (port, _) => Ok(port.unwrap_or(KUBELET_PORT)),
    }
}

/// The path of a folder on nodes, as one that can be mounted.
fn kubelet_dir(path: &Path) -> Result<String, BadValue> {
    let text = path.display().to_string();
    let is_plain =
        path.is_absolute() && path.components().all(|part| part != std::path::Component::ParentDir);
    if !is_plain || path.to_str().is_none() {
        return Err(BadValue::NotAbsolute(text));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn write(folder: &Path, files: &[File]) -> crate::Outcome {
    for file in files {
        let path = folder.join(&file.path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&path, &file.text)?;
    }
    Ok(Exit::Fine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Command};
    use clap::Parser;

    /// So do the containers of the agents.
    #[test]
    fn the_agents_run_command_lines_that_are_taken() {
        for engine in [Engine::Containerd, Engine::Crio] {
            let settings = Settings { oci: Some(engine), ..Settings::default() };
            let objects = install::objects(Part::Profiles, &settings);
            let agents = objects.iter().find(|object| object["kind"] == "DaemonSet").unwrap();
            let spec = &agents["spec"]["template"]["spec"];
            let containers = ["initContainers", "containers"].map(|field| spec[field].as_array().unwrap());
            let mut taken = Vec::new();
            for container in containers.into_iter().flatten() {
                let args = container["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap());
                let parsed = Args::try_parse_from(["palisade"].into_iter().chain(args)).unwrap();
                taken.push(format!("{:?}", parsed.command));
            }
            assert_eq!(taken.len(), 3);
            assert!(taken[1].contains("copy: true") && taken[1].contains("root: \"/node\""), "{taken:?}");
            assert_eq!(taken[1].contains("crio: true"), engine == Engine::Crio);
        }
    }

    #[test]
    fn the_oci_runtime_takes_the_agents() {
        for (more, is_taken) in [
            (&[][..], false),
            (&["--part", "server"], false),
            (&["--kustomize", "x"], false),
            (&["--node-profiles"], true),
            (&["--part", "definitions,profiles"], true),
            (&["--helm", "x"], true),
        ] {
            let line = ["palisade", "install", "--oci", "containerd"].iter().chain(more);
            let Command::Install(args) = Args::try_parse_from(line).unwrap().command else {
                panic!("{more:?}")
            };
            assert_eq!(settings(&args).is_ok(), is_taken, "{more:?}");
        }
    }

    #[test]
    fn replicas_leave_the_port_of_the_kubelet_alone() {
        for (more, expected) in [
            (&[][..], Some(10250)),
            (&["--port", "9443"], Some(9443)),
            (&["--host-network"], Some(10270)),
            (&["--host-network", "--port", "9443"], Some(9443)),
            (&["--host-network", "--port", "10250"], None),
        ] {
            let line = ["palisade", "install"].iter().chain(more);
            let Command::Install(args) = Args::try_parse_from(line).unwrap().command else {
                panic!("{more:?}")
            };
            assert_eq!(port(&args).ok(), expected, "{more:?}");
        }
    }

    #[test]
    fn the_deployment_runs_a_command_line_that_is_taken() {
        for (port, host_network) in [(10250, false), (9443, true)] {
            let settings = Settings {
                port: port.into(),
                host_network: host_network.into(),
                mode: Mode::Warn,
                missing_profile: MissingProfile::Affinity,
                ..Settings::default()
            };
            let objects = install::objects(Part::Server, &settings);
            let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
            let container = &deployment["spec"]["template"]["spec"]["containers"][0];
            // The kubelet expands $(NAME) from the container's environment.
            let expand = |arg: &str| {
                let env = container["env"].as_array().unwrap().iter();
                env.fold(arg.to_owned(), |arg, env| {
                    arg.replace(&format!("$({})", env["name"].as_str().unwrap()), "some-value")
                })
            };
            let args = container["args"].as_array().unwrap().iter();
            let args: Vec<String> = args.map(|arg| expand(arg.as_str().unwrap())).collect();
            assert!(args.iter().all(|arg| !arg.contains('$')), "{args:?}");
            let parsed = Args::try_parse_from(["palisade".to_owned()].into_iter().chain(args)).unwrap();
            let Command::Webhook(parsed) = parsed.command else { panic!("{:?}", parsed.command) };
            assert_eq!((parsed.listen.port(), parsed.mode), (port, Mode::Warn));
            assert_eq!(parsed.missing_profile, MissingProfile::Affinity);
            assert_eq!(
                (parsed.namespace, parsed.identity),
                ("some-value".to_owned(), "some-value".to_owned())
            );
            assert_eq!(container["ports"][0]["containerPort"], port);
        }
    }
}
