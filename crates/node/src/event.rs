//! Events about pods.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};

use crate::slot::{Names, names};

/// Maximum number of distinct events that are remembered for counting.
const REMEMBERED: usize = 2000;

/// The type of an event: normal or warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Normal,
    Warning,
}

/// Writes events; a repeated one increases its count.
pub(crate) struct Recorder {
    client: Client,
    component: &'static str,
    node: String,
    seen: Mutex<HashMap<String, (String, i32)>>,
}

impl Recorder {
    pub(crate) fn new(client: Client, component: &'static str, node: &str) -> Self {
        Self { client, component, node: node.to_owned(), seen: Mutex::default() }
    }

    /// Writes an event about a pod, or a container of it. An event that cannot be written is logged.
    pub(crate) async fn say(
        &self,
        pod: &Pod,
        container: Option<&str>,
        level: Level,
        reason: &str,
        message: &str,
    ) {
        if let Err(error) = self.write(pod, container, level, reason, message).await {
            tracing::debug!("event {reason} of {} is not written: {error}", names(pod).name);
        }
    }

    async fn write(
        &self,
        pod: &Pod,
        container: Option<&str>,
        level: Level,
        reason: &str,
        message: &str,
    ) -> kube::Result<()> {
        let about = names(pod);
        let message: String = message.chars().take(1024).collect();
        let key = format!("{}/{container:?}/{reason}/{}", about.uid, shape(&message));
        let events: Api<Event> = Api::namespaced(self.client.clone(), about.namespace);
        let now = Time(jiff::Timestamp::now());
        if let Some((name, count)) = self.again(&key) {
            let change = serde_json::json!({"count": count, "lastTimestamp": now, "message": message});
            let patch = Patch::Merge(change);
            if events.patch(&name, &PatchParams::default(), &patch).await.is_ok() {
                return Ok(());
            }
        }
        let id = jiff::Timestamp::now().as_nanosecond();
        let name = format!("{}.{:x}", about.name.chars().take(200).collect::<String>(), id);
        let event = self.event(about, &name, container, now);
        let event = Event {
            type_: Some(format!("{level:?}")),
            reason: Some(reason.to_owned()),
            message: Some(message),
            ..event
        };
        events.create(&PostParams::default(), &event).await?;
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(key, (name, 1));
        Ok(())
    }

    /// The name of an event that was written before, and its new count.
    fn again(&self, key: &str) -> Option<(String, i32)> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() > REMEMBERED {
            seen.clear();
        }
        let (name, count) = seen.get_mut(key)?;
        *count += 1;
        Some((name.clone(), *count))
    }

    /// A first event about a pod, without what it says.
    fn event(&self, about: Names<'_>, name: &str, container: Option<&str>, now: Time) -> Event {
        Event {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(about.namespace.to_owned()),
                ..Default::default()
            },
            involved_object: ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: Some(about.name.to_owned()),
                namespace: Some(about.namespace.to_owned()),
                uid: Some(about.uid.to_owned()),
                field_path: container.map(|name| format!("spec.containers{{{name}}}")),
                ..Default::default()
            },
            count: Some(1),
            first_timestamp: Some(now.clone()),
            last_timestamp: Some(now),
            source: Some(EventSource {
                component: Some(self.component.to_owned()),
                host: Some(self.node.clone()),
            }),
            reporting_component: Some(self.component.to_owned()),
            ..Default::default()
        }
    }
}

/// A message without what differs from one try to the next, such as the ID of a container: messages of one shape are
/// counted as one event, which shows the latest.
fn shape(message: &str) -> String {
    let varies = |run: &str| {
        let digits = run.bytes().filter(u8::is_ascii_digit).count();
        (digits == run.len() && digits >= 4) || (digits > 0 && run.len() >= 8)
    };
    let (mut shape, mut run) = (String::with_capacity(message.len()), String::new());
    for letter in message.chars().map(Some).chain([None]) {
        match letter {
            Some(letter) if letter.is_ascii_hexdigit() => run.push(letter),
            other => {
                shape.push_str(if varies(&run) { "#" } else { &run });
                run.clear();
                shape.extend(other);
            }
        }
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::shape;

    #[test]
    fn messages_that_differ_in_ids_are_one_event() {
        for (message, expected) in [
            (
                "failed to create containerd task: open /run/x/0a1b2c3d4e5f60718293/rootfs: exit status 1",
                "failed to create containerd task: open /run/x/#/rootfs: exit status 1",
            ),
            ("veth1a2b3c4d, /tmp/mount123456, pid 4711", "veth#, /tmp/mount#, pid #"),
            ("Liveness probe failed: HTTP status 503", "Liveness probe failed: HTTP status 503"),
            ("dup2, added, feedface", "dup2, added, feedface"),
            ("1234", "#"),
            ("", ""),
        ] {
            assert_eq!(shape(message), expected);
        }
    }
}
