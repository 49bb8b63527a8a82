//! The agent of one node: it watches the objects, maintains the folder, and reports its content.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::catalog::{Catalog, Name};
use crate::digest::Digest;
use crate::feed::{self, Change};
use crate::folder::{Folder, FolderError};
use crate::keeper::Keeper;
use crate::machine::Machine;
use crate::report::{self, Report};
use crate::source::Origin;
use crate::usage;

/// Time that the agent waits after a change: several often come at once.
const SETTLE: Duration = Duration::from_millis(200);
/// Interval between checks of the files, without a change.
const LOOK: Duration = Duration::from_secs(60);
/// Interval between applications of the node's object, which may have been deleted.
const TELL: Duration = Duration::from_secs(300);
/// The pause after something that failed.
const PAUSE: Duration = Duration::from_secs(5);
/// Timeout of a request: a dead connection gives no answer.
const REQUEST: Duration = Duration::from_secs(20);
/// Number of pods in a page of the node's.
const PAGE: u32 = 200;
/// The field manager of the node's object.
const MANAGER: &str = "palisade-node-profiles";

/// The node, and how it is kept.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's name.
    pub node: String,
    /// The kubelet's root directory, as this process sees it.
    pub kubelet: PathBuf,
    /// Time for which a file without an object and a pod is kept: pods may be on their way.
    pub grace: Duration,
}

/// An error of one round. The next one tries again.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("{}", brief(.0))]
    Api(#[from] kube::Error),
    #[error("the API server does not answer")]
    Silent(#[from] tokio::time::error::Elapsed),
}

/// The API server's message, without its wrapping.
fn brief(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// Keeps the profiles of a node until `stop` is ready. Whatever fails is tried again.
///
/// # Errors
///
/// The folder cannot be opened.
pub async fn run(client: Client, config: Config, stop: impl Future<Output = ()>) -> Result<(), FolderError> {
    let keeper = Keeper::new(Folder::open(&config.kubelet)?, Machine::here());
    let changes = feed::follow(&client);
    let agent = Agent { client, config, keeper, state: State::default(), told: None };
    tokio::select! {
        () = agent.follow(changes) => {}
        () = stop => {}
    }
    Ok(())
}

/// The objects, as far as they have been told.
#[derive(Debug, Default)]
struct State {
    catalog: Catalog,
    complete: BTreeSet<Origin>,
    /// The names of lists that are not complete.
    listed: BTreeSet<Name>,
}

impl State {
    fn take(&mut self, change: Change) {
        match change {
            Change::Put(name, spec) => {
                self.listed.insert(name.clone());
                self.catalog.put(name, spec);
            }
            Change::Gone(name) => self.catalog.remove(&name),
            Change::Begin(origin) => self.listed.retain(|name| name.origin() != origin),
            Change::End(origin) => {
                self.catalog.retain(origin, |name| self.listed.contains(name));
                self.listed.retain(|name| name.origin() != origin);
                self.complete.insert(origin);
            }
            Change::Unserved(origin) => {
                self.catalog.retain(origin, |_| false);
                self.complete.insert(origin);
            }
        }
    }

    fn is_complete(&self) -> bool {
        Origin::ALL.iter().all(|origin| self.complete.contains(origin))
    }
}

struct Agent {
    client: Client,
    config: Config,
    keeper: Keeper,
    state: State,
    /// The last message, and its time.
    told: Option<(Value, Instant)>,
}

impl Agent {
    async fn follow(mut self, mut changes: mpsc::Receiver<Change>) {
        let mut pause = LOOK;
        loop {
            match timeout(pause, changes.recv()).await {
                Ok(None) => return,
                Ok(Some(change)) => {
                    self.state.take(change);
                    sleep(SETTLE).await;
                    while let Ok(change) = changes.try_recv() {
                        self.state.take(change);
                    }
                }
                Err(_) => {}
            }
            pause = match self.round().await {
                Ok(()) => LOOK.min(self.config.grace.max(SETTLE)),
                Err(error) => {
                    tracing::warn!("{error}");
                    PAUSE
                }
            };
        }
    }

    async fn round(&mut self) -> Result<(), RoundError> {
        let complete = self.state.is_complete();
        let mut report = tokio::task::block_in_place(|| self.keeper.keep(&self.state.catalog, complete))?;
        let old = self.keeper.old(self.config.grace);
        if !old.is_empty() {
            let used = self.used().await?;
            let unused: BTreeSet<Digest> = old.difference(&used).copied().collect();
            self.keeper.remove(&unused)?;
            report.profiles.retain(|digest, _| !unused.contains(digest));
        }
        // An incomplete list would take back what the node's object said before the agent was started anew.
        if complete { self.tell(&report).await } else { Ok(()) }
    }

    /// The digests that pods of this node use. Asked for only where a file may go, since it takes all of its pods.
    async fn used(&self) -> Result<BTreeSet<Digest>, RoundError> {
        let pods: Api<Pod> = Api::all(self.client.clone());
        let mut params =
            ListParams::default().fields(&format!("spec.nodeName={}", self.config.node)).limit(PAGE);
        let mut used = BTreeSet::new();
        loop {
            let page = timeout(REQUEST, pods.list(&params)).await??;
            used.extend(page.items.iter().flat_map(usage::named));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(used),
            }
        }
    }

    /// Applies the node's object, where it differs from what it was told last or that was long ago.
    async fn tell(&mut self, report: &Report) -> Result<(), RoundError> {
        let is_due = self.told.as_ref().is_none_or(|(_, when)| when.elapsed() >= TELL);
        let name = &self.config.node;
        let nodes: Api<Node> = Api::all(self.client.clone());
        let node = timeout(REQUEST, nodes.get_opt(name)).await??;
        let object = report.object(name, self.keeper.machine(), node.as_ref());
        if !is_due && self.told.as_ref().is_some_and(|(told, _)| *told == object) {
            return Ok(());
        }
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &report::resource());
        let params = PatchParams::apply(MANAGER).force();
        timeout(REQUEST, api.patch(name, &params, &Patch::Apply(&object))).await??;
        self.told = Some((object, Instant::now()));
        Ok(())
    }
}
