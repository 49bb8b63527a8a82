//! A workload that is looked at, and what its controller does.

use jiff::Timestamp;
use palisade_api::error::ApiResult;
use palisade_api::kind::{Resource, text};
use palisade_api::selector::Labels;
use palisade_api::time;
use serde_json::{Value, json};

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

    /// Objects that it controls, by name: those that name it as their controller and that its selector selects.
    pub(crate) fn owned(&self, storage: &str) -> ApiResult<Vec<Value>> {
        let mut owned = self.cluster.owned(self.namespace(), self.text("/metadata/uid"), storage)?;
        if let Some(selector) = self.selector() {
            owned.retain(|object| selector.matches(object));
        }
        Ok(owned)
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
        if self.object.get("status") == Some(status) {
            return Ok(());
        }
        let change = |old: &Value| {
            let mut new = old.clone();
            palisade_k8s::put(&mut new, &["status"], status.clone());
            new
        };
        self.change(self.resource, self.name(), "status", change).map(drop)
    }
}
