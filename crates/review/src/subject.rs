//! A workload under review: its pod, and the user who creates it.

use std::collections::HashMap;

use palisade_admission::{PodRequest, Scopes};
use palisade_k8s::manifest::Node;
use palisade_k8s::workload::{WorkloadKind, add_claims};
use palisade_k8s::{FieldPath, Pod, fit, put};
use palisade_scc::Mutation;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use palisade_console::files::{Document, Place};

use crate::unknown::{self, Unknown};

/// The namespace of objects that name none. SCC applies to it; `default` would be exempt.
pub const ASSUMED_NAMESPACE: &str = "assumed";

/// An object of a workload's kind without a valid pod.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// It has no template.
    #[error("{0}: {kind} has no {template}", kind = .1.kind, template = .1.template)]
    NoTemplate(Place, &'static WorkloadKind),
    /// The pod does not fit its type, for this reason.
    #[error("{0}: the pod does not fit its type: {1}")]
    Misfit(Place, String),
}

/// Options that count for all workloads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// The namespace of objects without one.
    pub namespace: Option<&'a str>,
    /// The account of all workloads, whatever they name.
    pub service_account: Option<&'a str>,
    /// The user who creates pods without a controller; the controllers create the pods of workloads.
    pub user: Option<&'a str>,
    /// Groups of that user.
    pub groups: &'a [String],
}

/// The service accounts among documents, by namespace and name: whether pods mount their tokens.
#[derive(Debug, Default)]
pub struct Accounts<'d>(HashMap<(&'d str, &'d str), Mount>);

/// The `automountServiceAccountToken` of an account, if it is set, and its document.
#[derive(Clone, Copy, Debug)]
struct Mount {
    document: usize,
    is_wanted: Option<bool>,
}

impl<'d> Accounts<'d> {
    /// The accounts of documents; of two of one name, the first counts.
    pub fn new(documents: &'d [Document]) -> Self {
        let mut accounts = HashMap::new();
        for (index, document) in documents.iter().enumerate() {
            if document.text("kind") == "ServiceAccount" {
                let wanted = document.node.get("automountServiceAccountToken").map(Node::to_json);
                let mount = Mount { document: index, is_wanted: wanted.and_then(|wanted| wanted.as_bool()) };
                accounts.entry((document.metadata("namespace"), document.metadata("name"))).or_insert(mount);
            }
        }
        Self(accounts)
    }

    /// Whether pods of an account mount its token, as far as the account says.
    fn mounts(&self, namespace: &str, name: &str) -> Option<bool> {
        // One whose namespace is not written may be of any.
        let named = [namespace, ""].into_iter().filter_map(|namespace| self.0.get(&(namespace, name)));
        named.min_by_key(|mount| mount.document)?.is_wanted
    }
}

/// A workload under review.
#[derive(Debug)]
pub struct Subject {
    /// Its position.
    pub document: Document,
    /// The kind.
    pub kind: &'static WorkloadKind,
    /// The namespace.
    pub namespace: String,
    /// The user of the options, who creates the workload and not its pods.
    pub not_by: Option<String>,
    /// Whether the object or the options name the namespace.
    pub namespace_is_given: bool,
    /// The service account of the pod.
    pub service_account: String,
    /// The user who creates the pod.
    pub user: String,
    /// The user's groups.
    pub groups: Vec<String>,
    /// The pod's metadata and spec as they were written.
    pub template: Value,
    /// The same as the API server has it before SCC admission: with its account, the account's token, and host ports on
    /// the host network.
    pub pod: Value,
    /// Fields that a strict client refuses, and the workload as it was probably meant.
    pub(crate) unknown: Option<(Vec<Unknown>, Box<Subject>)>,
}

impl Subject {
    /// The workload in `document`, if it is one, which may name one of `accounts`.
    pub fn new(
        document: &Document,
        accounts: &Accounts<'_>,
        options: &Options<'_>,
    ) -> Result<Option<Self>, SubjectError> {
        let Some(kind) = WorkloadKind::of(document.text("apiVersion"), document.text("kind")) else {
            return Ok(None);
        };
        let Some(node) = document.node.at_path(&kind.template_path()) else {
            let place = document.place(&FieldPath::root());
            return Err(SubjectError::NoTemplate(place, kind));
        };
        let mut subject = Self::with(document, kind, template(node), accounts, options)?;
        let unknown = unknown::fields(document, kind);
        if !unknown.is_empty() {
            let meant = Self::with(document, kind, meant(document, kind, &unknown), accounts, options)?;
            subject.unknown = Some((unknown, Box::new(meant)));
        }
        Ok(Some(subject))
    }

