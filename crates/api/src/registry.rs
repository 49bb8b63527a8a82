//! The resources of a server at one time: those of its table, and those that CustomResourceDefinitions define.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::kind::{self, Custom, RESOURCES, Resource, text};

/// Maximum number of definitions of one server.
pub const DEFINITIONS: usize = 2000;

/// The resources. A copy shares the definitions.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    definitions: BTreeMap<String, Arc<Definition>>,
}

/// A definition whose names are accepted.
#[derive(Debug)]
struct Definition {
    group: String,
    names: Value,
    /// Served versions, the preferred one first.
    served: Vec<Resource>,
    /// The storage version.
    kept: Option<Resource>,
    /// `UID-GENERATION` of the definition: another text after each change that clients see, in no order.
    mark: String,
}

/// A group with its versions, the preferred one first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name; empty for the core group.
    pub name: String,
    /// Its versions.
    pub versions: Vec<String>,
}

/// Orders versions as Kubernetes does: `v2`, `v1`, `v1beta2`, `v1alpha1`, then all others by name.
fn priority(version: &str) -> (u8, Reverse<u32>, Reverse<u32>, String) {
    let read = || {
        let rest = version.strip_prefix('v')?;
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        let (major, rest) = rest.split_at(digits);
        let major = major.parse().ok()?;
        let minor = |text: &str| text.parse().ok();
        match (rest, rest.strip_prefix("beta"), rest.strip_prefix("alpha")) {
            ("", ..) => Some((0, major, 0)),
            (_, Some(beta), _) => Some((1, major, minor(beta)?)),
            (_, _, Some(alpha)) => Some((2, major, minor(alpha)?)),
            _ => None,
        }
    };
    match read() {
        Some((stage, major, minor)) => (stage, Reverse(major), Reverse(minor), String::new()),
        None => (3, Reverse(0), Reverse(0), version.to_owned()),
    }
}

fn condition<'v>(definition: &'v Value, kind: &str) -> Option<&'v Value> {
    let conditions = definition.pointer("/status/conditions").and_then(Value::as_array)?;
    conditions.iter().find(|condition| text(condition, "/type") == kind)
}

impl Definition {
    /// The kind that a definition defines; `None` until its names are accepted.
    fn new(definition: &Value) -> Option<Self> {
        condition(definition, "Established").filter(|condition| text(condition, "/status") == "True")?;
        let versions = definition.pointer("/spec/versions").and_then(Value::as_array)?;
        let made = versions.iter().map(|version| {
            let is = |field: &str| version.get(field) == Some(&Value::Bool(true));
            (is("served"), is("storage"), Resource::Custom(Arc::new(Custom::new(definition, version))))
        });
        let made: Vec<(bool, bool, Resource)> = made.collect();
        let kept = made.iter().find(|(_, is_kept, _)| *is_kept).map(|(.., resource)| resource.clone());
        let mut served: Vec<Resource> =
            made.into_iter().filter(|(is_served, ..)| *is_served).map(|(.., resource)| resource).collect();
        served.sort_by_cached_key(|resource| priority(resource.version()));
        let generation =
            definition.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or_default();
        Some(Self {
            group: text(definition, "/spec/group").to_owned(),
            names: definition.pointer("/status/acceptedNames").cloned().unwrap_or_default(),
            served,
            kept,
            mark: format!("{}-{generation}", text(definition, "/metadata/uid")),
        })
    }
}

impl Registry {
    /// Adds the resources of a definition, or removes them.
    pub fn set(&mut self, name: &str, definition: Option<&Value>) {
        match definition.and_then(Definition::new) {
            Some(definition) => drop(self.definitions.insert(name.to_owned(), Arc::new(definition))),
            None => drop(self.definitions.remove(name)),
        }
    }

    /// A resource by its group, version and plural name.
    #[must_use]
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<Resource> {
        let own = RESOURCES.iter().find(|own| own.is(group, plural) && own.version() == version);
        if let Some(own) = own {
            return Some((*own).clone());
        }
        let definition = self.definitions.get(&format!("{plural}.{group}"))?;
        definition.served.iter().find(|resource| resource.version() == version).cloned()
    }

    /// The resource whose objects are stored under a name.
    #[must_use]
    pub fn of_storage(&self, storage: &str) -> Option<Resource> {
        if let Some(own) = kind::of_storage(storage) {
            return Some(own.clone());
        }
        let (group, plural) = storage.split_once('/')?;
        self.definitions.get(&format!("{plural}.{group}"))?.kept.clone()
    }

    /// All resources that store objects of their own.
    pub fn kept(&self) -> impl Iterator<Item = Resource> {
        let own = RESOURCES.iter().filter(|own| !own.storage().is_empty() && !own.is_view);
        own.map(|own| (*own).clone())
            .chain(self.definitions.values().filter_map(|defined| defined.kept.clone()))
    }

