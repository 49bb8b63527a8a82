//! The command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use palisade_k8s::KernelVersion;
use palisade_scc::BuiltinSet;

mod inputs;
mod review;

pub(crate) use inputs::InputArgs;
pub(crate) use review::ReviewArgs;

const EXAMPLES: &str = "\
Examples:
  helm template ./chart | palisade review -f -       which SCC admits each workload, and why not
  palisade review -f deploy/ -n shop -o wide         the same, with every SCC's answer
  palisade scc lint scc.yaml                         what the API server accepts and you then suffer from
  palisade seccomp explain runtime/default clone     which rule of a profile decides, and why
  palisade admit --policy policy/ < reviews.ndjson   answer AdmissionReviews, one line each

Exit codes: 0 fine, 1 the answer is no or there are findings, 2 the command or its input is wrong.";

/// Security Context Constraints for any Kubernetes.
///
/// An SCC limits what a pod may do, and sets defaults for what the pod leaves open. A pod is admitted by the
/// first SCC, by priority, then restrictiveness, then name, that its user or its service account
/// may use and that it fits.
#[derive(Debug, Parser)]
#[command(name = "palisade", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one a run")]
pub(crate) enum Command {
    Review(ReviewArgs),
    Admit(AdmitArgs),
    /// Work on SCC objects themselves
    Scc {
        #[command(subcommand)]
        command: SccCommand,
    },
    /// SCCs as admission policies of Kubernetes itself: no webhook, no running component
    Policies {
        #[command(subcommand)]
        command: crate::policies::args::PoliciesCommand,
    },
    /// Convert policies of other kinds to SCCs
    Import {
        #[command(subcommand)]
        command: ImportCommand,
    },
    /// Work on seccomp profiles: compile, explain, compare, run
    Seccomp {
        #[command(subcommand)]
        command: crate::seccomp::args::SeccompCommand,
    },
    Oci(crate::oci::OciArgs),
    Denials(crate::denials::DenialsArgs),
    Inspect(crate::inspect::InspectArgs),
    #[cfg(feature = "serve")]
    Serve(ServeArgs),
    #[cfg(feature = "serve")]
    Up(UpArgs),
    #[cfg(feature = "serve")]
    Node(NodeArgs),
    #[cfg(feature = "serve")]
    Down(DownArgs),
    /// Manage the images of this machine's node
    #[cfg(feature = "serve")]
    Image {
        #[command(subcommand)]
        command: ImageCommand,
    },
    #[cfg(feature = "serve")]
    Webhook(crate::webhook::WebhookArgs),
    #[cfg(feature = "serve")]
    NodeProfiles(crate::node_profiles::NodeProfilesArgs),
    #[cfg(feature = "serve")]
    Install(crate::webhook::InstallArgs),
    #[cfg(feature = "serve")]
    Uninstall(crate::operate::UninstallArgs),
    #[cfg(feature = "serve")]
    Status(crate::operate::StatusArgs),
    #[cfg(feature = "cluster")]
    #[command(flatten)]
    Cluster(palisade_oc::Verb),
    /// Print a shell's completion script
    #[command(after_help = "Example: palisade completions bash > /etc/bash_completion.d/palisade")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder
    Man {
        /// The folder to write to; it is made if it is missing
        folder: PathBuf,
    },
}

/// Parses the command line. Under the name `oc` it is the same program.
pub(crate) fn parse() -> Args {
    use clap::{CommandFactory, FromArgMatches};
    let name = std::env::args_os().next().map(PathBuf::from);
    let is_oc = name.as_ref().and_then(|path| path.file_stem()).is_some_and(|stem| stem == "oc");
    let mut command = Args::command();
    if is_oc {
        command = command.name("oc").bin_name("oc");
    }
    let words = std::env::args_os();
    #[cfg(feature = "cluster")]
    let words = crate::flags_first::moved(words);
    let matches = command.get_matches_from(words);
    Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// The policy's sources.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct PolicyArgs {
    /// File or folder of YAML or JSON with SCCs, namespaces, roles and bindings; may be repeated
    #[arg(long = "policy", value_name = "PATH")]
    pub(crate) policy: Vec<PathBuf>,
    /// Built-in SCCs and their grants: 4 (thirteen) or 3 (seven). Default: 4, but none with --policy
    #[arg(long, value_name = "3|4")]
    pub(crate) scc_set: Option<BuiltinSet>,
    /// Kernel of the nodes, which determines the safe sysctls. Default: a current one
    #[arg(long, value_name = "MAJOR.MINOR")]
    pub(crate) kernel: Option<KernelVersion>,
}

