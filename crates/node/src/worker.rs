//! The worker of one pod, from its first container to its last: it reconciles the actual with the desired state.

mod backoff;
mod clean;
mod start;
mod stop;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use tokio::sync::{Notify, watch};

use crate::cri::CriResult;
use crate::cri::message::{
    ContainerFilter, ContainerState, ContainerStatus as Found, ContainerStatusRequest, ListContainersRequest,
    ListPodSandboxRequest, PodSandbox, PodSandboxFilter, SandboxId, SandboxState,
};
use crate::event::Level;
use crate::node::Node;
use crate::plan::{self, End, Latest, Restart};
use crate::probe::Probes;
use crate::sandbox::UID;
use crate::slot::{self, Slot, names};
use crate::status::{self, Known, View, Waiting};
use crate::volume::{self, Ready, Tokens};

pub(crate) use clean::{clean, clean_files, remove_cgroup};

/// Interval between rounds without an event.
const PERIOD: Duration = Duration::from_secs(10);
/// Interval between reads of ConfigMaps and Secrets.
const REFRESH: Duration = Duration::from_secs(10);

/// A pod as the API has it.
#[derive(Clone, Debug)]
pub(crate) enum Desired {
    There(Arc<Pod>),
    /// It was force-deleted, without waiting for its node.
    Gone(Arc<Pod>),
}

/// The handle of a pod's worker.
pub(crate) struct Handle {
    pub(crate) desired: watch::Sender<Desired>,
    pub(crate) wake: Arc<Notify>,
    pub(crate) task: tokio::task::JoinHandle<()>,
}

/// Starts the worker of a pod.
pub(crate) fn start(node: &Arc<Node>, pod: Arc<Pod>) -> Handle {
    let (desired, receiver) = watch::channel(Desired::There(pod));
    let wake = Arc::new(Notify::new());
    let worker = Worker {
        node: Arc::clone(node),
        desired: receiver,
        wake: Arc::clone(&wake),
        memory: Memory::default(),
    };
    Handle { desired, wake, task: tokio::spawn(worker.run()) }
}

/// The sandboxes and containers of a pod in the engine.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// The newest first.
    pub(crate) sandboxes: Vec<PodSandbox>,
    pub(crate) containers: Vec<Found>,
    /// The sandbox of each container.
    pub(crate) homes: BTreeMap<String, String>,
    pub(crate) ip: Option<String>,
}

impl Observed {
    /// The ready sandbox.
    pub(crate) fn ready(&self) -> Option<&PodSandbox> {
        self.sandboxes.iter().find(|sandbox| sandbox.state == SandboxState::Ready as i32)
    }

    /// The latest container of each name; of one sandbox, or of all.
    pub(crate) fn latest(&self, sandbox: Option<&str>) -> Latest<'_> {
        let mut latest: Latest<'_> = BTreeMap::new();
        for found in &self.containers {
            let home = self.homes.get(&found.id).map(String::as_str);
            // Created by an agent that ended before it could start it: it is ignored.
            if found.state == ContainerState::Created as i32 {
                continue;
            }
            if sandbox.is_some() && home != sandbox {
                continue;
            }
            let Some(metadata) = &found.metadata else { continue };
            let is_newer =
                latest.get(metadata.name.as_str()).is_none_or(|other| attempt(other) <= metadata.attempt);
            if is_newer {
                latest.insert(&metadata.name, found);
            }
        }
        latest
    }

    /// The one before the latest of a name.
    fn previous(&self, name: &str) -> Option<&Found> {
        let mut all: Vec<&Found> = self.containers.iter().filter(|found| is_named(found, name)).collect();
        all.sort_by_key(|found| attempt(found));
        all.len().checked_sub(2).and_then(|place| all.get(place)).copied()
    }
}

pub(crate) fn attempt(found: &Found) -> u32 {
    found.metadata.as_ref().map_or(0, |metadata| metadata.attempt)
}

pub(crate) fn is_named(found: &Found, name: &str) -> bool {
    found.metadata.as_ref().is_some_and(|metadata| metadata.name == name)
}

