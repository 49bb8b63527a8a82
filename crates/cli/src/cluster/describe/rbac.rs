//! Roles, and to whom they are bound.

use serde_json::Value;

use super::sheet::{Sheet, items, texts};
use crate::cluster::output::text;

pub(super) fn role(role: &Value) -> String {
    let mut sheet = Sheet::default();
    head(role, &mut sheet);
    sheet.line(0, "PolicyRule:");
    sheet.line(1, "Resources\tNon-Resource URLs\tResource Names\tVerbs");
    sheet.line(1, "---------\t-----------------\t--------------\t-----");
    rows(items(role, "/rules")).iter().for_each(|row| sheet.line(1, row.join("\t")));
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

/// Resource, paths, names and verbs of rules, one resource or path at a time.
pub(in super::super) fn rows(rules: &[Value]) -> Vec<[String; 4]> {
    let rules = broken_down(rules).into_iter();
    rules.map(|rule| [rule.resource(), list(&rule.url), list(&rule.name), list(&rule.verbs)]).collect()
}

/// The namespace of roles and bindings is where one asked for them.
fn head(object: &Value, sheet: &mut Sheet) {
    sheet.pair(0, "Name", text(object, "/metadata/name"));
    sheet.map("Labels", object.pointer("/metadata/labels"));
    sheet.annotations(object);
}

fn list(words: &[String]) -> String {
    format!("[{}]", words.join(" "))
}

/// A rule about one resource, or one path.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Plain {
    verbs: Vec<String>,
    group: Vec<String>,
    resources: Vec<String>,
    name: Vec<String>,
    url: Vec<String>,
}

impl Plain {
    fn resource(&self) -> String {
        match (self.resources.join(","), self.group.join(",")) {
            (resource, group) if group.is_empty() => resource,
            (resource, group) => format!("{resource}.{group}"),
        }
    }

    /// By what rules are in order: as texts, verbs first.
    fn place(&self) -> String {
        let parts = [&self.verbs, &self.group, &self.resources, &self.name, &self.url];
        parts.map(|part| list(part)).join(",")
    }
}

/// Every rule for each of its resources by itself; the verbs of one resource together.
fn broken_down(rules: &[Value]) -> Vec<Plain> {
    let mut plain: Vec<Plain> = Vec::new();
    for rule in rules {
        let own = |pointer: &str| -> Vec<Vec<String>> {
            texts(rule, pointer).into_iter().map(|text| vec![text.to_owned()]).collect()
        };
        let verbs: Vec<String> = texts(rule, "/verbs").into_iter().map(str::to_owned).collect();
        let mut names = own("/resourceNames");
        if names.is_empty() {
            names.push(Vec::new());
        }
        for group in own("/apiGroups") {
            for resources in own("/resources") {
                for name in &names {
                    let (group, resources, name) = (group.clone(), resources.clone(), name.clone());
                    add(&mut plain, Plain { verbs: verbs.clone(), group, resources, name, url: Vec::new() });
                }
            }
        }
        for url in own("/nonResourceURLs") {
            add(&mut plain, Plain { verbs: verbs.clone(), url, ..Plain::default() });
        }
    }
    plain.sort_by_cached_key(Plain::place);
    plain
}

fn add(rules: &mut Vec<Plain>, rule: Plain) {
    let key =
        |rule: &Plain| (rule.group.clone(), rule.resources.clone(), rule.name.clone(), rule.url.clone());
    match rules.iter_mut().find(|known| key(known) == key(&rule)) {
        Some(known) => {
            let new: Vec<String> =
                rule.verbs.into_iter().filter(|verb| !known.verbs.contains(verb)).collect();
            known.verbs.extend(new);
        }
        None => rules.push(rule),
    }
}
