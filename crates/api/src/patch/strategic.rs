//! Strategic merge patch: lists merge by the key that the schema names.
//!
//! Directives: `$patch` (`replace`, `delete`, `merge`) in an object or a list's element, `$retainKeys`,
//! `$deleteFromPrimitiveList/FIELD`, `$setElementOrder/FIELD`.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use crate::schema::{Field, Merge, Message, Type};

/// Prefix of the directive for the order of a list's elements.
const ORDER: &str = "$setElementOrder/";
/// Prefix of the directive that removes values from a list of texts or numbers.
const REMOVAL: &str = "$deleteFromPrimitiveList/";

/// Changes `object` by the patch.
pub(super) fn merge(object: &mut Value, patch: &Value, message: &'static Message) -> Result<(), String> {
    let patch = patch.as_object().ok_or("a strategic merge patch must be an object")?;
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let Some(target) = object.as_object_mut() else { return Ok(()) };
    merge_object(target, patch, Some(message))
}

fn merge_object(
    target: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    message: Option<&'static Message>,
) -> Result<(), String> {
    match patch.get("$patch").map(Value::as_str) {
        Some(Some("replace")) => {
            target.clear();
            let plain = patch.iter().filter(|(name, _)| !name.starts_with('$'));
            target.extend(plain.map(|(name, value)| (name.clone(), value.clone())));
            return Ok(());
        }
        Some(Some("delete")) => {
            target.clear();
            return Ok(());
        }
        Some(Some("merge")) | None => {}
        Some(other) => {
            return Err(format!("unknown $patch directive {:?}", other.unwrap_or("that is not text")));
        }
    }
    if let Some(kept) = patch.get("$retainKeys") {
        let kept: Vec<&str> = strings(kept).ok_or("$retainKeys must be a list of strings")?;
        let kept: HashSet<&str> = kept.into_iter().collect();
        target.retain(|name, _| kept.contains(name.as_str()));
    }
    // All at once: each single removal would move the elements behind it.
    let mut gone = HashSet::new();
    for (name, value) in patch.iter().filter(|(name, _)| !name.starts_with('$')) {
        let field = message.and_then(|message| message.field(name));
        let order = patch.get(&format!("{ORDER}{name}")).and_then(Value::as_array);
        if !merge_field(target, name, value, field, order.map(Vec::as_slice))? {
            gone.insert(name);
        }
    }
    if !gone.is_empty() {
        target.retain(|name, _| !gone.contains(name));
    }
    for (directive, value) in patch.iter().filter(|(name, _)| name.starts_with(REMOVAL)) {
        // The whole rest is the name, so that a list has one directive.
        let name = directive.strip_prefix(REMOVAL).unwrap_or_default();
        let gone = value.as_array().ok_or_else(|| format!("{directive} must be a list"))?;
        if let Some(Value::Array(items)) = target.get_mut(name) {
            let gone: HashSet<String> = gone.iter().map(Value::to_string).collect();
            items.retain(|item| !gone.contains(&item.to_string()));
        }
    }
    for (directive, value) in patch.iter().filter(|(name, _)| name.starts_with(ORDER)) {
        let name = directive.strip_prefix(ORDER).unwrap_or_default();
        let order = value.as_array().ok_or_else(|| format!("{directive} must be a list"))?;
        let key = message.and_then(|message| message.field(name)).and_then(merge_key);
        if let Some(Value::Array(items)) = target.get_mut(name).filter(|_| !patch.contains_key(name)) {
            let live = items.clone();
            *items = arrange(std::mem::take(items), &live, order, key);
        }
    }
    Ok(())
}

fn strings(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

fn merge_key(field: &Field) -> Option<&'static str> {
    match field.merge {
        Merge::Key(key) => Some(key),
        _ => None,
    }
}

