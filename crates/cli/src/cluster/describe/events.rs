//! What was said about an object lately.

use serde_json::Value;

use super::sheet::{Sheet, ago, items};
use crate::cluster::kind::encode;
use crate::cluster::output::text;
use crate::cluster::session::Session;

/// The events of an object, or that there are none. Who may not read events is told of the object all the same.
pub(super) fn describe(session: &Session, object: &Value, sheet: &mut Sheet) {
    let namespace = match text(object, "/metadata/namespace") {
        "" => "default",
        namespace => namespace,
    };
    let selector = encode(&format!("involvedObject.uid={}", text(object, "/metadata/uid")));
    let path = format!("/api/v1/namespaces/{}/events?fieldSelector={selector}", encode(namespace));
    let Ok(list) = session.get(&path) else {
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

/// How long ago, and how often since when.
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