/// Answer AdmissionReviews: NDJSON or concatenated JSON on stdin, one response a line on stdout
///
/// Every input gets exactly one output line, in order. One that cannot be parsed gets a refusal that names its line and
/// byte, and the exit code is then 2.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Pods are admitted, changed by a JSON Patch, or refused with the reason. `exec` and `attach` are decided by the
pod in the policy; without it they are refused. SCC objects are defaulted and validated. All other requests are allowed.

Without --policy the built-in set 4 is used. Pods of a namespace that the policy lacks are refused.

Example: palisade admit --policy policy/ < reviews.ndjson")]
pub(crate) struct AdmitArgs {
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
}

/// An output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Text: verdicts, and for each refusal the changes that would admit the pod
    Text,
    /// Text: also the result of every SCC, in order
    Wide,
    /// JSON: see docs/review-json.md
    Json,
    /// The same as YAML
    Yaml,
    /// SARIF, for code scanners
    Sarif,
    /// HTML: one file with a table of SCCs by workload, without scripts
    Html,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// Convert a PodSecurityPolicy to an SCC, and name the rules that an SCC cannot express
    #[command(after_help = "Example: palisade import psp psp.yaml > scc.yaml")]
    Psp {
        /// Files or folders of YAML or JSON, or - for stdin
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SccCommand {
    Lint(LintArgs),
    Order(OrderArgs),
    Diff(DiffArgs),
    Impact(ImpactArgs),
    Generate(GenerateArgs),
    WhoCan(WhoCanArgs),
}

/// List the users and groups that may use an SCC, and the grant of each
///
/// By the SCC's own lists, and by the roles and bindings of files, of a must-gather folder or of a cluster. With -n, only the grants
/// that hold in that namespace.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  palisade scc who-can privileged --must-gather gathered
  palisade scc who-can anyuid -f deploy/ -n shop")]
pub(crate) struct WhoCanArgs {
    /// The SCC's name
    pub(crate) scc: String,
    #[command(flatten)]
    pub(crate) inputs: InputArgs,
}

/// Check SCCs, and objects beside them, for mistakes that the API server accepts
///
/// Looks at SCCs, and at roles, namespaces and workloads beside them.
#[derive(Debug, ClapArgs)]
pub(crate) struct LintArgs {
    /// Files or folders of YAML or JSON, or - for stdin
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

/// Print the order in which SCCs are evaluated, and why each comes before the next
#[derive(Debug, ClapArgs)]
pub(crate) struct OrderArgs {
    /// More SCCs: files or folders, or - for stdin
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
}

/// Compare two SCCs field by field: what B permits that A does not, and back
///
/// Exits with 0 only if neither permits anything that the other does not.
#[derive(Debug, ClapArgs)]
pub(crate) struct DiffArgs {
    /// A file with one SCC, FILE#NAME for one of several, or the name of a built-in one
    pub(crate) a: String,
    /// A file with one SCC, FILE#NAME for one of several, or the name of a built-in one
    pub(crate) b: String,
    /// The set that built-in names are looked up in
    #[arg(long, value_name = "3|4", default_value = "4")]
    pub(crate) scc_set: BuiltinSet,
    /// Output format
    #[arg(short, long, value_enum, default_value_t = TextOrHtml::Text)]
    pub(crate) output: TextOrHtml,
}

/// An output format for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TextOrHtml {
    /// Text for terminals
    Text,
    /// HTML: one file, without scripts
    Html,
}

/// Show which workloads would move to another SCC, or be refused, if SCCs changed
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  palisade scc impact --policy cluster/ --with new-scc.yaml -f workloads/
  palisade scc impact --cluster --with new-scc.yaml                     what runs in the cluster of KUBECONFIG

Exits with 1 if anything moves.")]
pub(crate) struct ImpactArgs {
    /// SCCs, roles or bindings to be added, or to replace those of the same name
    #[arg(long = "with", value_name = "PATH", required = true)]
    pub(crate) with: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) inputs: InputArgs,
    /// The user who creates the pods; those of a workload are created by its controller. Default: an unknown user
    #[arg(long = "as", value_name = "USER")]
    pub(crate) user: Option<String>,
    /// A group of --as; may be repeated. system:authenticated is always among them
    #[arg(long = "as-group", value_name = "GROUP", requires = "user")]
    pub(crate) groups: Vec<String>,
    /// Output format
    #[arg(short, long, value_enum, default_value_t = TextOrHtml::Text)]
    pub(crate) output: TextOrHtml,
}