    /// The workload of a document with this pod.
    fn with(
        document: &Document,
        kind: &'static WorkloadKind,
        template: Value,
        accounts: &Accounts<'_>,
        options: &Options<'_>,
    ) -> Result<Self, SubjectError> {
        let own_namespace = Some(document.metadata("namespace")).filter(|name| !name.is_empty());
        let namespace = own_namespace.or(options.namespace);
        let (user, asked_groups, not_by) = match (kind.controller, options.user) {
            ("", user) => (user.unwrap_or("user"), options.groups, None),
            (controller, asked) => (controller, &[][..], asked.filter(|asked| *asked != controller)),
        };
        let mut subject = Self {
            document: document.clone(),
            kind,
            namespace: namespace.unwrap_or(ASSUMED_NAMESPACE).to_owned(),
            namespace_is_given: namespace.is_some(),
            service_account: String::new(),
            user: user.to_owned(),
            not_by: not_by.map(str::to_owned),
            groups: groups(user, asked_groups),
            template,
            pod: Value::Null,
            unknown: None,
        };
        let asked = subject.parse()?.spec.service_account_name.to_string();
        let account =
            options.service_account.map(str::to_owned).or(Some(asked).filter(|name| !name.is_empty()));
        subject.service_account = account.unwrap_or_else(|| "default".to_owned());
        subject.pod = subject.completed(accounts);
        Ok(subject)
    }

    fn parse(&self) -> Result<Pod<'_>, SubjectError> {
        fit(&self.template).map_err(|misfit| {
            let place = self.document.place(&self.kind.template_path().join(&misfit.path));
            SubjectError::Misfit(place, misfit.to_string())
        })
    }

    fn completed(&self, accounts: &Accounts<'_>) -> Value {
        let mut pod = self.template.clone();
        put(&mut pod, &["spec", "serviceAccountName"], self.service_account.as_str().into());
        let claims = self.claims();
        add_claims(&mut pod, claims.iter().map(String::as_str), str::to_owned);
        let spec = pod.get_mut("spec").and_then(Value::as_object_mut);
        if let Some(spec) = spec {
            if spec.get("hostNetwork") == Some(&Value::Bool(true)) {
                share_ports(spec);
            }
            complete_volumes(spec, self.token_is_mounted(accounts));
        }
        pod
    }

    /// The names of the claims that a StatefulSet creates for each of its pods.
    fn claims(&self) -> Vec<String> {
        let templates = self.document.node.get("spec").and_then(|spec| spec.get("volumeClaimTemplates"));
        let templates = templates.map(Node::items).unwrap_or_default();
        let name = |claim: &Node| Some(claim.get("metadata")?.get("name")?.as_str()?.to_owned());
        templates.iter().filter(|_| self.kind.kind == "StatefulSet").filter_map(name).collect()
    }

    /// The pod as the API server has it before SCC admission.
    pub fn pod(&self) -> Pod<'_> {
        // It was parsed once already, when the subject was made.
        Pod::deserialize(&self.pod).unwrap_or_default()
    }

    /// The request to create its pod, of a user with these groups.
    pub fn request<'r>(&'r self, pod: &'r Pod<'r>, groups: &'r [&'r str]) -> PodRequest<'r> {
        PodRequest {
            namespace: &self.namespace,
            user: &self.user,
            groups,
            scopes: Scopes::default(),
            pod,
            mutation: Mutation::Allowed,
        }
    }

    /// `kind/name`, as kubectl prints it.
    pub fn title(&self) -> String {
        let name = self.document.metadata("name");
        let name = if name.is_empty() { self.document.metadata("generateName") } else { name };
        format!("{}/{name}", self.kind.short)
    }

    /// The position of a pod's field in the file.
    pub fn place(&self, pod_path: &FieldPath) -> Place {
        self.document.place(&self.path(pod_path))
    }

    /// A field of the pod as a path of the workload.
    pub fn path(&self, pod_path: &FieldPath) -> FieldPath {
        self.kind.template_path().join(pod_path)
    }

    fn token_is_mounted(&self, accounts: &Accounts<'_>) -> bool {
        let wanted = match self.template.get("spec").and_then(|spec| spec.get("automountServiceAccountToken"))
        {
            Some(wanted) => wanted.as_bool(),
            None => accounts.mounts(&self.namespace, &self.service_account),
        };
        wanted.unwrap_or(true)
    }
}

