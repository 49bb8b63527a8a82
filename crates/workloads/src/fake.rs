//! A cluster in memory, for tests: it stores objects, and refuses pods if a test wants that.

use std::cell::RefCell;

use jiff::Timestamp;
use palisade_api::error::{ApiError, ApiResult};
use palisade_api::kind::{self, Resource, text};
use serde_json::{Value, json};

use crate::{Author, Cluster, Controller, Next};

/// The time in tests, in seconds.
pub(crate) const NOW: i64 = 1_000_000;

/// A cluster in memory.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    /// The pods, or other objects, that the workload controls.
    pub(crate) pods: Vec<Value>,
    pub(crate) nodes: Vec<Value>,
    /// The ControllerRevisions that it controls, with those that are made and without those that are deleted.
    pub(crate) revisions: RefCell<Vec<Value>>,
    /// An object that is scaled.
    pub(crate) scaled: Option<Value>,
    /// Pods that are created before one is refused.
    pub(crate) room: usize,
    /// Objects that were created, by kind, and what was deleted, by name.
    pub(crate) created: RefCell<Vec<Value>>,
    pub(crate) deleted: RefCell<Vec<String>>,
    /// The last change, except events.
    pub(crate) changed: RefCell<Value>,
}

impl Fake {
    /// A cluster with pods, which takes any number of them.
    pub(crate) fn with(pods: &[Value]) -> Self {
        Self { pods: pods.to_vec(), room: usize::MAX, ..Self::default() }
    }

    /// Looks at a workload; gives the numbers of pods made and deleted, and its status.
    pub(crate) fn sync(&self, workload: &Value) -> (ApiResult<Next>, usize, usize, Value) {
        let controller = Controller::of_kind(text(workload, "/kind")).unwrap();
        let next = controller.sync(self, workload.clone());
        let made = self.created.borrow().iter().filter(|object| object["kind"] == "Pod").count();
        let status = self.changed.borrow()["status"].clone();
        (next, made, self.deleted.borrow().len(), status)
    }
}

impl Cluster for Fake {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(NOW).unwrap()
    }

    fn owned(&self, _: &str, _: &str, storage: &str, with: &mut dyn FnMut(Value)) -> ApiResult<()> {
        match storage {
            "apps/controllerrevisions" => self.revisions.borrow().iter().cloned().for_each(with),
            _ => self.pods.iter().cloned().for_each(with),
        }
        Ok(())
    }

    fn nodes(&self) -> ApiResult<Vec<Value>> {
        Ok(self.nodes.clone())
    }

    fn resource(&self, group: &str, kind: &str) -> Option<Resource> {
        kind::RESOURCES
            .iter()
            .find(|one| one.group() == group && one.kind() == kind)
            .map(|one| (*one).clone())
    }

    fn get(&self, resource: &Resource, _: &str, name: &str) -> ApiResult<Value> {
        let revisions = self.revisions.borrow();
        let found = revisions.iter().find(|revision| is_named(revision, name)).or(self.scaled.as_ref());
        found.cloned().ok_or_else(|| ApiError::not_found(resource, name))
    }

    fn create(&self, _: Author<'_>, resource: &Resource, object: Value) -> ApiResult<Value> {
        let mut created = self.created.borrow_mut();
        let pods = created.iter().filter(|object| object["kind"] == "Pod").count();
        if resource.is("", "pods") && pods >= self.room {
            return Err(ApiError::forbidden(resource, "", "no SCC admits it".to_owned()));
        }
        created.push(object.clone());
        if resource.is("apps", "controllerrevisions") {
            self.revisions.borrow_mut().push(object.clone());
        }
        Ok(object)
    }

    fn delete(&self, _: Author<'_>, _: &Resource, (name, _): (&str, &str)) -> ApiResult<()> {
        self.deleted.borrow_mut().push(name.to_owned());
        self.revisions.borrow_mut().retain(|revision| !is_named(revision, name));
        Ok(())
    }

    fn change(
        &self,
        _: Author<'_>,
        (resource, name, _): (&Resource, &str, &str),
        change: &dyn Fn(&Value) -> Value,
    ) -> ApiResult<Value> {
        if resource.is("apps", "controllerrevisions") {
            let mut revisions = self.revisions.borrow_mut();
            let revision = revisions.iter_mut().find(|revision| is_named(revision, name));
            let revision = revision.ok_or_else(|| ApiError::not_found(resource, name))?;
            *revision = change(revision);
            return Ok(revision.clone());
        }
        let owned = self.pods.iter().find(|owned| is_named(owned, name));
        let new = change(owned.or(self.scaled.as_ref()).unwrap_or(&json!({})));
        if !resource.is("", "events") {
            *self.changed.borrow_mut() = new.clone();
        }
        Ok(new)
    }
}

fn is_named(object: &Value, name: &str) -> bool {
    text(object, "/metadata/name") == name
}

/// A pod in a phase that ended, or became ready, some seconds ago.
pub(crate) fn pod(name: &str, phase: &str, ago: i64) -> Value {
    let then = Timestamp::from_second(NOW - ago).unwrap().to_string();
    let ready = if phase == "Running" { "True" } else { "False" };
    json!({"kind": "Pod", "metadata": {"name": name, "creationTimestamp": then}, "status": {"phase": phase,
        "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": then}]}})
}

/// A workload of a kind.
pub(crate) fn workload(kind: &str, spec: &Value) -> Value {
    json!({"kind": kind, "metadata": {"name": "w", "namespace": "n", "uid": "u"}, "spec": spec, "status": {}})
}
