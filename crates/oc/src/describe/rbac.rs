//! `describe role`, `clusterrole`, `rolebinding`, `clusterrolebinding`.

use serde_json::Value;

use super::sheet::{Sheet, items};
use crate::rules;
use crate::value::text;

pub(super) fn role(role: &Value) -> String {
    let mut sheet = Sheet::default();
    head(role, &mut sheet);
    sheet.line(0, "PolicyRule:");
    sheet.line(1, "Resources\tNon-Resource URLs\tResource Names\tVerbs");
    sheet.line(1, "---------\t-----------------\t--------------\t-----");
    rules::rows(items(role, "/rules")).iter().for_each(|row| sheet.line(1, row.join("\t")));
    sheet.finish()
}

pub(super) fn binding(binding: &Value) -> String {
    let mut sheet = Sheet::default();
    head(binding, &mut sheet);
    sheet.line(0, "Role:");
    sheet.pair(1, "Kind", text(binding, "/roleRef/kind"));
    sheet.pair(1, "Name", text(binding, "/roleRef/name"));
    sheet.line(0, "Subjects:");
    sheet.line(1, "Kind\tName\tNamespace");
    sheet.line(1, "----\t----\t---------");
    for subject in items(binding, "/subjects") {
        let row = ["/kind", "/name", "/namespace"].map(|pointer| text(subject, pointer));
        sheet.line(1, row.join("\t"));
    }
    sheet.finish()
}

/// Name, labels and annotations. kubectl leaves out the namespace of roles and bindings.
fn head(object: &Value, sheet: &mut Sheet) {
    sheet.pair(0, "Name", text(object, "/metadata/name"));
    sheet.map("Labels", object.pointer("/metadata/labels"));
    sheet.annotations(object);
}
