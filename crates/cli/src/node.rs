//! `palisade node`, `palisade down`, `palisade image`, and the node of `palisade up`.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use kube::config::{KubeConfigOptions, Kubeconfig};
use palisade_apiserver::Server;
use palisade_node::{Certificates, Claim, DefaultSeccomp, EngineChoice, Layout};
use palisade_scc::BuiltinSet;

use crate::args::{DownArgs, ImageCommand, LoginIds, NodeArgs, NodeCommand, NodeOptions};
use crate::exit::Exit;
use crate::place::{self, Place, layout};

/// An error at the start of a node.
#[derive(Debug, thiserror::Error)]
enum NodeError {
    #[error("{0} takes root: containers are made by it")]
    NotRoot(&'static str),
    #[error("{0}: {1}")]
    Kubeconfig(PathBuf, String),
    #[error(
        "{0} holds no certificate of a node: its user is to have client-certificate-data and client-key-data"
    )]
    NoCertificate(PathBuf),
    #[error("there is no home folder with a server's data: give --data-dir")]
    NoData,
    #[error("give --kubeconfig FILE, which `palisade node kubeconfig NAME` writes")]
    NoKubeconfig,
    #[error("invalid node name {0:?}: expected lower-case letters, digits, '-' and '.'")]
    Name(String),
}

fn require_root(what: &'static str) -> Result<(), NodeError> {
    if palisade_node::is_root() { Ok(()) } else { Err(NodeError::NotRoot(what)) }
}

