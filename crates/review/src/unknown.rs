//! Fields that Kubernetes does not know, and what their author meant: kubectl and Helm 4 refuse them, Helm 3 and other
//! clients drop them (helm/helm `pkg/kube/client.go`: Helm 3 asks for no validation of fields).

use palisade_api::kind::schema_of;
use palisade_api::schema::{Message, Type, message};
use palisade_console::files::Document;
use palisade_k8s::FieldPath;
use palisade_k8s::field::Segment;
use palisade_k8s::manifest::{Node, NodeValue};
use palisade_k8s::workload::WorkloadKind;
use palisade_scc::advice::{Action, Edit};
use palisade_seccomp::table::nearest;
use serde_json::Value;

/// Maximum number of fields that are reported: an object with more of them is of another kind than it says.
const MOST: usize = 20;
/// Maximum size of what the edits of one field set in all, in bytes.
const SIZE: usize = 64 << 10;
/// Lists of containers of a pod's spec.
const CONTAINERS: [&str; 2] = ["initContainers", "containers"];

/// A field of a workload that a strict client refuses.
#[derive(Debug)]
pub(crate) struct Unknown {
    /// The field, as a path of the workload.
    pub path: FieldPath,
    /// The reason, and what was probably meant.
    pub message: String,
    /// Edits of the workload that mend it; empty if the meaning cannot be guessed.
    pub edits: Vec<Edit>,
}

/// The fields of a workload that its kind does not have, and the values that its fields cannot hold.
///
/// An object that a server has stored is not checked: its server knows its fields.
pub(crate) fn fields(document: &Document, kind: &WorkloadKind) -> Vec<Unknown> {
    if !document.metadata("uid").is_empty() {
        return Vec::new();
    }
    let mut walk = Walk { document, template: kind.template_path(), found: Vec::new() };
    let whole = schema_of(document.text("apiVersion"), document.text("kind")).and_then(message);
    match (whole, document.node.at_path(&walk.template), message("PodTemplateSpec")) {
        (Some(whole), _, _) => walk.object(&document.node, whole, &FieldPath::root()),
        // A kind of another time or distribution: its pods are of the known type.
        (None, Some(template), Some(pods)) => walk.object(template, pods, &walk.template.clone()),
        _ => {}
    }
    walk.found
}

struct Walk<'d> {
    document: &'d Document,
    template: FieldPath,
    found: Vec<Unknown>,
}

