//! Events.

mod newer;

use jiff::Timestamp;
use palisade_k8s::FieldError;
use serde_json::Value;

use super::at::At;
use super::{BASE, Resource, Row, column, text, wide};
use crate::time;

pub(super) use newer::NEWER_EVENTS;

pub(super) static EVENTS: Resource = Resource::Row(&CORE);

static CORE: Row = Row {
    plural: "events",
    singular: "event",
    kind: "Event",
    schema: "Event",
    short_names: &["ev"],
    storage: "events",
    selectable: &[
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ],
    // Their names carry no meaning, so they come last.
    columns: &[
        column("Last Seen"),
        column("Type"),
        column("Reason"),
        column("Object"),
        wide("Subobject"),
        wide("Source"),
        column("Message"),
        wide("First Seen"),
        wide("Count"),
        wide("Name"),
    ],
    cells,
    validate,
    is_made_by_put: true,
    convert: Some(newer::into_core),
    ..BASE
};

/// An event is in the namespace of the object that it is about.
fn validate(event: &Value, _old: Option<&Value>) -> Vec<FieldError> {
    let namespace = At::root(event, "involvedObject").field("namespace");
    let own = text(event, "/metadata/namespace");
    // Events of cluster-scoped objects are in the default namespace.
    let is_right = namespace.text() == own || namespace.text().is_empty() && own == "default";
    if is_right { Vec::new() } else { vec![namespace.invalid("must be the event's own namespace")] }
}

fn cells(event: &Value, now: Timestamp) -> Vec<Value> {
    let first_of = |pointers: &[&str]| {
        let found = pointers.iter().map(|pointer| text(event, pointer)).find(|text| !text.is_empty());
        found.unwrap_or_default().to_owned()
    };
    let last = first_of(&["/lastTimestamp", "/eventTime", "/firstTimestamp", "/metadata/creationTimestamp"]);
    let first = first_of(&["/firstTimestamp", "/eventTime", "/metadata/creationTimestamp"]);
    let source = [text(event, "/source/component"), text(event, "/source/host")];
    let source = source.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
    let count = event.get("count").and_then(Value::as_i64).unwrap_or(1);
    let object = format!(
        "{}/{}",
        text(event, "/involvedObject/kind").to_lowercase(),
        text(event, "/involvedObject/name")
    );
    vec![
        time::age(&last, now).into(),
        text(event, "/type").into(),
        text(event, "/reason").into(),
        object.into(),
        text(event, "/involvedObject/fieldPath").into(),
        source.into(),
        text(event, "/message").trim().into(),
        time::age(&first, now).into(),
        count.to_string().into(),
        text(event, "/metadata/name").into(),
    ]
}