/// Changes a field; returns whether it stays.
fn merge_field(
    target: &mut Map<String, Value>,
    name: &str,
    value: &Value,
    field: Option<&Field>,
    order: Option<&[Value]>,
) -> Result<bool, String> {
    match value {
        Value::Null => return Ok(false),
        Value::Object(patch) => {
            let inner = field.and_then(|field| field.kind.message());
            let mut current = match target.get_mut(name).map(Value::take) {
                Some(Value::Object(map)) => map,
                _ => Map::new(),
            };
            let deletes = patch.get("$patch").and_then(Value::as_str) == Some("delete");
            merge_object(&mut current, patch, inner)?;
            if deletes {
                return Ok(false);
            }
            target.insert(name.to_owned(), Value::Object(current));
        }
        Value::Array(patch) => {
            let current = match target.get_mut(name).map(Value::take) {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            };
            let merged = merge_list(name, current, patch, field, order)?;
            target.insert(name.to_owned(), Value::Array(merged));
        }
        other => {
            target.insert(name.to_owned(), other.clone());
        }
    }
    Ok(true)
}

fn merge_list(
    name: &str,
    live: Vec<Value>,
    patch: &[Value],
    field: Option<&Field>,
    order: Option<&[Value]>,
) -> Result<Vec<Value>, String> {
    let is_directive = |item: &Value| item.get("$patch").and_then(Value::as_str) == Some("replace");
    let plain = |items: &[Value]| items.iter().filter(|item| !is_directive(item)).cloned().collect();
    if patch.iter().any(is_directive) {
        return Ok(plain(patch));
    }
    match field.map(|field| (&field.merge, &field.kind)) {
        Some((Merge::Values, _)) => {
            let there: HashSet<String> = live.iter().map(Value::to_string).collect();
            let new = patch.iter().filter(|item| !there.contains(&item.to_string())).cloned();
            let merged = live.iter().cloned().chain(new).collect();
            Ok(arrange(merged, &live, order.unwrap_or(patch), None))
        }
        Some((Merge::Key(key), Type::List(item))) => {
            let mut merged = live.clone();
            merge_by_key(name, &mut merged, patch, key, item.message())?;
            Ok(arrange(merged, &live, order.unwrap_or(patch), Some(key)))
        }
        _ => Ok(plain(patch)),
    }
}

fn merge_by_key(
    name: &str,
    current: &mut Vec<Value>,
    patch: &[Value],
    key: &str,
    message: Option<&'static Message>,
) -> Result<(), String> {
    let mut places: HashMap<String, Vec<usize>> = HashMap::new();
    for (place, item) in current.iter().enumerate() {
        if let Some(value) = item.get(key) {
            places.entry(value.to_string()).or_default().push(place);
        }
    }
    let mut gone = HashSet::new();
    for item in patch {
        let item =
            item.as_object().ok_or_else(|| format!("{name}: an element of the patch is not an object"))?;
        let value = item
            .get(key)
            .ok_or_else(|| format!("{name}: an element of the patch does not contain merge key: {key}"))?;
        let value = value.to_string();
        if item.get("$patch").and_then(Value::as_str) == Some("delete") {
            gone.extend(places.remove(&value).into_iter().flatten());
            continue;
        }
        let place = places.get(&value).and_then(|places| places.first()).copied();
        match place.and_then(|place| current.get_mut(place)).and_then(Value::as_object_mut) {
            Some(existing) => {
                merge_object(existing, item, message)?;
                // A patch of a patch may rename the fields that it merges.
                let now = existing.get(key).map(Value::to_string);
                if now.as_ref() != Some(&value) {
                    places.remove(&value);
                    places.entry(now.unwrap_or_default()).or_default().extend(place);
                }
            }
            None => {
                let mut made = Map::new();
                merge_object(&mut made, item, message)?;
                places.entry(value).or_default().push(current.len());
                current.push(Value::Object(made));
            }
        }
    }
    let mut place = 0;
    current.retain(|_| {
        place += 1;
        !gone.contains(&(place - 1))
    });
    Ok(())
}