    /// The resources that show the objects of a definition, or of the resource of a group and a name.
    #[must_use]
    pub fn versions_of(&self, resource: &Resource) -> Vec<Resource> {
        let definition = self.definitions.get(&format!("{}.{}", resource.plural(), resource.group()));
        definition.map(|definition| definition.served.clone()).unwrap_or_default()
    }

    /// The resources of a version of a group.
    #[must_use]
    pub fn of_group(&self, group: &str, version: &str) -> Vec<Resource> {
        let own = RESOURCES.iter().filter(|own| own.group() == group && own.version() == version);
        let defined = self.definitions.values().filter(|definition| definition.group == group);
        let defined = defined.flat_map(|definition| &definition.served);
        let defined = defined.filter(|resource| resource.version() == version);
        own.map(|own| (*own).clone()).chain(defined.cloned()).collect()
    }

    /// Groups by their names, without the core group.
    #[must_use]
    pub fn groups(&self) -> Vec<Group> {
        let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for own in RESOURCES.iter().filter(|own| !own.group().is_empty()) {
            groups.entry(own.group()).or_default().push(own.version());
        }
        for resource in self.definitions.values().flat_map(|definition| &definition.served) {
            groups.entry(resource.group()).or_default().push(resource.version());
        }
        let groups = groups.into_iter().map(|(name, mut versions)| {
            versions.sort_by_cached_key(|version| priority(version));
            versions.dedup();
            Group { name: name.to_owned(), versions: versions.into_iter().map(str::to_owned).collect() }
        });
        groups.collect()
    }

    /// Whether there is a version of a group.
    #[must_use]
    pub fn has_group(&self, group: &str, version: &str) -> bool {
        RESOURCES.iter().any(|own| own.group() == group && own.version() == version)
            || self.definitions.values().any(|definition| {
                definition.group == group
                    && definition.served.iter().any(|served| served.version() == version)
            })
    }

    /// A text that changes with all that clients see of a version of a group; empty for built-in ones only.
    #[must_use]
    pub fn mark(&self, group: &str, version: &str) -> String {
        let defined = self.definitions.values().filter(|definition| {
            definition.group == group && definition.served.iter().any(|served| served.version() == version)
        });
        defined.map(|definition| definition.mark.as_str()).collect::<Vec<_>>().join("_")
    }

    /// The number of definitions whose names are accepted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.definitions.len()
    }

    /// Whether the registry holds no definitions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.definitions.is_empty()
    }

    /// The status of a definition at a time (RFC 3339): whether its names are free, and whether it is served. Its
    /// conditions are those of `k8s.io/apiextensions-apiserver/pkg/controller/status/naming_controller.go`.
    #[must_use]
    pub fn status(&self, definition: &Value, now: &str) -> Value {
        let names = definition.pointer("/spec/names").cloned().unwrap_or_default();
        let conflict = self.conflict(definition, &names);
        let was_established = condition(definition, "Established")
            .is_some_and(|condition| text(condition, "/status") == "True");
        let mut status =
            definition.get("status").filter(|status| status.is_object()).cloned().unwrap_or(json!({}));
        let mut made = Vec::new();
        let mut say = |kind: &str, is: bool, reason: &str, message: &str| {
            let state = if is { "True" } else { "False" };
            let was = condition(definition, kind).filter(|was| text(was, "/status") == state);
            let since = was.map_or(now, |was| text(was, "/lastTransitionTime"));
            made.push(json!({"type": kind, "status": state, "lastTransitionTime": since,
                             "reason": reason, "message": message}));
        };
        match &conflict {
            None => {
                say("NamesAccepted", true, "NoConflicts", "no conflicts found");
                say("Established", true, "InitialNamesAccepted", "the initial names have been accepted");
            }
            Some((reason, message)) => {
                say("NamesAccepted", false, reason, message);
                if was_established {
                    say("Established", true, "InitialNamesAccepted", "the initial names have been accepted");
                } else {
                    say("Established", false, "NotAccepted", "not all names are accepted");
                }
            }
        }
        let annotations = definition.pointer("/metadata/annotations");
        let approved =
            annotations.and_then(|all| all.get("api-approved.kubernetes.io")).and_then(Value::as_str);
        match approved {
            Some(by) if by.starts_with("unapproved") => say(
                "KubernetesAPIApprovalPolicyConformant",
                false,
                "UnapprovedAnnotation",
                &format!("not approved: {by}"),
            ),
            Some(by) => say(
                "KubernetesAPIApprovalPolicyConformant",
                true,
                "ApprovedAnnotation",
                &format!("approved in {by}"),
            ),
            None => {}
        }
        if definition.pointer("/metadata/deletionTimestamp").is_some() {
            let message = "CustomResourceDefinition marked for deletion; its objects are being deleted";
            say("Terminating", true, "InstanceDeletionInProgress", message);
        }
        let accepted = match conflict {
            None => names,
            Some(_) => status.get("acceptedNames").cloned().unwrap_or(json!({"plural": "", "kind": ""})),
        };
        if let Some(status) = status.as_object_mut() {
            status.insert("conditions".to_owned(), made.into());
            status.insert("acceptedNames".to_owned(), accepted);
            status.insert("storedVersions".to_owned(), stored_versions(definition).into());
        }
        status
    }

    /// The first name that another definition of the group has already.
    fn conflict(&self, definition: &Value, names: &Value) -> Option<(&'static str, String)> {
        let (own, group) = (text(definition, "/metadata/name"), text(definition, "/spec/group"));
        if !self.definitions.contains_key(own) && self.definitions.len() >= DEFINITIONS {
            return Some((
                "TooMany",
                format!("this server has {DEFINITIONS} definitions, which is all it takes"),
            ));
        }
        let others = self.definitions.iter().filter(|(name, other)| *name != own && other.group == group);
        for (_, other) in others {
            let taken: Vec<&str> = words(&other.names).collect();
            if let Some(word) = words(names).find(|word| taken.contains(word)) {
                let reason = if word == text(names, "/plural") { "PluralConflict" } else { "NamesConflict" };
                return Some((reason, format!("{word:?} is already in use")));
            }
            let kinds =
                |names: &Value| [text(names, "/kind").to_owned(), text(names, "/listKind").to_owned()];
            let taken = kinds(&other.names);
            if let Some(kind) = kinds(names).iter().find(|kind| taken.contains(kind)) {
                return Some(("KindConflict", format!("{kind:?} is already in use")));
            }
        }
        None
    }
}

