//! Operators' bundles: the objects that the Operator Lifecycle Manager makes of a ClusterServiceVersion.

use palisade_k8s::FieldPath;
use palisade_k8s::manifest::{Entry, Node, NodeValue, Position};

use crate::files::Document;

const RBAC: &str = "rbac.authorization.k8s.io";

/// The Deployments, roles and bindings of a bundle, for accounts of this namespace: that of the installation, which the bundle
/// does not know.
pub(super) fn objects(bundle: &Document, namespace: &str) -> Vec<Node> {
    let Some(install) = bundle.node.at_path(&FieldPath::of("spec.install.spec")) else { return Vec::new() };
    let items = |list: &str| install.get(list).map(Node::items).unwrap_or_default().iter();
    let mut nodes: Vec<Node> = items("deployments").filter_map(deployment).collect();
    for (list, prefix) in [("permissions", ""), ("clusterPermissions", "Cluster")] {
        for (index, item) in items(list).enumerate() {
            let name = format!("{}-{list}-{index}", bundle.metadata("name"));
            nodes.extend(permissions(item, &name, prefix, namespace));
        }
    }
    nodes
}

fn deployment(item: &Node) -> Option<Node> {
    let (name, spec) = (item.get("name")?.as_str()?, item.get("spec")?);
    Some(object(item.at, "apps/v1", "Deployment", name, vec![("spec", spec.clone())]))
}

/// The role of the rules, and its binding to the account.
fn permissions(item: &Node, name: &str, prefix: &str, namespace: &str) -> Vec<Node> {
    let account = item.get("serviceAccountName").and_then(Node::as_str);
    let Some((account, rules)) = account.zip(item.get("rules")) else { return Vec::new() };
    let (at, version) = (item.at, format!("{RBAC}/v1"));
    let role = format!("{prefix}Role");
    let reference = map(at, &[("apiGroup", RBAC), ("kind", &role), ("name", name)]);
    let subject = map(at, &[("kind", "ServiceAccount"), ("name", account), ("namespace", namespace)]);
    let subjects = Node { at, value: NodeValue::List(vec![subject]) };
    let bound = vec![("roleRef", reference), ("subjects", subjects)];
    vec![
        object(at, &version, &role, name, vec![("rules", rules.clone())]),
        object(at, &version, &format!("{role}Binding"), name, bound),
    ]
}

fn object(at: Position, version: &str, kind: &str, name: &str, rest: Vec<(&str, Node)>) -> Node {
    let mut node = map(at, &[("apiVersion", version), ("kind", kind)]);
    if let NodeValue::Map(entries) = &mut node.value {
        let rest = std::iter::once(("metadata", map(at, &[("name", name)]))).chain(rest);
        entries.extend(rest.map(|(key, value)| Entry { key: key.to_owned(), at: value.at, value }));
    }
    node
}

/// A map of texts.
fn map(at: Position, fields: &[(&str, &str)]) -> Node {
    let text = |text: &str| Node { at, value: NodeValue::String(text.to_owned()) };
    let entry = |(key, value): &(&str, &str)| Entry { key: (*key).to_owned(), at, value: text(value) };
    Node { at, value: NodeValue::Map(fields.iter().map(entry).collect()) }
}