/// The address at which others reach this machine.
fn own_address() -> IpAddr {
    palisade_sys::address::of_default_route().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// The OCI runtime of the started engine: this program as a handler that sets its filters on crun's containers, if crun
/// is installed.
fn handler(
    layout: &Layout,
    default_profile: &str,
    login_ids: LoginIds,
) -> Result<Option<(PathBuf, PathBuf)>, crate::Failure> {
    use palisade_oci::settings::{FILE, HANDLER, Settings};
    let Some(crun) = palisade_node::find_program("crun") else { return Ok(None) };
    let folder = layout.root().join("bin");
    let link = folder.join(HANDLER);
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let write = |name: &str, text: &str| {
        let file = folder.join(name);
        // A node on a full disk starts again, so that its pods can be deleted.
        if std::fs::read_to_string(&file).is_ok_and(|old| old == text) {
            return Ok(file);
        }
        let wrote = palisade_console::private_file::replace(&file, text.as_bytes());
        wrote.map(|()| file.clone()).map_err(|error| format!("{}: {error}", file.display()))
    };
    let settings = Settings {
        runtime: Some(crun),
        profile_root: layout.profiles(),
        default_profile: Some(write("default-seccomp.json", default_profile)?),
        state: state(layout),
        trust_annotations: true,
        log: true,
        login_ids: has_login_ids(login_ids),
    };
    write(FILE, &serde_json::to_string(&settings)?)?;
    let new = folder.join("palisade-oci.new");
    let _ = std::fs::remove_file(&new);
    let linked = std::env::current_exe().and_then(|own| std::os::unix::fs::symlink(own, &new));
    linked
        .and_then(|()| std::fs::rename(&new, &link))
        .map_err(|error| format!("{}: {error}", link.display()))?;
    Ok(Some((link, settings.state)))
}

/// The state folder of a node's OCI runtime.
fn state(layout: &Layout) -> PathBuf {
    layout.run().join("oci")
}

/// The state folder of the OCI runtime of the node in a folder; `None` if no such node has run since boot.
pub(crate) fn state_of(folder: Option<&Path>) -> Option<PathBuf> {
    layout(folder).ok().map(|layout| state(&layout)).filter(|state| state.is_dir())
}

/// Whether containers get audit login ids. A site with auditd uses the ids of its own users.
fn has_login_ids(when: LoginIds) -> bool {
    match when {
        LoginIds::Always => true,
        LoginIds::Never => false,
        LoginIds::Auto => {
            let auditd = ["/sbin/auditd", "/usr/sbin/auditd", "/var/log/audit/audit.log"];
            !auditd.iter().any(|path| Path::new(path).exists()) && may_set_login_ids()
        }
    }
}

/// Whether a child process may change its login id: tried in a process that ends, since it can rarely be undone.
fn may_set_login_ids() -> bool {
    let script = "echo 1073741824 >/proc/self/loginuid && echo 1073741825 >/proc/self/loginuid";
    let mut shell = std::process::Command::new("/bin/sh");
    let quiet = || std::process::Stdio::null();
    shell.args(["-c", script]).stdin(quiet()).stdout(quiet()).stderr(quiet());
    shell.status().is_ok_and(|status| status.success())
}

fn config(
    options: &NodeOptions,
    claim: Claim,
    engine: EngineChoice,
    name: String,
    server: String,
    set: BuiltinSet,
) -> Result<palisade_node::Config, crate::Failure> {
    let ip = options.node_ip.unwrap_or_else(own_address);
    let default_profile = match set {
        BuiltinSet::V3 => palisade_seccomp::builtin::WORKSHOP,
        BuiltinSet::V4 => palisade_seccomp::builtin::DEFAULT,
    };
    let (runtime, handler_state) = match (&options.runtime, &engine) {
        (Some(runtime), _) => (Some(runtime.clone()), None),
        (None, EngineChoice::Use(_)) => (None, None),
        (None, EngineChoice::Start(_)) => {
            handler(claim.layout(), default_profile, options.login_ids)?.unzip()
        }
    };
    Ok(palisade_node::Config {
        claim,
        name,
        ip,
        listen: SocketAddr::new(ip, options.node_port),
        server,
        tls: None,
        engine,
        runtime,
        handler_state,
        default_seccomp: match options.default_seccomp.as_str() {
            "runtime/default" => DefaultSeccomp::RuntimeDefault,
            _ => DefaultSeccomp::Unconfined,
        },
        default_profile,
    })
}

fn node_name(options: &NodeOptions) -> Result<String, NodeError> {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = options.node_name.clone().unwrap_or_else(|| machine.trim().to_lowercase().replace('_', "-"));
    match palisade_k8s::metadata::is_subdomain(&name) {
        true => Ok(name),
        false => Err(NodeError::Name(name)),
    }
}

/// A client, and the URL of its server.
async fn client(kubeconfig: Kubeconfig) -> Result<(kube::Client, String), crate::Failure> {
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    let agent = concat!("palisade-node/", env!("CARGO_PKG_VERSION"));
    config.headers.push(("user-agent".parse()?, agent.parse()?));
    let url = config.cluster_url.to_string();
    Ok((kube::Client::try_from(config)?, url))
}

/// The client of the scheduler.
pub(crate) async fn scheduler(server: &Server, url: &str) -> Result<kube::Client, crate::Failure> {
    Ok(client(Kubeconfig::from_yaml(&server.scheduler_kubeconfig(url)?)?).await?.0)
}

/// Runs the API server with a node, or without one if the process is not root: containers need it.
pub(crate) async fn beside(
    server: Server,
    url: &str,
    options: &NodeOptions,
    place: Option<Place>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), crate::Failure> {
    let Some(Place { claim, engine, is_ephemeral, temporary }) = place else {
        tracing::warn!("pods cannot run here: containers take root; only the API is served");
        server.run(shutdown).await;
        return Ok(());
    };
    let name = node_name(options)?;
    let layout = claim.layout().clone();
    let mut config = config(options, claim, engine, name, url.to_owned(), server.set())?;
    let credentials = server.node_credentials(url, &config.name, config.ip)?;
    config.tls = Some(Certificates {
        certificate: credentials.certificate,
        key: credentials.key,
        authority: credentials.authority,
    });
    let (client, _) = self::client(Kubeconfig::from_yaml(&credentials.kubeconfig)?).await?;
    server.await_agent(&config.name)?;
    let scheduler = tokio::spawn(palisade_node::schedule(scheduler(&server, url).await?));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(async { drop(stopped.await) }));
    let ran = palisade_node::run(config, client, shutdown).await;
    scheduler.abort();
    if is_ephemeral && options.cri_socket.is_none() {
        palisade_node::down(&layout).await?;
    }
    let _ = stop.send(());
    let _ = serving.await;
    drop(temporary);
    ran.map_err(Into::into)
}

/// Writes the kubeconfig of a node, signed by the server whose data folder is given.
fn kubeconfig(command: NodeCommand) -> crate::Outcome {
    let NodeCommand::Kubeconfig { name, server, address, data_dir, output } = command;
    if !palisade_k8s::metadata::is_subdomain(&name) {
        return Err(NodeError::Name(name).into());
    }
    let data = data_dir.or_else(crate::serve::default_folder).ok_or(NodeError::NoData)?;
    let server = match server {
        Some(server) => server,
        None => {
            let path = data.join("admin.kubeconfig");
            let wrong = |error: String| NodeError::Kubeconfig(path.clone(), error);
            let found = Kubeconfig::read_from(&path).map_err(|error| wrong(error.to_string()))?;
            let cluster = found.clusters.into_iter().find_map(|cluster| cluster.cluster?.server);
            cluster.ok_or_else(|| wrong("it names no server; give --server".to_owned()))?
        }
    };
    let addresses = if address.is_empty() { vec![own_address()] } else { address };
    let made = palisade_apiserver::node_credentials(&data, &server, &name, &addresses)?;
    match output {
        Some(path) => palisade_console::private_file::replace(&path, made.kubeconfig.as_bytes())
            .map_err(|error| format!("{}: {error}", path.display()))?,
        None => anstream::stdout().lock().write_all(made.kubeconfig.as_bytes())?,
    }
    Ok(Exit::Fine)
}

