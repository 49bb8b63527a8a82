//! The policy of a cluster, as watches bring it: objects folded into a [`PolicyCache`].
//!
//! Only the names of the seen objects and a hash of each are kept here, so that a second list shows which have been
//! deleted and which have changed: it needs no more memory than the first.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use kube::api::{ApiResource, DynamicObject};
use palisade_admission::{ObjectKey, PolicyCache, PolicyKind, PolicyObject};
use serde_json::Value;

use crate::denials::Denials;
use crate::feed::Fold;
use crate::mode::Modes;
use crate::namespaces::Lacking;

/// A kind of object in the policy: its API group, its resource and its kind. Neither Secrets nor pods are among
/// [`PolicyKind::RESOURCES`].
pub(crate) type Source = (&'static str, &'static str, PolicyKind);

/// The resource of a source, for requests.
pub(crate) fn resource((group, plural, kind): Source) -> ApiResource {
    let api_version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
    ApiResource {
        group: group.to_owned(),
        version: "v1".to_owned(),
        api_version,
        kind: kind.to_string(),
        plural: plural.to_owned(),
    }
}

/// The target that objects are folded into.
#[derive(Clone)]
pub(crate) struct Sink {
    pub(crate) cache: Arc<PolicyCache>,
    pub(crate) lacking: Lacking,
    pub(crate) modes: Modes,
    pub(crate) denials: Denials,
}

impl Sink {
    /// An invalid object is removed from the policy: the change that made it invalid may have withdrawn a grant.
    fn apply(&self, key: &ObjectKey, object: &Value) {
        if key.kind == PolicyKind::Namespace {
            self.lacking.note(object);
            self.modes.note(&key.name, object);
        }
        match PolicyObject::of(key.kind, object) {
            Ok(object) => self.cache.apply(object),
            Err(error) => {
                tracing::error!("{key} is left out of the policy: {error}");
                self.cache.delete(key);
            }
        }
        self.notice(key.kind);
    }

    fn remove(&self, key: &ObjectKey) {
        if key.kind == PolicyKind::Namespace {
            self.lacking.forget(&key.name);
            self.modes.forget(&key.name);
        }
        self.cache.delete(key);
        self.notice(key.kind);
    }

    /// SCCs, roles and bindings decide who may use what; namespaces do not.
    fn notice(&self, kind: PolicyKind) {
        if kind != PolicyKind::Namespace {
            self.denials.forget();
        }
    }
}

/// The namespace and the name of an object, in one text: there may be 50,000 of them.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Known(Box<str>);

impl Known {
    fn new(key: &ObjectKey) -> Self {
        Self(format!("{}/{}", key.namespace, key.name).into())
    }

    fn key(&self, kind: PolicyKind) -> ObjectKey {
        let (namespace, name) = self.0.split_once('/').unwrap_or_default();
        ObjectKey { kind, namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

/// An object as it was last seen.
struct Seen {
    hash: u64,
    /// The list, or the watch after it, in which it was seen.
    round: u64,
}

/// The objects of one kind of a policy.
pub(crate) struct Objects {
    kind: PolicyKind,
    sink: Sink,
    known: HashMap<Known, Seen>,
    round: u64,
    hasher: RandomState,
}

impl Objects {
    pub(crate) fn new(kind: PolicyKind, sink: Sink) -> Self {
        Self { kind, sink, known: HashMap::new(), round: 0, hasher: RandomState::new() }
    }

    fn key(&self, object: &DynamicObject) -> ObjectKey {
        let metadata = &object.metadata;
        ObjectKey {
            kind: self.kind,
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
        }
    }
}

impl Fold for Objects {
    type Object = DynamicObject;
    const PAGE: u32 = 500;
    const OPTIONAL: bool = false;

    fn begin(&mut self) {
        self.round += 1;
    }

    fn put(&mut self, mut object: DynamicObject) {
        object.metadata.managed_fields = None;
        let key = self.key(&object);
        let object = match serde_json::to_value(&object) {
            Ok(object) => object,
            Err(error) => return tracing::error!("{key} cannot be read: {error}"),
        };
        let hash = self.hasher.hash_one(&object);
        let seen = Seen { hash, round: self.round };
        let before = self.known.insert(Known::new(&key), seen);
        if before.is_none_or(|before| before.hash != hash) {
            self.sink.apply(&key, &object);
        }
    }

    fn remove(&mut self, object: &DynamicObject) {
        let key = self.key(object);
        self.sink.remove(&key);
        self.known.remove(&Known::new(&key));
    }

    fn complete(&mut self) {
        let (sink, round, kind) = (&self.sink, self.round, self.kind);
        self.known.retain(|known, seen| {
            let is_there = seen.round == round;
            if !is_there {
                sink.remove(&known.key(kind));
            }
            is_there
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::denials::Answer;
    use crate::mode::Mode;
    use k8s_openapi::api::authorization::v1::SubjectAccessReviewSpec;
    use serde_json::json;

    #[tokio::test]
    async fn an_event_about_rights_makes_denials_forgotten() {
        let denials = Denials::default();
        for (kind, is_forgotten) in
            PolicyKind::RESOURCES.map(|(.., kind)| (kind, kind != PolicyKind::Namespace))
        {
            let sink = Sink {
                cache: Arc::default(),
                lacking: Lacking::default(),
                modes: Modes::new(Mode::Enforce),
                denials: denials.clone(),
            };
            let mut objects = Objects::new(kind, sink);
            let object: DynamicObject = serde_json::from_value(json!({"metadata": {"name": "a"}})).unwrap();
            let question = SubjectAccessReviewSpec { user: Some(kind.to_string()), ..Default::default() };
            for change in [Objects::put, |objects: &mut Objects, object| objects.remove(&object)] {
                denials.answer(&question, async { Answer::Denied }).await;
                change(&mut objects, object.clone());
                let after = denials.answer(&question, async { Answer::Granted }).await;
                assert_eq!(after == Answer::Granted, is_forgotten, "{kind}");
            }
            // The same object in another list is no event.
            objects.put(object.clone());
            denials.answer(&question, async { Answer::Denied }).await;
            objects.put(object);
            assert_eq!(denials.answer(&question, async { Answer::Granted }).await, Answer::Denied, "{kind}");
        }
    }
}
