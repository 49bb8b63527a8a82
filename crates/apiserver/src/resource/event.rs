//! Events.

use serde_json::Value;

use super::{BASE, Resource, column, text};
use crate::time;

pub(super) const EVENTS: Resource = Resource {
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
    columns: &[column("Last Seen"), column("Type"), column("Reason"), column("Object"), column("Message")],
    cells,
    ..BASE
};

fn cells(event: &Value) -> Vec<Value> {
    let seen = ["/lastTimestamp", "/eventTime", "/firstTimestamp", "/metadata/creationTimestamp"];
    let seen = seen.iter().map(|pointer| text(event, pointer)).find(|text| !text.is_empty());
    let object = format!(
        "{}/{}",
        text(event, "/involvedObject/kind").to_lowercase(),
        text(event, "/involvedObject/name")
    );
    vec![
        time::age(seen.unwrap_or_default()).into(),
        text(event, "/type").into(),
        text(event, "/reason").into(),
        object.into(),
        text(event, "/message").trim().into(),
    ]
}
