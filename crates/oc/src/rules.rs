//! The rules of roles as rows of a table, one resource or path in each, as `describe role` and `auth can-i --list` show
//! them.

use serde_json::Value;

/// Resource, paths, names and verbs of rules, one resource or path at a time.
pub(crate) fn rows(rules: &[Value]) -> Vec<[String; 4]> {
    let rules = broken_down(rules).into_iter();
    rules.map(|rule| [rule.resource(), list(&rule.url), list(&rule.name), list(&rule.verbs)]).collect()
}

fn list(words: &[String]) -> String {
    format!("[{}]", words.join(" "))
}

/// A rule about one resource or one path.
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

    /// The sort key of rules, as in kubectl: all parts as text.
    fn sort_key(&self) -> String {
        let parts = [&self.verbs, &self.group, &self.resources, &self.name, &self.url];
        parts.map(|part| list(part)).join(",")
    }
}

/// The rules with one resource or path each; the verbs of equal resources together.
fn broken_down(rules: &[Value]) -> Vec<Plain> {
    let mut plain: Vec<Plain> = Vec::new();
    for rule in rules {
        let own = |pointer: &str| -> Vec<Vec<String>> {
            let texts = rule.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
            texts.filter_map(Value::as_str).map(|text| vec![text.to_owned()]).collect()
        };
        let verbs: Vec<String> = own("/verbs").into_iter().flatten().collect();
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
    plain.sort_by_cached_key(Plain::sort_key);
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
