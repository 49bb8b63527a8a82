//! The objects of an installation, in the order in which they are safe to create.
//!
//! Everything here is a pure function of [`Settings`]: `palisade install` prints or applies the objects, and the Helm
//! chart and the kustomize base are written from the same ones.

mod chart;
mod crd;
mod guard;
mod profiles;
mod rbac;
mod webhooks;
mod workload;

use crate::missing::MissingProfile;
use crate::mode::Mode;
use palisade_k8s::manifest;
use palisade_scc::BuiltinSet;
use serde_json::{Value, json};

pub use crate::mode::EXEMPT_LABEL;
pub use chart::{File, chart, kustomization};
pub use profiles::{AGENT, namespace as node_namespace};
pub use rbac::{CA_SECRET, LEASE};

/// The name of the Deployment, its Service, its service account and the webhook configurations.
pub const NAME: &str = "palisade";

/// The API server's treatment of a request that no replica answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailurePolicy {
    /// The request is refused.
    Fail,
    /// The request passes without SCC.
    Ignore,
}

impl FailurePolicy {
    /// Its name in a webhook configuration.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "Fail",
            Self::Ignore => "Ignore",
        }
    }
}

/// The way in which an API server reaches the webhooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Through the Service.
    Service,
    /// At this URL, without a trailing slash: for clusters whose API server is outside of the cluster's network.
    Url(String),
}

/// An administrator's choices. Strings may hold a Helm expression, so nothing here is parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The namespace of the workloads.
    pub namespace: String,
    /// The image that holds `palisade`.
    pub image: String,
    /// The number of replicas.
    pub replicas: Value,
    /// Whether the replicas use the host network: for networks that the API server cannot reach.
    pub host_network: Value,
    /// The port that replicas listen on.
    pub port: Value,
    /// The way in which the API server reaches them.
    pub reach: Reach,
    /// The failure policy, for when no replica answers.
    pub failure_policy: FailurePolicy,
    /// Exempt namespaces beside those that SCC exempts by name: CNI, CSI and the like.
    pub exempt: Vec<String>,
    /// The `caBundle` of the webhooks, by which API servers verify the replicas; `None` leaves it to the leader.
    pub ca_bundle: Option<String>,
    /// The mode of SCC in namespaces without a label.
    pub mode: Mode,
    /// The treatment of pods whose seccomp profiles nodes lack.
    pub missing_profile: MissingProfile,
    /// Whether to create a ServiceMonitor, for a Prometheus operator.
    pub monitor: bool,
    /// Whether refused pods are written into reports of `openreports.io`, whose definition must be installed already.
    pub reports: bool,
    /// Whether nodes get the profiles of SeccompProfile objects: [`Part::Profiles`].
    pub node_profiles: bool,
    /// The kubelet's root directory on the nodes.
    pub kubelet_dir: String,
    /// The engine of the nodes, if they also get the OCI runtime.
    pub oci: Option<Engine>,
}

/// An engine of nodes that can start containers by another OCI runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// containerd.
    Containerd,
    /// CRI-O.
    Crio,
}

impl Engine {
    /// Its option of `palisade oci install`.
    pub(crate) fn option(self) -> &'static str {
        match self {
            Self::Containerd => "--containerd",
            Self::Crio => "--crio",
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            namespace: "palisade-system".to_owned(),
            image: concat!("ghcr.io/palisade/palisade:", env!("CARGO_PKG_VERSION")).to_owned(),
            replicas: json!(3),
            host_network: json!(false),
            // Private clusters of GKE permit the API server to reach only 443 and 10250 of the nodes.
            port: json!(10250),
            reach: Reach::Service,
            failure_policy: FailurePolicy::Fail,
            exempt: Vec::new(),
            ca_bundle: None,
            mode: Mode::Enforce,
            missing_profile: MissingProfile::Warn,
            monitor: false,
            reports: false,
            node_profiles: false,
            kubelet_dir: "/var/lib/kubelet".to_owned(),
            oci: None,
        }
    }
}

/// A part of the installation. The parts are created in this order, and removed in the opposite one, so that the
/// webhooks exist only while there are replicas to answer them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Custom resource definitions. They and their objects are kept when the rest is removed.
    Definitions,
    /// The built-in SCCs with their roles and bindings. They are kept too.
    Policy,
    /// The replicas: namespace, rights, Deployment, Service.
    Server,
    /// The policy by which only users that may `exempt` set the label that opts a namespace out.
    Guard,
    /// The agents that write seccomp profiles on the nodes; only if [`Settings::node_profiles`] is set.
    Profiles,
    /// The webhook configurations.
    Webhooks,
}

impl Part {
    /// All parts, in the order of creation.
    pub const ALL: [Self; 6] =
        [Self::Definitions, Self::Policy, Self::Server, Self::Guard, Self::Profiles, Self::Webhooks];

    /// The parts that an administrator has chosen, in the order of creation.
    #[must_use]
    pub fn chosen(settings: &Settings) -> Vec<Self> {
        Self::ALL.into_iter().filter(|part| *part != Self::Profiles || settings.node_profiles).collect()
    }

    /// Its name on the command line, and the name of its file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Definitions => "definitions",
            Self::Policy => "policy",
            Self::Server => "server",
            Self::Guard => "guard",
            Self::Profiles => "profiles",
            Self::Webhooks => "webhooks",
        }
    }
}

/// The objects of one part.
#[must_use]
pub fn objects(part: Part, settings: &Settings) -> Vec<Value> {
    match part {
        Part::Definitions => {
            let mut objects = vec![crd::security_context_constraints()];
            objects.extend(profiles::definitions());
            objects
        }
        Part::Policy => builtins(),
        Part::Server => {
            let mut objects = vec![namespace(settings)];
            objects.extend(rbac::objects(settings));
            objects.extend(workload::objects(settings));
            objects
        }
        Part::Guard => guard::objects(settings),
        Part::Profiles => profiles::objects(settings),
        Part::Webhooks => webhooks::objects(settings),
    }
}

/// The objects of all chosen parts, in the order of creation.
#[must_use]
pub fn all(settings: &Settings) -> Vec<Value> {
    Part::chosen(settings).iter().flat_map(|part| objects(*part, settings)).collect()
}

/// The built-in set except `cluster-admin`, which every cluster has and its API server owns.
fn builtins() -> Vec<Value> {
    // The set is part of the program and parsed by its own tests.
    let documents = manifest::read(BuiltinSet::V4.manifest()).unwrap_or_default();
    let objects = documents.iter().map(manifest::Node::to_json);
    objects
        .filter(|object| object.pointer("/metadata/name").is_none_or(|name| name != "cluster-admin"))
        .collect()
}

fn namespace(settings: &Settings) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {
            "name": settings.namespace,
            "labels": {
                "app.kubernetes.io/name": NAME,
                "pod-security.kubernetes.io/enforce": if settings.host_network == json!(true) { "privileged" } else { "restricted" },
            },
        },
    })
}

/// The labels of all objects of the installation.
fn labels() -> Value {
    json!({"app.kubernetes.io/name": NAME, "app.kubernetes.io/managed-by": "palisade-install"})
}

/// The label by which the pods are selected.
fn selector() -> Value {
    json!({"app.kubernetes.io/name": NAME, "app.kubernetes.io/component": "webhook"})
}

fn metadata(name: &str, namespace: Option<&Settings>) -> Value {
    let mut metadata = json!({"name": name, "labels": labels()});
    if let (Some(settings), Some(map)) = (namespace, metadata.as_object_mut()) {
        map.insert("namespace".to_owned(), settings.namespace.clone().into());
    }
    metadata
}