impl Walk<'_> {
    fn object(&mut self, node: &Node, message: &'static Message, path: &FieldPath) {
        let is_whole = message.field("metadata").is_some();
        for entry in node.entries() {
            let name = entry.key.as_str();
            let path = path.clone().name(name);
            match message.field(name) {
                Some(field) => self.value(&entry.value, &field.kind, &path),
                None if is_whole && matches!(name, "kind" | "apiVersion") => {}
                None => self.stray(&entry.value, message, path),
            }
        }
    }

    fn value(&mut self, node: &Node, kind: &'static Type, path: &FieldPath) {
        if matches!(node.value, NodeValue::Null) || self.found.len() >= MOST {
            return;
        }
        if let Some(expected) = misfit(node, kind) {
            return self.misfit(node, expected, path);
        }
        match kind {
            Type::Message(name) => {
                if let Some(message) = message(name) {
                    self.object(node, message, path);
                }
            }
            Type::List(item) => {
                for (index, value) in node.items().iter().enumerate() {
                    self.value(value, item, &path.clone().index(index));
                }
            }
            Type::Map(item) => {
                for entry in node.entries() {
                    self.value(&entry.value, item, &path.clone().key(entry.key.as_str()));
                }
            }
            _ => {}
        }
    }

    fn misfit(&mut self, node: &Node, expected: &str, path: &FieldPath) {
        let value = node.to_json();
        let is_scalar = matches!(value, Value::Bool(_) | Value::Number(_));
        let text = Value::String(value.to_string());
        let (message, edits) = if expected == STRING && is_scalar {
            (format!("must be a string: {value} needs quotes"), vec![set(path.clone(), text)])
        } else {
            (format!("must be {expected}"), Vec::new())
        };
        self.add(Unknown { path: path.clone(), message, edits });
    }

    fn stray(&mut self, node: &Node, holder: &'static Message, path: FieldPath) {
        if self.found.len() >= MOST {
            return;
        }
        let name = match path.segments().last() {
            Some(Segment::Field(name)) => name.to_string(),
            _ => return,
        };
        let removal = Edit { path: path.clone(), action: Action::Remove };
        let home = home(&name, holder, container(&path).is_some());
        let (message, targets) = match (similar(&name, holder), home) {
            _ if name.starts_with('$') => return self.add(of_patch(path)),
            (Some(meant), _) => {
                (format!("unknown field; did you mean {meant}?"), vec![sibling(&path, meant)])
            }
            (None, Some(home)) => {
                (format!("unknown field; {name} belongs {}", home.words()), self.targets(&path, home, &name))
            }
            (None, None) => ("unknown field".to_owned(), Vec::new()),
        };
        let is_free = |target: &FieldPath| self.document.node.at_path(target).is_none();
        let value = node.to_json();
        // A large value is not repeated for each of many containers.
        let most = SIZE / value.to_string().len().max(1);
        let targets = if targets.len() > most { Vec::new() } else { targets };
        let sets = targets.into_iter().filter(is_free).map(|target| set(target, value.clone()));
        let edits = std::iter::once(removal).chain(sets).collect();
        self.add(Unknown { path, message, edits });
    }

    /// The fields that a stray one stands for in its right place.
    fn targets(&self, stray: &FieldPath, home: Home, name: &str) -> Vec<FieldPath> {
        let spec = self.template.clone().field("spec");
        match (home, container(stray)) {
            (Home::Spec, _) => vec![spec.name(name)],
            (Home::SpecContext, _) => vec![spec.field("securityContext").name(name)],
            (Home::Context, Some(container)) => vec![container.field("securityContext").name(name)],
            (Home::Container, Some(container)) => vec![container.name(name)],
            (Home::Context, None) => {
                let lists = CONTAINERS.into_iter().flat_map(|list| {
                    let list = spec.clone().field(list);
                    let count = self.document.node.at_path(&list).map_or(0, |node| node.items().len());
                    (0..count).map(move |index| list.clone().index(index))
                });
                lists.map(|container| container.field("securityContext").name(name)).collect()
            }
            (Home::Container, None) => Vec::new(),
        }
    }

    fn add(&mut self, unknown: Unknown) {
        if self.found.len() < MOST {
            self.found.push(unknown);
        }
    }
}

/// A directive of a strategic merge patch, as kustomize has them in files of their own.
fn of_patch(path: FieldPath) -> Unknown {
    let message = "this is a patch, not an object: build the whole first, as with `kubectl kustomize DIR`";
    Unknown { path, message: message.to_owned(), edits: Vec::new() }
}

fn set(path: FieldPath, value: Value) -> Edit {
    Edit { path, action: Action::Set(value) }
}

/// The container that holds a field.
fn container(path: &FieldPath) -> Option<FieldPath> {
    let is_list =
        |segment: &Segment| matches!(segment, Segment::Field(name) if CONTAINERS.contains(&name.as_ref()));
    let list = path.segments().iter().position(is_list)?;
    let segments = path.segments().get(..list + 2)?;
    matches!(segments.last(), Some(Segment::Index(_))).then(|| of(segments))
}

/// A field of the same object.
fn sibling(path: &FieldPath, name: &str) -> FieldPath {
    let holder = path.segments().split_last().map_or(&[][..], |(_, holder)| holder);
    of(holder).name(name)
}

