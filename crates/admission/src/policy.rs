//! The snapshot of policy that decisions are made over.

use std::collections::{BTreeMap, HashMap, HashSet};

use palisade_k8s::manifest;
use palisade_k8s::rbac::{Role, RoleBinding};
use palisade_k8s::scc::{GROUP, KIND, ObjectMeta, annotation};
use palisade_k8s::{FieldError, FieldPath, KernelVersion, Misfit, SecurityContextConstraints, fit};
use palisade_rbac::{Rbac, RbacObjects};
use palisade_scc::{BuiltinSet, NamespaceRanges, RangeError, SccSet};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::grants::GrantIndex;

/// The block that is assumed for a namespace that has none: what a cluster allocates first.
const ASSUMED_RANGES: [(&str, &str); 2] =
    [(annotation::UID_RANGE, "1000000000/10000"), (annotation::MCS, "s0:c1,c0")];

/// Everything that a decision depends on beside the request.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    pub(crate) sccs: SccSet,
    pub(crate) rbac: Rbac,
    pub(crate) grants: GrantIndex,
    pub(crate) namespaces: HashMap<String, Namespace>,
    pub(crate) pods: HashMap<(String, String), String>,
    pub(crate) kernel: Option<KernelVersion>,
}

impl Policy {
    /// The SCCs, in the order in which they are tried.
    #[must_use]
    pub fn sccs(&self) -> &SccSet {
        &self.sccs
    }

    /// Roles and bindings.
    #[must_use]
    pub fn rbac(&self) -> &Rbac {
        &self.rbac
    }

    /// A namespace of the policy.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.get(name)
    }

    /// The kernel that decides which sysctls are safe.
    #[must_use]
    pub fn kernel(&self) -> KernelVersion {
        self.kernel.unwrap_or(KernelVersion::LATEST)
    }
}

/// A namespace, as far as policy needs it.
#[derive(Clone, Debug)]
pub struct Namespace {
    pub(crate) ranges: Result<NamespaceRanges, RangeError>,
    pub(crate) opt_out: Option<&'static str>,
    assumed: bool,
}

impl Namespace {
    fn new(metadata: &ObjectMeta) -> Self {
        let annotations = &metadata.annotations;
        Self {
            ranges: NamespaceRanges::read(|key| annotations.get(key).map(String::as_str)),
            opt_out: opt_out(&metadata.labels),
            assumed: false,
        }
    }

    /// The label by which the namespace is left alone, if it is.
    #[must_use]
    pub fn opt_out(&self) -> Option<&'static str> {
        self.opt_out
    }

    /// Whether its ranges are not its own but assumed.
    #[must_use]
    pub fn is_assumed(&self) -> bool {
        self.assumed
    }

    /// What it allocates.
    ///
    /// # Errors
    ///
    /// An annotation that every namespace needs is missing.
    pub fn ranges(&self) -> Result<&NamespaceRanges, &RangeError> {
        self.ranges.as_ref()
    }
}

/// Namespaces that SCC leaves alone, by name (reference/scc.md 1b).
pub(crate) const EXEMPT_NAMESPACES: [&str; 6] =
    ["default", "kube-system", "kube-public", "openshift-node", "openshift-infra", "openshift"];

fn opt_out(labels: &BTreeMap<String, String>) -> Option<&'static str> {
    let label = |key: &str| labels.get(key).map(String::as_str);
    if label("security.openshift.io/disable-securitycontextconstraints") == Some("true") {
        return Some("security.openshift.io/disable-securitycontextconstraints=true");
    }
    match label("openshift.io/run-level") {
        Some("0") => Some("openshift.io/run-level=0"),
        Some("1") => Some("openshift.io/run-level=1"),
        _ => None,
    }
}

/// Why an object cannot be part of a policy.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PolicyError {
    /// It does not fit its type.
    #[error("{kind} does not fit its type: {misfit}")]
    Malformed {
        /// The object's kind.
        kind: String,
        /// What does not fit.
        misfit: Box<Misfit>,
    },
    /// It has no name.
    #[error("{0} has no metadata.name")]
    Nameless(String),
    /// It is there twice.
    #[error("{kind} {name} is there twice")]
    Repeated {
        /// The object's kind.
        kind: String,
        /// Its name, after its namespace where it has one.
        name: String,
    },
    /// An SCC that the API server would not accept.
    #[error("SecurityContextConstraints {name} is invalid: {}", join(.errors))]
    Invalid {
        /// Its name.
        name: String,
        /// What is wrong.
        errors: Vec<FieldError>,
    },
}

