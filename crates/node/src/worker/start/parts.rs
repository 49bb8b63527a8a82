//! The parts of a container's configuration: profile, environment, mounts, and the files that the node gives it.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Pod, Service, VolumeMount};

use super::{Held, Home};
use crate::container::{self, Parts};
use crate::cri::message::{Mount, MountPropagation};
use crate::env::{self, Facts, Sources};
use crate::image::Present;
use crate::plan;
use crate::proxy;
use crate::seccomp;
use crate::slot::{Slot, names};
use crate::volume::{self, Ready};
use crate::worker::{Failure, Worker};

impl Worker {
    /// All parts of a container's configuration.
    pub(super) async fn parts(
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
    ) -> Result<PathBuf, String> {
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
        std::fs::set_permissions(&message, std::fs::Permissions::from_mode(0o666))?;
        let path = slot.container.termination_message_path.as_deref().unwrap_or("/dev/termination-log");
        give(path, &message);
        Ok(message.display().to_string())
    }
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