fn of(segments: &[Segment]) -> FieldPath {
    segments.iter().fold(FieldPath::root(), |path, segment| match segment {
        Segment::Field(name) => path.name(name),
        Segment::Index(index) => path.index(*index),
        Segment::Key(key) => path.key(key.clone()),
    })
}

/// The field of a type whose name is like `name`.
fn similar(name: &str, holder: &'static Message) -> Option<&'static str> {
    let fields = holder.all_fields();
    let same = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
    same.map(|field| field.name).or_else(|| nearest(name, fields.into_iter().map(|field| field.name)))
}

/// A place whose fields are often written elsewhere.
#[derive(Clone, Copy)]
enum Home {
    Spec,
    SpecContext,
    Container,
    Context,
}

impl Home {
    fn words(self) -> &'static str {
        match self {
            Self::Spec => "in the spec of the pod",
            Self::SpecContext => "in the securityContext of the pod",
            Self::Container => "in a container",
            Self::Context => "in the securityContext of a container",
        }
    }

    fn message(self) -> Option<&'static Message> {
        message(match self {
            Self::Spec => "PodSpec",
            Self::SpecContext => "PodSecurityContext",
            Self::Container => "Container",
            Self::Context => "SecurityContext",
        })
    }
}

/// The place to which a field belongs, of those about the type where it stands.
fn home(name: &str, holder: &Message, is_in_container: bool) -> Option<Home> {
    use Home::{Container, Context, Spec, SpecContext};
    let homes: &[Home] = match holder.name {
        "PodSecurityContext" => &[Context, Spec, Container],
        "SecurityContext" => &[SpecContext, Spec, Container],
        "Container" => &[Context, Spec, SpecContext],
        "PodSpec" => &[SpecContext, Context, Container],
        _ if is_in_container => &[Container, Context],
        _ if holder.field("spec").is_some() || holder.field("template").is_some() => &[Spec],
        _ => &[],
    };
    let has = |home: &&Home| home.message().is_some_and(|message| message.field(name).is_some());
    homes.iter().find(has).copied()
}

const STRING: &str = "a string";

/// The kind of value that a field holds, if this one is of another.
fn misfit(node: &Node, kind: &Type) -> Option<&'static str> {
    let value = &node.value;
    let is_integer = |least: i64, most: i64| matches!(value, NodeValue::Number(number) if number.as_i64().is_some_and(|it| (least..=most).contains(&it)));
    let (expected, fits) = match kind {
        Type::String => (STRING, matches!(value, NodeValue::String(_))),
        Type::Bool => ("true or false", matches!(value, NodeValue::Bool(_))),
        Type::Int32 => ("a 32-bit integer", is_integer(i32::MIN.into(), i32::MAX.into())),
        Type::Int64 => ("a 64-bit integer", is_integer(i64::MIN, i64::MAX)),
        Type::List(_) => ("a list", matches!(value, NodeValue::List(_))),
        Type::Map(_) | Type::Message(_) => ("an object", matches!(value, NodeValue::Map(_))),
        _ => return None,
    };
    (!fits).then_some(expected)
}

#[cfg(test)]
mod tests {
    use palisade_admission::PolicyBuilder;
    use palisade_console::files;

    use super::*;
    use crate::{Accounts, Options, Report, Subject, Surroundings, Verdict};

    fn document(spec: &str) -> Document {
        let text = format!(
            "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: web, namespace: shop, labels: {{a: b}}}}, spec: {spec}}}"
        );
        files::parse("web.yaml", text).unwrap().remove(0)
    }

    fn review(document: &Document) -> Report {
        let accounts = Accounts::default();
        let subject = Subject::new(document, &accounts, &Options::default()).unwrap().unwrap();
        let mut builder = PolicyBuilder::default();
        builder.add_set(palisade_scc::BuiltinSet::V4).unwrap();
        builder.assume_namespace("shop");
        Report::new(&builder.build(), &Surroundings::new(std::slice::from_ref(document)), &subject)
    }

