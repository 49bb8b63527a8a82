//! The events of an object.

use serde_json::Value;

use super::sheet::{Sheet, ago, items};
use crate::value::text;
use palisade_client::Session;
use palisade_client::encode;

/// Adds the events of an object. A user who may not read events gets `<unknown>` and the rest of the description.
pub(super) async fn describe(session: &Session, object: &Value, sheet: &mut Sheet) {
    let namespace = match text(object, "/metadata/namespace") {
        "" => "default",
        namespace => namespace,
    };
    let selector = encode(&format!("involvedObject.uid={}", text(object, "/metadata/uid")));
    let path = format!("/api/v1/namespaces/{}/events?fieldSelector={selector}", encode(namespace));
    let Ok(list) = session.get(&path).await else {
        sheet.pair(0, "Events", "<unknown>");
        return;
    };
    show(items(&list, "/items"), sheet);
}

fn show(events: &[Value], sheet: &mut Sheet) {
    if events.is_empty() {
        sheet.pair(0, "Events", "<none>");
        return;
    }
    sheet.line(0, "Events:");
    sheet.line(1, "Type\tReason\tAge\tFrom\tMessage");
    sheet.line(1, "----\t------\t----\t----\t-------");
    let mut events: Vec<&Value> = events.iter().collect();
    events.sort_by_key(|event| when(event, ["/lastTimestamp", "/eventTime", "/firstTimestamp"]));
    for event in events {
        let source = [text(event, "/source/component"), text(event, "/source/host")];
        let source = match source.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => text(event, "/reportingComponent").to_owned(),
            source => source,
        };
        let line = [
            text(event, "/type"),
            text(event, "/reason"),
            &interval(event),
            &source,
            text(event, "/message").trim(),
        ];
        sheet.line(1, line.join("\t"));
    }
}

fn when<'e>(event: &'e Value, pointers: [&str; 3]) -> &'e str {
    pointers.into_iter().map(|pointer| text(event, pointer)).find(|time| !time.is_empty()).unwrap_or_default()
}

/// The age of an event; for a repeated one also the count and the time of the first.
fn interval(event: &Value) -> String {
    let first = ago(when(event, ["/firstTimestamp", "/eventTime", "/metadata/creationTimestamp"]));
    match event.get("count").and_then(Value::as_i64).filter(|count| *count > 1) {
        Some(count) => {
            let last = ago(when(event, ["/lastTimestamp", "/eventTime", "/firstTimestamp"]));
            format!("{last} (x{count} over {first})")
        }
        None => first,
    }
}
