//! The kinds that a server serves, by every name that people use for them.

use serde_json::Value;

use crate::error::Result;
use crate::path::encode;
use crate::session::Session;

/// A kind of object, and where its objects are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The API group; empty for the core group.
    pub group: String,
    /// The version of the group that the server prefers.
    pub version: String,
    /// The resource in paths, as `pods`.
    pub plural: String,
    /// The resource in messages, as `pod`.
    pub singular: String,
    /// The `kind` of its objects, as `Pod`.
    pub kind: String,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
    /// Abbreviations, as `po`.
    pub short_names: Vec<String>,
    /// Sets of kinds that it is in, as `all`.
    pub categories: Vec<String>,
}

impl Kind {
    /// A kind of the core group, or of another, in version `v1`, as every server has it.
    #[must_use]
    pub fn v1(group: &str, plural: &str, singular: &str, kind: &str, namespaced: bool) -> Self {
        Self {
            group: group.to_owned(),
            version: "v1".to_owned(),
            plural: plural.to_owned(),
            singular: singular.to_owned(),
            kind: kind.to_owned(),
            namespaced,
            short_names: Vec::new(),
            categories: Vec::new(),
        }
    }

    /// The resource with its group, `pod` or `role.rbac.authorization.k8s.io`, as kubectl names it in messages.
    #[must_use]
    pub fn qualified(&self) -> String {
        match self.group.as_str() {
            "" => self.singular.clone(),
            group => format!("{}.{group}", self.singular),
        }
    }

    /// `v1`, or `GROUP/VERSION`.
    #[must_use]
    pub fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// The path of its objects: of one namespace if it is given and the kind is namespaced, else of all.
    #[must_use]
    pub fn path(&self, namespace: Option<&str>) -> String {
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
    #[must_use]
    pub fn object_path(&self, namespace: &str, name: &str) -> String {
        format!("{}/{}", self.path(Some(namespace)), encode(name))
    }
}

const AGGREGATED: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

/// All kinds of a server.
#[derive(Clone, Debug)]
pub struct Kinds(Vec<Kind>);

impl Kinds {
    /// Asks a server for its kinds: by aggregated discovery, or group by group where a server does not know that.
    ///
    /// # Errors
    /// The errors of the requests for `/api` and `/apis`. A group that cannot be read is left out.
    pub async fn read(session: &Session) -> Result<Self> {
        let mut kinds = Vec::new();
        for path in ["/api", "/apis"] {
            let answer = session.send_as(http::Method::GET, path, AGGREGATED, None).await?;
            if text(&answer, "kind") == "APIGroupDiscoveryList" {
                aggregated(&answer, &mut kinds);
            } else {
                group_by_group(session, path, &answer, &mut kinds).await?;
            }
        }
        Ok(Self(kinds))
    }

    /// The kind that a word means: its plural, singular, short name or `kind`, with `.GROUP` or `.VERSION.GROUP` or without.
    #[must_use]
    pub fn find(&self, word: &str) -> Option<&Kind> {
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
    }

    /// The kinds of a category, as `all`.
    #[must_use]
    pub fn category(&self, name: &str) -> Vec<&Kind> {
        self.0.iter().filter(|kind| kind.categories.iter().any(|category| category == name)).collect()
    }

    /// The kind of an object, by its `apiVersion` and `kind`.
    #[must_use]
    pub fn of_object(&self, object: &Value) -> Option<&Kind> {
        let (version, kind) = (text(object, "apiVersion"), text(object, "kind"));
        self.0.iter().find(|known| known.kind == kind && known.api_version() == version)
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

/// Servers before Kubernetes 1.26 list the resources of each group in an answer of its own.
async fn group_by_group(session: &Session, path: &str, answer: &Value, kinds: &mut Vec<Kind>) -> Result<()> {
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
        let Ok(answer) = session.get(&path).await else { continue };
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
