//! Starting containers: volumes, sandbox, image, then the container itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Secret, Service, VolumeMount};
use tokio::time::Instant;

use super::backoff::{CONTAINER, OBJECTS, RECOVERED, SANDBOX};
use super::{Failure, Observed, Worker, attempt, is_named};
use crate::confined;
use crate::container::{self, Parts};
use crate::cri::message::{
    ContainerId, ContainerState, ContainerStatus, ContainerStatusRequest, CreateContainerRequest, Mount,
    MountPropagation, PodSandboxConfig, RunPodSandboxRequest,
};
use crate::env::{self, Facts, Sources};
use crate::event::Level;
use crate::image::{self, ImageError, Present};
use crate::plan;
use crate::probe::{self, Target};
use crate::proxy;
use crate::sandbox;
use crate::seccomp;
use crate::slot::{Slot, names};
use crate::volume::{self, Ready};

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

    /// The image of a container, pulled if necessary.
    async fn ensure_image(&self, pod: &Pod, slot: &Slot) -> Result<Result<Present, Held>, Failure> {
        let name = slot.container.image.clone().unwrap_or_default();
        let policy = slot.container.image_pull_policy.as_deref().unwrap_or("IfNotPresent");
        let held = |error: &ImageError, reason| Held { reason, message: error.to_string(), event: "Failed" };
        let present = match image::present(&self.node.cri, &name).await {
            Ok(present) => present,
            Err(error @ crate::cri::CriError::Refused { .. }) => {
                return Ok(Err(held(&ImageError::Pull(name, error), "InvalidImageName")));
            }
            Err(error) => return Err(error.into()),
        };
        let is_own = policy != "Always" || image::is_imported(&self.node.layout, &name);
        if let Some(present) = present.filter(|_| is_own) {
            let said = format!("Container image {name:?} already present on machine");
            self.say(pod, Some(slot.name()), Level::Normal, "Pulled", &said).await;
            return Ok(Ok(present));
        }
        if policy == "Never" {
            return Ok(Err(held(&ImageError::Never(name), "ErrImageNeverPull")));
        }
        let secrets = self.pull_secrets(pod).await?;
        self.say(pod, Some(slot.name()), Level::Normal, "Pulling", &format!("Pulling image {name:?}")).await;
        match image::pull(&self.node.cri, &name, &secrets).await {
            Ok(present) => {
                let said = format!("Successfully pulled image {name:?}");
                self.say(pod, Some(slot.name()), Level::Normal, "Pulled", &said).await;
                Ok(Ok(present))
            }
            Err(error) => Ok(Err(held(&error, "ErrImagePull"))),
        }
    }

    async fn pull_secrets(&self, pod: &Pod) -> Result<Vec<Secret>, Failure> {
        let listed = pod.spec.as_ref().and_then(|spec| spec.image_pull_secrets.as_ref());
        let mut secrets = Vec::new();
        for reference in listed.into_iter().flatten() {
            secrets.extend(volume::secret(&self.node.client, names(pod).namespace, &reference.name).await?);
        }
        Ok(secrets)
    }

    /// All parts of a container's configuration.
    async fn parts(
        &self,
        pod: &Pod,
        slot: &Slot,
        attempt: u32,
        image: Present,
        home: &Home<'_>,
    ) -> Result<Result<Parts, Held>, Failure> {
        if let Err(why) = container::check_user(pod, slot, &image.user) {
            return Ok(Err(Held::config(format!("Error: {why}"))));
        }
        let profile = seccomp::named(pod, slot, self.node.default_seccomp)
            .map_err(|error| error.to_string())
            .and_then(|named| self.node.profiles.of(&named, slot).map_err(|error| error.to_string()));
        let (seccomp, profile) = match profile {
            Ok(both) => both,
            Err(why) => return Ok(Err(Held::config(format!("Error: {why}")))),
        };
        let facts = Facts {
            pod_ip: home.ip.unwrap_or(&self.node.facts.host_ip).to_owned(),
            ..self.node.facts.clone()
        };
        let sources = self.sources(pod, slot).await?;
        let server = sources.services.iter().find(|service| proxy::is_api(service));
        let server = server.filter(|_| self.node.server.is_proxied(pod)).and_then(proxy::address);
        let environment = match env::environment(pod, &slot.container, &sources, &facts) {
            Ok(environment) => environment,
            Err(why) => return Ok(Err(Held::config(format!("Error: {why}")))),
        };
        let values: BTreeMap<String, String> = environment.iter().cloned().collect();
        let mut mounts = match self.mounts(pod, slot, home, &values) {
            Ok(mounts) => mounts,
            Err(why) => return Ok(Err(Held::config(format!("Error: {why}")))),
        };
        let message_file = self.own_files((pod, server), slot, attempt, home, &mut mounts)?;
        let expand = |words: &Option<Vec<String>>| -> Vec<String> {
            words.iter().flatten().map(|word| env::expand(word, &values)).collect()
        };
        let target = slot.target.as_ref().and_then(|target| {
            let latest = home.observed.latest(Some(home.sandbox));
            latest.get(target.as_str()).filter(|found| plan::runs(found)).map(|found| found.id.clone())
        });
        Ok(Ok(Parts {
            attempt,
            image: image.id,
            command: expand(&slot.container.command),
            args: expand(&slot.container.args),
            env: with_hostname(
                environment,
                match home.config.hostname.as_str() {
                    "" => &self.node.facts.node,
                    own => own,
                },
            ),
            mounts,
            seccomp: Some(seccomp),
            profile: profile.filter(|_| self.node.handler_state.is_some()),
            target,
            message_file,
            has_selinux: self.node.has_selinux,
            user: image.user,
        }))
    }

    async fn sources(&self, pod: &Pod, slot: &Slot) -> Result<Sources, Failure> {
        let (maps, secrets) = env::needs(&slot.container);
        let (client, namespace) = (&self.node.client, names(pod).namespace);
        let mut sources = Sources::default();
        if pod.spec.as_ref().and_then(|spec| spec.enable_service_links) != Some(false) {
            let services: kube::Api<Service> = kube::Api::namespaced(client.clone(), namespace);
            sources.services = services.list(&kube::api::ListParams::default()).await?.items;
        }
        sources.services.retain(|service| !proxy::is_api(service));
        // One of the pod's namespace with this name comes first, as a kubelet has it.
        if sources.services.iter().all(|service| service.metadata.name.as_deref() != Some(proxy::NAME)) {
            sources.services.extend(self.node.server.service(client, pod).await?);
        }
        for name in maps {
            let found = volume::config_map(client, namespace, &name).await?;
            sources.config_maps.insert(name, found);
        }
        for name in secrets {
            let found = volume::secret(client, namespace, &name).await?;
            sources.secrets.insert(name, found);
        }
        Ok(sources)
    }

    /// The mounts of a container's volumes.
    fn mounts(
        &self,
        pod: &Pod,
        slot: &Slot,
        home: &Home<'_>,
        values: &BTreeMap<String, String>,
    ) -> Result<Vec<Mount>, String> {
        let listed = slot.container.volume_mounts.iter().flatten().enumerate();
        listed
            .map(|(place, mount)| {
                let ready = home.volumes.get(&mount.name);
                let ready = ready.ok_or_else(|| format!("there is no volume {:?}", mount.name))?;
                let path = self.part(pod, slot, place, mount, ready, values)?;
                let propagation = match mount.mount_propagation.as_deref() {
                    Some("HostToContainer") => MountPropagation::HostToContainer,
                    Some("Bidirectional") => MountPropagation::Bidirectional,
                    _ => MountPropagation::Private,
                };
                Ok(Mount {
                    container_path: mount.mount_path.clone(),
                    host_path: path.display().to_string(),
                    readonly: mount.read_only == Some(true) || ready.is_read_only,
                    selinux_relabel: !ready.is_host && self.node.has_selinux,
                    propagation: propagation as i32,
                })
            })
            .collect()
    }

    /// A volume, or the part of it that a mount names (`subPath`).
    fn part(
        &self,
        pod: &Pod,
        slot: &Slot,
        place: usize,
        mount: &VolumeMount,
        ready: &Ready,
        values: &BTreeMap<String, String>,
    ) -> Result<std::path::PathBuf, String> {
        let part = match (&mount.sub_path, &mount.sub_path_expr) {
            (Some(path), _) if !path.is_empty() => path.clone(),
            (_, Some(path)) if !path.is_empty() => {
                let expanded = env::expand(path, values);
                if expanded.contains("$(") {
                    return Err(format!("subPathExpr {path:?} names a variable that is not set"));
                }
                expanded
            }
            _ => return Ok(ready.path.clone()),
        };
        let folder = self.node.layout.pod(names(pod).uid).join("subpaths");
        let at = folder.join(&mount.name).join(slot.name()).join(place.to_string());
        volume::bind_subpath(&ready.path, &part, &at)
            .map_err(|error| format!("subPath {part:?} of volume {:?}: {error}", mount.name))
    }

    /// The files that the node gives to every container: `/etc/hosts`, and the termination message.
    fn own_files(
        &self,
        (pod, server): (&Pod, Option<&str>),
        slot: &Slot,
        attempt: u32,
        home: &Home<'_>,
        mounts: &mut Vec<Mount>,
    ) -> Result<String, Failure> {
        let folder = self.node.layout.pod(names(pod).uid);
        let container = folder.join("containers").join(slot.name());
        std::fs::create_dir_all(&container)?;
        let mut give = |path: &str, file: &Path| {
            if mounts.iter().all(|mount| mount.container_path != path) {
                mounts.push(Mount {
                    container_path: path.to_owned(),
                    host_path: file.display().to_string(),
                    selinux_relabel: self.node.has_selinux,
                    ..Default::default()
                });
            }
        };
        let hosts = folder.join("etc-hosts");
        std::fs::write(&hosts, hosts_file(pod, home, server))?;
        give("/etc/hosts", &hosts);
        let message = container.join(format!("{attempt}.message"));
        std::fs::write(&message, "")?;
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&message, std::fs::Permissions::from_mode(0o666))?;
        let path = slot.container.termination_message_path.as_deref().unwrap_or("/dev/termination-log");
        give(path, &message);
        Ok(message.display().to_string())
    }

    /// Removes all but the two latest containers of each name.
    pub(super) async fn remove_old(&self, observed: &Observed) -> Result<(), Failure> {
        let mut all: Vec<_> = observed.containers.iter().filter(|found| plan::has_ended(found)).collect();
        all.sort_by_key(|found| std::cmp::Reverse(attempt(found)));
        for found in all {
            let name = found.metadata.as_ref().map(|metadata| metadata.name.as_str()).unwrap_or_default();
            let newest = observed.containers.iter().filter(|other| is_named(other, name)).map(attempt).max();
            if attempt(found) + 1 < newest.unwrap_or(0) {
                self.node.cri.remove_container(ContainerId { container_id: found.id.clone() }).await?;
                let log = Path::new(&found.log_path);
                let _ = std::fs::remove_file(log);
                let _ = std::fs::remove_file(crate::log::moved(log));
            }
        }
        Ok(())
    }

    /// Removes the sandboxes beside the one that works: an agent or engine that was killed may have made another.
    pub(super) async fn remove_fallen(&self, observed: &Observed) {
        let Some(ready) = observed.ready() else { return };
        for other in observed.sandboxes.iter().filter(|other| other.id != ready.id) {
            if let Err(error) = self.node.remove_sandbox(&other.id).await {
                tracing::warn!("the sandbox {} that fell stays for now: {error}", other.id);
            }
        }
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

fn with_hostname(mut environment: Vec<(String, String)>, hostname: &str) -> Vec<(String, String)> {
    if environment.iter().all(|(key, _)| key != "HOSTNAME") {
        environment.push(("HOSTNAME".to_owned(), hostname.to_owned()));
    }
    environment
}

/// The content of a pod's `/etc/hosts`. There is no cluster DNS: it also has the names of the API server's service, if
/// that has an address.
fn hosts_file(pod: &Pod, home: &Home<'_>, server: Option<&str>) -> String {
    let spec = pod.spec.as_ref();
    let mut text = match spec.and_then(|spec| spec.host_network) {
        Some(true) => std::fs::read_to_string("/etc/hosts").unwrap_or_default(),
        _ => {
            let own = home.ip.unwrap_or("127.0.0.1");
            format!(
                "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n{own}\t{}\n",
                home.config.hostname
            )
        }
    };
    for alias in spec.and_then(|spec| spec.host_aliases.as_ref()).into_iter().flatten() {
        let hosts = alias.hostnames.iter().flatten().map(String::as_str).collect::<Vec<_>>();
        text.push_str(&format!("{}\t{}\n", alias.ip, hosts.join("\t")));
    }
    if let Some(address) = server {
        text.push_str(&format!("{address}\t{}\n", proxy::NAMES.join("\t")));
    }
    text
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