    /// The spec of a Deployment, the reason, and the edits that get it admitted.
    const CASES: &[(&str, &str, &[&str])] = &[
        (
            "{template: {spec: {securityContext: {capabilities: {drop: [ALL]}}, containers: [{name: c, image: i}, {name: d, image: i}]}}}",
            "unknown field; capabilities belongs in the securityContext of a container",
            &[
                "remove spec.template.spec.securityContext.capabilities",
                r#"set spec.template.spec.containers[0].securityContext.capabilities: {"drop":["ALL"]}"#,
                r#"set spec.template.spec.containers[1].securityContext.capabilities: {"drop":["ALL"]}"#,
            ],
        ),
        (
            "{template: {spec: {containers: [{name: c, image: i, securityContext: {runAsNonRot: true}}]}}}",
            "unknown field; did you mean runAsNonRoot?",
            &[
                "remove spec.template.spec.containers[0].securityContext.runAsNonRot",
                "set spec.template.spec.containers[0].securityContext.runAsNonRoot: true",
            ],
        ),
        (
            "{template: {spec: {containers: [{name: c, image: i, readOnlyRootFilesystem: true}]}}}",
            "unknown field; readOnlyRootFilesystem belongs in the securityContext of a container",
            &[
                "remove spec.template.spec.containers[0].readOnlyRootFilesystem",
                "set spec.template.spec.containers[0].securityContext.readOnlyRootFilesystem: true",
            ],
        ),
        (
            "{hostNetwork: true, template: {spec: {containers: [{name: c, image: i}]}}}",
            "unknown field; hostNetwork belongs in the spec of the pod",
            &["remove spec.hostNetwork", "set spec.template.spec.hostNetwork: true"],
        ),
        (
            "{template: {spec: {containers: [{name: c, image: i, resources: {securityContext: {runAsNonRoot: true}}}]}}}",
            "unknown field; securityContext belongs in a container",
            &[
                "remove spec.template.spec.containers[0].resources.securityContext",
                r#"set spec.template.spec.containers[0].securityContext: {"runAsNonRoot":true}"#,
            ],
        ),
        (
            "{template: {spec: {containers: [{name: c, image: i, $patch: delete}]}}}",
            "this is a patch, not an object: build the whole first, as with `kubectl kustomize DIR`",
            &[],
        ),
        (
            "{replica: 3, template: {spec: {containers: [{name: c, image: i}]}}}",
            "unknown field; did you mean replicas?",
            &["remove spec.replica", "set spec.replicas: 3"],
        ),
        (
            "{template: {spec: {containers: [{name: c, image: i, wibble: {}}]}}}",
            "unknown field",
            &["remove spec.template.spec.containers[0].wibble"],
        ),
        (
            "{replicas: three, template: {spec: {containers: [{name: c, image: i}]}}}",
            "must be a 32-bit integer",
            &[],
        ),
    ];

    #[test]
    fn unknown_fields_are_refused_and_their_edits_get_the_pod_admitted() {
        for (spec, message, edits) in CASES {
            let written = document(spec);
            let report = review(&written);
            assert_eq!(report.verdict, Verdict::Refused, "{spec}");
            let refusal = report.refusal.unwrap();
            assert_eq!(refusal.errors[0].message, *message, "{spec}");
            assert_eq!(refusal.advice.mends, *edits, "{spec}");
            if edits.is_empty() {
                continue;
            }
            let mut object = written.node.to_json();
            let mends = fields(&written, WorkloadKind::of("apps/v1", "Deployment").unwrap());
            for edit in mends.iter().flat_map(|unknown| &unknown.edits).chain(&refusal.advice.changes) {
                assert!(edit.apply(&edit.path, &mut object), "{edit:?} does nothing to {object}");
            }
            let edited = files::parse("web.json", object.to_string()).unwrap().remove(0);
            assert_eq!(review(&edited).scc, refusal.advice.edits_for.or(report.scc), "{object}");
        }
    }
}