/// The sandboxes and containers of a pod in the engine.
pub(crate) async fn observe(node: &Node, uid: &str) -> CriResult<Observed> {
    let selector = std::collections::HashMap::from([(UID.to_owned(), uid.to_owned())]);
    let filter = PodSandboxFilter { label_selector: selector.clone(), ..Default::default() };
    let mut sandboxes = node.cri.list_sandboxes(ListPodSandboxRequest { filter: Some(filter) }).await?.items;
    sandboxes.sort_by_key(|sandbox| std::cmp::Reverse(sandbox.created_at));
    let filter = ContainerFilter { label_selector: selector, ..Default::default() };
    let listed = node.cri.list_containers(ListContainersRequest { filter: Some(filter) }).await?.containers;
    let mut observed = Observed { sandboxes, ..Default::default() };
    for container in listed {
        let question = ContainerStatusRequest { container_id: container.id.clone(), verbose: false };
        match node.cri.container_status(question).await {
            Ok(answer) => observed.containers.extend(answer.status),
            Err(error) if error.is_missing() => continue,
            Err(error) => return Err(error),
        }
        observed.homes.insert(container.id, container.pod_sandbox_id);
    }
    if let Some(sandbox) = observed.ready() {
        let question = SandboxId { pod_sandbox_id: sandbox.id.clone() };
        match node.cri.sandbox_status(question).await {
            Ok(answer) => {
                let network = answer.status.and_then(|status| status.network);
                observed.ip = network.map(|network| network.ip).filter(|ip| !ip.is_empty());
            }
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(observed)
}

/// The state of a worker between two rounds. All of it may be lost: a new agent begins without.
#[derive(Default)]
pub(crate) struct Memory {
    tokens: Tokens,
    volumes: Option<(tokio::time::Instant, BTreeMap<String, Ready>)>,
    back_off: backoff::BackOff,
    waiting: BTreeMap<String, Waiting>,
    /// By the container's ID.
    probes: BTreeMap<String, Probes>,
    /// Termination messages by container ID.
    messages: BTreeMap<String, String>,
    refused: Option<Waiting>,
    end: Option<End>,
    /// Sandboxes of an ended pod that are stopped: doing so again would only run CNI's plugins again.
    stopped: BTreeSet<String>,
    written: Option<PodStatus>,
    /// The version of the pod that the last write made.
    version: u64,
    said: BTreeSet<String>,
}

pub(crate) struct Worker {
    pub(crate) node: Arc<Node>,
    desired: watch::Receiver<Desired>,
    wake: Arc<Notify>,
    memory: Memory,
}

/// The outcome of a round.
enum Next {
    /// Look again after this time.
    Later(Duration),
    /// The pod no longer exists.
    Over,
}

impl Worker {
    async fn run(mut self) {
        let mut failures = 0_u32;
        loop {
            let desired = self.desired.borrow_and_update().clone();
            let mut changes = self.desired.clone();
            // A pull or a long grace period ends when a shorter grace period is requested.
            let next = tokio::select! {
                next = self.look(&desired) => next,
                () = hurried(&mut changes, &desired) => continue,
            };
            let wait = match next {
                Ok(Next::Over) => return,
                Ok(Next::Later(wait)) => {
                    failures = 0;
                    wait
                }
                Err(error) => {
                    failures += 1;
                    let (Desired::There(pod) | Desired::Gone(pod)) = &desired;
                    tracing::warn!("pod {}/{}: {error}", names(pod).namespace, names(pod).name);
                    Duration::from_millis(200 << failures.min(6))
                }
            };
            tokio::select! {
                changed = self.desired.changed() => if changed.is_err() { return },
                () = self.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn look(&mut self, desired: &Desired) -> Result<Next, Failure> {
        match desired {
            Desired::There(pod) if pod.metadata.deletion_timestamp.is_none() => self.sync(pod).await,
            Desired::There(pod) => self.finish(pod, true).await,
            Desired::Gone(pod) => self.finish(pod, false).await,
        }
    }

    /// One round of a pod that is to run.
    async fn sync(&mut self, pod: &Pod) -> Result<Next, Failure> {
        let slots = slot::slots(pod);
        if self.memory.end.is_none() && self.memory.refused.is_none() && ended_before(pod).is_some() {
            self.memory.end = ended_before(pod);
        }
        let mut observed = observe(&self.node, names(pod).uid).await?;
        if self.memory.refused.is_none() && self.memory.end.is_none() {
            self.memory.refused = self.refuses(pod, &observed).await;
        }
        if self.memory.refused.is_some() || self.memory.end.is_some() {
            self.stop_all(pod, &slots, &observed, None).await?;
            let observed = observe(&self.node, names(pod).uid).await?;
            self.report(pod, &slots, &observed).await?;
            return Ok(Next::Later(PERIOD * 6));
        }
        self.note_ends(&slots, &observed);
        self.end_what_probes_say(pod, &slots, &observed).await?;
        let restart = Restart::parse(pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()));
        let mut wait = PERIOD;
        let sandbox = observed.ready().map(|sandbox| sandbox.id.clone());
        let is_started = |found: &Found| {
            self.memory.probes.get(&found.id).is_some_and(|probes| probes.findings().is_started)
        };
        // Containers of a stopped sandbox have ended, even if the engine has not noticed.
        let latest = sandbox.as_deref().map(|id| observed.latest(Some(id))).unwrap_or_default();
        let plan = plan::plan(&slots, restart, &latest, &is_started);
        // Containers of a stopped sandbox count if they are not to be restarted.
        let ended = plan.end.or_else(|| match sandbox {
            None if restart == Restart::Never && !observed.latest(None).is_empty() => Some(
                plan::plan(&slots, restart, &observed.latest(None), &|_| true).end.unwrap_or(End::Failed),
            ),
            None => plan::plan(&slots, restart, &observed.latest(None), &|_| true).end,
            Some(_) => None,
        });
        if ended.is_some() {
            self.memory.end = ended;
            self.memory.waiting.clear();
            return Ok(Next::Later(Duration::ZERO));
        }
        if !plan.start.is_empty() {
            self.report(pod, &slots, &observed).await?;
            wait = self.start_all(pod, &slots, &plan.start, &observed).await?.min(wait);
            observed = observe(&self.node, names(pod).uid).await?;
        } else if self.refresh(pod).await {
            wait = wait.min(REFRESH);
        }
        if self.watch_all(&slots, &observed) {
            wait = wait.min(Duration::from_millis(50));
        }
        let running = observed.containers.iter().filter(|found| plan::runs(found));
        let logs = running.map(|found| (found.id.clone(), found.log_path.clone().into())).collect();
        self.node.logs.set(names(pod).uid, logs);
        self.remove_old(&observed).await?;
        self.remove_fallen(&observed).await;
        self.report(pod, &slots, &observed).await?;
        Ok(Next::Later(wait))
    }

    /// The reason why a pod cannot run here, or not any longer.
    async fn refuses(&mut self, pod: &Pod, observed: &Observed) -> Option<Waiting> {
        let spec = pod.spec.as_ref()?;
        let started = pod.status.as_ref().and_then(|status| status.start_time.as_ref());
        if let (Some(deadline), Some(started)) = (spec.active_deadline_seconds, started)
            && Timestamp::now().duration_since(started.0).as_secs() >= deadline
        {
            let why = "Pod was active on the node longer than the specified deadline";
            self.say(pod, None, Level::Normal, "DeadlineExceeded", why).await;
            return Some(("DeadlineExceeded".to_owned(), why.to_owned()));
        }
        if let Some(os) = spec.os.as_ref().filter(|os| os.name != "linux") {
            let why = format!("Failed to admit pod: it is for {}, and this node runs linux", os.name);
            self.say(pod, None, Level::Warning, "PodOSNotSupported", &why).await;
            return Some(("PodOSNotSupported".to_owned(), why));
        }
        if let Some(why) = volume::outgrown(&self.node.layout, pod) {
            self.say(pod, None, Level::Warning, "Evicted", &why).await;
            return Some(("Evicted".to_owned(), why));
        }
        if spec.host_users == Some(false) && observed.sandboxes.is_empty() {
            let why = "hostUsers: false requires an engine with user namespaces, and this node's does not support them";
            self.say(pod, None, Level::Warning, "FailedCreatePodSandBox", why).await;
            return Some(("UserNamespacesNotSupported".to_owned(), why.to_owned()));
        }
        None
    }

    /// Updates volumes; returns whether one can change.
    async fn refresh(&mut self, pod: &Pod) -> bool {
        let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref());
        let changes = volumes.into_iter().flatten().any(|volume| {
            volume.config_map.is_some()
                || volume.secret.is_some()
                || volume.projected.is_some()
                || volume.downward_api.is_some()
        });
        let is_due = self.memory.volumes.as_ref().is_none_or(|(at, _)| at.elapsed() >= REFRESH);
        if changes
            && is_due
            && let Err(error) = self.make_volumes(pod).await
        {
            self.say(pod, None, Level::Warning, "FailedMount", &error.to_string()).await;
        }
        changes
    }

    async fn make_volumes(&mut self, pod: &Pod) -> Result<BTreeMap<String, Ready>, volume::VolumeError> {
        let facts = crate::env::Facts {
            pod_ip: pod.status.as_ref().and_then(|status| status.pod_ip.clone()).unwrap_or_default(),
            ..self.node.facts.clone()
        };
        let maker = volume::Maker {
            client: &self.node.client,
            cri: &self.node.cri,
            socket: &self.node.socket,
            layout: &self.node.layout,
            facts: &facts,
        };
        let volumes = maker.all(pod, &mut self.memory.tokens).await?;
        self.memory.volumes = Some((tokio::time::Instant::now(), volumes.clone()));
        Ok(volumes)
    }

    /// Reads the termination messages of ended containers, while their files exist.
    fn note_ends(&mut self, slots: &[Slot], observed: &Observed) {
        for found in observed.containers.iter().filter(|found| plan::has_ended(found)) {
            self.memory.probes.remove(&found.id);
            if self.memory.messages.contains_key(&found.id) {
                continue;
            }
            let file = found.annotations.get(crate::container::MESSAGE_PATH);
            let text = file.and_then(|file| clean::last_words(std::path::Path::new(file)));
            let text = text.filter(|text| !text.is_empty()).or_else(|| {
                let slot = slots.iter().find(|slot| is_named(found, slot.name()))?;
                clean::last_lines(&self.node.layout.logs(), slot, found)
            });
            if let Some(text) = text {
                self.memory.messages.insert(found.id.clone(), text);
            }
        }
        self.memory.messages.retain(|id, _| observed.homes.contains_key(id));
    }

    /// Starts probes for every running container without; returns whether there was one.
    fn watch_all(&mut self, slots: &[Slot], observed: &Observed) -> bool {
        let before = self.memory.probes.len();
        let ip = observed.ip.as_deref().or(Some(&self.node.facts.host_ip)).and_then(|ip| ip.parse().ok());
        for slot in slots {
            let latest = observed.latest(None);
            let Some(found) = latest.get(slot.name()).filter(|found| plan::runs(found)) else { continue };
            let (cri, wake) = (&self.node.cri, &self.wake);
            self.memory.probes.entry(found.id.clone()).or_insert_with(|| {
                let target =
                    crate::probe::Target { id: found.id.clone(), ip, container: slot.container.clone() };
                Probes::start(cri, &target, wake)
            });
        }
        let has_more = self.memory.probes.len() > before;
        self.memory.probes.retain(|id, _| observed.homes.contains_key(id));
        has_more
    }

    pub(crate) async fn say(
        &self,
        pod: &Pod,
        container: Option<&str>,
        level: Level,
        reason: &str,
        message: &str,
    ) {
        self.node.recorder.say(pod, container, level, reason, message).await;
    }

    /// Writes the pod's status if it has changed.
    async fn report(&mut self, pod: &Pod, slots: &[Slot], observed: &Observed) -> Result<(), Failure> {
        let latest = observed.latest(None);
        let written = self.memory.written.as_ref().or(pod.status.as_ref());
        let mut known = BTreeMap::new();
        for slot in slots {
            let found = latest.get(slot.name()).copied();
            let findings = found
                .and_then(|found| self.memory.probes.get(&found.id))
                .map(Probes::findings)
                .unwrap_or_default();
            known.insert(
                slot.name(),
                Known {
                    latest: found,
                    previous: observed.previous(slot.name()),
                    waiting: self.memory.waiting.get(slot.name()),
                    is_started: findings.is_started,
                    is_ready: findings.is_ready,
                    messages: Some(&self.memory.messages),
                    written: status::of(written, slot.name()),
                },
            );
        }
        let is_host = pod.spec.as_ref().is_some_and(|spec| spec.host_network == Some(true));
        let pod_ip = match is_host && observed.ready().is_some() {
            true => Some(self.node.facts.host_ip.clone()),
            false => observed.ip.clone(),
        };
        let view = View {
            pod,
            written: self.memory.written.as_ref(),
            slots,
            known,
            host_ip: &self.node.facts.host_ip,
            pod_ip,
            end: self.memory.end,
            refused: self.memory.refused.as_ref(),
            now: Timestamp::now(),
        };
        let status = status::status(&view);
        let is_overwritten = version(pod) > self.memory.version
            && status::readiness(pod.status.as_ref()) != status::readiness(Some(&status));
        if self.memory.written.as_ref() == Some(&status) && !is_overwritten {
            return Ok(());
        }
        self.memory.version = self.write(pod, &status).await?.unwrap_or(self.memory.version);
        self.memory.written = Some(status);
        Ok(())
    }

    /// Writes a status; returns the new version of the pod.
    async fn write(&self, pod: &Pod, status: &PodStatus) -> Result<Option<u64>, Failure> {
        let mut value = serde_json::to_value(status).unwrap_or_default();
        // A merge patch keeps absent fields: these are set to null, so that they are removed when they no longer apply.
        for field in
            ["podIP", "podIPs", "reason", "message", "initContainerStatuses", "ephemeralContainerStatuses"]
        {
            if let Some(map) = value.as_object_mut() {
                map.entry(field).or_insert(serde_json::Value::Null);
            }
        }
        let patch = serde_json::json!({"metadata": {"uid": names(pod).uid}, "status": value});
        let pods: Api<Pod> = Api::namespaced(self.node.client.clone(), names(pod).namespace);
        let wrote = pods.patch_status(names(pod).name, &PatchParams::default(), &Patch::Merge(patch)).await;
        match wrote {
            Ok(pod) => Ok(Some(version(&pod))),
            // The pod was deleted, or replaced by one of the same name: the watch will report it.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 422) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends a pod and removes all its objects.
    async fn finish(&mut self, pod: &Pod, is_known: bool) -> Result<Next, Failure> {
        self.node.logs.set(names(pod).uid, Vec::new());
        let slots = slot::slots(pod);
        let observed = observe(&self.node, names(pod).uid).await?;
        let grace = match is_known {
            true => pod.metadata.deletion_grace_period_seconds.unwrap_or(30),
            false => 1,
        };
        self.stop_all(pod, &slots, &observed, Some(grace)).await?;
        if is_known {
            let observed = observe(&self.node, names(pod).uid).await?;
            self.note_ends(&slots, &observed);
            let codes = observed.latest(None);
            let all_fine = slots
                .iter()
                .filter(|slot| slot.kind == slot::Kind::Main)
                .all(|slot| codes.get(slot.name()).is_some_and(|found| found.exit_code == 0));
            self.memory.end = self.memory.end.or(Some(if all_fine { End::Succeeded } else { End::Failed }));
            self.memory.waiting.clear();
            self.report(pod, &slots, &observed).await?;
        }
        clean(&self.node, names(pod).uid, Some(pod)).await?;
        if is_known {
            let preconditions = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
            let params = DeleteParams {
                preconditions: Some(preconditions),
                ..DeleteParams::default().grace_period(0)
            };
            let pods: Api<Pod> = Api::namespaced(self.node.client.clone(), names(pod).namespace);
            match pods.delete(names(pod).name, &params).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Next::Over)
    }
}

/// The version of a pod, which increases with every write (guaranteed by Kubernetes since 1.35).
fn version(pod: &Pod) -> u64 {
    pod.metadata.resource_version.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Waits until the grace period of a pod is shortened.
async fn hurried(changes: &mut watch::Receiver<Desired>, known: &Desired) {
    let left = |desired: &Desired| match desired {
        Desired::There(pod) if pod.metadata.deletion_timestamp.is_none() => i64::MAX,
        Desired::There(pod) => pod.metadata.deletion_grace_period_seconds.unwrap_or(30),
        Desired::Gone(_) => -1,
    };
    let before = left(known);
    let shorter = changes.wait_for(|desired| left(desired) < before).await.is_ok();
    if !shorter {
        std::future::pending::<()>().await;
    }
}

/// The final phase of a pod that ended before this agent began.
fn ended_before(pod: &Pod) -> Option<End> {
    match pod.status.as_ref()?.phase.as_deref()? {
        "Succeeded" => Some(End::Succeeded),
        "Failed" => Some(End::Failed),
        _ => None,
    }
}

/// An error that ends a round, which is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Cri(#[from] crate::cri::CriError),
    #[error("the API server: {0}")]
    Api(#[from] kube::Error),
    #[error("{0}")]
    File(#[from] std::io::Error),
}
