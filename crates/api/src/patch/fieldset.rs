//! Sets of fields, as `managedFields` holds them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use std::fmt::Display;

use serde_json::{Map, Value};

use crate::limits::CAUSES;
use crate::shape::{Fields, Form, Node, Shape};

/// A set of places in an object. `owned` is whether the place itself is in it, not only something below.
///
/// Its JSON form (`FieldsV1`): `f:NAME` a field, `k:{…}` the element of a list with these keys, `v:…` the element
/// of a set, `.` the place itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSet {
    pub(crate) owned: bool,
    pub(crate) below: BTreeMap<String, FieldSet>,
}

impl FieldSet {
    pub(crate) fn is_empty(&self) -> bool {
        !self.owned && self.below.values().all(Self::is_empty)
    }

    pub(crate) fn from_json(value: &Value) -> Self {
        let map = value.as_object();
        let below: BTreeMap<String, Self> = map
            .into_iter()
            .flatten()
            .filter(|(name, _)| *name != ".")
            .map(|(name, value)| (name.clone(), Self::from_json(value)))
            .collect();
        let dotted = map.is_some_and(|map| map.contains_key("."));
        Self { owned: dotted || below.is_empty(), below }
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut map = Map::new();
        let below: Vec<_> = self.below.iter().filter(|(_, set)| !set.is_empty()).collect();
        if self.owned && !below.is_empty() {
            map.insert(".".to_owned(), Value::Object(Map::new()));
        }
        map.extend(below.into_iter().map(|(name, set)| (name.clone(), set.to_json())));
        Value::Object(map)
    }

    /// The union of two sets.
    pub(crate) fn union(&mut self, other: &Self) {
        self.owned |= other.owned;
        for (name, set) in &other.below {
            self.below.entry(name.clone()).or_default().union(set);
        }
    }

    /// The difference of two sets.
    pub(crate) fn remove(&mut self, other: &Self) {
        self.owned &= !other.owned;
        for (name, set) in &other.below {
            if let Some(own) = self.below.get_mut(name) {
                own.remove(set);
            }
        }
        self.below.retain(|_, set| !set.is_empty());
    }

    /// The places themselves, as clients print them: `.spec.containers[name="a"].image`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect("", &mut paths);
        paths
    }

    fn collect(&self, path: &str, paths: &mut Vec<String>) {
        if self.owned && !path.is_empty() {
            paths.push(path.to_owned());
        }
        for (name, set) in &self.below {
            if paths.len() > CAUSES {
                return;
            }
            let step = match name.split_once(':') {
                Some(("f", field)) => format!(".{field}"),
                Some(("k", keys)) => key_step(keys),
                Some((_, value)) => format!("[={value}]"),
                None => format!(".{name}"),
            };
            set.collect(&format!("{path}{step}"), paths);
        }
    }

    /// All places of an object.
    pub(crate) fn of_object(object: &Value, kind: Shape<'_>) -> Self {
        let mut set = Self::default();
        let fields = object.as_object().into_iter().flatten();
        for (name, value) in fields.filter(|(name, _)| !matches!(name.as_str(), "kind" | "apiVersion")) {
            set.add_field(name, value, kind.fields().get(name));
        }
        if let Some(metadata) = set.below.get_mut("f:metadata") {
            metadata.below.retain(|name, _| {
                matches!(name.as_str(), "f:labels" | "f:annotations" | "f:ownerReferences" | "f:finalizers")
                    || name == "f:generateName"
            });
        }
        set.below.retain(|_, set| !set.is_empty());
        set
    }

    /// All places of a configuration. A map or a list is not owned for having content; an element is.
    pub(crate) fn of_config(config: &Value, kind: Shape<'_>) -> Self {
        let mut set = Self::of_object(config, kind);
        set.disown_holders();
        set
    }

    fn disown_holders(&mut self) {
        for (name, set) in &mut self.below {
            if !set.below.is_empty() && !name.starts_with("k:") {
                set.owned = false;
            }
            set.disown_holders();
        }
    }

    fn add_field(&mut self, name: &str, value: &Value, node: Option<Node<'_>>) {
        let set = match node {
            Some(node) => Self::of_value(value, node),
            None => Self { owned: true, ..Self::default() },
        };
        self.below.insert(format!("f:{name}"), set);
    }

    fn of_value(value: &Value, node: Node<'_>) -> Self {
        let mut set = Self::default();
        match (value, node.form(value)) {
            (Value::Object(map), Form::Fields(fields)) if !map.is_empty() => {
                set.owned = fields.has_owned_holder();
                map.iter().for_each(|(name, value)| set.add_field(name, value, fields.get(name)));
            }
            (Value::Array(items), Form::Keyed(item, keys)) => {
                set.owned = true;
                for value in items {
                    let mut below = Self::of_value(value, item);
                    below.owned = true;
                    set.below.insert(element(value, &keys), below);
                }
            }
            (Value::Array(items), Form::Set) => {
                set.owned = true;
                for value in items {
                    set.below.insert(format!("v:{value}"), Self { owned: true, ..Self::default() });
                }
            }
            _ => set.owned = true,
        }
        set
    }
}

fn key_step(keys: &str) -> String {
    let keys: Value = serde_json::from_str(keys).unwrap_or_default();
    let keys = keys.as_object().into_iter().flatten().map(|(key, value)| format!("{key}={value}"));
    format!("[{}]", keys.collect::<Vec<_>>().join(","))
}

