//! Objects that stand inside of others: those that OpenShift makes of a Template, Open Cluster Management of a policy or a
//! work, Hive of a sync set, and the Operator Lifecycle Manager of a bundle.

mod bundle;
mod template;

use std::sync::Arc;

use palisade_k8s::FieldPath;
use palisade_k8s::manifest::Node;
use palisade_k8s::workload::WorkloadKind;

use crate::files::Document;
use crate::understood;

/// The API group and the kind of an object that holds others, and the path of their list.
const LISTS: [(&str, &str, &str); 6] = [
    (POLICY, "Policy", "spec.policy-templates"),
    (POLICY, "ConfigurationPolicy", "spec.object-templates"),
    ("work.open-cluster-management.io", "ManifestWork", "spec.workload.manifests"),
    (
        "work.open-cluster-management.io",
        "ManifestWorkReplicaSet",
        "spec.manifestWorkTemplate.workload.manifests",
    ),
    ("hive.openshift.io", "SyncSet", "spec.resources"),
    ("hive.openshift.io", "SelectorSyncSet", "spec.resources"),
];

const POLICY: &str = "policy.open-cluster-management.io";

/// A Policy in a ManifestWork in a Template, and one more.
const MAX_DEPTH: usize = 4;

/// The documents, with the objects of each that holds some in its place; of bundles, for accounts of this namespace, which a
/// bundle does not know. The objects have their positions in the file.
pub(crate) fn opened(documents: Vec<Document>, namespace: &str) -> Vec<Document> {
    documents.into_iter().flat_map(|document| open(document, namespace, MAX_DEPTH)).collect()
}

fn open(document: Document, namespace: &str, depth: usize) -> Vec<Document> {
    let nodes = if depth == 0 { Vec::new() } else { held(&document, namespace) };
    let nodes = nodes.into_iter().filter(|node| node.get("kind").is_some());
    let objects = nodes.map(|node| Document { source: Arc::clone(&document.source), node });
    let objects = filled_in(objects.collect());
    if objects.is_empty() {
        return vec![document];
    }
    objects.into_iter().flat_map(|object| open(object, namespace, depth - 1)).collect()
}

/// The objects that an object holds; none if it holds none that can be judged.
fn held(document: &Document, namespace: &str) -> Vec<Node> {
    let (group, kind) = (understood::group(document), document.text("kind"));
    match (group, kind) {
        ("operators.coreos.com", "ClusterServiceVersion") => bundle::objects(document, namespace),
        // OpenShift 3 had it in the core group.
        ("" | "template.openshift.io", "Template") => template::objects(document),
        _ => {
            let list = LISTS.iter().find(|(of, known, _)| (*of, *known) == (group, kind));
            let list = list.and_then(|(.., path)| document.node.at_path(&FieldPath::of(path)));
            list.map(Node::items).unwrap_or_default().iter().filter_map(object).cloned().collect()
        }
    }
}

/// The object of an element, if it is a whole one that is to be there. An element of a policy may also say what is not to be
/// there, or which fields of an object are to be so, as a Deployment's status.
fn object(item: &Node) -> Option<&Node> {
    let Some(object) = item.get("objectDefinition") else { return Some(item) };
    let text =
        |node: &Node, field: &str| node.get(field).and_then(Node::as_str).unwrap_or_default().to_owned();
    let (version, kind) = (text(object, "apiVersion"), text(object, "kind"));
    let is_whole = match WorkloadKind::of(&version, &kind) {
        Some(workload) => object.at_path(&workload.template_path().field("spec.containers")).is_some(),
        None => kind != palisade_k8s::scc::KIND || object.get("runAsUser").is_some(),
    };
    (is_whole && !text(item, "complianceType").eq_ignore_ascii_case("mustnothave")).then_some(object)
}

/// The objects without those that have something to be filled in where they are applied.
fn filled_in(mut objects: Vec<Document>) -> Vec<Document> {
    let open = objects.iter().find(|object| understood::template(object).is_some());
    if let Some(place) = open.map(|object| object.place(&FieldPath::root())) {
        palisade_console::terminal::note(format_args!(
            "{place}: {} left out, and others like it: it has {{{{ }}}}, to be filled in on the managed cluster",
            crate::paint::warning("note:")
        ));
        objects.retain(|object| understood::template(object).is_none());
    }
    objects
}
