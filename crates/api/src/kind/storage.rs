//! Drivers of storage, and the nodes that have them.
//!
//! Defaults are those of `k8s.io/kubernetes/pkg/apis/storage/v1/defaults.go`, rules those of `pkg/apis/storage/validation`.

use palisade_k8s::{FieldError, metadata};
use serde_json::{Value, json};

use super::at::At;
use super::{AGE, Admission, BASE, Column, Resource, Row, age, column, default, immutable, text};

const STORAGE: Row = Row { group: "storage.k8s.io", namespaced: false, needs_version: true, ..BASE };

const fn flag(name: &'static str) -> Column {
    Column { name, kind: "boolean", priority: 0 }
}

/// CSI drivers.
pub(super) static CSI_DRIVERS: Resource = Resource::Row(&Row {
    plural: "csidrivers",
    singular: "csidriver",
    kind: "CSIDriver",
    schema: "CSIDriver",
    storage: "storage.k8s.io/csidrivers",
    columns: &[
        flag("AttachRequired"),
        flag("PodInfoOnMount"),
        flag("StorageCapacity"),
        column("TokenRequests"),
        flag("RequiresRepublish"),
        column("Modes"),
        AGE,
    ],
    cells: |driver, now| {
        let is = |field: &str| driver.pointer(&format!("/spec/{field}")) == Some(&Value::Bool(true));
        let all = |field: &str, or: &str, read: fn(&Value) -> &str| {
            let list = driver.pointer(&format!("/spec/{field}")).and_then(Value::as_array);
            let texts: Vec<&str> = list.into_iter().flatten().map(read).collect();
            Value::from(if texts.is_empty() { or.to_owned() } else { texts.join(",") })
        };
        vec![
            is("attachRequired").into(),
            is("podInfoOnMount").into(),
            is("storageCapacity").into(),
            all("tokenRequests", "<unset>", |request| text(request, "/audience")),
            is("requiresRepublish").into(),
            all("volumeLifecycleModes", "<none>", |mode| mode.as_str().unwrap_or_default()),
            age(driver, now),
        ]
    },
    prepare: |driver, _| {
        default(driver, "spec", json!({}));
        if let Some(spec) = driver.get_mut("spec").filter(|spec| spec.is_object()) {
            default(spec, "attachRequired", true);
            for flag in ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"] {
                default(spec, flag, false);
            }
            default(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
            default(spec, "volumeLifecycleModes", json!(["Persistent"]));
        }
    },
    validate: |driver, old| {
        let spec = At::root(driver, "spec");
        let mut errors = immutable(driver, old, &["spec.attachRequired", "spec.volumeLifecycleModes"]);
        errors.extend(spec.field("fsGroupPolicy").none_of(&["ReadWriteOnceWithFSType", "File", "None"]));
        let modes = spec.field("volumeLifecycleModes").items();
        errors.extend(modes.filter_map(|mode| mode.none_of(&["Persistent", "Ephemeral"])));
        errors.extend(spec.field("nodeAllocatableUpdatePeriodSeconds").outside(10..=i64::MAX));
        let mut audiences = std::collections::HashSet::new();
        for request in spec.field("tokenRequests").items() {
            if !audiences.insert(request.field("audience").text()) {
                errors.push(request.field("audience").duplicate());
            }
            errors.extend(request.field("expirationSeconds").outside(600..=1 << 32));
        }
        errors
    },
    ..STORAGE
});

/// Nodes with their CSI drivers.
pub(super) static CSI_NODES: Resource = Resource::Row(&Row {
    plural: "csinodes",
    singular: "csinode",
    kind: "CSINode",
    schema: "CSINode",
    storage: "storage.k8s.io/csinodes",
    admission: Admission::CsiNode,
    columns: &[Column { name: "Drivers", kind: "integer", priority: 0 }, AGE],
    cells: |node, now| {
        let drivers = node.pointer("/spec/drivers").and_then(Value::as_array).map_or(0, Vec::len);
        vec![drivers.into(), age(node, now)]
    },
    prepare: |node, _| {
        default(node, "spec", json!({}));
        if let Some(spec) = node.get_mut("spec").filter(|spec| spec.is_object()) {
            default(spec, "drivers", json!([]));
        }
    },
    validate: |node, _| {
        let mut errors: Vec<FieldError> = Vec::new();
        let mut names = std::collections::HashSet::new();
        for driver in At::root(node, "spec").field("drivers").items() {
            let (name, id) = (driver.field("name"), driver.field("nodeID"));
            errors.extend(name.missing());
            errors.extend(id.missing());
            if !names.insert(name.text()) {
                errors.push(name.duplicate());
            }
            let fits = metadata::is_subdomain(name.text()) && name.text().len() <= 63;
            if !fits && !name.text().is_empty() {
                errors.push(name.invalid("must be a DNS subdomain of at most 63 characters"));
            }
            let keys = driver.field("topologyKeys");
            let wrong = keys.items().filter(|key| !metadata::qualified_name(key.text()).is_empty());
            errors.extend(wrong.map(|key| key.invalid("must be a qualified name, as of a label")));
            errors.extend(driver.field("allocatable").field("count").outside(0..=i64::MAX));
        }
        errors
    },
    ..STORAGE
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_are_completed_and_checked() {
        let made = |resource: &Resource, spec: Value| {
            let mut object = json!({"metadata": {"name": "a"}, "spec": spec});
            resource.prepare(&mut object, None);
            let errors = resource.validate(&object, None);
            (object, errors.iter().map(|error| error.path.to_string()).collect::<Vec<_>>())
        };
        let (driver, errors) = made(&CSI_DRIVERS, json!({}));
        assert_eq!(errors, Vec::<String>::new());
        assert_eq!(driver["spec"]["fsGroupPolicy"], "ReadWriteOnceWithFSType");
        assert_eq!(driver["spec"]["volumeLifecycleModes"], json!(["Persistent"]));
        let wrong = [
            ("spec.fsGroupPolicy", json!({"fsGroupPolicy": "Some"})),
            ("spec.volumeLifecycleModes[0]", json!({"volumeLifecycleModes": ["Forever"]})),
            (
                "spec.tokenRequests[1].audience",
                json!({"tokenRequests": [{"audience": "a"}, {"audience": "a"}]}),
            ),
            (
                "spec.tokenRequests[0].expirationSeconds",
                json!({"tokenRequests": [{"audience": "a", "expirationSeconds": 5}]}),
            ),
        ];
        for (field, spec) in wrong {
            assert_eq!(made(&CSI_DRIVERS, spec).1, [field]);
        }
        let drivers = json!({"drivers": [{"name": "a.b", "nodeID": "x"}, {"name": "a.b", "nodeID": "x"}]});
        assert_eq!(made(&CSI_NODES, drivers).1, ["spec.drivers[1].name"]);
        assert_eq!(made(&CSI_NODES, json!({"drivers": [{"name": "a.b"}]})).1, ["spec.drivers[0].nodeID"]);
    }
}
