//! `metadata.managedFields`: the manager that last set each field.

use palisade_k8s::put;
use serde_json::{Value, json};

use super::fieldset::{FieldSet, difference};
use crate::limits::UPDATERS;
use crate::shape::Shape;

/// A write, as recorded in its manager's entry.
#[derive(Clone, Debug)]
pub struct Writer<'a> {
    /// Name of the field manager.
    pub manager: &'a str,
    /// `apiVersion` of the written object.
    pub api_version: &'a str,
    /// Subresource of the write; empty for the object itself.
    pub subresource: &'a str,
    /// Time of the write, in RFC 3339.
    pub time: &'a str,
}

/// One manager's fields.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) manager: String,
    pub(crate) operation: String,
    pub(crate) api_version: String,
    pub(crate) subresource: String,
    pub(crate) time: String,
    pub(crate) fields: FieldSet,
}

impl Entry {
    pub(crate) fn is_of(&self, writer: &Writer<'_>, operation: &str) -> bool {
        self.manager == writer.manager
            && self.operation == operation
            && self.subresource == writer.subresource
    }

    pub(crate) fn new(writer: &Writer<'_>, operation: &str, fields: FieldSet) -> Self {
        Self {
            manager: writer.manager.to_owned(),
            operation: operation.to_owned(),
            api_version: writer.api_version.to_owned(),
            subresource: writer.subresource.to_owned(),
            time: writer.time.to_owned(),
            fields,
        }
    }

    fn from_json(value: &Value) -> Self {
        let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            manager: text("manager"),
            operation: text("operation"),
            api_version: text("apiVersion"),
            subresource: text("subresource"),
            time: text("time"),
            fields: value.get("fieldsV1").map(FieldSet::from_json).unwrap_or_default(),
        }
    }

    fn to_json(&self) -> Value {
        let mut entry = json!({
            "manager": self.manager, "operation": self.operation, "apiVersion": self.api_version,
            "time": self.time, "fieldsType": "FieldsV1", "fieldsV1": self.fields.to_json(),
        });
        if !self.subresource.is_empty() {
            put(&mut entry, &["subresource"], self.subresource.as_str().into());
        }
        entry
    }
}

/// The entries of an object.
pub(crate) fn read(object: &Value) -> Vec<Entry> {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    entries.into_iter().flatten().map(Entry::from_json).collect()
}

/// Writes entries into an object, in Kubernetes' order; empty ones are omitted.
pub(crate) fn write(object: &mut Value, entries: &[Entry]) {
    let mut entries: Vec<&Entry> = entries.iter().filter(|entry| !entry.fields.is_empty()).collect();
    entries.sort_by_key(|entry| {
        [&entry.operation, &entry.time, &entry.manager, &entry.api_version, &entry.subresource]
    });
    let entries: Vec<Value> = entries.into_iter().map(Entry::to_json).collect();
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    metadata.shift_remove("managedFields");
    if !entries.is_empty() {
        metadata.insert("managedFields".to_owned(), Value::Array(entries));
    }
}

/// Records a write other than an apply: the writer owns the fields that it set; removed fields lose their owners.
pub fn update(old: Option<&Value>, new: &mut Value, kind: Shape<'_>, writer: &Writer<'_>) {
    // A client that sends an empty list clears all entries; else the server's own record counts.
    let reset = new.pointer("/metadata/managedFields").and_then(Value::as_array).is_some_and(|l| {
        l.is_empty() || (l.len() == 1 && l.first().and_then(Value::as_object).is_some_and(|e| e.is_empty()))
    });
    if reset {
        write(new, &[]);
        return;
    }
    let mut entries = old.map(read).unwrap_or_default();
    let nothing = json!({});
    let (changed, removed) = difference(old.unwrap_or(&nothing), new, kind);
    let is_own = |entry: &Entry| entry.is_of(writer, "Update");
    for entry in &mut entries {
        entry.fields.remove(&removed);
        if !is_own(entry) {
            entry.fields.remove(&changed);
        }
    }
    if !changed.is_empty() {
        match entries.iter_mut().find(|entry| is_own(entry)) {
            Some(entry) => {
                entry.fields.union(&changed);
                writer.time.clone_into(&mut entry.time);
            }
            None => entries.push(Entry::new(writer, "Update", changed)),
        }
    }
    cap(&mut entries);
    write(new, &entries);
}

/// The name of the manager for merged entries.
const ANCIENT: &str = "ancient-changes";

/// Merges the oldest updates into one entry for each version, so that an object does not grow with every new client.
/// Applied entries stay as they are, since the next apply is compared with them.
fn cap(entries: &mut Vec<Entry>) {
    while entries.iter().filter(|entry| entry.operation == "Update").count() > UPDATERS {
        let is_young = |entry: &Entry| entry.operation == "Update" && entry.manager != ANCIENT;
        let young = entries.iter().enumerate().filter(|(_, entry)| is_young(entry));
        let Some(oldest) = young.min_by(|(_, a), (_, b)| a.time.cmp(&b.time)).map(|(at, _)| at) else {
            return;
        };
        let mut old = entries.remove(oldest);
        match entries
            .iter_mut()
            .find(|entry| entry.manager == ANCIENT && entry.api_version == old.api_version)
        {
            Some(ancient) => {
                ancient.fields.union(&old.fields);
                ancient.time = std::mem::take(&mut ancient.time).max(old.time);
            }
            None => {
                ANCIENT.clone_into(&mut old.manager);
                old.subresource.clear();
                entries.insert(oldest, old);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_updates_are_joined() {
        let kind = crate::kind::find("", "configmaps").unwrap().shape();
        let mut object = json!({"metadata": {"name": "a"}, "data": {}});
        for at in 0..15 {
            let old = object.clone();
            put(&mut object, &["data", &format!("key-{at}")], "value".into());
            let manager = format!("client-{at}");
            let writer = Writer {
                manager: &manager,
                api_version: "v1",
                subresource: "",
                time: "2026-01-01T00:00:00Z",
            };
            update(Some(&old), &mut object, kind, &writer);
        }
        let entries = read(&object);
        let managers: Vec<_> = entries.iter().map(|entry| entry.manager.as_str()).collect();
        assert_eq!(managers.len(), UPDATERS);
        assert!(managers.contains(&ANCIENT) && managers.contains(&"client-14"), "{managers:?}");
        // No owner is lost: each key is still somebody's.
        let mut all = FieldSet::default();
        entries.iter().for_each(|entry| all.union(&entry.fields));
        assert_eq!(all.paths().iter().filter(|path| path.contains("key-")).count(), 15);
    }
}
