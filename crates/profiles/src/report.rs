//! The node's own object, `NodeSeccompProfiles`: the profiles in its folder.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Node;
use kube::api::ApiResource;
use serde_json::{Value, json};

use crate::digest::Digest;
use crate::machine::Machine;
use crate::{GROUP, VERSION};

/// The kind of the object.
pub const KIND: &str = "NodeSeccompProfiles";
/// Its resource.
pub const RESOURCE: &str = "nodeseccompprofiles";
/// The most profiles of a node: of more, those whose names come first.
pub const MOST: usize = 500;
/// The most names of a profile that are told.
const NAMES: usize = 4;
/// The longest message, in characters.
const MESSAGE: usize = 200;

/// The labels of the node that its object has too: enough to tell which nodes fit a pod.
pub const COPIED: [&str; 6] = [
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];

/// The label that the objects of all nodes have whose folder holds a profile.
#[must_use]
pub fn label(digest: Digest) -> String {
    format!("profile.{GROUP}/{}", digest.short())
}

/// The API path of the nodes' objects.
#[must_use]
pub fn resource() -> ApiResource {
    ApiResource {
        group: GROUP.to_owned(),
        version: VERSION.to_owned(),
        api_version: format!("{GROUP}/{VERSION}"),
        kind: KIND.to_owned(),
        plural: RESOURCE.to_owned(),
    }
}

/// The state of one profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The objects that mean it; none, where only pods still use it.
    pub(crate) names: BTreeSet<String>,
    /// The reason why its file is missing.
    pub(crate) error: Option<String>,
}

/// All that is told of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// By digest.
    pub(crate) profiles: BTreeMap<Digest, Entry>,
    /// Objects that are not valid profiles, with the reasons.
    pub(crate) broken: BTreeMap<String, String>,
    /// Number of ignored objects, beyond [`MOST`].
    pub(crate) beyond: usize,
}

impl Report {
    /// The object, as it is applied.
    pub(crate) fn object(&self, name: &str, machine: &Machine, node: Option<&Node>) -> Value {
        let here = self.profiles.iter().filter(|(_, entry)| entry.error.is_none());
        let mut labels: BTreeMap<String, String> =
            here.map(|(digest, _)| (label(*digest), "ready".to_owned())).collect();
        let own = node.and_then(|node| node.metadata.labels.as_ref());
        let copied = COPIED.iter().filter_map(|key| Some(((*key).to_owned(), own?.get(*key)?.clone())));
        labels.extend(copied);
        // The object is deleted with the node, so that readers do not wait for an agent that no longer exists.
        let owner = |uid: &str| json!([{"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid}]);
        let owners = node.and_then(|node| node.metadata.uid.as_deref()).map_or_else(|| json!([]), owner);
        let metadata = json!({"name": name, "labels": labels, "ownerReferences": owners});
        json!({
            "apiVersion": format!("{GROUP}/{VERSION}"), "kind": KIND, "metadata": metadata,
            "status": self.status(machine, node),
        })
    }

    fn status(&self, machine: &Machine, node: Option<&Node>) -> Value {
        let profiles = self.profiles.iter().map(|(digest, entry)| {
            let state = match (&entry.error, entry.names.is_empty()) {
                (Some(_), _) => "Failed",
                (None, false) => "Ready",
                // No object means it any more.
                (None, true) => "Kept",
            };
            json!({
                "digest": digest.to_string(), "localhostProfile": digest.localhost_profile(), "state": state,
                "names": entry.names.iter().take(NAMES).map(|name| shortened(name)).collect::<Vec<_>>(),
                "message": entry.error.as_deref().map(shortened).unwrap_or_default(),
            })
        });
        let broken = self.broken.iter().map(
            |(name, error)| json!({"state": "Invalid", "names": [shortened(name)], "message": shortened(error)}),
        );
        let profiles: Vec<Value> = profiles.chain(broken).collect();
        let ready =
            self.profiles.values().filter(|entry| entry.error.is_none() && !entry.names.is_empty()).count();
        let runtime = node
            .and_then(|node| {
                Some(node.status.as_ref()?.node_info.as_ref()?.container_runtime_version.clone())
            })
            .unwrap_or_default();
        json!({
            "architecture": machine.arch.to_string(), "kernel": machine.kernel.to_string(), "runtime": runtime,
            "ready": ready, "failed": profiles.len() - self.here(), "beyondLimit": self.beyond, "profiles": profiles,
        })
    }

    fn here(&self) -> usize {
        self.profiles.values().filter(|entry| entry.error.is_none()).count()
    }
}

/// A text, cut off where it is too long to be told by every node.
fn shortened(text: &str) -> String {
    if text.chars().count() <= MESSAGE {
        return text.to_owned();
    }
    text.chars().take(MESSAGE - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_k8s::KernelVersion;
    use palisade_seccomp::Arch;

    const MACHINE: Machine = Machine { arch: Arch::Aarch64, kernel: KernelVersion::new(6, 1) };

    #[test]
    fn the_object_says_what_is_there_and_why_something_is_not() {
        let (ready, kept, failed) =
            (Digest::of(&[json!(1)]), Digest::of(&[json!(2)]), Digest::of(&[json!(3)]));
        let mut report = Report::default();
        report.profiles.insert(ready, Entry { names: ["a".to_owned()].into(), error: None });
        report.profiles.insert(kept, Entry::default());
        let error = Some("no space".repeat(100));
        report.profiles.insert(failed, Entry { names: ["b".to_owned()].into(), error });
        report.broken.insert("c".to_owned(), "no base".to_owned());
        let node: Node = serde_json::from_value(json!({"metadata": {"name": "n", "uid": "u", "labels":
            {"kubernetes.io/arch": "arm64", "secret": "x"}}}))
        .unwrap();
        let object = report.object("n", &MACHINE, Some(&node));
        let labels = object["metadata"]["labels"].as_object().unwrap();
        assert!(labels.contains_key(&label(ready)) && labels.contains_key(&label(kept)));
        assert!(!labels.contains_key(&label(failed)) && !labels.contains_key("secret"));
        assert_eq!(labels["kubernetes.io/arch"], "arm64");
        assert_eq!(object["metadata"]["ownerReferences"][0]["uid"], "u");
        assert_eq!(object["metadata"]["finalizers"], Value::Null);
        let states: BTreeSet<&str> = object["status"]["profiles"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p["state"].as_str().unwrap())
            .collect();
        assert_eq!(states, ["Failed", "Invalid", "Kept", "Ready"].into());
        assert_eq!((&object["status"]["ready"], &object["status"]["failed"]), (&json!(1), &json!(2)));
    }

    /// An object is stored below a megabyte, whatever the profiles are called.
    #[test]
    fn the_object_is_bounded() {
        let mut report = Report { beyond: 9, ..Report::default() };
        for n in 0..MOST {
            let names = (0..100).map(|at| format!("{at}{}", "a".repeat(300))).collect();
            report.profiles.insert(Digest::of(&[json!(n)]), Entry { names, error: Some("é".repeat(9000)) });
        }
        let size = report.object("n", &MACHINE, None).to_string().len();
        assert!(size < 1_000_000, "{size}");
    }
}
