//! Profiles by the kind of the object that holds them.

use std::collections::BTreeSet;

use palisade_k8s::manifest::{Entry, Node, NodeValue, Position};

use super::Source;
use super::embedded::{self, Text};
use super::granted::Granted;
use crate::finding::Findings;
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
        Some("MachineConfig") => {
            let config = node.get("spec").and_then(|spec| spec.get("config"));
            config.map(|config| ignition(config, text)).unwrap_or_default()
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
        _ if node.get("variant").is_some() || node.get("ignition").is_some() => ignition(node, text),
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
    let found = services.iter().filter_map(service);
    let found: Vec<_> = found.collect();
    if found.is_empty() {
        let message = "no service's security_opt names a profile, so that Docker uses its own default (runtime/default here)";
        return vec![Source::nothing("", node.at, "services", message)];
    }
    found
}

/// The profile that a service of a compose file names.
fn service(service: &Entry) -> Option<Source> {
    let (key, field) = (&service.key, "security_opt");
    let granted = Granted::of(&service.value, "cap_add", "cap_drop", "privileged");
    let options = service.value.get(field).map(Node::items).unwrap_or_default();
    let chosen = options.iter().find_map(|option| Some((option.at, seccomp_option(option.as_str()?)?)));
    let found = match chosen {
        Some((at, "unconfined")) => Source::nothing(key, at, field, UNCONFINED),
        // Compose reads the file of that name (docker/compose, `parseSecurityOpts`).
        Some((at, value)) if value.starts_with('{') => {
            let message = "the profile itself stands here, where Compose takes the path of a file: write it to a file, and name that";
            Source::nothing(key, at, field, message)
        }
        Some((at, path)) => privileged(Source::file(key, at, path), &granted, at),
        None if granted.is_privileged => Source::nothing(key, service.at, "privileged", PRIVILEGED),
        None => return None,
    };
    Some(found.with_caps(granted.by_docker()))
}

const UNCONFINED: &str = "the container runs unconfined, without a filter";
const PRIVILEGED: &str = "the container is privileged and names no profile, so that it runs without a filter";

/// The value of a security option about seccomp.
fn seccomp_option(option: &str) -> Option<&str> {
    let option = option.trim();
    option.strip_prefix("seccomp=").or_else(|| option.strip_prefix("seccomp:"))
}

