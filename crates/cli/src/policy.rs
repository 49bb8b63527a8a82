//! Policy from the command line: built-in sets and files.

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;

use palisade_admission::{PolicyBuilder, PolicyError};
use palisade_k8s::FieldPath;
use palisade_k8s::manifest::{Entry, Node, NodeValue};
use palisade_scc::{BuiltinSet, Finding};

use crate::args::PolicyArgs;
use crate::exit::Exit;
use crate::files::{self, Document, FileError, Place};
use crate::{understood, wrapped};

/// An error in the policy's files.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Set(PolicyError),
    #[error("{0}: {1}")]
    Object(Place, PolicyError),
    #[error("{0}: {1}; {2}")]
    Template(Place, String, String),
}

/// The policy of `--policy` and `--scc-set`: set 4 if neither is given.
pub(crate) fn load(args: &PolicyArgs) -> Result<PolicyBuilder, LoadError> {
    let mut builder = start(args)?;
    add_layer(&mut builder, &read(args, None)?)?;
    Ok(builder)
}

/// The same, as on OpenShift, with the objects that it was built from.
pub(crate) fn load_with_documents(
    args: &PolicyArgs,
    namespace: Option<&str>,
) -> Result<(PolicyBuilder, Vec<Document>), LoadError> {
    let mut builder = start(args)?;
    if builder.has_sccs() {
        builder.add(&cluster_admins()).map_err(LoadError::Set)?;
    }
    let mut documents = read(args, namespace)?;
    put_into(&mut documents, namespace);
    add_layer(&mut builder, &documents)?;
    Ok((builder, documents))
}

/// The objects of the policy's files.
fn read(args: &PolicyArgs, namespace: Option<&str>) -> Result<Vec<Document>, FileError> {
    objects(&args.policy, namespace)
}

/// The objects of files, those inside of others too.
pub(crate) fn objects(paths: &[PathBuf], namespace: Option<&str>) -> Result<Vec<Document>, FileError> {
    let namespace = namespace.unwrap_or(palisade_review::ASSUMED_NAMESPACE);
    Ok(wrapped::opened(files::read(paths)?, namespace))
}

/// Puts roles and bindings that name no namespace into this one, as `kubectl apply -n` does, else into that of the workloads
/// that name none.
pub(crate) fn put_into(documents: &mut [Document], namespace: Option<&str>) {
    let namespace = namespace.unwrap_or(palisade_review::ASSUMED_NAMESPACE);
    let is_open = |document: &Document| {
        ["Role", "RoleBinding"].contains(&document.text("kind")) && document.metadata("namespace").is_empty()
    };
    for document in documents.iter_mut().filter(|document| is_open(document)) {
        let NodeValue::Map(fields) = &mut document.node.value else { continue };
        let metadata = fields.iter_mut().find(|field| field.key == "metadata");
        if let Some(Node { at, value: NodeValue::Map(fields) }) = metadata.map(|field| &mut field.value) {
            fields.retain(|field| field.key != "namespace");
            let value = Node { at: *at, value: NodeValue::String(namespace.to_owned()) };
            fields.push(Entry { key: "namespace".to_owned(), at: *at, value });
        }
    }
}

/// The built-in set.
fn start(args: &PolicyArgs) -> Result<PolicyBuilder, LoadError> {
    let mut builder = PolicyBuilder::default();
    if let Some(set) = set(args) {
        builder.add_set(set).map_err(LoadError::Set)?;
    }
    if let Some(kernel) = args.kernel {
        builder.set_kernel(kernel);
    }
    Ok(builder)
}

/// The built-in set that the policy starts with.
pub(crate) fn set(args: &PolicyArgs) -> Option<BuiltinSet> {
    args.scc_set.or_else(|| args.policy.is_empty().then(BuiltinSet::default))
}

/// The binding that OpenShift's bootstrap policy adds to Kubernetes' own of `system:masters`.
fn cluster_admins() -> serde_json::Value {
    let group = "rbac.authorization.k8s.io";
    serde_json::json!({
        "apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": "cluster-admins"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [
            {"kind": "Group", "apiGroup": group, "name": "system:cluster-admins"},
            {"kind": "User", "apiGroup": group, "name": "system:admin"},
        ],
    })
}