/// Orders elements as a patch names them; those that it does not name keep their order. An unnamed element precedes a
/// named one only if both existed and it came before: so added ones come first.
fn arrange(merged: Vec<Value>, live: &[Value], wanted: &[Value], key: Option<&str>) -> Vec<Value> {
    let name = |item: &Value| match key {
        Some(key) => item.get(key).map(Value::to_string),
        None => Some(item.to_string()),
    };
    let places = |list: &[Value]| {
        let mut places = HashMap::new();
        for (place, item) in list.iter().enumerate() {
            if let Some(name) = name(item) {
                places.entry(name).or_insert(place);
            }
        }
        places
    };
    let (wanted, live) = (places(wanted), places(live));
    // Each with its place in the wanted order, and in the old order.
    let placed = merged.into_iter().map(|item| {
        let name = name(&item);
        let place = |list: &HashMap<String, usize>| list.get(name.as_ref()?).copied();
        (place(&wanted), place(&live), item)
    });
    let (mut named, others): (Vec<_>, Vec<_>) = placed.partition(|(wanted, ..)| wanted.is_some());
    named.sort_by_key(|(wanted, ..)| *wanted);
    let mut others = others.into_iter().peekable();
    let mut arranged = Vec::with_capacity(named.len() + others.len());
    for (_, here, item) in named {
        let comes_first = |(_, there, _): &(_, Option<usize>, _)| {
            here.zip(*there).is_some_and(|(here, there)| there < here)
        };
        while let Some((.., other)) = others.next_if(comes_first) {
            arranged.push(other);
        }
        arranged.push(item);
    }
    arranged.extend(others.map(|(.., item)| item));
    arranged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::message;
    use serde_json::json;

    #[test]
    fn patches_merge_as_kubernetes_does() {
        let pod = json!({"spec": {
            "containers": [{"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b"}],
            "volumes": [{"name": "v", "emptyDir": {}}], "nodeSelector": {"x": "y"}},
            "metadata": {"finalizers": ["one", "two"]}});
        let cases = [
            (
                json!({"spec": {"containers": [{"name": "a", "image": "2"}]}}),
                "/spec/containers/0",
                json!({"name": "a", "image": "2", "env": [{"name": "X", "value": "1"}]}),
            ),
            (
                json!({"spec": {"containers": [{"name": "a", "$patch": "delete"}]}}),
                "/spec/containers",
                json!([{"name": "b"}]),
            ),
            (
                json!({"spec": {"containers": [{"name": "c"}], "$setElementOrder/containers": [{"name": "c"}, {"name": "b"}, {"name": "a"}]}}),
                "/spec/containers/0",
                json!({"name": "c"}),
            ),
            (
                json!({"spec": {"containers": [{"$patch": "replace"}, {"name": "z"}]}}),
                "/spec/containers",
                json!([{"name": "z"}]),
            ),
            (
                json!({"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "secret"], "secret": {"secretName": "s"}}]}}),
                "/spec/volumes/0",
                json!({"name": "v", "secret": {"secretName": "s"}}),
            ),
            (
                json!({"spec": {"nodeSelector": null}}),
                "/spec/volumes",
                json!([{"name": "v", "emptyDir": {}}]),
            ),
            (
                json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["one"]}}),
                "/metadata/finalizers",
                json!(["two"]),
            ),
            (
                json!({"metadata": {"$deleteFromPrimitiveList/1/finalizers": ["one"], "$deleteFromPrimitiveList/": ["one"]}}),
                "/metadata/finalizers",
                json!(["one", "two"]),
            ),
            (
                json!({"metadata": {"finalizers": ["three", "one"]}}),
                "/metadata/finalizers",
                json!(["three", "one", "two"]),
            ),
            (
                json!({"spec": {"nodeSelector": {"$patch": "replace", "k": "v"}}}),
                "/spec/nodeSelector",
                json!({"k": "v"}),
            ),
        ];
        for (patch, pointer, wanted) in cases {
            let mut patched = pod.clone();
            merge(&mut patched, &patch, message("Pod").unwrap()).unwrap();
            assert_eq!(patched.pointer(pointer), Some(&wanted), "{patch}");
        }
        let nameless = json!({"spec": {"containers": [{"image": "x"}]}});
        assert!(
            merge(&mut pod.clone(), &nameless, message("Pod").unwrap()).unwrap_err().contains("merge key")
        );
    }
}