/// A profile beside `privileged` counts in newer runtimes only (moby/moby#47500, containers/podman#7269).
fn privileged(mut source: Source, granted: &Granted<'_>, at: Position) -> Source {
    if granted.is_privileged {
        let mut findings = Findings::default();
        let message = "the container is privileged: Docker 25 and Podman 2.0, and those before, run it without a filter; newer ones apply this profile with all capabilities";
        findings.warn(at, "privileged", message);
        source.findings.extend(findings.list);
    }
    source
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
    let host = node.get("HostConfig");
    let granted = host.map(|host| Granted::of(host, "CapAdd", "CapDrop", "Privileged")).unwrap_or_default();
    let options = host.and_then(|host| host.get("SecurityOpt")).map(Node::items).unwrap_or_default();
    let chosen = options.iter().find_map(|option| Some((option.at, seccomp_option(option.as_str()?)?)));
    let field = "HostConfig.SecurityOpt";
    let found = match chosen {
        Some((at, "unconfined")) => Source::nothing(name, at, field, UNCONFINED),
        Some((at, value)) if value.trim_start().starts_with('{') => {
            let read = Source::new(name, at, embedded::json(value, embedded::Place::Line(at)));
            privileged(read, &granted, at)
        }
        Some((at, path)) => privileged(Source::file(name, at, path), &granted, at),
        None if granted.is_privileged => Source::nothing(name, node.at, "HostConfig.Privileged", PRIVILEGED),
        None => {
            let message = "names no profile, so that Docker uses its own default (runtime/default here)";
            Source::nothing(name, node.at, field, message)
        }
    };
    // Podman says which it has; its default is another.
    let bounding = node.get("BoundingCaps").map(Node::items).unwrap_or_default();
    let bounding: BTreeSet<String> = bounding.iter().filter_map(Node::as_str).map(str::to_owned).collect();
    vec![found.with_caps(if bounding.is_empty() { granted.by_docker() } else { bounding })]
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

/// The files of an Ignition or Butane configuration, which a MachineConfig holds, too: `contents.source` is a `data` URL
/// (coreos/ignition docs/configuration-v3_4.md), `contents.inline` a text (coreos/butane docs/config-openshift-v4_18.md).
fn ignition(config: &Node, text: &Text<'_>) -> Vec<Source> {
    let files = config.get("storage").and_then(|storage| storage.get("files")).map(Node::items);
    let found = files.unwrap_or_default().iter().filter_map(|file| {
        let path = file.get("path")?.as_str()?;
        let contents = file.get("contents")?;
        let (inner, at) = match contents.entries().iter().find(|entry| entry.key == "inline") {
            Some(entry) => (entry.value.as_str()?.to_owned(), text.place(entry)),
            None => {
                let source = contents.get("source")?;
                (data_url(source.as_str()?)?, embedded::Place::Line(source.at))
            }
        };
        is_profile(path, &inner).then(|| Source::new(path, file.at, embedded::json(&inner, at)))
    });
    found.collect()
}

/// The text of a `data` URL (RFC 2397), if it is one.
fn data_url(url: &str) -> Option<String> {
    use base64::Engine as _;
    let (head, body) = url.strip_prefix("data:")?.split_once(',')?;
    let body = percent_encoding::percent_decode_str(body).collect::<Vec<u8>>();
    let is_base64 = head.rsplit(';').next() == Some("base64");
    let bytes = match is_base64 {
        true => base64::engine::general_purpose::STANDARD.decode(body).ok()?,
        false => body,
    };
    String::from_utf8(bytes).ok()
}

/// Whether a text of an object is a profile: it looks like one, or its key ends as the names of profiles do and it is
/// JSON at all.
fn is_profile(key: &str, text: &str) -> bool {
    let names = ["\"defaultAction\"", "\"syscalls\""];
    let looks = names.iter().any(|name| text.contains(name));
    looks || (key.ends_with(".json") && key.contains("seccomp") && text.trim_start().starts_with('{'))
}

/// The files of Podman's own default, which do not count as a profile of a privileged container's own.
const PODMAN_DEFAULTS: [&str; 2] = ["/etc/containers/seccomp.json", "/usr/share/containers/seccomp.json"];

/// A Podman quadlet: `SeccompProfile=` names a file, as does `--security-opt seccomp=` (podman-systemd.unit(5)).
pub(super) fn quadlet(text: &str) -> Vec<Source> {
    let mut chosen = None;
    let mut granted = Granted::default();
    for (number, line) in text.lines().enumerate() {
        let at = Position { line: number + 1, column: 1 };
        let Some((key, value)) = line.trim().split_once('=') else { continue };
        let path = match key.trim() {
            "SeccompProfile" => Some(value.trim()),
            "AddCapability" => {
                granted.adds.extend(value.split_whitespace());
                None
            }
            "DropCapability" => {
                granted.drops.extend(value.split_whitespace());
                None
            }
            "PodmanArgs" => arguments(value, &mut granted),
            _ => None,
        };
        chosen = path.map(|path| (at, path)).or(chosen);
    }
    let start = Position { line: 1, column: 1 };
    let field = "SeccompProfile";
    let is_own = |path: &str| !granted.is_privileged || !PODMAN_DEFAULTS.contains(&path);
    let found = match chosen {
        Some((at, "unconfined")) => Source::nothing("", at, field, UNCONFINED),
        Some((at, path)) if is_own(path) => privileged(Source::file("", at, path), &granted, at),
        _ if granted.is_privileged => Source::nothing("", start, "PodmanArgs", PRIVILEGED),
        _ => Source::nothing("", start, field, "names no profile, so that Podman uses its own default"),
    };
    vec![found.with_caps(granted.by_podman())]
}

/// Arguments of `podman run`: the profile that they name; capabilities are added to `granted`.
fn arguments<'t>(value: &'t str, granted: &mut Granted<'t>) -> Option<&'t str> {
    let mut words = value.split_whitespace();
    let mut profile = None;
    while let Some(word) = words.next() {
        let (option, joined) =
            word.split_once('=').map_or((word, None), |(option, rest)| (option, Some(rest)));
        match option {
            "--privileged" => granted.is_privileged = joined != Some("false"),
            "--cap-add" => granted.adds.extend(joined.or_else(|| words.next()).into_iter().flat_map(listed)),
            "--cap-drop" => {
                granted.drops.extend(joined.or_else(|| words.next()).into_iter().flat_map(listed))
            }
            "--security-opt" => {
                profile = joined.or_else(|| words.next()).and_then(seccomp_option).or(profile);
            }
            _ => {}
        }
    }
    profile
}

fn listed(words: &str) -> impl Iterator<Item = &str> {
    words.split(',')
}
