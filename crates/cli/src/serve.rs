//! `palisade serve`.

use std::io::Write;
use std::path::{Path, PathBuf};

use palisade_apiserver::{Config, Decider, Server};

use crate::args::{NodeOptions, SccDecider, ServeArgs};
use crate::exit::Exit;
use crate::place::Place;

/// An error before the server starts.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("there is no home folder to keep data in: give --data-dir or --ephemeral")]
    NoHome,
    #[error("{0}")]
    File(String, #[source] std::io::Error),
}

/// Serves the API; with a node beside it if `node` is given.
pub(crate) fn run(args: ServeArgs, node: Option<NodeOptions>) -> crate::Outcome {
    crate::log::init();
    palisade_sys::limits::raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(args, node))
}

async fn serve(args: ServeArgs, node: Option<NodeOptions>) -> crate::Outcome {
    let data = match (&args.data_dir, args.ephemeral) {
        (Some(folder), _) => Some(folder.clone()),
        (None, true) => None,
        (None, false) => Some(default_folder().ok_or(ServeError::NoHome)?),
    };
    let config = Config {
        data: data.clone(),
        listen: args.listen,
        names: args.names.clone(),
        set: args.scc_set,
        audit: args.audit_log.clone(),
        audit_policy: args.audit_policy_file.clone(),
        backup: args.from_backup.clone(),
        decider: decider(args.scc),
        webhook_services: args.webhook_services.iter().cloned().collect(),
    };
    let place = node.as_ref().map(|node| Place::new(node, args.ephemeral)).transpose()?.flatten();
    // Before it listens, so that no signal is lost.
    let shutdown = crate::stop::shutdown()?;
    let server = Server::start(config).await?;
    let address = server.address()?;
    let host = if address.ip().is_unspecified() { "127.0.0.1".to_owned() } else { host(address.ip()) };
    let url = format!("https://{host}:{}", address.port());
    let kubeconfig = server.admin_kubeconfig(&url);
    let path = args.write_kubeconfig.clone().unwrap_or_else(|| match &data {
        Some(folder) => folder.join("admin.kubeconfig"),
        None => server.temporary_folder().unwrap_or(Path::new(".")).join("admin.kubeconfig"),
    });
    // The path is printed for another terminal, which may be in another folder.
    let path = std::path::absolute(&path)?;
    palisade_console::private_file::replace(&path, kubeconfig.as_bytes())
        .map_err(|error| ServeError::File(path.display().to_string(), error))?;
    let is_own = adopt(&kubeconfig)?;
    // Nobody has to read stdout: the server goes on if this cannot be written.
    let _ = say(&url, &path, is_own, place.as_ref().and_then(Place::temporary));
    match node {
        None => {
            let scheduler = crate::node::scheduler(&server, &url).await?;
            let scheduler = tokio::spawn(palisade_node::schedule_once_there_are_nodes(scheduler));
            server.run(shutdown).await;
            scheduler.abort();
        }
        Some(options) => crate::node::beside(server, &url, &options, place, shutdown).await?,
    }
    Ok(Exit::Fine)
}

fn decider(scc: SccDecider) -> Decider {
    match scc {
        SccDecider::Builtin => Decider::Server,
        SccDecider::Webhook => Decider::Webhooks,
        SccDecider::Off => Decider::Nobody,
    }
}

fn host(address: std::net::IpAddr) -> String {
    match address {
        std::net::IpAddr::V4(address) => address.to_string(),
        std::net::IpAddr::V6(address) => format!("[{address}]"),
    }
}

pub(crate) fn default_folder() -> Option<PathBuf> {
    let given = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = given.or_else(|| Some(std::env::home_dir()?.join(".local/share")))?;
    Some(folder.join("palisade"))
}

/// Makes the kubeconfig the user's own if they have none.
fn adopt(kubeconfig: &str) -> Result<bool, crate::Failure> {
    if std::env::var_os("KUBECONFIG").is_some_and(|paths| !paths.is_empty()) {
        return Ok(false);
    }
    let Some(path) = std::env::home_dir().map(|home| home.join(".kube/config")) else { return Ok(false) };
    let is_free = match std::fs::read_to_string(&path) {
        Ok(text) => text.trim().is_empty(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    if is_free {
        let folder = path.parent().unwrap_or(Path::new("."));
        // Users that may write the folder may replace the kubeconfig in it.
        let mut private = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(private.recursive(true), 0o700)
            .create(folder)
            .map_err(|error| ServeError::File(folder.display().to_string(), error))?;
        palisade_console::private_file::replace(&path, kubeconfig.as_bytes())
            .map_err(|error| ServeError::File(path.display().to_string(), error))?;
    }
    Ok(is_free)
}

fn say(url: &str, kubeconfig: &Path, is_own: bool, node: Option<&Path>) -> std::io::Result<()> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "Serving the Kubernetes API on {url}")?;
    writeln!(out, "The administrator's kubeconfig: {}", kubeconfig.display())?;
    if let Some(folder) = node {
        writeln!(
            out,
            "The node's folder: {}: commands for its images take --node-dir with it",
            folder.display()
        )?;
    }
    writeln!(out)?;
    writeln!(out, "Next, in another terminal:")?;
    if !is_own {
        writeln!(out, "  export KUBECONFIG={}", kubeconfig.display())?;
    }
    writeln!(out, "  palisade login -u system:admin")?;
    writeln!(out, "  palisade get scc")?;
    out.flush()
}