/// Write the least SCC that admits these workloads, with its role and binding; or report which SCC is more than needed
///
/// Every field has its tightest value. The SCC is tested with each pod, and so is each SCC that is one step tighter: it
/// refuses one of the pods.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Fields that a pod does not set get the defaults of --base. No other field is set, except for a supplemental group.

Examples:
  helm template ./chart | palisade scc generate -f - -n shop > scc.yaml
  palisade scc generate -f deploy/ --per workload --explain     which pod needs which value
  palisade scc generate --must-gather gathered/ --audit         accounts that hold more than their pods need

Exits with 1 if a workload is admitted by no SCC, or refused after SCC; with --audit, if an account holds more than it needs.")]
pub(crate) struct GenerateArgs {
    #[command(flatten)]
    pub(crate) inputs: InputArgs,
    /// Service account of the pods, whatever they specify
    #[arg(short = 'z', long, value_name = "NAME")]
    pub(crate) serviceaccount: Option<String>,
    /// Scope of one SCC
    #[arg(long, value_enum, default_value_t = Per::Account)]
    pub(crate) per: Per,
    /// SCC with the defaults that pods get: a name, or a file. Default: restricted-v2, or restricted
    #[arg(long, value_name = "SCC")]
    pub(crate) base: Option<String>,
    /// Print which pod needs which value, instead of the objects
    #[arg(long, conflicts_with = "audit")]
    pub(crate) explain: bool,
    /// Print which accounts may use an SCC that is more than their pods need, the largest excess first, and the effect
    /// of a smaller one
    #[arg(long, conflicts_with = "per")]
    pub(crate) audit: bool,
    /// The output format
    #[arg(short, long, value_enum, default_value_t = ObjectOutput::Yaml)]
    pub(crate) output: ObjectOutput,
}

/// The scope of one SCC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Per {
    /// Each service account
    Account,
    /// Each namespace
    Namespace,
    /// Each workload
    Workload,
}

/// An output format of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ObjectOutput {
    /// YAML documents, ready to apply
    Yaml,
    /// One List, as JSON
    Json,
}

/// Serve the Kubernetes API on this machine: objects, roles, SCCs; no cluster needed
///
/// All data is kept in one folder. At first start a certificate authority and an administrator (`system:admin`) are
/// created; the kubeconfig is written beside the data, and becomes yours if you have none.
#[cfg(feature = "serve")]
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  palisade serve                                      on 127.0.0.1:6443, kept in ~/.local/share/palisade
  palisade serve --ephemeral --listen 127.0.0.1:0     for a test: any port, nothing kept
  palisade serve --scc-set 3                          with the SCCs of OpenShift 3, as the workshop shows them

