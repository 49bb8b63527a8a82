//! Starting containers: volumes, sandbox, image ([`pull`]), then the container itself, of its [`parts`].

mod parts;
mod pull;

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::time::Instant;

use super::backoff::{CONTAINER, OBJECTS, RECOVERED, SANDBOX};
use super::{Failure, Observed, Worker, attempt, is_named};
use crate::confined;
use crate::container;
use crate::cri::message::{
    ContainerId, ContainerState, ContainerStatus, ContainerStatusRequest, CreateContainerRequest,
    PodSandboxConfig, RunPodSandboxRequest,
};
use crate::event::Level;
use crate::plan;
use crate::probe::{self, Target};
use crate::sandbox;
use crate::slot::{Slot, names};
use crate::volume::Ready;

/// The key of a pod's own failures in the back-off: those of its volumes and its sandbox.
const POD: &str = "";
/// Maximum time of a hook after a start.
const HOOK: Duration = Duration::from_secs(300);

/// The key of a container's failures before it runs. Another image is tried at once.
fn creation(slot: &Slot) -> String {
    format!("{}/{}", slot.name(), slot.container.image.as_deref().unwrap_or_default())
}

/// The reason why a container is not started, as in its status, and a message.
struct Held {
    reason: &'static str,
    message: String,
    /// The event for it.
    event: &'static str,
}

/// The reason of a container whose settings are wrong, or name an object that does not exist.
const CONFIG: &str = "CreateContainerConfigError";

impl Held {
    fn config(message: impl Into<String>) -> Self {
        Self { reason: CONFIG, message: message.into(), event: "Failed" }
    }
}

impl Worker {
    /// Starts the permitted containers of a pod; returns the time of the next look.
    pub(super) async fn start_all(
        &mut self,
        pod: &Pod,
        slots: &[Slot],
        places: &[usize],
        observed: &Observed,
    ) -> Result<Duration, Failure> {
        if let Some(left) = self.memory.back_off.left(POD, Instant::now()) {
            return Ok(left);
        }
        for stale in observed.containers.iter().filter(|found| found.state == ContainerState::Created as i32)
        {
            // Created by an agent that ended before it could start it.
            self.node.cri.remove_container(ContainerId { container_id: stale.id.clone() }).await?;
        }
        let volumes = match self.make_volumes(pod).await {
            Ok(volumes) => volumes,
            Err(error) => {
                self.say(pod, None, Level::Warning, "FailedMount", &error.to_string()).await;
                return Ok(self.memory.back_off.fail(POD, OBJECTS, Instant::now()));
            }
        };
        let Some((sandbox, config, ip)) = self.ensure_sandbox(pod, observed).await? else {
            return Ok(self.memory.back_off.fail(POD, SANDBOX, Instant::now()));
        };
        self.memory.back_off.forget(POD);
        let mut wait = Duration::from_secs(600);
        for slot in places.iter().filter_map(|place| slots.get(*place)) {
            let last = observed
                .containers
                .iter()
                .filter(|found| is_named(found, slot.name()))
                .max_by_key(|found| attempt(found));
            if let Some(left) = self.must_wait(pod, slot, last).await {
                wait = wait.min(left);
                continue;
            }
            let next = next_attempt(pod, slot, last);
            let home =
                Home { sandbox: &sandbox, config: &config, ip: ip.as_deref(), volumes: &volumes, observed };
            match self.start_one(pod, slot, next, &home).await? {
                Ok(()) => {
                    self.memory.waiting.remove(slot.name());
                    self.memory.back_off.forget(&creation(slot));
                    wait = Duration::ZERO;
                }
                Err(held) => {
                    self.say(pod, Some(slot.name()), Level::Warning, held.event, &held.message).await;
                    wait = wait.min(self.hold(slot, held));
                }
            }
        }
        Ok(wait)
    }

    /// Records that a container is not started, and the time of the next try.
    fn hold(&mut self, slot: &Slot, held: Held) -> Duration {
        let pace = if held.reason == CONFIG { OBJECTS } else { CONTAINER };
        self.memory.waiting.insert(slot.name().to_owned(), (held.reason.to_owned(), held.message));
        self.memory.back_off.fail(&creation(slot), pace, Instant::now())
    }

