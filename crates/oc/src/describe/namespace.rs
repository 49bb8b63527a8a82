//! `describe namespace` and `describe project`.

use serde_json::Value;

use super::sheet::{Sheet, ago};
use crate::value::text;

pub(super) fn namespace(namespace: &Value) -> String {
    let mut sheet = Sheet::default();
    sheet.metadata(namespace);
    sheet.pair(0, "Status", text(namespace, "/status/phase"));
    sheet.finish()
}

pub(super) fn project(project: &Value) -> String {
    let mut sheet = Sheet::default();
    let annotation = |key: &str| {
        let annotations = project.pointer("/metadata/annotations");
        let value = annotations.and_then(|map| map.get(key)?.as_str()).unwrap_or_default();
        if value.is_empty() { "<none>".to_owned() } else { value.to_owned() }
    };
    sheet.pair(0, "Name", text(project, "/metadata/name"));
    sheet.pair(0, "Created", format!("{} ago", ago(text(project, "/metadata/creationTimestamp"))));
    sheet.map("Labels", project.pointer("/metadata/labels"));
    sheet.map("Annotations", project.pointer("/metadata/annotations"));
    sheet.pair(0, "Display Name", annotation("openshift.io/display-name"));
    sheet.pair(0, "Description", annotation("openshift.io/description"));
    sheet.pair(0, "Status", text(project, "/status/phase"));
    sheet.pair(0, "Node Selector", annotation("openshift.io/node-selector"));
    sheet.pair(0, "Quota", "<none>");
    sheet.pair(0, "Resource limits", "<none>");
    sheet.finish()
}
