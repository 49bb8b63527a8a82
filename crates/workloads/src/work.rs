//! A workload during one run of its controller, and the controller's actions.

use jiff::Timestamp;
use palisade_api::error::ApiResult;
use palisade_api::kind::{Resource, text};
use palisade_api::selector::Labels;
use palisade_api::time;
use palisade_k8s::put;
use serde_json::{Map, Value, json};

use crate::{Author, Cluster};

/// A workload that is looked at.
pub(crate) struct Work<'w> {
    pub(crate) cluster: &'w dyn Cluster,
    pub(crate) resource: &'static Resource,
    pub(crate) account: &'static str,
    pub(crate) object: Value,
}

impl Work<'_> {
    pub(crate) fn text(&self, pointer: &str) -> &str {
        text(&self.object, pointer)
    }

    pub(crate) fn number(&self, pointer: &str) -> i64 {
        self.object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    pub(crate) fn namespace(&self) -> &str {
        self.text("/metadata/namespace")
    }

    /// The time.
    pub(crate) fn clock(&self) -> Timestamp {
        self.cluster.now()
    }

    /// The time as objects have it, to the second.
    pub(crate) fn now(&self) -> String {
        time::format(self.clock().as_second(), 0, false).unwrap_or_default()
    }

    /// Objects that it controls, by name: those that name it as their controller and that its selector selects. Of each
    /// only what `keep` leaves is held: there may be thousands, each as large as an object can be.
    pub(crate) fn owned(&self, storage: &str, mut keep: impl FnMut(Value) -> Value) -> ApiResult<Vec<Value>> {
        let (selector, mut owned) = (self.selector(), Vec::new());
        self.cluster.owned(self.namespace(), self.text("/metadata/uid"), storage, &mut |object| {
            if selector.as_ref().is_none_or(|selector| selector.matches(&object)) {
                owned.push(keep(object));
            }
        })?;
        Ok(owned)
    }

    /// Its pods, of which only [what controllers look at](brief) is held.
    pub(crate) fn pods(&self) -> ApiResult<Vec<Value>> {
        self.owned("pods", brief)
    }

    /// Its selector; that of a ReplicationController has labels alone.
    fn selector(&self) -> Option<Labels> {
        let selector = self.object.pointer("/spec/selector")?;
        Some(match self.resource.kind() {
            "ReplicationController" => Labels::of_object(&json!({"matchLabels": selector})),
            _ => Labels::of_object(selector),
        })
    }

    fn author(&self) -> Author<'_> {
        Author { account: self.account, namespace: self.namespace() }
    }

    pub(crate) fn create(&self, resource: &Resource, object: Value) -> ApiResult<Value> {
        self.cluster.create(self.author(), resource, object)
    }

    pub(crate) fn delete(&self, resource: &Resource, object: &Value) -> ApiResult<()> {
        let object = (text(object, "/metadata/name"), text(object, "/metadata/uid"));
        self.cluster.delete(self.author(), resource, object)
    }

    /// Changes an object; `part` is the subresource that is written.
    pub(crate) fn change(
        &self,
        resource: &Resource,
        name: &str,
        part: &str,
        change: impl Fn(&Value) -> Value,
    ) -> ApiResult<Value> {
        self.cluster.change(self.author(), (resource, name, part), &change)
    }

    /// Writes its status, if that is another than it has.
    pub(crate) fn say(&self, status: &Value) -> ApiResult<()> {
        self.say_with(status, None)
    }

    /// The same, with an annotation in the same write.
    pub(crate) fn say_with(&self, status: &Value, annotation: Option<(&str, String)>) -> ApiResult<()> {
        let is_said = annotation.as_ref().is_none_or(|(name, value)| {
            let annotations = self.object.pointer("/metadata/annotations");
            annotations.and_then(|annotations| annotations.get(name)?.as_str()) == Some(value)
        });
        if is_said && self.object.get("status") == Some(status) {
            return Ok(());
        }
        let change = |old: &Value| {
            let mut new = old.clone();
            put(&mut new, &["status"], status.clone());
            if let Some((name, value)) = &annotation {
                put(&mut new, &["metadata", "annotations", name], value.clone().into());
            }
            new
        };
        self.change(self.resource, self.name(), "status", change).map(drop)
    }
}

/// Labels and annotations of pods that controllers look at.
const MARKS: [&str; 2] = ["controller-revision-hash", "batch.kubernetes.io/job-completion-index"];

/// The parts of an owned object that controllers read: its identity, its marks, its node or its number, its status.
pub(crate) fn brief(mut object: Value) -> Value {
    let mut metadata = Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp"] {
        let value = object.pointer_mut(&format!("/metadata/{field}")).map(Value::take);
        metadata.extend(value.map(|value| (field.to_owned(), value)));
    }
    for field in ["labels", "annotations"] {
        let all = object.pointer(&format!("/metadata/{field}"));
        let marks = MARKS.iter().filter_map(|mark| Some((*mark, all?.get(mark)?.clone())));
        let marks: Map<String, Value> = marks.map(|(mark, value)| (mark.to_owned(), value)).collect();
        if !marks.is_empty() {
            metadata.insert(field.to_owned(), marks.into());
        }
    }
    let mut spec = Map::new();
    for field in ["nodeName", "replicas"] {
        let value = object.pointer_mut(&format!("/spec/{field}")).map(Value::take);
        spec.extend(value.map(|value| (field.to_owned(), value)));
    }
    let status = object.get_mut("status").map(Value::take).unwrap_or_else(|| json!({}));
    json!({"metadata": metadata, "spec": spec, "status": status})
}
