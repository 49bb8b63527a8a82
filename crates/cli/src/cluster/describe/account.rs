//! A service account.

use serde_json::Value;

use super::{Lines, or_none};
use crate::cluster::output::{pairs, text};
use crate::cluster::session::Session;

pub(super) fn describe(session: &Session, account: &Value) -> String {
    let mut lines = Lines::default();
    lines.pair("Name:", text(account, "/metadata/name"));
    lines.pair("Namespace:", text(account, "/metadata/namespace"));
    lines.pair("Labels:", pairs(account.pointer("/metadata/labels"), "=", "\n"));
    lines.pair("Annotations:", pairs(account.pointer("/metadata/annotations"), ": ", "\n"));
    let secrets = account.get("imagePullSecrets").and_then(Value::as_array).into_iter().flatten();
    let names: Vec<&str> = secrets.map(|secret| text(secret, "/name")).collect();
    lines.pair("Image pull secrets:", or_none(names.join("\n")));
    lines.pair("Events:", super::object::events(session, account));
    lines.text()
}
