//! The agent: the node's own object, the pods bound to it, and a worker for each pod.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use kube_runtime::watcher::{self, Event};
use palisade_k8s::KernelVersion;
use palisade_oci::container::Containers;
use tokio::sync::Notify;

use crate::config::{Config, EngineChoice};
use crate::cri::Cri;
use crate::cri::message::{ListContainersRequest, ListPodSandboxRequest};
use crate::denial;
use crate::engine::{self, Engine, EngineError, Programs};
use crate::env::Facts;
use crate::event::Recorder;
use crate::layout::Layout;
use crate::log::Logs;
use crate::node::{Node, has_selinux};
use crate::private::private;
use crate::proxy::{ApiServer, Proxy};
use crate::register::{self, Registration};
use crate::sandbox::{Resolver, UID};
use crate::seccomp::Profiles;
use crate::server;
use crate::shim;
use crate::slot::names;
use crate::sweep::Sweep;
use crate::worker::{self, Desired, Handle};

/// An error at the start of a node or while it runs.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// No engine was found, or it does not answer.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The endpoint for the API server cannot be opened.
    #[error("the node's endpoint: {0}")]
    Server(String),
    /// The API server refuses the node.
    #[error("{0}")]
    Refused(String),
    /// A file cannot be read or written.
    #[error("{0}")]
    File(#[from] std::io::Error),
}

/// Interval between queries of the engine for changes.
const LOOK: Duration = Duration::from_millis(300);
/// Interval between searches for leftovers of crashes, in such queries.
const SHIMS: u64 = 50;

/// Interval between attempts to start an engine that does not start.
const AGAIN: Duration = Duration::from_secs(10);

/// Runs a node until `shutdown` is ready. Its containers go on.
///
/// Without an engine the node is registered as not ready, with a message that lists the packages to install, until there is one.
///
/// # Errors
///
/// See [`NodeError`].
pub async fn run(
    config: Config,
    client: Client,
    shutdown: impl Future<Output = ()>,
) -> Result<(), NodeError> {
    private(&config.layout().run())?;
    let mut shutdown = std::pin::pin!(shutdown);
    let mut first = std::pin::pin!(start_engine(&config));
    let found = tokio::select! {
        () = shutdown.as_mut() => {
            leave_unstarted(&config).await;
            return Ok(());
        }
        found = first.as_mut() => Some(found),
        () = tokio::time::sleep(AGAIN) => None,
    };
    let (found, first) = match found {
        Some(found) => (found, None),
        // An engine with many containers takes minutes after a crash: the node says so meanwhile, and its pods count as alive.
        None => (Err(EngineError::Start("it is starting still".to_owned())), Some(first)),
    };
    let engine = match found {
        Ok(engine) => engine,
        Err(why) => tokio::select! {
            engine = until_started(&config, first) => engine,
            ended = run_with(&config, &client, Err(why), shutdown.as_mut()) => {
                leave_unstarted(&config).await;
                return ended;
            }
        },
    };
    run_with(&config, &client, Ok(engine), shutdown).await
}

/// Ends an engine that was started and does not answer yet.
async fn leave_unstarted(config: &Config) {
    if let EngineChoice::Start(_) = &config.engine {
        engine::end_other(config.layout()).await;
    }
}

/// Waits until an engine starts: by the first attempt, if it is not over, or by a later one.
async fn until_started(
    config: &Config,
    first: Option<impl Future<Output = Result<Source, EngineError>>>,
) -> Source {
    if let Some(first) = first {
        match first.await {
            Ok(engine) => return engine,
            Err(error) => tracing::warn!("{error}"),
        }
    }
    loop {
        tokio::time::sleep(AGAIN).await;
        match start_engine(config).await {
            Ok(engine) => return engine,
            Err(error) => tracing::debug!("{error}"),
        }
    }
}

