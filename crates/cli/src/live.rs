//! The policy and the workloads of a live cluster, read through its API.

use std::path::PathBuf;

use palisade_admission::PolicyBuilder;
use palisade_client::{OnWarning, Options, Pages, Session, encode};
use palisade_console::terminal;
use palisade_k8s::FieldPath;
use palisade_k8s::workload::{KINDS, WorkloadKind};
use serde_json::{Value, json};

use crate::files::{self, Document};

/// The configuration of an installation's validating webhooks.
const WEBHOOKS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/palisade";
/// Objects in a page of a list.
const PAGE: usize = 500;

/// The connection.
pub(crate) struct Connection<'a> {
    pub(crate) kubeconfig: Option<&'a PathBuf>,
    pub(crate) context: Option<&'a str>,
    /// The only namespace whose workloads are read.
    pub(crate) namespace: Option<&'a str>,
}

/// The lists of policy: path, API version, kind.
const POLICY: [(&str, &str, &str); 8] = [
    (
        "apis/security.openshift.io/v1/securitycontextconstraints",
        "security.openshift.io/v1",
        "SecurityContextConstraints",
    ),
    ("api/v1/namespaces", "v1", "Namespace"),
    ("api/v1/serviceaccounts", "v1", "ServiceAccount"),
    ("apis/rbac.authorization.k8s.io/v1/clusterroles", "rbac.authorization.k8s.io/v1", "ClusterRole"),
    (
        "apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        "rbac.authorization.k8s.io/v1",
        "ClusterRoleBinding",
    ),
    ("apis/rbac.authorization.k8s.io/v1/roles", "rbac.authorization.k8s.io/v1", "Role"),
    ("apis/rbac.authorization.k8s.io/v1/rolebindings", "rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("apis/storage.k8s.io/v1/csidrivers", "storage.k8s.io/v1", "CSIDriver"),
];

/// Reads all policy and all workloads. A list of a kind that is not served is empty; one that may not be read is an
/// error.
pub(crate) fn read(connection: &Connection<'_>) -> Result<(PolicyBuilder, Vec<Document>), crate::Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let objects = runtime.block_on(objects(connection))?;
    let documents =
        files::parse_answer("cluster", serde_json::to_string(&json!({"kind": "List", "items": objects}))?)?;
    let mut builder = PolicyBuilder::default();
    for document in documents.iter().filter(|document| document.text("kind") != "Pod") {
        if let Err(error) = builder.add(&document.node.to_json()) {
            terminal::note(format!("{}: {error}; passed over", document.place(&FieldPath::root())));
        }
    }
    if !builder.has_sccs() {
        return Err(
            "the cluster has no SecurityContextConstraints; with manifests, --policy names them".into()
        );
    }
    Ok((builder, documents))
}

async fn objects(connection: &Connection<'_>) -> Result<Vec<Value>, crate::Failure> {
    let options = Options {
        kubeconfig: connection.kubeconfig.cloned(),
        context: connection.context.map(str::to_owned),
        on_warning: OnWarning::new(|text| terminal::warn(text)),
        ..Options::default()
    };
    let session = Session::open(&options).await?;
    let mut found = Vec::new();
    for (path, version, kind) in POLICY {
        list(&session, path, version, kind, &mut found).await?;
    }
    let mut workloads = Vec::new();
    for kind in KINDS.iter().filter(|kind| kind.kind != "PodTemplate") {
        let (path, version) = place(kind, connection.namespace);
        list(&session, &path, &version, kind.kind, &mut workloads).await?;
    }
    let exempt = exempt(&session).await;
    let namespace =
        |object: &Value| object.pointer("/metadata/namespace").and_then(Value::as_str).map(str::to_owned);
    workloads.retain(|object| namespace(object).is_none_or(|name| !exempt.contains(&name)));
    found.append(&mut workloads);
    Ok(found)
}

/// The namespaces that the webhooks of an installation leave alone by name: SCC does not decide on their pods. Without
/// webhooks, or the right to read them, there are none.
async fn exempt(session: &Session) -> Vec<String> {
    session.get(WEBHOOKS).await.map(|found| exempt_names(&found)).unwrap_or_default()
}

fn exempt_names(configuration: &Value) -> Vec<String> {
    let webhooks = configuration.get("webhooks").and_then(Value::as_array);
    let pods = webhooks.into_iter().flatten().find(|webhook| {
        webhook.get("name").and_then(Value::as_str).is_some_and(|name| name.starts_with("pods."))
    });
    let expressions =
        pods.and_then(|webhook| webhook.pointer("/namespaceSelector/matchExpressions")?.as_array());
    let by_name = expressions.into_iter().flatten().filter(|expression| {
        expression.get("key").is_some_and(|key| key == "kubernetes.io/metadata.name")
            && expression.get("operator").is_some_and(|operator| operator == "NotIn")
    });
    let values = by_name.filter_map(|expression| expression.get("values")?.as_array()).flatten();
    values.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn place(kind: &WorkloadKind, namespace: Option<&str>) -> (String, String) {
    let within = namespace.map_or_else(String::new, |name| format!("namespaces/{}/", encode(name)));
    let plural = format!("{}s", kind.kind.to_ascii_lowercase());
    match kind.group {
        "" => (format!("api/v1/{within}{plural}"), "v1".to_owned()),
        group => (format!("apis/{group}/v1/{within}{plural}"), format!("{group}/v1")),
    }
}

/// Adds a list's objects, which lack their kind.
async fn list(
    session: &Session,
    path: &str,
    version: &str,
    kind: &str,
    found: &mut Vec<Value>,
) -> Result<(), crate::Failure> {
    let first = format!("/{path}?limit={PAGE}");
    let (mut pages, mut next) = (Pages::of(&first), Some(first));
    while let Some(path) = next {
        let mut page = match session.get(&path).await {
            Ok(page) => page,
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let items =
            page.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
        next = pages.after(&page, items.len())?;
        for mut item in items {
            if let Some(item) = item.as_object_mut() {
                item.insert("apiVersion".to_owned(), version.into());
                item.insert("kind".to_owned(), kind.into());
            }
            found.push(item);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "serve")]
    use palisade_webhook::install::{Part, Settings, objects};

    #[cfg(feature = "serve")]
    #[test]
    fn the_namespaces_of_an_installation_are_exempt_by_name() {
        let settings = Settings { exempt: vec!["calico-system".to_owned()], ..Settings::default() };
        let webhooks = objects(Part::Webhooks, &settings);
        let validating =
            webhooks.iter().find(|object| object["kind"] == "ValidatingWebhookConfiguration").unwrap();
        let names = exempt_names(validating);
        for name in ["palisade-system", "calico-system", "kube-system"] {
            assert!(names.iter().any(|exempt| exempt == name), "{names:?}");
        }
        assert_eq!(exempt_names(&json!({})), Vec::<String>::new());
    }
}
