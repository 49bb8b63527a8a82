//! Folders of `oc adm must-gather`: thousands of files, many of which are not manifests, and objects that occur twice.

use std::collections::HashSet;
use std::path::Path;

use palisade_admission::PolicyBuilder;
use palisade_k8s::manifest::Node;
use serde_json::{Value, json};

use crate::files::{self, Document};

/// The content of a must-gather folder.
pub(crate) struct Gathered {
    pub(crate) builder: PolicyBuilder,
    /// Every object, once.
    pub(crate) documents: Vec<Document>,
}

/// Reads a folder. Objects that cannot be parsed, or used, are reported on standard error and skipped: the cluster ran
/// with them.
pub(crate) fn read(folder: &Path) -> Result<Gathered, crate::Failure> {
    if !folder.is_dir() {
        return Err(format!("{}: there is no such folder", folder.display()).into());
    }
    let (found, unreadable) = files::read_what_can_be(folder)?;
    let mut seen = HashSet::new();
    let documents: Vec<Document> = found.into_iter().filter(|document| seen.insert(key(document))).collect();
    let mut builder = PolicyBuilder::default();
    let policy = documents.iter().filter(|document| document.text("kind") != "Pod");
    for document in policy {
        if let Err(error) = builder.add(&document.node.to_json()) {
            let place = document.place(&palisade_k8s::FieldPath::root());
            anstream::eprintln!("{} {place}: {error}; passed over", crate::paint::warning("note:"));
        }
    }
    // Every cluster has it; must-gather often leaves the cluster roles out.
    let is_there = |document: &Document| {
        document.text("kind") == "ClusterRole" && document.metadata("name") == CLUSTER_ADMIN
    };
    if !documents.iter().any(is_there) {
        builder.add(&cluster_admin())?;
        anstream::eprintln!(
            "{} {}: ClusterRole {CLUSTER_ADMIN} is not in this folder; every cluster has it, so its bindings count",
            crate::paint::warning("note:"),
            folder.display()
        );
    }
    if unreadable > 0 {
        anstream::eprintln!("{} files that are not manifests: {unreadable}", crate::paint::warning("note:"));
    }
    if !builder.has_sccs() {
        return Err(format!(
            "{}: no SecurityContextConstraints here; must-gather keeps them under cluster-scoped-resources/security.openshift.io",
            folder.display()
        )
        .into());
    }
    Ok(Gathered { builder, documents })
}

const CLUSTER_ADMIN: &str = "cluster-admin";

/// The role as every API server keeps it (Kubernetes `plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go`).
fn cluster_admin() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": CLUSTER_ADMIN},
        "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}, {"nonResourceURLs": ["*"], "verbs": ["*"]}],
    })
}

fn key(document: &Document) -> (String, String, String) {
    let metadata = |field: &str| document.metadata(field).to_owned();
    (document.text("kind").to_owned(), metadata("namespace"), metadata("name"))
}

/// Whether a controller owns the object: the controller's template is reviewed instead.
pub(crate) fn is_controlled(document: &Document) -> bool {
    let owners =
        document.node.get("metadata").and_then(|metadata| metadata.get("ownerReferences")).map(Node::items);
    owners
        .into_iter()
        .flatten()
        .any(|owner| owner.get("controller").is_some_and(|flag| flag.to_json() == true))
}
