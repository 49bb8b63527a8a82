//! The objects beside the workloads under review that affect decisions on their pods too: the namespaces' Pod Security
//! labels, CSI drivers, and existing accounts.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use palisade_admission::Policy;
use palisade_k8s::manifest::Node;
use palisade_scc::pod_security::{Level, Standards};

use palisade_console::files::Document;

/// OpenShift's label of a CSI driver's profile.
pub(crate) const PROFILE: &str = "security.openshift.io/csi-ephemeral-volume-profile";

/// Maximum number of accounts of a namespace that are evaluated for one refused workload.
const MAX_ACCOUNTS: usize = 200;

/// All objects beside policy.
#[derive(Debug, Default)]
pub struct Surroundings {
    standards: HashMap<String, (Standards, Vec<String>)>,
    /// The profile of each CSI driver that has one, by OpenShift's label; or an invalid label.
    drivers: HashMap<String, Result<Level, String>>,
    accounts: BTreeMap<String, BTreeSet<String>>,
    without_scc: bool,
}

impl Surroundings {
    /// Reads all of these objects; of two about the same subject, the later counts.
    pub fn new(documents: &[Document]) -> Self {
        let mut surroundings = Self::default();
        documents.iter().for_each(|document| surroundings.add(document));
        surroundings
    }

    /// The same where a policy without SCCs is one of a cluster without SCC, rather than of one that admits no pod.
    #[must_use]
    pub fn without_scc(self, without_scc: bool) -> Self {
        Self { without_scc, ..self }
    }

    pub(crate) fn is_without_scc(&self) -> bool {
        self.without_scc
    }

    fn add(&mut self, document: &Document) {
        let name = document.metadata("name").to_owned();
        match document.text("kind") {
            "Namespace" => {
                let (standards, errors) = Standards::of_labels(|key| label(document, key));
                self.standards.insert(name, (standards, errors.iter().map(ToString::to_string).collect()));
            }
            "CSIDriver" => {
                let read = |label: &str| Level::parse(label).ok_or_else(|| label.to_owned());
                self.drivers.insert(name, label(document, PROFILE).map_or(Ok(Level::Privileged), read));
            }
            "ServiceAccount" => {
                self.accounts.entry(document.metadata("namespace").to_owned()).or_default().insert(name);
            }
            _ => {}
        }
    }

    /// The Pod Security labels of a namespace.
    pub fn standards(&self, namespace: &str) -> Standards {
        self.standards.get(namespace).map(|(standards, _)| *standards).unwrap_or_default()
    }

    /// Errors of a namespace's Pod Security labels.
    pub fn wrong_labels(&self, namespace: &str) -> &[String] {
        self.standards.get(namespace).map_or(&[], |(_, errors)| errors)
    }

    /// The profile of a CSI driver: `privileged` for one without a label, as for one that is not among the objects.
    ///
    /// # Errors
    ///
    /// Its label, which is not a level.
    pub fn driver(&self, name: &str) -> Result<Level, String> {
        self.drivers.get(name).cloned().unwrap_or(Ok(Level::Privileged))
    }

    /// Whether a CSI driver is among the objects.
    pub fn knows_driver(&self, name: &str) -> bool {
        self.drivers.contains_key(name)
    }

    /// The accounts of a namespace that the objects name or that a grant names.
    pub fn accounts(&self, policy: &Policy, namespace: &str) -> Vec<String> {
        let listed = [namespace, ""].into_iter().filter_map(|namespace| self.accounts.get(namespace));
        let mut names: BTreeSet<String> = listed.flatten().cloned().collect();
        let prefix = format!("system:serviceaccount:{namespace}:");
        let users = policy.sccs().entries().flat_map(|entry| entry.scc().users.iter().flatten());
        names.extend(users.filter_map(|user| user.strip_prefix(&prefix)).map(str::to_owned));
        names.into_iter().take(MAX_ACCOUNTS).collect()
    }
}

fn label<'d>(document: &'d Document, key: &str) -> Option<&'d str> {
    document.node.get("metadata")?.get("labels")?.get(key).and_then(Node::as_str)
}