    /// The remaining back-off of a container, if any: repeated failures wait longer each time.
    async fn must_wait(
        &mut self,
        pod: &Pod,
        slot: &Slot,
        last: Option<&ContainerStatus>,
    ) -> Option<Duration> {
        let name = slot.name();
        let now = Instant::now();
        let back_off = &mut self.memory.back_off;
        if let Some(left) = back_off.left(name, now).max(back_off.left(&creation(slot), now)) {
            if self.memory.waiting.get(name).is_some_and(|(reason, _)| reason == "ErrImagePull") {
                let image = slot.container.image.clone().unwrap_or_default();
                let message = format!("Back-off pulling image {image:?}");
                self.memory.waiting.insert(name.to_owned(), ("ImagePullBackOff".to_owned(), message));
            }
            return Some(left);
        }
        let last = last.filter(|last| plan::has_ended(last))?;
        let key = format!("{name}/{}", last.id);
        if !self.memory.said.insert(key) {
            // It has waited after this end already.
            return None;
        }
        if ran(last) > RECOVERED {
            back_off.forget(name);
        }
        if attempt(last) == 0 && !back_off.knows(name) {
            back_off.permit(name, now);
            return None;
        }
        let delay = back_off.fail(name, CONTAINER, now);
        let message = format!(
            "back-off {}s restarting failed container={name} pod={}_{}({})",
            delay.as_secs(),
            names(pod).name,
            names(pod).namespace,
            names(pod).uid
        );
        self.memory.waiting.insert(name.to_owned(), ("CrashLoopBackOff".to_owned(), message));
        let said = format!("Back-off restarting failed container {name} in pod {}", names(pod).name);
        self.say(pod, Some(name), Level::Warning, "BackOff", &said).await;
        Some(delay)
    }

    /// The pod's sandbox, created if there is none.
    async fn ensure_sandbox(
        &mut self,
        pod: &Pod,
        observed: &Observed,
    ) -> Result<Option<(String, PodSandboxConfig, Option<String>)>, Failure> {
        let last =
            observed.sandboxes.first().and_then(|sandbox| sandbox.metadata.as_ref()).map(|it| it.attempt);
        if let Some(sandbox) = observed.ready() {
            let config = sandbox::config(pod, self.node.place(), last.unwrap_or(0));
            return Ok(Some((sandbox.id.clone(), config, observed.ip.clone())));
        }
        for old in &observed.sandboxes {
            self.node.remove_sandbox(&old.id).await?;
        }
        let config = sandbox::config(pod, self.node.place(), last.map_or(0, |last| last + 1));
        std::fs::create_dir_all(&config.log_directory)?;
        self.say_of_selinux(pod).await;
        let request =
            RunPodSandboxRequest { config: Some(config.clone()), runtime_handler: self.node.handler.clone() };
        match self.node.cri.run_sandbox(request).await {
            Ok(made) => {
                if let Err(error) = crate::chain::note(&self.node.layout, &made.pod_sandbox_id) {
                    tracing::warn!("chains of {} may stay: {error}", names(pod).name);
                }
                if let Err(error) = crate::pids::limit(&self.node.layout, names(pod).uid) {
                    tracing::warn!("no limit on the processes of {}: {error}", names(pod).name);
                }
                let status = self.node.cri.sandbox_status(made.clone()).await?.status;
                let ip = status.and_then(|status| status.network).map(|network| network.ip);
                Ok(Some((made.pod_sandbox_id, config, ip.filter(|ip| !ip.is_empty()))))
            }
            Err(error) => {
                let message = format!("Failed to create pod sandbox: {error}");
                self.say(pod, None, Level::Warning, "FailedCreatePodSandBox", &message).await;
                Ok(None)
            }
        }
    }

    async fn say_of_selinux(&mut self, pod: &Pod) {
        let spec = pod.spec.as_ref();
        let asks = spec
            .and_then(|spec| spec.security_context.as_ref())
            .is_some_and(|it| it.se_linux_options.is_some())
            || crate::slot::slots(pod).iter().any(|slot| {
                slot.container.security_context.as_ref().is_some_and(|it| it.se_linux_options.is_some())
            });
        if asks && !self.node.has_selinux && self.memory.said.insert("selinux".to_owned()) {
            let message = "seLinuxOptions have no effect: this node's kernel has no SELinux";
            self.say(pod, None, Level::Warning, "SELinuxNotSupported", message).await;
        }
    }