fn join(errors: &[FieldError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Collects objects into a [`Policy`].
///
/// Objects come in layers: within one, an object may be there once; a later layer replaces
/// what an earlier one has of the same name.
#[derive(Clone, Debug, Default)]
pub struct PolicyBuilder {
    sccs: BTreeMap<String, SecurityContextConstraints>,
    cluster_roles: BTreeMap<(String, String), Role>,
    roles: BTreeMap<(String, String), Role>,
    cluster_role_bindings: BTreeMap<(String, String), RoleBinding>,
    role_bindings: BTreeMap<(String, String), RoleBinding>,
    namespaces: HashMap<String, Namespace>,
    pods: HashMap<(String, String), String>,
    kernel: Option<KernelVersion>,
    layer: HashSet<(String, String, String)>,
}

#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    metadata: ObjectMeta,
}

impl PolicyBuilder {
    /// Starts another layer.
    pub fn next_layer(&mut self) {
        self.layer.clear();
    }

    /// Adds a built-in set as a layer of its own.
    ///
    /// # Errors
    ///
    /// None that a test does not exclude: the sets are part of the program.
    pub fn add_set(&mut self, set: BuiltinSet) -> Result<(), PolicyError> {
        let malformed = |why: manifest::ReadError| PolicyError::Malformed {
            kind: "built-in set".to_owned(),
            misfit: Box::new(Misfit { path: FieldPath::root(), why: why.to_string() }),
        };
        for document in manifest::read(set.manifest()).map_err(malformed)? {
            self.add(&document.to_json())?;
        }
        self.next_layer();
        Ok(())
    }

    /// Says which kernel the pods run on; without it, one that makes all safe sysctls safe.
    pub fn set_kernel(&mut self, kernel: KernelVersion) {
        self.kernel = Some(kernel);
    }

    /// Takes an object, and says whether it is part of policy: an SCC, a namespace, a role or
    /// binding, a pod (which exec and attach look up), or a `List` of such.
    ///
    /// # Errors
    ///
    /// The object is of such a kind but cannot be used.
    pub fn add(&mut self, object: &Value) -> Result<bool, PolicyError> {
        let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let rbac = group == palisade_k8s::rbac::GROUP;
        match kind {
            KIND if matches!(group, GROUP | "") => self.add_scc(object)?,
            "Namespace" if group.is_empty() => self.add_namespace(object)?,
            "Role" | "ClusterRole" if rbac => {
                let (role, key) = self.read::<Role>(object, kind)?;
                let roles = if kind == "Role" { &mut self.roles } else { &mut self.cluster_roles };
                roles.insert(key, role);
            }
            "RoleBinding" | "ClusterRoleBinding" if rbac => {
                let (binding, key) = self.read::<RoleBinding>(object, kind)?;
                let namespaced = kind == "RoleBinding";
                let bindings =
                    if namespaced { &mut self.role_bindings } else { &mut self.cluster_role_bindings };
                bindings.insert(key, binding);
            }
            "Pod" if group.is_empty() => {
                let (_, key) = self.read::<Head>(object, kind)?;
                self.pods.insert(key, object.to_string());
            }
            "List" if group.is_empty() => {
                let items = object.get("items").and_then(Value::as_array);
                items.into_iter().flatten().try_for_each(|item| self.add(item).map(drop))?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Gives a namespace that has no ranges of its own the ones that are assumed.
    pub fn assume_namespace(&mut self, name: &str) {
        let assumed = || {
            let value = |key: &str| ASSUMED_RANGES.iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
            NamespaceRanges::read(value)
        };
        let namespace = self.namespaces.entry(name.to_owned()).or_insert_with(|| Namespace {
            ranges: assumed(),
            opt_out: None,
            assumed: true,
        });
        if namespace.ranges.is_err() {
            namespace.ranges = assumed();
            namespace.assumed = true;
        }
    }

    /// Whether the policy has any SCC yet.
    #[must_use]
    pub fn has_sccs(&self) -> bool {
        !self.sccs.is_empty()
    }

    /// Computes everything that depends on the objects alone.
    #[must_use]
    pub fn build(self) -> Policy {
        let sccs = SccSet::new(self.sccs.into_values());
        let rbac = Rbac::new(RbacObjects {
            cluster_roles: self.cluster_roles.into_values().collect(),
            roles: self.roles.into_values().collect(),
            cluster_role_bindings: self.cluster_role_bindings.into_values().collect(),
            role_bindings: self.role_bindings.into_values().collect(),
        });
        Policy {
            grants: GrantIndex::new(&sccs, &rbac),
            sccs,
            rbac,
            namespaces: self.namespaces,
            pods: self.pods,
            kernel: self.kernel,
        }
    }

    fn add_scc(&mut self, object: &Value) -> Result<(), PolicyError> {
        let (mut scc, (_, name)) = self.read::<SecurityContextConstraints>(object, KIND)?;
        palisade_scc::default(&mut scc);
        let errors = palisade_scc::validate(&scc);
        if !errors.is_empty() {
            return Err(PolicyError::Invalid { name, errors });
        }
        self.sccs.insert(name, scc);
        Ok(())
    }

    fn add_namespace(&mut self, object: &Value) -> Result<(), PolicyError> {
        let (head, (_, name)) = self.read::<Head>(object, "Namespace")?;
        self.namespaces.insert(name, Namespace::new(&head.metadata));
        Ok(())
    }

    /// Reads an object and its key (namespace, name).
    fn read<T: DeserializeOwned>(
        &mut self,
        object: &Value,
        kind: &str,
    ) -> Result<(T, (String, String)), PolicyError> {
        let malformed = |misfit| PolicyError::Malformed { kind: kind.to_owned(), misfit };
        let head: Head = fit(object).map_err(malformed)?;
        let ObjectMeta { name, mut namespace, .. } = head.metadata;
        if name.is_empty() {
            return Err(PolicyError::Nameless(kind.to_owned()));
        }
        if matches!(kind, KIND | "Namespace" | "ClusterRole" | "ClusterRoleBinding") {
            namespace.clear();
        }
        if !self.layer.insert((kind.to_owned(), namespace.clone(), name.clone())) {
            let name = if namespace.is_empty() { name } else { format!("{namespace}/{name}") };
            return Err(PolicyError::Repeated { kind: kind.to_owned(), name });
        }
        let parsed = fit(object).map_err(malformed)?;
        Ok((parsed, (namespace, name)))
    }
}
