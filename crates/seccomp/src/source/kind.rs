//! Profiles by the kind of the object that holds them.

use palisade_k8s::manifest::{Node, NodeValue, Position};

use super::Source;
use super::embedded::{self, Text};
use crate::profile::of_node;

/// The profiles of a JSON file.
pub(super) fn of_document(node: &Node) -> Vec<Source> {
    match &node.value {
        NodeValue::List(items) if items.iter().any(is_inspected) => {
            items.iter().flat_map(inspected).collect()
        }
        _ => of_document_in(node, &Text("")),
    }
}

/// The profiles of a document; `text` is the file, for the positions of texts in it.
pub(super) fn of_document_in(node: &Node, text: &Text<'_>) -> Vec<Source> {
    if node.value == NodeValue::Null {
        return Vec::new();
    }
    match node.get("kind").and_then(Node::as_str) {
        Some("SeccompProfile") => {
            let namespace = node.get("metadata").and_then(|metadata| metadata.get("namespace"));
            let namespace = namespace.and_then(Node::as_str).unwrap_or_default().to_owned();
            vec![Source { namespace, ..Source::new(object_name(node), node.at, of_node(node, "")) }]
        }
        Some("ConfigMap") => strings(node, "data", text),
        Some("Secret") => {
            let decoded = secrets(node);
            decoded.into_iter().chain(strings(node, "stringData", text)).collect()
        }
        Some(kind) if kind == "List" || (kind.ends_with("List") && node.get("items").is_some()) => {
            let items = node.get("items").map(Node::items).unwrap_or_default();
            items.iter().flat_map(|item| of_document_in(item, text)).collect()
        }
        // Another object of a manifest.
        Some(_) if node.get("defaultAction").is_none() => Vec::new(),
        _ if is_inspected(node) => inspected(node),
        _ if node.get("ociVersion").is_some() || node.get("linux").is_some() => vec![oci(node)],
        _ if is_compose(node) => compose(node),
        _ => vec![Source::new("", node.at, of_node(node, ""))],
    }
}

fn is_compose(node: &Node) -> bool {
    let has = |field: &str| node.get(field).is_some();
    node.get("services").is_some_and(|services| matches!(services.value, NodeValue::Map(_)))
        && !has("defaultAction")
        && !has("syscalls")
}

/// A compose file: `security_opt` of each service (compose-spec, 05-services.md); paths are relative to the file.
fn compose(node: &Node) -> Vec<Source> {
    let services = node.get("services").map(Node::entries).unwrap_or_default();
    let found = services.iter().filter_map(|service| {
        let options = service.value.get("security_opt").map(Node::items).unwrap_or_default();
        options.iter().find_map(|option| {
            let text = option.as_str()?.trim();
            let value = text.strip_prefix("seccomp:").or_else(|| text.strip_prefix("seccomp="))?;
            Some(match value {
                "unconfined" => Source::nothing(
                    service.key.clone(),
                    option.at,
                    "security_opt",
                    "the container runs unconfined, without a filter",
                ),
                path => Source::file(&service.key, option.at, path),
            })
        })
    });
    let found: Vec<_> = found.collect();
    if found.is_empty() {
        let message = "no service's security_opt names a profile, so that Docker uses its own default (runtime/default here)";
        return vec![Source::nothing("", node.at, "services", message)];
    }
    found
}

/// Names in a message.
const MAX_NAMED: usize = 5;

/// The profiles that workloads name in their fields `seccompProfile`, if a file has no profile itself.
pub(super) fn named(documents: &[Node]) -> Option<Source> {
    let mut fields = Vec::new();
    documents.iter().filter(|node| node.get("kind").is_some()).for_each(|node| profiles(node, &mut fields));
    let first = fields.first()?;
    let mut names: Vec<String> = Vec::new();
    for field in &fields {
        let text = |name: &str| field.get(name).and_then(Node::as_str);
        let name = match (text("type"), text("localhostProfile")) {
            (_, Some(file)) => {
                format!("{file}, a file below /var/lib/kubelet/seccomp of the node: ask about that file")
            }
            (Some("RuntimeDefault"), _) => {
                "RuntimeDefault, the runtime's own default (runtime/default here)".to_owned()
            }
            (Some("Unconfined"), _) => "Unconfined, no filter".to_owned(),
            _ => continue,
        };
        if !names.contains(&name) && names.len() < MAX_NAMED {
            names.push(name);
        }
    }
    let message = format!("holds no seccomp profile, but names {}", names.join("; "));
    (!names.is_empty()).then(|| Source::nothing("", first.at, "", message))
}

/// Every field `seccompProfile` of a document.
fn profiles<'n>(node: &'n Node, found: &mut Vec<&'n Node>) {
    node.items().iter().for_each(|item| profiles(item, found));
    for entry in node.entries() {
        match entry.key.as_str() {
            "seccompProfile" => found.push(&entry.value),
            _ => profiles(&entry.value, found),
        }
    }
}