    async fn start_one(
        &mut self,
        pod: &Pod,
        slot: &Slot,
        attempt: u32,
        home: &Home<'_>,
    ) -> Result<Result<(), Held>, Failure> {
        let name = slot.name().to_owned();
        let image = match self.ensure_image(pod, slot).await? {
            Ok(image) => image,
            Err(held) => return Ok(Err(held)),
        };
        let parts = match self.parts(pod, slot, attempt, image, home).await? {
            Ok(parts) => parts,
            Err(held) => return Ok(Err(held)),
        };
        let config = container::config(pod, slot, &parts, self.node.facts.memory);
        let request = CreateContainerRequest {
            pod_sandbox_id: home.sandbox.to_owned(),
            config: Some(config),
            sandbox_config: Some(home.config.clone()),
        };
        let id = match self.node.cri.create_container(request).await {
            Ok(made) => made.container_id,
            Err(error) => {
                let message = format!("Error: {error}");
                return Ok(Err(Held { reason: "CreateContainerError", message, event: "Failed" }));
            }
        };
        self.say(pod, Some(&name), Level::Normal, "Created", &format!("Created container: {name}")).await;
        if let Err(error) = self.node.cri.start_container(ContainerId { container_id: id.clone() }).await {
            let message = format!("Error: {error}");
            self.say(pod, Some(&name), Level::Warning, "Failed", &message).await;
            return self.not_started(id, message).await;
        }
        self.say(pod, Some(&name), Level::Normal, "Started", &format!("Started container {name}")).await;
        if let Some(words) = self.node.handler_state.as_ref().and_then(|state| confined::words(state, &id)) {
            self.say(pod, Some(&name), Level::Normal, "Confined", &words).await;
        }
        self.post_start(pod, slot, id, home).await?;
        Ok(Ok(()))
    }

    /// A container that the engine did not start. What the engine records as its end, `StartError`, counts as one: it is
    /// restarted, or the pod fails, as after an exit.
    async fn not_started(&self, id: String, message: String) -> Result<Result<(), Held>, Failure> {
        let question = ContainerStatusRequest { container_id: id.clone(), verbose: false };
        let found = self.node.cri.container_status(question).await?.status;
        if found.is_some_and(|found| plan::has_ended(&found)) {
            return Ok(Ok(()));
        }
        let _ = self.node.cri.remove_container(ContainerId { container_id: id }).await;
        Ok(Err(Held { reason: "RunContainerError", message, event: "Failed" }))
    }

    async fn post_start(&self, pod: &Pod, slot: &Slot, id: String, home: &Home<'_>) -> Result<(), Failure> {
        let hook = slot.container.lifecycle.as_ref().and_then(|life| life.post_start.as_ref());
        let Some(hook) = hook else { return Ok(()) };
        let ip = home.ip.or(Some(&self.node.facts.host_ip)).and_then(|ip| ip.parse().ok());
        let target = Target { id: id.clone(), ip, container: slot.container.clone() };
        if let Err(error) = probe::hook(&target, &self.node.cri, hook, HOOK).await {
            let message = format!("PostStartHook failed: {error}");
            self.say(pod, Some(slot.name()), Level::Warning, "FailedPostStartHook", &message).await;
            self.node.cri.stop_container(&id, 2).await?;
        }
        Ok(())
    }
}

/// How long a container ran; one that was never started did not.
fn ran(ended: &ContainerStatus) -> Duration {
    let nanoseconds = match ended.started_at {
        0 => 0,
        started => ended.finished_at.saturating_sub(started).max(0).unsigned_abs(),
    };
    Duration::from_nanos(nanoseconds)
}

/// The attempt number of a container's next start. The API remembers numbers that the engine may have lost in a crash.
fn next_attempt(pod: &Pod, slot: &Slot, last: Option<&ContainerStatus>) -> u32 {
    let known = crate::status::restarts(pod.status.as_ref(), slot.name());
    let known = known.map(|known| u32::try_from(known).unwrap_or(0).saturating_add(1));
    last.map_or(0, |last| attempt(last) + 1).max(known.unwrap_or(0))
}

/// The sandbox in which a container is started.
struct Home<'h> {
    sandbox: &'h str,
    config: &'h PodSandboxConfig,
    ip: Option<&'h str>,
    volumes: &'h BTreeMap<String, Ready>,
    observed: &'h Observed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_never_started_did_not_run() {
        let at = 1_800_000_000_000_000_000;
        for (started_at, finished_at, seconds) in
            [(at, at + 2_000_000_000, 2), (0, at, 0), (at, at - 1, 0), (at, 0, 0)]
        {
            let ended = ContainerStatus { started_at, finished_at, ..Default::default() };
            assert_eq!(ran(&ended), Duration::from_secs(seconds), "{started_at} {finished_at}");
        }
    }
}
