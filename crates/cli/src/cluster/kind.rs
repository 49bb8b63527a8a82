//! The kinds that a server has, by whatever name people use for them.

use serde_json::Value;

use super::session::{ClusterError, Result, Session};

/// A kind of object, and where its objects are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) kind: String,
    pub(crate) namespaced: bool,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
}

impl Kind {
    /// `pod`, or `role.rbac.authorization.k8s.io`: how commands say what they did.
    pub(crate) fn said(&self) -> String {
        match self.group.as_str() {
            "" => self.singular.clone(),
            group => format!("{}.{group}", self.singular),
        }
    }

    /// `v1`, or `GROUP/VERSION`.
    pub(crate) fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// The path of its objects; of one namespace where it has such and one is given.
    pub(crate) fn path(&self, namespace: Option<&str>) -> String {
        let base = match self.group.as_str() {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        };
        match namespace.filter(|_| self.namespaced) {
            Some(namespace) => format!("{base}/namespaces/{}/{}", encode(namespace), self.plural),
            None => format!("{base}/{}", self.plural),
        }
    }

    /// The path of one object.
    pub(crate) fn object_path(&self, namespace: &str, name: &str) -> String {
        format!("{}/{}", self.path(Some(namespace)), encode(name))
    }
}

/// A name as a part of a path or a query.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

const AGGREGATED: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

/// All kinds of a server.
pub(crate) struct Kinds(Vec<Kind>);

impl Kinds {
    pub(crate) fn read(session: &Session) -> Result<Self> {
        let mut kinds = Vec::new();
        for path in ["/api", "/apis"] {
            let answer = session.send_as(http::Method::GET, path, AGGREGATED, None)?;
            if text(&answer, "kind") == "APIGroupDiscoveryList" {
                aggregated(&answer, &mut kinds);
            } else {
                plain(session, path, &answer, &mut kinds)?;
            }
        }
        Ok(Self(kinds))
    }

    /// The kind that a word means: plural, singular, short name or kind, with `.GROUP` behind it if one likes.
    pub(crate) fn find(&self, word: &str) -> Result<&Kind> {
        let word = word.to_lowercase();
        let names = |kind: &Kind, word: &str| {
            kind.plural == word
                || kind.singular == word
                || kind.kind.to_lowercase() == word
                || kind.short_names.iter().any(|short| short == word)
        };
        let full = self.0.iter().find(|kind| {
            let suffix = word.split_once('.').filter(|(_, group)| {
                kind.group == *group
                    || kind.api_version() == *group
                    || format!("{}.{}", kind.version, kind.group) == *group
            });
            suffix.is_some_and(|(word, _)| names(kind, word))
        });
        // A group's own kind is meant before an alias that the core group has of it.
        let plain = || {
            let mut found = self.0.iter().filter(|kind| names(kind, &word));
            let first = found.next();
            let better = first.and_then(|first| {
                found.find(|other| other.kind == first.kind && other.kind.starts_with("SecurityContext"))
            });
            better.or(first)
        };
        full.or_else(plain)
            .ok_or_else(|| ClusterError::Usage(format!("the server doesn't have a resource type {word:?}")))
    }

    /// The kinds of a category, as `all`.
    pub(crate) fn category(&self, name: &str) -> Vec<&Kind> {
        self.0.iter().filter(|kind| kind.categories.iter().any(|category| category == name)).collect()
    }

    /// The kind of an object.
    pub(crate) fn of_object(&self, object: &Value) -> Result<&Kind> {
        let (version, kind) = (text(object, "apiVersion"), text(object, "kind"));
        let found = self.0.iter().find(|known| known.kind == kind && known.api_version() == version);
        found.ok_or_else(|| {
            ClusterError::Usage(format!("no matches for kind {kind:?} in version {version:?}"))
        })
    }
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn list<'v>(value: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

fn aggregated(answer: &Value, kinds: &mut Vec<Kind>) {
    for group in list(answer, "items") {
        let name = group.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        // The first version is the preferred one.
        let Some(version) = list(group, "versions").next() else { continue };
        for resource in list(version, "resources") {
            kinds.push(Kind {
                group: name.to_owned(),
                version: text(version, "version").to_owned(),
                plural: text(resource, "resource").to_owned(),
                singular: text(resource, "singularResource").to_owned(),
                kind: resource
                    .pointer("/responseKind/kind")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned(),
                namespaced: text(resource, "scope") == "Namespaced",
                short_names: strings(resource.get("shortNames")),
                categories: strings(resource.get("categories")),
            });
        }
    }
}

/// Older servers tell group by group.
fn plain(session: &Session, path: &str, answer: &Value, kinds: &mut Vec<Kind>) -> Result<()> {
    let versions: Vec<(String, String)> = if path == "/api" {
        vec![(String::new(), "v1".to_owned())]
    } else {
        let groups = list(answer, "groups");
        groups
            .filter_map(|group| {
                let version = group.pointer("/preferredVersion/version")?.as_str()?;
                Some((text(group, "name").to_owned(), version.to_owned()))
            })
            .collect()
    };
    for (group, version) in versions {
        let path =
            if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        // A group whose server is away hides no other.
        let Ok(answer) = session.get(&path) else { continue };
        for resource in list(&answer, "resources").filter(|resource| !text(resource, "name").contains('/')) {
            let kind = text(resource, "kind").to_owned();
            let singular = match text(resource, "singularName") {
                "" => kind.to_lowercase(),
                singular => singular.to_owned(),
            };
            kinds.push(Kind {
                group: group.clone(),
                version: version.clone(),
                plural: text(resource, "name").to_owned(),
                singular,
                kind,
                namespaced: resource.get("namespaced") == Some(&Value::Bool(true)),
                short_names: strings(resource.get("shortNames")),
                categories: strings(resource.get("categories")),
            });
        }
    }
    Ok(())
}