/// The group of all authenticated users, a service account's own groups, and the given ones.
fn groups(user: &str, given: &[String]) -> Vec<String> {
    let mut groups = given.to_vec();
    if let Some(account) = user.strip_prefix("system:serviceaccount:") {
        let namespace = account.split(':').next().unwrap_or_default();
        groups.extend(["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]);
    }
    groups.push("system:authenticated".to_owned());
    groups
}

/// The pod of a workload after the edits that mend its unknown fields.
fn meant(document: &Document, kind: &WorkloadKind, unknown: &[Unknown]) -> Value {
    let mut object = document.node.to_json();
    for edit in unknown.iter().flat_map(|unknown| &unknown.edits) {
        edit.apply(&edit.path, &mut object);
    }
    let mut names = kind.template.split('.').filter(|name| !name.is_empty());
    let pod = names.try_fold(&object, |object, name| object.get(name));
    pod_of(|part| pod?.get(part).cloned())
}

fn template(node: &Node) -> Value {
    pod_of(|part| node.get(part).map(Node::to_json))
}

/// A pod's metadata and spec, both of which are objects.
fn pod_of(part: impl Fn(&str) -> Option<Value>) -> Value {
    let part = |name: &str| part(name).unwrap_or_else(|| json!({}));
    let mut template = json!({"metadata": part("metadata"), "spec": part("spec")});
    for part in ["metadata", "spec"] {
        if let Some(value) = template.get_mut(part).filter(|value| value.is_null()) {
            *value = json!({});
        }
    }
    template
}

/// The volumes that a StatefulSet and the service account admission add to a pod.
fn complete_volumes(spec: &mut Map<String, Value>, is_mounted: bool) {
    let volumes = spec.entry("volumes").or_insert_with(|| json!([]));
    if volumes.is_null() {
        *volumes = json!([]);
    }
    let Some(volumes) = volumes.as_array_mut() else { return };
    let is_token = |volume: &Value| {
        let name = volume.get("name").and_then(Value::as_str);
        name.is_some_and(|name| name.starts_with(palisade_scc::advice::TOKEN_VOLUME))
    };
    // A pod from a cluster has it already.
    if is_mounted && !volumes.iter().any(is_token) {
        volumes.push(token_volume());
    }
}

/// On the host network a container's port is the node's.
fn share_ports(spec: &mut Map<String, Value>) {
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        let ports = containers.filter_map(|container| container.get_mut("ports")?.as_array_mut()).flatten();
        for port in ports.filter_map(Value::as_object_mut) {
            if let Some(number) = port.get("containerPort").cloned() {
                port.entry("hostPort").or_insert(number);
            }
        }
    }
}

/// The volume that the ServiceAccount admission plugin adds to every pod before SCC.
fn token_volume() -> Value {
    json!({"name": palisade_scc::advice::TOKEN_VOLUME, "projected": {"sources": [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_console::files;

    #[test]
    fn the_first_account_of_a_name_says_whether_its_token_is_mounted() {
        let account = |namespace: &str, mounts: &str| {
            format!(
                "{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: a{namespace}}}{mounts}}}\n---\n"
            )
        };
        let (here, other) = (", namespace: shop", ", namespace: other");
        let (yes, no) = (", automountServiceAccountToken: true", ", automountServiceAccountToken: false");
        // The accounts, what the pod says, and whether it gets a token.
        let cases = [
            (String::new(), "", true),
            (account(here, no), "", false),
            (account("", no), "", false),
            (account(other, no), "", true),
            (account(here, "") + &account("", no), "", true),
            (account("", no) + &account(here, yes), "", false),
            (account(here, yes) + &account(here, no), "", true),
            (account(here, no), ", automountServiceAccountToken: true", true),
            (account(here, yes), ", automountServiceAccountToken: false", false),
        ];
        for (accounts, said, is_mounted) in cases {
            let pod = format!(
                "{accounts}{{apiVersion: v1, kind: Pod, metadata: {{name: p, namespace: shop}}, spec: {{serviceAccountName: a, \
                 containers: [{{name: c, image: i}}]{said}}}}}"
            );
            let documents = files::parse("pod.yaml", pod.clone()).unwrap();
            let found = Accounts::new(&documents);
            let subject = Subject::new(documents.last().unwrap(), &found, &Options::default());
            let volumes = subject.unwrap().unwrap().pod["spec"]["volumes"].clone();
            assert_eq!(volumes.as_array().is_some_and(|volumes| !volumes.is_empty()), is_mounted, "{pod}");
        }
    }
}