/// Runs a node with an engine, or without.
async fn run_with(
    config: &Config,
    client: &Client,
    engine: Result<Source, EngineError>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), NodeError> {
    let recorder = Arc::new(Recorder::new(client.clone(), "palisade-node", &config.name));
    let why = engine.as_ref().err().map(ToString::to_string);
    if let Some(why) = &why {
        tracing::warn!("{why}");
    }
    let engine = engine.ok();
    ship_profiles(config.layout())?;
    let cri = engine.as_ref().map(Source::cri);
    let node = cri.as_ref().map(|cri| Arc::new(node(config, client, cri, &recorder)));
    let endpoint = match (&node, &config.tls) {
        (Some(node), Some(tls)) => {
            Some(server::start(config.listen, tls, Arc::clone(node)).await.map_err(NodeError::Server)?)
        }
        _ => None,
    };
    let registration = Registration::new(config, endpoint.as_ref().map(|endpoint| endpoint.port), why);
    let register = register::run(client.clone(), registration, cri.clone());
    let proxy = match (&node, &config.engine) {
        (Some(node), EngineChoice::Start(network)) => {
            Proxy::start(client, config.layout(), &node.server, network.range()).await
        }
        _ => None,
    };
    let pods = async {
        match &node {
            Some(node) => pods(node, client.clone()).await,
            None => std::future::pending().await,
        }
    };
    let logs = async {
        if let Some(node) = &node {
            node.logs.keep_short(&node.cri).await;
        }
        std::future::pending::<()>().await;
    };
    let denials = async {
        if let Some((node, state)) =
            node.as_ref().and_then(|node| Some((node, node.handler_state.as_deref()?)))
        {
            denial::run(Arc::clone(node), state).await;
        }
        std::future::pending::<()>().await;
    };
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let doubts = node.as_ref().map(|node| Arc::clone(&node.doubts)).unwrap_or_default();
    let supervised = supervise(engine, doubts, config.handler_state.clone(), stopped);
    let supervised = tokio::spawn(supervised);
    let ended = tokio::select! {
        () = shutdown => Ok(()),
        why = register => Err(NodeError::Refused(why)),
        () = pods => Ok(()),
        () = denials => Ok(()),
        () = logs => Ok(()),
    };
    if let Some(proxy) = proxy {
        proxy.stop().await;
    }
    let _ = stop.send(());
    let _ = supervised.await;
    ended
}

/// Writes the workshop's profile to the folder of localhost profiles, unless there is one of that name.
fn ship_profiles(layout: &Layout) -> std::io::Result<()> {
    std::fs::create_dir_all(layout.profiles())?;
    let path = layout.profiles().join("example-explorer-profile.json");
    match path.exists() {
        true => Ok(()),
        false => std::fs::write(path, palisade_seccomp::builtin::EXPLORER),
    }
}

/// The engine: one that this node starts, or a running one.
enum Source {
    Own(Box<Engine>),
    Other(Cri),
}

impl Source {
    fn cri(&self) -> Cri {
        match self {
            Self::Own(engine) => engine.cri().clone(),
            Self::Other(cri) => cri.clone(),
        }
    }
}

async fn start_engine(config: &Config) -> Result<Source, EngineError> {
    let network = match &config.engine {
        EngineChoice::Start(network) => network,
        EngineChoice::Use(socket) => {
            let cri = Cri::new(socket);
            let answer = cri.version(Default::default()).await;
            return answer.map(|_| Source::Other(cri)).map_err(|error| EngineError::Start(error.to_string()));
        }
    };
    let programs = Programs::find(config.runtime.as_deref())?;
    let start = || Engine::start(config.layout(), programs.clone(), network.range());
    let engine = match start().await {
        // A busy machine gets another try: a node that gives up stays without pods.
        Err(EngineError::Start(why)) => {
            tracing::warn!("containerd does not start: {why}; it is tried once more");
            start().await?
        }
        other => other?,
    };
    Ok(Source::Own(Box::new(engine)))
}

/// Keeps the engine running.
async fn supervise(
    source: Option<Source>,
    doubts: Arc<Notify>,
    handler_state: Option<PathBuf>,
    mut stopped: tokio::sync::oneshot::Receiver<()>,
) {
    let Some(Source::Own(mut engine)) = source else {
        let _ = stopped.await;
        return;
    };
    let mut lost = BTreeSet::new();
    let mut sweep = Sweep::default();
    for round in 1_u64.. {
        tokio::select! {
            _ = &mut stopped => break,
            () = tokio::time::sleep(LOOK) => {}
            () = doubts.notified() => {
                tracing::warn!("containerd lists containers that no longer exist, and is restarted");
                if let Err(error) = engine.restart().await {
                    tracing::warn!("{error}");
                }
            }
        }
        if round.is_multiple_of(SHIMS) {
            shim::end_lost(engine.layout(), &mut lost);
            sweep.look(engine.layout(), engine.cri()).await;
            if let Some(Ok(containers)) = handler_state.as_deref().map(Containers::of) {
                containers.prune();
            }
        }
        if let Err(error) = engine.ensure().await {
            tracing::warn!("{error}");
        }
    }
    engine.stop().await;
}

fn node(config: &Config, client: &Client, cri: &Cri, recorder: &Arc<Recorder>) -> Node {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let profiles = Profiles {
        folder: config.layout().profiles(),
        resolved: config.layout().resolved_profiles(),
        default: config.default_profile,
        kernel: release.trim().parse().unwrap_or(KernelVersion::LATEST),
    };
    let resolver = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    Node {
        client: client.clone(),
        cri: cri.clone(),
        layout: config.layout().clone(),
        facts: Facts {
            node: config.name.clone(),
            host_ip: config.ip.to_string(),
            pod_ip: String::new(),
            memory: register::memory(),
            processors: register::processors(),
        },
        resolver: Resolver::parse(&resolver),
        logs: Logs::default(),
        server: ApiServer::new(&config.server, matches!(config.engine, EngineChoice::Start(_))),
        profiles,
        default_seccomp: config.default_seccomp,
        recorder: Arc::clone(recorder),
        has_selinux: has_selinux(),
        doubts: Arc::default(),
        socket: match &config.engine {
            EngineChoice::Start(_) => config.layout().socket(),
            EngineChoice::Use(socket) => socket.clone(),
        },
        handler_state: config.handler_state.clone(),
        handler: String::new(),
    }
}