Stop it with Ctrl-C or SIGTERM. A second server on the same folder is refused.")]
pub(crate) struct ServeArgs {
    /// Folder of the data. Default: palisade in $XDG_DATA_HOME or ~/.local/share
    #[arg(long, value_name = "DIR", conflicts_with = "ephemeral")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Keep no data after the end
    #[arg(long)]
    pub(crate) ephemeral: bool,
    /// Address and port; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:6443")]
    pub(crate) listen: std::net::SocketAddr,
    /// Further name or address that clients use for this server; may be repeated
    #[arg(long = "name", value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Initial SCCs: those of OpenShift 4 (thirteen) or 3 (seven). Default: those of the data folder, 4 in a new one
    #[arg(long, value_name = "4|3")]
    pub(crate) scc_set: Option<BuiltinSet>,
    /// Start from a backup; the data folder must be new
    #[arg(long, value_name = "FILE")]
    pub(crate) from_backup: Option<PathBuf>,
    /// File of the administrator's kubeconfig. Default: admin.kubeconfig in the data folder
    #[arg(long, value_name = "FILE")]
    pub(crate) write_kubeconfig: Option<PathBuf>,
    /// File of the audit log, one line of audit.k8s.io/v1 a request; - is standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) audit_log: Option<PathBuf>,
    /// The audit policy: a Policy of audit.k8s.io/v1, as kube-apiserver reads it
    #[arg(long, value_name = "FILE", requires = "audit_log")]
    pub(crate) audit_policy_file: Option<PathBuf>,
    /// The decider on SCC: this server, admission webhooks (as `palisade webhook`), or none
    #[arg(long, value_enum, default_value = "builtin")]
    pub(crate) scc: SccDecider,
    /// Address of a Service that a webhook configuration names; may be repeated
    #[arg(long = "webhook-service", value_name = "NAMESPACE/NAME=ADDR:PORT", value_parser = webhook_service)]
    pub(crate) webhook_services: Vec<(String, std::net::SocketAddr)>,
}

#[cfg(feature = "serve")]
/// The decider on SCC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum SccDecider {
    /// This server decides
    Builtin,
    /// Admission webhooks decide; without one that refuses, every pod is admitted
    Webhook,
    /// No decision, and no initial SCCs
    Off,
}

/// Reads `NAMESPACE/NAME=ADDR:PORT`.
#[cfg(feature = "serve")]
fn webhook_service(text: &str) -> Result<(String, std::net::SocketAddr), String> {
    let (service, address) = text.split_once('=').ok_or("NAMESPACE/NAME=ADDR:PORT is expected")?;
    let is_name = |part: &str| palisade_k8s::metadata::is_label(part);
    if !service.split_once('/').is_some_and(|(namespace, name)| is_name(namespace) && is_name(name)) {
        return Err(format!("{service:?} is not NAMESPACE/NAME of a Service"));
    }
    let address = address
        .parse()
        .map_err(|_| format!("{address:?} is not an address with a port, as 127.0.0.1:9443"))?;
    Ok((service.to_owned(), address))
}

#[cfg(feature = "serve")]
/// Run everything on this machine: the API server and a node, which runs pods with containerd
///
/// Requires root, and containerd with its companions; without them the API is served all the same, and pods stay
/// Pending with an event that lists the packages to install.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  palisade up --scc-set 3                             with the SCCs of OpenShift 3, as the workshop shows them
  palisade up --default-seccomp runtime/default       no pod without a seccomp filter
  palisade image import explorer.tar                  an image that pods can name, without a registry

Stop it with Ctrl-C: containers keep running, and the next `up` takes them over. `palisade down` ends them.")]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
    #[command(flatten)]
    pub(crate) node: NodeOptions,
}

#[cfg(feature = "serve")]
/// Run only a node: pods bound to this machine, with containerd
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "\
Example:
  palisade node kubeconfig worker --server https://192.0.2.7:6443 --address 192.0.2.8 -o worker.kubeconfig
  palisade node --node-name worker --node-ip 192.0.2.8 --kubeconfig worker.kubeconfig      on the other machine

The certificate in the kubeconfig is one of system:node:NAME. The node also presents it to the API server that connects
to it.",
    args_conflicts_with_subcommands = true
)]
pub(crate) struct NodeArgs {
    #[command(subcommand)]
    pub(crate) command: Option<NodeCommand>,
    /// The node's kubeconfig
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) node: NodeOptions,
}

