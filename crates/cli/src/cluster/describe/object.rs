//! Any object: its metadata, then its fields, then its events.

use serde_json::Value;

use super::{Lines, or_none};
use crate::cluster::kind::{Kind, encode};
use crate::cluster::output::{pairs, text};
use crate::cluster::session::{Result, Session};
use crate::cluster::yaml;

pub(super) fn describe(session: &Session, kind: &Kind, object: &Value) -> Result<String> {
    let mut lines = Lines::default();
    lines.pair("Name:", text(object, "/metadata/name"));
    if kind.namespaced {
        lines.pair("Namespace:", text(object, "/metadata/namespace"));
    }
    lines.pair("Labels:", pairs(object.pointer("/metadata/labels"), "=", "\n"));
    lines.pair("Annotations:", pairs(object.pointer("/metadata/annotations"), ": ", "\n"));
    lines.pair("API Version:", kind.api_version());
    lines.pair("Kind:", kind.kind.as_str());
    let mut said = lines.text();
    let fields = object.as_object().into_iter().flatten();
    for (name, value) in
        fields.filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind" | "metadata"))
    {
        said.push_str(&title(name));
        said.push_str(":\n");
        let yaml = yaml::write(value);
        yaml.lines().for_each(|line| said.push_str(&format!("  {line}\n")));
    }
    said.push_str(&format!("Events:  {}\n", events(session, object)));
    Ok(said)
}

fn title(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// What was said about an object lately.
pub(super) fn events(session: &Session, object: &Value) -> String {
    let uid = text(object, "/metadata/uid");
    let namespace = match text(object, "/metadata/namespace") {
        "" => "default",
        namespace => namespace,
    };
    let selector = encode(&format!("involvedObject.uid={uid}"));
    let path = format!("/api/v1/namespaces/{}/events?fieldSelector={selector}", encode(namespace));
    // Who may not read events is told of the object all the same.
    let Ok(list) = session.get(&path) else { return "<unknown>".to_owned() };
    let items = list.get("items").and_then(Value::as_array).into_iter().flatten();
    let said: Vec<String> = items
        .map(|event| {
            format!("{} {} {}", text(event, "/type"), text(event, "/reason"), text(event, "/message"))
        })
        .collect();
    or_none(said.join("\n"))
}