pub(crate) fn run(args: NodeArgs) -> crate::Outcome {
    if let Some(command) = args.command {
        return kubeconfig(command);
    }
    require_root("palisade node")?;
    let path = args.kubeconfig.ok_or(NodeError::NoKubeconfig)?;
    crate::log::init();
    palisade_sys::limits::raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let shutdown = crate::stop::shutdown()?;
        let wrong = |error: String| NodeError::Kubeconfig(path.clone(), error);
        let kubeconfig = Kubeconfig::read_from(&path).map_err(|error| wrong(error.to_string()))?;
        let claim = Claim::new(layout(args.node.node_dir.as_deref())?)?;
        let engine = place::engine(&args.node, &claim)?;
        let tls = certificates(&kubeconfig, &path)?;
        let (client, url) = client(kubeconfig).await?;
        let mut config = config(&args.node, claim, engine, node_name(&args.node)?, url, BuiltinSet::V4)?;
        config.tls = Some(tls);
        palisade_node::run(config, client, shutdown).await?;
        Ok(Exit::Fine)
    })
}

/// The node's certificate, from its kubeconfig.
fn certificates(kubeconfig: &Kubeconfig, path: &Path) -> Result<Certificates, NodeError> {
    use base64::Engine as _;
    let decode = |text: Option<&String>| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(text?).ok()?;
        String::from_utf8(bytes).ok()
    };
    let user = kubeconfig.auth_infos.iter().find_map(|user| user.auth_info.as_ref());
    let cluster = kubeconfig.clusters.iter().find_map(|cluster| cluster.cluster.as_ref());
    let parts = (|| {
        let user = serde_json::to_value(user?).ok()?;
        let text = |key: &str| user.get(key)?.as_str().map(str::to_owned);
        Some(Certificates {
            certificate: decode(text("client-certificate-data").as_ref())?,
            key: decode(text("client-key-data").as_ref())?,
            authority: decode(cluster?.certificate_authority_data.as_ref())?,
        })
    })();
    parts.ok_or_else(|| NodeError::NoCertificate(path.to_owned()))
}

fn block<T>(work: impl Future<Output = Result<T, crate::Failure>>) -> Result<T, crate::Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

pub(crate) fn down(args: &DownArgs) -> crate::Outcome {
    require_root("palisade down")?;
    let layout = layout(args.node_dir.as_deref())?;
    block(async { Ok(palisade_node::down(&layout).await?) })?;
    Ok(Exit::Fine)
}

pub(crate) fn image(command: ImageCommand) -> crate::Outcome {
    require_root("palisade image")?;
    let mut out = anstream::stdout().lock();
    match command {
        ImageCommand::Import { paths, node } => {
            let layout = layout(node.node_dir.as_deref())?;
            for path in paths {
                let names = block(async { Ok(palisade_node::image::import(&layout, &path).await?) })?;
                for name in names {
                    writeln!(out, "imported {name}")?;
                }
            }
        }
        ImageCommand::List { node } => {
            let layout = layout(node.node_dir.as_deref())?;
            let images = block(async { Ok(palisade_node::image::list(&layout).await?) })?;
            let mut table = tabwriter::TabWriter::new(out).padding(3);
            writeln!(table, "NAME\tID\tSIZE")?;
            for image in images {
                let id: String = image.id.trim_start_matches("sha256:").chars().take(12).collect();
                for name in &image.names {
                    writeln!(table, "{name}\t{id}\t{} KiB", image.size / 1024)?;
                }
            }
            table.flush()?;
        }
        ImageCommand::Rm { names, node } => {
            let layout = layout(node.node_dir.as_deref())?;
            for name in names {
                block(async { Ok(palisade_node::image::remove(&layout, &name).await?) })?;
                writeln!(out, "removed {name}")?;
            }
        }
    }
    Ok(Exit::Fine)
}