/// The name of a list of objects.
fn object_name(node: &Node) -> String {
    let metadata = node.get("metadata");
    let field = |name: &str| metadata.and_then(|metadata| metadata.get(name)).and_then(Node::as_str);
    field("name").or_else(|| field("generateName")).unwrap_or_default().to_owned()
}

/// OCI's config.json (config-linux.md, "Seccomp").
fn oci(node: &Node) -> Source {
    let linux = node.get("linux");
    match linux.and_then(|linux| linux.get("seccomp")).filter(|node| node.value != NodeValue::Null) {
        Some(profile) => Source::new("", profile.at, of_node(profile, "linux.seccomp")),
        None => {
            let at = linux.map_or(node.at, |linux| linux.at);
            Source::nothing("", at, "", "linux.seccomp is missing, so the container runs without a filter")
        }
    }
}

fn is_inspected(node: &Node) -> bool {
    node.get("HostConfig").is_some()
}

/// A container in the output of `docker inspect`: the client has put the profile's text into the option.
fn inspected(node: &Node) -> Vec<Source> {
    let name = node.get("Name").and_then(Node::as_str).unwrap_or_default().trim_start_matches('/');
    let options = node.get("HostConfig").and_then(|host| host.get("SecurityOpt"));
    let chosen = options.map(Node::items).unwrap_or_default().iter().find_map(|option| {
        let text = option.as_str()?;
        let value = text.strip_prefix("seccomp=").or_else(|| text.strip_prefix("seccomp:"))?;
        Some((option.at, value))
    });
    let field = "HostConfig.SecurityOpt";
    vec![match chosen {
        Some((at, "unconfined")) => {
            Source::nothing(name, at, field, "the container runs unconfined, without a filter")
        }
        Some((at, value)) if value.trim_start().starts_with('{') => {
            Source::new(name, at, embedded::json(value, embedded::Place::Line(at)))
        }
        Some((at, path)) => Source::file(name, at, path),
        None => Source::nothing(
            name,
            node.at,
            field,
            "names no profile, so that Docker uses its own default (runtime/default here)",
        ),
    }]
}

/// Texts of a ConfigMap that are profiles, or should be by their key.
fn strings(node: &Node, field: &str, text: &Text<'_>) -> Vec<Source> {
    let entries = node.get(field).map(Node::entries).unwrap_or_default();
    let found = entries.iter().filter_map(|entry| {
        let inner = entry.value.as_str()?;
        let name = format!("{}/{}", object_name(node), entry.key);
        is_profile(&entry.key, inner)
            .then(|| Source::new(name, entry.at, embedded::json(inner, text.place(entry))))
    });
    found.collect()
}

fn secrets(node: &Node) -> Vec<Source> {
    use base64::Engine as _;
    let entries = node.get("data").map(Node::entries).unwrap_or_default();
    let found = entries.iter().filter_map(|entry| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(entry.value.as_str()?.trim()).ok()?;
        let inner = String::from_utf8(bytes).ok()?;
        let name = format!("{}/{}", object_name(node), entry.key);
        is_profile(&entry.key, &inner).then(|| {
            Source::new(name, entry.at, embedded::json(&inner, embedded::Place::Line(entry.value.at)))
        })
    });
    found.collect()
}

/// Whether a text of an object is a profile: it looks like one, or its key ends as the names of profiles do and it is
/// JSON at all.
fn is_profile(key: &str, text: &str) -> bool {
    let names = ["\"defaultAction\"", "\"syscalls\""];
    let looks = names.iter().any(|name| text.contains(name));
    looks || (key.ends_with(".json") && key.contains("seccomp") && text.trim_start().starts_with('{'))
}

/// A Podman quadlet: `SeccompProfile=` names a file, as does `--security-opt seccomp=` (podman-systemd.unit(5)).
pub(super) fn quadlet(text: &str) -> Vec<Source> {
    let mut chosen = None;
    for (number, line) in text.lines().enumerate() {
        let at = Position { line: number + 1, column: 1 };
        let Some((key, value)) = line.trim().split_once('=') else { continue };
        let path = match key.trim() {
            "SeccompProfile" => Some(value.trim()),
            "PodmanArgs" => value.split_whitespace().find_map(|word| {
                let word = word.strip_prefix("--security-opt=").unwrap_or(word);
                word.strip_prefix("seccomp=")
            }),
            _ => None,
        };
        chosen = path.map(|path| (at, path)).or(chosen);
    }
    let start = Position { line: 1, column: 1 };
    vec![match chosen {
        Some((at, "unconfined")) => {
            Source::nothing("", at, "SeccompProfile", "the container runs unconfined, without a filter")
        }
        Some((at, path)) => Source::file("", at, path),
        None => Source::nothing(
            "",
            start,
            "SeccompProfile",
            "names no profile, so that Podman uses its own default",
        ),
    }]
}