#[cfg(feature = "serve")]
#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Write the kubeconfig of a node, for `palisade node` or a kubelet of that name
    ///
    /// Needs the data folder of the server, which may be running. The certificate in it is valid for ten years, as a
    /// client and as a server of the node's name and addresses.
    Kubeconfig {
        /// Name of the node
        #[arg(value_name = "NAME")]
        name: String,
        /// URL under which the node reaches the server. Default: that of the administrator's kubeconfig
        #[arg(long, value_name = "URL")]
        server: Option<String>,
        /// Address of the node; may be repeated. Default: this machine's
        #[arg(long, value_name = "IP")]
        address: Vec<std::net::IpAddr>,
        /// Folder of the server's data. Default: that of `palisade serve`
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
        /// File to write, for its owner alone. Default: standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[cfg(feature = "serve")]
/// Options of a node.
#[derive(Debug, ClapArgs)]
pub(crate) struct NodeOptions {
    /// Folder of the node's data: containers, volumes, logs, seccomp profiles. Default: /var/lib/palisade
    #[arg(long, value_name = "DIR")]
    pub(crate) node_dir: Option<PathBuf>,
    /// The node's name. Default: the machine's
    #[arg(long, value_name = "NAME")]
    pub(crate) node_name: Option<String>,
    /// The node's address. Default: that of the interface with the default route
    #[arg(long, value_name = "IP")]
    pub(crate) node_ip: Option<std::net::IpAddr>,
    /// Port on which the API server reaches the node; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub(crate) node_port: u16,
    /// Socket of a running container engine. Default: containerd is started, with folders of its own
    #[arg(long, value_name = "SOCKET")]
    pub(crate) cri_socket: Option<PathBuf>,
    /// The OCI runtime of the containerd that is started. Default: crun, or runc
    #[arg(long, value_name = "PATH", conflicts_with = "cri_socket", value_parser = program)]
    pub(crate) runtime: Option<PathBuf>,
    /// Range of the pods' addresses, which no other network of the machine or node of the cluster has
    #[arg(long, value_name = "CIDR", default_value_t)]
    pub(crate) pod_cidr: palisade_node::PodRange,
    /// The seccomp profile of pods without one: runtime/default or unconfined
    #[arg(long, value_name = "PROFILE", default_value = "unconfined", value_parser = ["runtime/default", "unconfined"])]
    pub(crate) default_seccomp: String,
    /// Whether each container has an audit login id, which attributes every denied syscall to its container. auto:
    /// unless the machine runs auditd, or login ids cannot be set
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = LoginIds::Auto)]
    pub(crate) login_ids: LoginIds,
}

#[cfg(feature = "serve")]
/// A program: a path, or a name in the usual folders.
fn program(text: &str) -> Result<PathBuf, String> {
    use std::os::unix::fs::PermissionsExt;
    let found = match text.contains('/') {
        true => std::path::absolute(text).map_err(|error| error.to_string())?,
        false => palisade_node::find_program(text).ok_or("there is no such program in PATH")?,
    };
    let metadata = std::fs::metadata(&found).map_err(|error| error.to_string())?;
    match metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 {
        true => Ok(found),
        false => Err("it is not an executable file".to_owned()),
    }
}

#[cfg(feature = "serve")]
/// When containers have an audit login id of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LoginIds {
    Auto,
    Always,
    Never,
}

#[cfg(feature = "serve")]
/// End every pod of this machine's node, and remove what the node has left on the machine
///
/// Stop `palisade up` or `palisade node` first: while the node's agent runs, this is refused. Removes containers, networks,
/// mounts, cgroups and the engine that the node has started; images, volumes' folders and the API's data stay.
#[derive(Debug, ClapArgs)]
pub(crate) struct DownArgs {
    /// Folder of the node's data. Default: /var/lib/palisade
    #[arg(long, value_name = "DIR")]
    pub(crate) node_dir: Option<PathBuf>,
}

#[cfg(feature = "serve")]
#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Import an archive from `docker save` or `podman save`, or an OCI image layout
    ///
    /// Pods that name an imported image run it, whatever their imagePullPolicy: no registry is contacted.
    Import {
        /// Archive or folder; may be repeated
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        #[command(flatten)]
        node: DownArgs,
    },
    /// List images
    List {
        #[command(flatten)]
        node: DownArgs,
    },
    /// Remove images
    Rm {
        /// Name of an image; may be repeated
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        #[command(flatten)]
        node: DownArgs,
    },
}