/// The key of an element of a keyed list. A port's protocol defaults to TCP.
pub(crate) fn element(value: &Value, keys: &[&str]) -> String {
    let mut sorted = keys.to_vec();
    sorted.sort_unstable();
    let found = sorted.into_iter().filter_map(|key| {
        let default = (key == "protocol").then(|| Value::from("TCP"));
        Some((key.to_owned(), value.get(key).cloned().or(default)?))
    });
    format!("k:{}", Value::Object(found.collect()))
}

/// The part of a configuration that cannot be owned: elements of a keyed list that cannot be told apart.
pub(crate) fn ambiguity(config: &Value, kind: Shape<'_>) -> Option<String> {
    ambiguous_field(config, kind.fields(), &"")
}

fn ambiguous_field(config: &Value, fields: Fields<'_>, path: &dyn Display) -> Option<String> {
    config.as_object()?.iter().find_map(|(name, value)| {
        let node = fields.get(name)?;
        ambiguous_value(value, node, &format_args!("{path}.{name}"))
    })
}

fn ambiguous_value(config: &Value, node: Node<'_>, path: &dyn Display) -> Option<String> {
    match (config, node.form(config)) {
        (Value::Object(_), Form::Fields(fields)) => ambiguous_field(config, fields, path),
        (Value::Array(items), Form::Keyed(item, keys)) => {
            let mut seen = std::collections::HashSet::new();
            items.iter().enumerate().find_map(|(index, value)| {
                let name = element(value, &keys);
                let has = |key: &&&str| **key == "protocol" || value.get(**key).is_some();
                let lacking = keys.iter().find(|key| !has(key));
                let why = match lacking {
                    Some(key) => Some(format!("{path}: element {index} has no {key} to tell it by")),
                    None if !seen.insert(name.clone()) => {
                        let step = name.strip_prefix("k:").map(key_step).unwrap_or_default();
                        Some(format!("{path}: two elements are {step}"))
                    }
                    None => None,
                };
                why.or_else(|| ambiguous_value(value, item, &format_args!("{path}[{index}]")))
            })
        }
        _ => None,
    }
}

/// The places at which two objects differ: added or changed in the new one, and missing from it.
pub(crate) fn difference(old: &Value, new: &Value, kind: Shape<'_>) -> (FieldSet, FieldSet) {
    let (before, after) = (FieldSet::of_object(old, kind), FieldSet::of_object(new, kind));
    let mut removed = before.clone();
    removed.remove(&after);
    let mut changed = after.clone();
    changed.remove(&before);
    changed.union(&differing(&after, &before, old, new));
    (changed, removed)
}

/// The places that are in both sets and at which two values differ. A place with others below is not compared: the
/// creator of a map has no say over the content that others add.
pub(crate) fn differing(set: &FieldSet, with: &FieldSet, one: &Value, other: &Value) -> FieldSet {
    let mut found = FieldSet::default();
    let (ones, others) = (Steps::new(one, set), Steps::new(other, set));
    for (name, below) in &set.below {
        let Some(against) = with.below.get(name) else { continue };
        let (a, b) = (ones.get(name), others.get(name));
        let inner = if below.below.is_empty() && against.below.is_empty() {
            FieldSet { owned: below.owned && against.owned && a != b, ..FieldSet::default() }
        } else {
            let null = Value::Null;
            differing(below, against, a.unwrap_or(&null), b.unwrap_or(&null))
        };
        if !inner.is_empty() {
            found.below.insert(name.clone(), inner);
        }
    }
    found
}

/// The names of the keys in an element's name, such as `{"containerPort":80,"protocol":"TCP"}`.
fn key_names(name: &str) -> Option<Vec<String>> {
    let keys: Value = serde_json::from_str(name.strip_prefix("k:")?).ok()?;
    Some(keys.as_object()?.keys().cloned().collect())
}

/// The indexes of a list's elements, by their names in a set: one each, unless a writer has created duplicates.
pub(crate) type Places = HashMap<String, Vec<usize>>;

/// The indexes of the elements that a set may name.
pub(crate) fn places<'n>(items: &[Value], names: impl Iterator<Item = &'n String>) -> Places {
    let (mut keys, mut has_values) = (BTreeSet::new(), false);
    for name in names {
        keys.extend(key_names(name));
        has_values |= name.starts_with("v:");
    }
    let mut places = Places::new();
    if keys.is_empty() && !has_values {
        return places;
    }
    for (place, item) in items.iter().enumerate() {
        for keys in &keys {
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            places.entry(element(item, &keys)).or_default().push(place);
        }
        if has_values {
            places.entry(format!("v:{item}")).or_default().push(place);
        }
    }
    places
}

/// The values at the steps of a set.
struct Steps<'v> {
    value: &'v Value,
    places: Places,
}

impl<'v> Steps<'v> {
    fn new(value: &'v Value, set: &FieldSet) -> Self {
        let places = value.as_array().map(|items| places(items, set.below.keys()));
        Self { value, places: places.unwrap_or_default() }
    }

    fn get(&self, name: &str) -> Option<&'v Value> {
        match name.split_once(':')? {
            ("f", field) => self.value.get(field),
            _ => self.value.get(self.places.get(name)?.first()?),
        }
    }
}
