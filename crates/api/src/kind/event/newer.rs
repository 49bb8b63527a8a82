//! Events of `events.k8s.io`: the same objects under other names of their fields, as `pkg/apis/events/v1/conversion.go` has it.
//! A create through this API requires more fields than through the core group.

use palisade_k8s::FieldError;
use serde_json::Value;

use super::super::at::At;
use super::super::{Resource, Row, text};
use super::{CORE, cells};

pub(in super::super) static NEWER_EVENTS: Resource = Resource::Row(&Row {
    group: "events.k8s.io",
    schema: "events/Event",
    is_view: true,
    convert: Some(into_newer),
    selectable: &["reason", "type"],
    cells: |event, now| cells(&core(event), now),
    validate,
    ..CORE
});

/// The fields that have other names: in the core group, and in this one.
const NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// Maximum length of the texts of an event, in bytes.
const LENGTH: usize = 128;
const NOTE: usize = 1024;

fn renamed(event: &mut Value, name: impl Fn(&str) -> Option<&'static str>) {
    let Some(map) = event.as_object_mut() else { return };
    let all = std::mem::take(map);
    map.extend(all.into_iter().map(|(field, value)| (name(&field).map_or(field, str::to_owned), value)));
}

fn into_newer(event: &mut Value) {
    renamed(event, |field| NAMES.iter().find(|(core, _)| *core == field).map(|(_, newer)| *newer));
}

pub(super) fn into_core(event: &mut Value) {
    renamed(event, |field| NAMES.iter().find(|(_, newer)| *newer == field).map(|(core, _)| *core));
}

fn core(event: &Value) -> Value {
    let mut event = event.clone();
    into_core(&mut event);
    event
}

/// A new event says when it was, who reports it, and of what action; an event that was written in the core group may be
/// updated as it is.
fn validate(event: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let field = |name: &'static str| At::root(event, name);
    if old.is_some_and(|old| text(old, "/eventTime").is_empty()) {
        return (CORE.validate)(&core(event), None);
    }
    let mut errors = Vec::new();
    if !field("eventTime").is_set() {
        errors.push(field("eventTime").required(""));
    }
    let namespace = field("regarding").field("namespace");
    let own = text(event, "/metadata/namespace");
    let is_right = match namespace.text() {
        "" => ["default", "kube-system"].contains(&own),
        namespace => namespace == own,
    };
    if !is_right {
        errors.push(namespace.invalid("does not match event.namespace"));
    }
    for name in ["reportingController", "reportingInstance", "action", "reason"] {
        errors.extend(field(name).missing());
        if field(name).text().len() > LENGTH {
            errors.push(field(name).invalid_whole("can have at most 128 characters"));
        }
    }
    if field("note").text().len() > NOTE {
        errors.push(field("note").invalid_whole("can have at most 1024 characters"));
    }
    if !["Normal", "Warning"].contains(&field("type").text()) {
        errors.push(field("type").invalid("must be Normal or Warning"));
    }
    let is_old = |name: &'static str| old.and_then(|old| old.get(name)) == event.get(name);
    for name in ["deprecatedSource", "deprecatedFirstTimestamp", "deprecatedLastTimestamp", "deprecatedCount"]
    {
        let value = field(name);
        let is_unset =
            !value.is_set() || value.number() == Some(0) || event.get(name) == Some(&serde_json::json!({}));
        if !is_unset && !is_old(name) {
            errors.push(value.invalid("needs to be unset"));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kind::event::EVENTS;

    fn event() -> Value {
        json!({"kind": "Event", "apiVersion": "events.k8s.io/v1", "metadata": {"name": "e", "namespace": "shop"},
            "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "example.com/x", "reportingInstance": "x-1",
            "action": "Binding", "reason": "Bound", "regarding": {"kind": "Pod", "namespace": "shop", "name": "p"},
            "note": "bound", "type": "Normal"})
    }

    #[test]
    fn both_forms_turn_into_one_another() {
        let mut shown = event();
        assert_eq!(NEWER_EVENTS.shape().fit(&mut shown).unwrap(), Vec::<String>::new());
        let mut kept = EVENTS.show(shown.clone());
        assert_eq!(EVENTS.shape().fit(&mut kept).unwrap(), Vec::<String>::new());
        assert_eq!((&kept["involvedObject"]["name"], &kept["message"]), (&json!("p"), &json!("bound")));
        assert_eq!(
            (&kept["reportingComponent"], &kept["apiVersion"]),
            (&json!("example.com/x"), &json!("v1"))
        );
        assert_eq!(NEWER_EVENTS.show(kept), shown);
    }

    #[test]
    fn a_new_event_says_what_it_must() {
        for (field, value, count) in [
            ("note", json!("bound"), 0),
            ("eventTime", Value::Null, 1),
            ("reportingController", json!(""), 1),
            ("reportingInstance", Value::Null, 1),
            ("action", json!("a".repeat(129)), 1),
            ("reason", Value::Null, 1),
            ("note", json!("n".repeat(1025)), 1),
            ("type", json!("Error"), 1),
            ("regarding", json!({"namespace": "other"}), 1),
            ("regarding", json!({}), 1),
            ("deprecatedCount", json!(2), 1),
            ("deprecatedCount", json!(0), 0),
            ("deprecatedSource", json!({}), 0),
            ("deprecatedSource", json!({"component": "x"}), 1),
        ] {
            let mut event = event();
            event[field] = value.clone();
            assert_eq!(validate(&event, None).len(), count, "{field} {value}");
        }
        let old = json!({"metadata": {"namespace": "shop"}, "regarding": {"namespace": "shop"}, "deprecatedCount": 1});
        assert_eq!(validate(&old, Some(&old)), []);
    }
}