/// The names of a resource in command lines.
fn words(names: &Value) -> impl Iterator<Item = &str> {
    let short = names.get("shortNames").and_then(Value::as_array).into_iter().flatten();
    [text(names, "/plural"), text(names, "/singular")].into_iter().chain(short.filter_map(Value::as_str))
}

/// Versions in which objects were stored, with the present one.
fn stored_versions(definition: &Value) -> Vec<String> {
    let stored = definition.pointer("/status/storedVersions").and_then(Value::as_array).into_iter().flatten();
    let mut stored: Vec<String> = stored.filter_map(|name| name.as_str().map(str::to_owned)).collect();
    let versions = definition.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten();
    let present = versions.into_iter().find(|version| version.get("storage") == Some(&Value::Bool(true)));
    let present = present.map(|version| text(version, "/name").to_owned());
    stored.extend(present.filter(|present| !stored.contains(present)));
    stored
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_kubernetes_order() {
        let mut versions =
            ["foo10", "v1", "v11alpha2", "v2", "v3beta1", "v10", "v10beta3", "foo1", "v11beta2"];
        versions.sort_by_cached_key(|version| priority(version));
        let wanted = ["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v11alpha2", "foo1", "foo10"];
        assert_eq!(versions, wanted);
    }

    fn definition(plural: &str, kind: &str, short: &[&str]) -> Value {
        let mut object = json!({"metadata": {"name": format!("{plural}.example.com"), "uid": "u", "generation": 1},
            "spec": {"group": "example.com", "scope": "Namespaced",
                "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List"),
                          "shortNames": short},
                "versions": [{"name": "v1beta1", "served": true, "storage": false, "schema": {"openAPIV3Schema": {"type": "object"}}},
                             {"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
        object["status"] = json!({});
        object
    }

    #[test]
    fn names_are_given_once() {
        let mut registry = Registry::default();
        let mut first = definition("widgets", "Widget", &["wd"]);
        first["status"] = registry.status(&first, "2026-01-01T00:00:00Z");
        registry.set("widgets.example.com", Some(&first));
        assert_eq!(registry.find("example.com", "v1", "widgets").unwrap().kind(), "Widget");
        assert!(registry.find("example.com", "v2", "widgets").is_none());
        let groups = registry.groups();
        let group = groups.iter().find(|group| group.name == "example.com").unwrap();
        assert_eq!(group.versions, ["v1", "v1beta1"]);
        assert_eq!(first["status"]["storedVersions"], json!(["v1"]));
        for (plural, kind, short, reason) in [
            ("widgetz", "Widget", "x", "NamesConflict"),
            ("gadgets", "Gadget", "wd", "NamesConflict"),
            ("gadgets", "WidgetList", "x", "KindConflict"),
        ] {
            let second = definition(plural, kind, &[short]);
            let status = registry.status(&second, "2026-01-01T00:00:00Z");
            assert_eq!(status["conditions"][0]["reason"], reason, "{plural}");
            let mut refused = second.clone();
            refused["status"] = status;
            registry.set(&format!("{plural}.example.com"), Some(&refused));
            assert_eq!(registry.len(), 1);
        }
        registry.set("widgets.example.com", None);
        assert!(registry.is_empty() && registry.of_storage("example.com/widgets").is_none());
    }
}
