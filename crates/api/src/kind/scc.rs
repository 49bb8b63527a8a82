//! SecurityContextConstraints, in their own group and, as in OpenShift 3, in the core group.

use palisade_k8s::scc::{GROUP, KIND, RESOURCE};
use serde_json::Value;

use super::{Admission, BASE, Column, Resource, Row, text};

const fn boolean(name: &'static str) -> Column {
    Column { name, kind: "string", priority: 0 }
}

/// SecurityContextConstraints in their own group. Only this one has the short name, so that `scc` means one resource.
pub static SCCS: Resource =
    Resource::Row(&Row { group: GROUP, short_names: &["scc"], is_view: false, ruled_as: None, ..CORE });

pub(super) static CORE_SCCS: Resource = Resource::Row(&CORE);

const CORE: Row = Row {
    plural: RESOURCE,
    singular: RESOURCE,
    kind: KIND,
    schema: KIND,
    namespaced: false,
    is_view: true,
    ruled_as: Some(GROUP),
    has_aliases: true,
    admission: Admission::Scc,
    storage: "security.openshift.io/securitycontextconstraints",
    columns: &[
        boolean("Priv"),
        boolean("Caps"),
        boolean("SELinux"),
        boolean("RunAsUser"),
        boolean("FSGroup"),
        boolean("SupGroup"),
        boolean("Priority"),
        boolean("ReadOnlyRootFS"),
        boolean("Volumes"),
    ],
    cells: |scc, _| {
        let json = |pointer: &str, absent: &str| match scc.pointer(pointer) {
            None | Some(Value::Null) => absent.to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        vec![
            json("/allowPrivilegedContainer", "false").into(),
            json("/allowedCapabilities", "<no value>").into(),
            text(scc, "/seLinuxContext/type").into(),
            text(scc, "/runAsUser/type").into(),
            text(scc, "/fsGroup/type").into(),
            text(scc, "/supplementalGroups/type").into(),
            json("/priority", "<no value>").into(),
            json("/readOnlyRootFilesystem", "false").into(),
            json("/volumes", "<no value>").into(),
        ]
    },
    ..BASE
};
