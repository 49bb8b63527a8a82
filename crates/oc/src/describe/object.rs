//! Any kind without a layout of its own: metadata, fields as YAML, events.

use serde_json::Value;

use super::events;
use super::sheet::Sheet;
use palisade_client::Kind;
use palisade_client::Session;
use palisade_k8s::yaml;

pub(super) async fn describe(session: &Session, kind: &Kind, object: &Value) -> String {
    let mut sheet = Sheet::default();
    sheet.metadata(object);
    sheet.pair(0, "API Version", kind.api_version());
    sheet.pair(0, "Kind", kind.kind.as_str());
    let fields = object.as_object().into_iter().flatten();
    for (name, value) in
        fields.filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind" | "metadata"))
    {
        if let Value::Object(_) | Value::Array(_) = value {
            sheet.line(0, format!("{}:", title(name)));
            yaml::write(value).lines().for_each(|line| sheet.line(1, line));
        } else {
            sheet.pair(0, &title(name), super::sheet::word(value));
        }
    }
    events::describe(session, object, &mut sheet).await;
    sheet.finish()
}

/// The name of a field with a capital letter.
pub(super) fn title(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