/// Follows the pods bound to this node.
async fn pods(node: &Arc<Node>, client: Client) {
    let api: Api<Pod> = Api::all(client);
    let selector = format!("spec.nodeName={}", node.facts.node);
    let watch = watcher::watcher(api, watcher::Config::default().fields(&selector));
    let mut watch = std::pin::pin!(watch);
    let mut handles: HashMap<String, Handle> = HashMap::new();
    let mut listed: Option<Vec<Pod>> = None;
    let mut seen: HashMap<String, i32> = HashMap::new();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = watch.next() => match event {
                Some(Ok(Event::Init)) => listed = Some(Vec::new()),
                Some(Ok(Event::InitApply(pod))) => listed.get_or_insert_default().push(pod),
                Some(Ok(Event::InitDone)) => {
                    settle(node, &mut handles, listed.take().unwrap_or_default()).await;
                }
                Some(Ok(Event::Apply(pod))) => apply(node, &mut handles, pod),
                Some(Ok(Event::Delete(pod))) => gone(&mut handles, pod),
                Some(Err(error)) => {
                    tracing::debug!("pods cannot be watched: {error}");
                    tokio::time::sleep(LOOK).await;
                }
                None => return,
            },
            _ = look.tick(), if !handles.is_empty() => {
                wake_changed(node, &handles, &mut seen).await;
                handles.retain(|_, handle| !handle.task.is_finished());
            }
        }
    }
}

fn apply(node: &Arc<Node>, handles: &mut HashMap<String, Handle>, pod: Pod) {
    let uid = names(&pod).uid.to_owned();
    let pod = Arc::new(pod);
    match handles.get(&uid).filter(|handle| !handle.task.is_finished()) {
        Some(handle) => {
            handle.desired.send_replace(Desired::There(pod));
        }
        None => {
            handles.insert(uid, worker::start(node, pod));
        }
    }
}

fn gone(handles: &mut HashMap<String, Handle>, pod: Pod) {
    if let Some(handle) = handles.get(names(&pod).uid) {
        handle.desired.send_replace(Desired::Gone(Arc::new(pod)));
    }
}

/// Reconciles with a complete list of pods: others are ended, including those of an earlier agent.
async fn settle(node: &Arc<Node>, handles: &mut HashMap<String, Handle>, pods: Vec<Pod>) {
    let listed: std::collections::HashSet<String> =
        pods.iter().map(|pod| names(pod).uid.to_owned()).collect();
    for (_, handle) in handles.iter().filter(|(uid, _)| !listed.contains(*uid)) {
        let last = match &*handle.desired.borrow() {
            Desired::There(pod) | Desired::Gone(pod) => Arc::clone(pod),
        };
        handle.desired.send_replace(Desired::Gone(last));
    }
    pods.into_iter().for_each(|pod| apply(node, handles, pod));
    let sandboxes = node.cri.list_sandboxes(ListPodSandboxRequest::default()).await.unwrap_or_default().items;
    let folders = std::fs::read_dir(node.layout.pods()).into_iter().flatten().flatten();
    let found = sandboxes.into_iter().filter_map(|sandbox| sandbox.labels.get(UID).cloned());
    let found = found.chain(folders.filter_map(|folder| folder.file_name().into_string().ok()));
    let orphans: std::collections::BTreeSet<String> =
        found.filter(|uid| !listed.contains(uid) && !handles.contains_key(uid)).collect();
    for uid in orphans {
        if let Err(error) = worker::clean(node, &uid, None).await {
            tracing::warn!("leftovers of pod {uid}: {error}");
        }
    }
}

/// Wakes the workers whose containers have changed.
async fn wake_changed(node: &Node, handles: &HashMap<String, Handle>, seen: &mut HashMap<String, i32>) {
    let Ok(containers) = node.cri.list_containers(ListContainersRequest::default()).await else { return };
    let Ok(sandboxes) = node.cri.list_sandboxes(ListPodSandboxRequest::default()).await else { return };
    let containers = containers.containers.into_iter().map(|it| (it.id, it.state, it.labels));
    let sandboxes = sandboxes.items.into_iter().map(|it| (it.id, it.state, it.labels));
    let mut now = HashMap::new();
    for (id, state, labels) in containers.chain(sandboxes) {
        if seen.get(&id) != Some(&state)
            && let Some(handle) = labels.get(UID).and_then(|uid| handles.get(uid))
        {
            handle.wake.notify_one();
        }
        now.insert(id, state);
    }
    *seen = now;
}
