//! Templates of OpenShift: objects with parameters, which `oc process` fills in.

use std::cell::Cell;
use std::collections::BTreeMap;

use palisade_console::terminal;
use palisade_k8s::FieldPath;
use palisade_k8s::manifest::{Node, NodeValue};

use crate::files::Document;

/// The fields whose values are quantities or numbers.
const NUMBERS: [&str; 4] = ["limits", "requests", "sizeLimit", "replicas"];

/// The most that the values of a template's parameters take in its objects. A value may be long, and stand in many places.
const MAX_FILLED: usize = 16 << 20;

/// The texts of parameters by their names.
struct Parameters {
    /// The part of [`MAX_FILLED`] that is left; a value that does not fit stands as its name.
    left: Cell<usize>,
    values: BTreeMap<String, String>,
    /// Those without a value.
    open: Vec<String>,
}

/// The objects with the values of their parameters; a parameter without one stands as its name.
pub(super) fn objects(template: &Document) -> Vec<Node> {
    let parameters = Parameters::of(&template.node);
    let mut objects = template.node.get("objects").map(Node::items).unwrap_or_default().to_vec();
    objects.iter_mut().for_each(|object| parameters.fill(object, false));
    if !objects.is_empty() && !parameters.open.is_empty() {
        terminal::note(format_args!(
            "{}: {} parameters without a value, which stand as their names: {}; to give them: oc process --local -f {} -p NAME=VALUE | \
             palisade review -f -",
            template.place(&FieldPath::of("parameters")),
            crate::paint::warning("note:"),
            parameters.open.join(", "),
            template.source.name,
        ));
    }
    objects
}

impl Parameters {
    fn of(template: &Node) -> Self {
        let text = |node: &Node, field: &str| Some(node.get(field)?.as_str()?.to_owned());
        let (mut values, mut open) = (BTreeMap::new(), Vec::new());
        for parameter in template.get("parameters").map(Node::items).unwrap_or_default() {
            let Some(name) = text(parameter, "name") else { continue };
            match text(parameter, "value") {
                Some(value) => drop(values.insert(name, value)),
                None => open.push(name),
            }
        }
        Self { left: Cell::new(MAX_FILLED), values, open }
    }

    /// Fills in `${NAME}` in texts, and `${{NAME}}`, which stands for a whole value of any type.
    fn fill(&self, node: &mut Node, is_number: bool) {
        match &mut node.value {
            NodeValue::List(items) => items.iter_mut().for_each(|item| self.fill(item, is_number)),
            NodeValue::Map(entries) => {
                for entry in entries {
                    self.fill(&mut entry.value, is_number || NUMBERS.contains(&entry.key.as_str()));
                }
            }
            NodeValue::String(text) => {
                let whole = text.strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}"));
                match whole.map(|name| self.value(name, true)) {
                    Some(value) => node.value = typed(&value),
                    None => *text = self.filled(text, is_number),
                }
            }
            _ => {}
        }
    }

    fn filled(&self, text: &str, is_number: bool) -> String {
        let mut parts = text.split("${");
        let mut filled = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            match part.split_once('}') {
                Some((name, rest)) => filled.extend([self.value(name, is_number).as_str(), rest]),
                None => filled.extend(["${", part]),
            }
        }
        filled
    }

    fn value(&self, name: &str, is_number: bool) -> String {
        let value = self.values.get(name).filter(|value| value.len() <= self.left.get());
        match value {
            Some(value) => {
                self.left.set(self.left.get() - value.len());
                value.clone()
            }
            None if is_number => "1".to_owned(),
            None => name.to_ascii_lowercase().replace('_', "-"),
        }
    }
}

/// A text as the number, truth value or text that YAML reads it as.
fn typed(text: &str) -> NodeValue {
    let read = palisade_k8s::manifest::read(text).unwrap_or_default();
    let scalar = read.into_iter().next().map(|node| node.value);
    scalar
        .filter(|value| !matches!(value, NodeValue::List(_) | NodeValue::Map(_)))
        .unwrap_or_else(|| NodeValue::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_in_many_places_stays_small() {
        let text = format!(
            "kind: Template\nobjects: [{{kind: Pod, many: [{}]}}]\nparameters: [{{name: A, value: {}}}]\n",
            "'${A}', ".repeat(100),
            "x".repeat(1 << 20)
        );
        let document = crate::files::parse("t.yaml", text).unwrap().remove(0);
        let filled = objects(&document).first().map(|object| object.to_json().to_string().len());
        assert!(filled.is_some_and(|length| length < MAX_FILLED + 2_000));
    }

    #[test]
    fn parameters_are_filled_in() {
        let document = |text: &str| crate::files::parse("t.yaml", text.to_owned()).unwrap().remove(0);
        for (value, filled) in [
            ("${A}", "\"x\""),
            ("a-${A}-${B_C}", "\"a-x-b-c\""),
            ("${{COUNT}}", "3"),
            ("${{T}}", "true"),
            ("${{NONE}}", "1"),
            ("${A", "\"${A\""),
            ("$A {{A}}", "\"$A {{A}}\""),
            ("{limits: {memory: '${M}'}}", "{\"limits\":{\"memory\":\"1\"}}"),
        ] {
            let value = if value.starts_with('{') { value.to_owned() } else { format!("'{value}'") };
            let text = format!(
                "kind: Template\nobjects:\n- {{kind: Pod, value: {value}}}\nparameters:\n- {{name: A, value: x}}\n- {{name: B_C}}\n\
                 - {{name: COUNT, value: '3'}}\n- {{name: T, value: 'true'}}\n"
            );
            let objects = objects(&document(&text));
            let found = objects.first().and_then(|object| object.get("value")).map(Node::to_json);
            assert_eq!(found.unwrap_or_default().to_string(), filled, "{value}");
        }
    }
}
