//! The CustomResourceDefinition of SecurityContextConstraints, with the fields of OpenShift's
//! (openshift/api, security/v1/types.go).

use palisade_k8s::scc::{GROUP, KIND, RESOURCE};
use serde_json::{Map, Value, json};

/// The columns of `kubectl get scc`: name, type and JSONPath.
const COLUMNS: [(&str, &str, &str); 9] = [
    ("Priv", "string", ".allowPrivilegedContainer"),
    ("Caps", "string", ".allowedCapabilities"),
    ("SELinux", "string", ".seLinuxContext.type"),
    ("RunAsUser", "string", ".runAsUser.type"),
    ("FSGroup", "string", ".fsGroup.type"),
    ("SupGroup", "string", ".supplementalGroups.type"),
    ("Priority", "string", ".priority"),
    ("ReadOnlyRootFS", "string", ".readOnlyRootFilesystem"),
    ("Volumes", "string", ".volumes"),
];

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn flag(description: &str) -> Value {
    json!({"type": "boolean", "description": description})
}

fn optional_flag(description: &str) -> Value {
    json!({"type": "boolean", "nullable": true, "description": description})
}

fn id(description: &str) -> Value {
    json!({"type": "integer", "format": "int64", "description": description})
}

fn texts(description: &str) -> Value {
    json!({
        "type": "array", "nullable": true, "x-kubernetes-list-type": "atomic",
        "items": {"type": "string"}, "description": description,
    })
}

fn object(description: &str, properties: Value) -> Value {
    json!({"type": "object", "nullable": true, "properties": properties, "description": description})
}

fn ranges(description: &str) -> Value {
    json!({
        "type": "array", "x-kubernetes-list-type": "atomic", "description": description,
        "items": {"type": "object", "properties": {
            "min": id("The first ID of the range."),
            "max": id("The last ID of the range."),
        }},
    })
}

fn run_as_user() -> Value {
    object(
        "How user IDs are chosen and checked.",
        json!({
            "type": text("MustRunAs, MustRunAsRange, MustRunAsNonRoot or RunAsAny."),
            "uid": id("The user ID of MustRunAs."),
            "uidRangeMin": id("The first user ID of MustRunAsRange; absent, the namespace's."),
            "uidRangeMax": id("The last user ID of MustRunAsRange; absent, the namespace's."),
        }),
    )
}

fn selinux() -> Value {
    object(
        "How SELinux labels are chosen and checked.",
        json!({
            "type": text("MustRunAs or RunAsAny."),
            "seLinuxOptions": object("The label of MustRunAs; without a level, the namespace's.", json!({
                "level": text("The level."), "role": text("The role."), "type": text("The type."), "user": text("The user."),
            })),
        }),
    )
}

fn groups(description: &str) -> Value {
    object(
        description,
        json!({
            "type": text("MustRunAs or RunAsAny."),
            "ranges": ranges("The IDs that MustRunAs allows; absent, the namespace's. The first is the default."),
        }),
    )
}

fn properties() -> Map<String, Value> {
    let fields = [
        ("apiVersion", text("security.openshift.io/v1.")),
        ("kind", text("SecurityContextConstraints.")),
        ("metadata", json!({"type": "object"})),
        (
            "priority",
            json!({"type": "integer", "format": "int32", "nullable": true,
            "description": "Higher is tried first; absent counts as 0."}),
        ),
        ("allowPrivilegedContainer", flag("Whether containers may run privileged.")),
        ("defaultAddCapabilities", texts("Capabilities added to every container that does not drop them.")),
        (
            "requiredDropCapabilities",
            texts("Capabilities that every container must drop, and drops by default."),
        ),
        ("allowedCapabilities", texts("Capabilities that containers may add; * allows all.")),
        (
            "allowHostDirVolumePlugin",
            flag("Whether directories of the node may be mounted; kept in step with volumes."),
        ),
        ("volumes", texts("Volume types that may be mounted: \"*\" for all, \"none\" for none.")),
        (
            "allowedFlexVolumes",
            json!({
                "type": "array", "nullable": true, "x-kubernetes-list-type": "atomic",
                "description": "The only drivers that a flexVolume may use; empty, all may be used.",
                "items": {"type": "object", "required": ["driver"], "properties": {"driver": text("The driver's name, vendor/driver.")}},
            }),
        ),
        ("allowHostNetwork", flag("Whether a pod may share the node's network.")),
        ("allowHostPorts", flag("Whether containers may take ports of the node.")),
        ("allowHostPID", flag("Whether a pod may see the node's processes.")),
        ("allowHostIPC", flag("Whether a pod may share the node's IPC.")),
        (
            "userNamespaceLevel",
            json!({"type": "string", "enum": ["AllowHostLevel", "RequirePodLevel"], "default": "AllowHostLevel",
            "description": "RequirePodLevel: pods must set hostUsers to false."}),
        ),
        (
            "defaultAllowPrivilegeEscalation",
            optional_flag("What allowPrivilegeEscalation is set to where a container does not say."),
        ),
        (
            "allowPrivilegeEscalation",
            optional_flag(
                "Whether containers may gain more rights than their parent; absent counts as true.",
            ),
        ),
        ("seLinuxContext", selinux()),
        ("runAsUser", run_as_user()),
        ("supplementalGroups", groups("How supplemental groups are chosen and checked.")),
        ("fsGroup", groups("How the group of volumes is chosen and checked.")),
        (
            "readOnlyRootFilesystem",
            flag("Whether root file systems must be read-only; they then are so by default."),
        ),
        ("users", texts("Users who may use it: exact names.")),
        ("groups", texts("Groups whose members may use it.")),
        (
            "seccompProfiles",
            texts(
                "Seccomp profiles that may be used: runtime/default, localhost/PATH, unconfined or *. The first that is not * is the default.",
            ),
        ),
        (
            "allowedUnsafeSysctls",
            texts("Sysctls that may be set although they are not safe; * at the end matches any rest."),
        ),
        ("forbiddenSysctls", texts("Sysctls that may not be set although they are safe.")),
    ];
    fields.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

/// The definition. Fields that the webhook sets before validation are not required, so that an SCC as short as the
/// workshop's is accepted.
pub(super) fn security_context_constraints() -> Value {
    let columns = COLUMNS.map(|(name, kind, path)| json!({"name": name, "type": kind, "jsonPath": path}));
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{RESOURCE}.{GROUP}"), "labels": super::labels()},
        "spec": {
            "group": GROUP, "scope": "Cluster",
            "names": {
                "kind": KIND, "listKind": format!("{KIND}List"), "plural": RESOURCE, "singular": RESOURCE,
                "shortNames": ["scc"],
            },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "additionalPrinterColumns": columns,
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "description": "What a pod may request, and the defaults for what it leaves open.",
                    "properties": properties(),
                }},
            }],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of the type that the definition lacks would be pruned from every object.
    #[test]
    fn the_definition_has_every_field_of_every_built_in() {
        let properties = properties();
        for object in super::super::builtins().iter().filter(|object| object["kind"] == KIND) {
            for (field, value) in object.as_object().unwrap() {
                let schema = properties.get(field).unwrap_or_else(|| panic!("{field}"));
                if let (Some(inner), Some(known)) = (value.as_object(), schema["properties"].as_object()) {
                    inner.keys().for_each(|key| assert!(known.contains_key(key), "{field}.{key}"));
                }
            }
        }
        let scc = palisade_k8s::SecurityContextConstraints::default();
        let Value::Object(written) = serde_json::to_value(&scc).unwrap() else { panic!("an object") };
        written.keys().for_each(|field| assert!(properties.contains_key(field), "{field}"));
    }
}