/// Adds the policy objects among these, as a layer over the existing policy.
pub(crate) fn add_layer(builder: &mut PolicyBuilder, documents: &[Document]) -> Result<(), LoadError> {
    builder.next_layer();
    latest(documents).into_iter().try_for_each(|document| add(builder, document))
}

fn add(builder: &mut PolicyBuilder, document: &Document) -> Result<(), LoadError> {
    if let Some(Finding { path, message, help, .. }) = understood::template(document) {
        return Err(LoadError::Template(document.place(&path), message, help));
    }
    builder
        .add(&document.node.to_json())
        .map(drop)
        .map_err(|error| LoadError::Object(place_of(document, &error), error))
}

/// Names an error on stderr that does not keep the rest of the input from being judged.
pub(crate) fn tell_left_out(error: &dyn std::error::Error) {
    let error = palisade_k8s::error_chain(error);
    palisade_console::terminal::note(format_args!("{}: {error}; left out", crate::paint::error("error")));
}

/// The end of a command of whose input parts were left out: an error, whatever the answer on the rest.
pub(crate) fn ended(exit: Exit, left_out: usize) -> Exit {
    if left_out == 0 {
        return exit;
    }
    palisade_console::terminal::note(format_args!(
        "{}: left out, as named above: {left_out}; the answer is that of the rest",
        crate::paint::error("error")
    ));
    Exit::Wrong
}

/// The documents without those that a later one of the same name replaces, as `kubectl apply` would; each that says something
/// else is told.
fn latest(documents: &[Document]) -> Vec<&Document> {
    let mut places: HashMap<[&str; 4], usize> = HashMap::new();
    let mut kept: Vec<Option<&Document>> = Vec::new();
    for document in documents {
        let group = document.text("apiVersion").split_once('/').map_or("", |(group, _)| group);
        let name = document.metadata("name");
        let key = [group, document.text("kind"), document.metadata("namespace"), name];
        let before = places.insert(key, kept.len()).filter(|_| !name.is_empty());
        if let Some(before) = before.and_then(|place| kept.get_mut(place)).and_then(Option::take) {
            tell_replaced(before, document);
        }
        kept.push(Some(document));
    }
    kept.into_iter().flatten().collect()
}

fn tell_replaced(before: &Document, document: &Document) {
    // Objects of policies alone: workloads are all reviewed.
    if understood::is_policy(document) && before.node.to_json() != document.node.to_json() {
        let place = document.place(&FieldPath::root());
        let (kind, name) = (document.text("kind"), document.metadata("name"));
        let first = before.place(&FieldPath::root());
        let note = crate::paint::warning("note:");
        // A failure to report is ignored.
        let _ = writeln!(
            palisade_console::terminal::err(),
            "{place}: {note} {kind} {name} replaces that of {first}, as when both are applied"
        );
    }
}

/// Adds the policy objects beside workloads under review. Pods among them are reviewed, and are not policy. Returns the number of
/// objects that the API server would refuse, each of which is named on stderr.
pub(crate) fn add_surroundings(builder: &mut PolicyBuilder, documents: &[Document]) -> usize {
    builder.next_layer();
    let added = latest(documents).into_iter().filter(|document| document.text("kind") != "Pod");
    let errors = added.filter_map(|document| add(builder, document).err());
    errors.inspect(|error| tell_left_out(error)).count()
}

/// The position of an error: of the wrong field, or of the object.
fn place_of(document: &Document, error: &PolicyError) -> Place {
    match error {
        PolicyError::Invalid { errors, .. } => {
            document.place(&errors.first().map(|error| error.path.clone()).unwrap_or_default())
        }
        PolicyError::Repeated { .. } => document.place(&FieldPath::of("metadata.name")),
        PolicyError::Malformed { misfit, .. } => document.place(&misfit.path),
        PolicyError::Nameless(_) => document.place(&FieldPath::root()),
    }
}
