//! The node's own object and lease: its capacity, and its heartbeat.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::config::{Config, EngineChoice};
use crate::cri::Cri;
use crate::node::ARCHITECTURE;
use crate::range::PodRange;

/// Renewal interval of the lease; its duration is four times as long.
const RENEWAL: Duration = Duration::from_secs(10);
/// Interval of status updates without a change, in renewals.
const STATUS: u32 = 6;

/// The facts with which a node registers.
pub(crate) struct Registration {
    name: String,
    ip: String,
    /// The range of its pods' addresses, if it is the node's to say.
    range: Option<PodRange>,
    port: Option<u16>,
    /// The reason why it cannot run pods, if there is one.
    why: Option<String>,
}

impl Registration {
    pub(crate) fn new(config: &Config, port: Option<u16>, why: Option<String>) -> Self {
        let range = match &config.engine {
            EngineChoice::Start(network) => Some(network.range()),
            EngineChoice::Use(_) => None,
        };
        Self { name: config.name.clone(), ip: config.ip.to_string(), range, port, why }
    }
}

fn line(path: &str, key: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix(key))
        .map(|value| value.trim().trim_matches('"').to_owned())
}

/// The machine's memory in bytes.
pub(crate) fn memory() -> i64 {
    let kilobytes =
        line("/proc/meminfo", "MemTotal:").and_then(|text| text.split(' ').next()?.parse::<i64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// The machine's processors.
pub(crate) fn processors() -> i64 {
    std::thread::available_parallelism().map_or(1, |count| i64::try_from(count.get()).unwrap_or(1))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(path)).unwrap_or_default().trim().to_owned()
}

async fn ready(registration: &Registration, cri: Option<&Cri>) -> (bool, &'static str, String, String) {
    let Some(cri) = cri else {
        let why = registration.why.clone().unwrap_or_default();
        return (false, "ContainerRuntimeMissing", why, String::new());
    };
    let engine = match cri.version(Default::default()).await {
        Ok(version) => format!("{}://{}", version.runtime_name, version.runtime_version),
        Err(error) => return (false, "ContainerRuntimeNotReady", error.to_string(), String::new()),
    };
    let said = cri.status(Default::default()).await.ok().and_then(|answer| answer.status).unwrap_or_default();
    let bad = said
        .conditions
        .into_iter()
        .find(|condition| !condition.status && condition.r#type.ends_with("Ready"));
    match bad {
        Some(bad) => (false, "ContainerRuntimeNotReady", format!("{}: {}", bad.reason, bad.message), engine),
        None => (true, "NodeReady", "the node runs pods".to_owned(), engine),
    }
}

async fn status(registration: &Registration, cri: Option<&Cri>, since: &mut Option<(bool, String)>) -> Value {
    let (is_ready, reason, message, engine) = ready(registration, cri).await;
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let since = match since {
        Some((was, at)) if *was == is_ready => at.clone(),
        _ => {
            *since = Some((is_ready, now.clone()));
            now.clone()
        }
    };
    let amounts =
        json!({"cpu": processors().to_string(), "memory": format!("{}Ki", memory() / 1024), "pods": "110"});
    json!({"status": {
        "addresses": [{"type": "InternalIP", "address": registration.ip}, {"type": "Hostname", "address": registration.name}],
        "capacity": amounts, "allocatable": amounts,
        "conditions": [{"type": "Ready", "status": if is_ready { "True" } else { "False" }, "reason": reason,
            "message": message, "lastHeartbeatTime": now, "lastTransitionTime": since}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": registration.port.unwrap_or(0)}},
        "nodeInfo": {
            "machineID": read("/etc/machine-id"), "systemUUID": read("/sys/class/dmi/id/product_uuid"),
            "bootID": read("/proc/sys/kernel/random/boot_id"),
            "kernelVersion": read("/proc/sys/kernel/osrelease"),
            "osImage": line("/etc/os-release", "PRETTY_NAME=").unwrap_or_default(),
            "containerRuntimeVersion": engine, "kubeletVersion": concat!("palisade-", env!("CARGO_PKG_VERSION")),
            "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": ARCHITECTURE,
        },
    }})
}

/// Keeps the node's object and its lease; returns the reason if the API server refuses the node.
pub(crate) async fn run(client: Client, registration: Registration, cri: Option<Cri>) -> String {
    let nodes: Api<NodeObject> = Api::all(client.clone());
    let leases: Api<Lease> = Api::namespaced(client, "kube-node-lease");
    let mut since = None;
    let mut count = 0_u32;
    let mut last_ready = None;
    loop {
        let body = status(&registration, cri.as_ref(), &mut since).await;
        let is_ready = since.as_ref().map(|(is_ready, _)| *is_ready);
        let is_due = count.is_multiple_of(STATUS) || is_ready != last_ready;
        if is_due || is_overwritten(&nodes, &registration.name, is_ready).await {
            match write(&nodes, &registration, &body).await {
                Ok(()) => last_ready = is_ready,
                Err(Unregistered::Refused(why)) => return why,
                Err(Unregistered::Failed(error)) => {
                    tracing::debug!("the node is not registered: {error}");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    continue;
                }
            }
        }
        if let Err(error) = renew(&leases, &registration.name).await {
            tracing::debug!("the lease is not renewed: {error}");
        }
        count += 1;
        tokio::time::sleep(RENEWAL).await;
    }
}

/// Whether the node was marked as lost, or deleted, while the agent could not reach the API server.
async fn is_overwritten(nodes: &Api<NodeObject>, name: &str, is_ready: Option<bool>) -> bool {
    let Ok(found) = nodes.get_opt(name).await else { return false };
    let status = found.and_then(|node| node.status).unwrap_or_default();
    let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
    ready.map(|condition| condition.status == "True") != is_ready
        || ready.is_some_and(|condition| condition.status == "Unknown")
}

/// The reason why a node is not registered.
enum Unregistered {
    /// The API server accepts no such node.
    Refused(String),
    /// Something else, which is tried again.
    Failed(kube::Error),
}

impl From<kube::Error> for Unregistered {
    fn from(error: kube::Error) -> Self {
        Self::Failed(error)
    }
}

async fn write(
    nodes: &Api<NodeObject>,
    registration: &Registration,
    status: &Value,
) -> Result<(), Unregistered> {
    let range = registration.range.map(|range| range.to_string());
    let spec = json!({"podCIDR": range, "podCIDRs": range.as_slice()});
    let written = match nodes.get_opt(&registration.name).await? {
        None => {
            let object = json!({
                "apiVersion": "v1", "kind": "Node",
                "metadata": {"name": registration.name, "labels": {
                    "kubernetes.io/hostname": registration.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": ARCHITECTURE,
                }},
                "spec": spec,
            });
            let object: NodeObject = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
            nodes.create(&PostParams::default(), &object).await
        }
        // It was started with another range before.
        Some(known)
            if range.is_some()
                && known.spec.as_ref().and_then(|spec| spec.pod_cidr.as_ref()) != range.as_ref() =>
        {
            let patch = Patch::Merge(json!({"spec": spec}));
            nodes.patch(&registration.name, &PatchParams::default(), &patch).await
        }
        Some(known) => Ok(known),
    };
    if let Err(kube::Error::Api(refused)) = &written
        && matches!(refused.code, 403 | 422)
    {
        return Err(Unregistered::Refused(refused.message.clone()));
    }
    written?;
    nodes.patch_status(&registration.name, &PatchParams::default(), &Patch::Merge(status)).await?;
    Ok(())
}

async fn renew(leases: &Api<Lease>, name: &str) -> kube::Result<()> {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
    let spec =
        json!({"holderIdentity": name, "leaseDurationSeconds": RENEWAL.as_secs() * 4, "renewTime": now});
    let patch = Patch::Merge(json!({"spec": spec}));
    match leases.patch(name, &PatchParams::default(), &patch).await {
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        other => return other.map(|_| ()),
    }
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease"}, "spec": spec});
    let lease: Lease = serde_json::from_value(lease).map_err(kube::Error::SerdeError)?;
    leases.create(&PostParams::default(), &lease).await.map(|_| ())
}
