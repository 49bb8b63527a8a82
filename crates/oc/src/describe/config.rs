//! `describe configmap` and `secret`. The values of a secret are not shown, only their sizes.

use base64::Engine;
use serde_json::Value;

use super::events;
use super::sheet::{Sheet, entries};
use crate::value::text;
use palisade_client::Session;

pub(super) async fn config_map(session: &Session, map: &Value) -> String {
    let mut sheet = Sheet::default();
    sheet.metadata(map);
    sheet.line(0, "\nData\n====");
    for (key, value) in entries(map.get("data")) {
        sheet.line(0, format!("{key}:\n----\n{value}\n"));
    }
    sheet.line(0, "\nBinaryData\n====");
    for (key, value) in entries(map.get("binaryData")) {
        sheet.line(0, format!("{key}: {} bytes", size(value)));
    }
    sheet.line(0, "");
    events::describe(session, map, &mut sheet).await;
    sheet.finish()
}

pub(super) fn secret(secret: &Value) -> String {
    let mut sheet = Sheet::default();
    sheet.metadata(secret);
    sheet.line(0, "");
    sheet.pair(0, "Type", text(secret, "/type"));
    sheet.line(0, "\nData\n====");
    for (key, value) in entries(secret.get("data")) {
        sheet.pair(0, key, format!("{} bytes", size(value)));
    }
    sheet.finish()
}

/// The number of bytes that a base64 text encodes.
fn size(text: &str) -> usize {
    base64::engine::general_purpose::STANDARD.decode(text).map_or(0, |bytes| bytes.len())
}
