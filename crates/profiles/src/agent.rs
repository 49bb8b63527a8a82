//! The agent of one node: it watches the objects, maintains the folder, and reports its content.

use std::collections::{BTreeMap, BTreeSet};
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
    listed: BTreeMap<Origin, BTreeSet<Name>>,
}

impl State {
    fn take(&mut self, change: Change) {
        match change {
            Change::Put(name, spec) => {
                if let Some(listed) = self.listed.get_mut(&name.origin()) {
                    listed.insert(name.clone());
                }
                self.catalog.put(name, spec);
            }
            Change::Gone(name) => self.catalog.remove(&name),
            Change::Begin(origin) => drop(self.listed.insert(origin, BTreeSet::new())),
            Change::End(origin) => {
                if let Some(listed) = self.listed.remove(&origin) {
                    self.catalog.retain(origin, |name| listed.contains(name));
                }
                self.complete.insert(origin);
            }
            Change::Unserved(origin) => {
                self.listed.remove(&origin);
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
        // The report is sent even if a removal fails.
        let cleared = self.clear(&mut report).await;
        // An incomplete list would take back what the node's object said before the agent was started anew.
        if complete {
            self.tell(&report).await?;
        }
        cleared
    }

    /// Removes the files that neither an object nor a pod needs.
    async fn clear(&mut self, report: &mut Report) -> Result<(), RoundError> {
        let old = self.keeper.old(self.config.grace);
        if old.is_empty() {
            return Ok(());
        }
        let used = self.used().await?;
        let unused = self.keeper.unused(&old, &used);
        self.keeper.remove(&unused)?;
        report.profiles.retain(|digest, _| !unused.contains(digest));
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names(state: &State) -> Vec<String> {
        state.catalog.names().map(ToString::to_string).collect()
    }

    #[test]
    fn names_are_kept_only_while_a_list_is_incomplete() {
        let name = |n: usize| Name::new(Origin::Palisade, "", &format!("p{n}"));
        let put = |n| Change::Put(name(n), json!({}));
        let mut state = State::default();
        state.take(Change::Begin(Origin::Palisade));
        (0..3).for_each(|n| state.take(put(n)));
        state.take(Change::End(Origin::Palisade));
        assert!(!state.is_complete() && state.listed.is_empty());
        for n in 3..1000 {
            state.take(put(n));
            state.take(Change::Gone(name(n)));
        }
        assert!(state.listed.is_empty());
        assert_eq!(names(&state).len(), 3);
        // A list that is begun again counts alone, and one of another kind takes nothing away.
        state.take(Change::Begin(Origin::Palisade));
        state.take(put(1));
        state.take(Change::Begin(Origin::Palisade));
        state.take(put(2));
        state.take(Change::Unserved(Origin::Operator));
        state.take(Change::End(Origin::Palisade));
        assert_eq!(names(&state), ["seccompprofiles.palisade.openshift.io/p2"]);
        assert!(state.is_complete() && state.listed.is_empty());
    }
}
