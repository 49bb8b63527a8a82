//! An SCC, as oc describes it, with everybody who may use it, whichever way they were let.

use std::collections::BTreeSet;

use palisade_k8s::rbac::{GROUP, Role, RoleBinding};
use palisade_k8s::scc;
use palisade_rbac::{Holder, Names, Rbac, RbacObjects};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Lines, or_none};
use crate::cluster::output::text;
use crate::cluster::session::Session;

/// Who may use an SCC, and by what.
#[derive(Debug, Default)]
struct Access {
    users: Vec<String>,
    groups: Vec<String>,
    /// One line for each grant that is not in the SCC itself.
    grants: Vec<String>,
}

pub(super) fn describe(session: &Session, scc: &Value) -> String {
    let access = access(session, scc);
    let mut lines = Lines::default();
    lines.pair("Name:", text(scc, "/metadata/name"));
    lines.pair("Priority:", plain(scc, "/priority"));
    lines.head("Access:");
    lines.pair("  Users:", or_none(access.users.join(",")));
    lines.pair("  Groups:", or_none(access.groups.join(",")));
    if !access.grants.is_empty() {
        lines.pair("  Granted By:", access.grants.join("\n"));
    }
    settings(scc, &mut lines);
    strategies(scc, &mut lines);
    lines.text()
}

/// A field as one line.
fn plain(scc: &Value, pointer: &str) -> String {
    match scc.pointer(pointer) {
        None | Some(Value::Null) => "<none>".to_owned(),
        Some(Value::String(text)) => or_none(text.as_str()),
        Some(Value::Array(items)) => {
            let items: Vec<String> = items
                .iter()
                .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
                .collect();
            or_none(items.join(","))
        }
        Some(other) => other.to_string(),
    }
}

fn settings(scc: &Value, lines: &mut Lines) {
    lines.head("Settings:");
    let has = |pointer: &str| scc.pointer(pointer).is_some_and(|value| !value.is_null());
    lines.pair("  Allow Privileged:", plain(scc, "/allowPrivilegedContainer"));
    if scc.get("allowPrivilegeEscalation") == Some(&Value::Bool(false)) {
        lines.pair("  Allow Privilege Escalation:", "false");
    }
    if has("/defaultAllowPrivilegeEscalation") {
        lines.pair("  Default Allow Privilege Escalation:", plain(scc, "/defaultAllowPrivilegeEscalation"));
    }
    lines.pair("  Default Add Capabilities:", plain(scc, "/defaultAddCapabilities"));
    lines.pair("  Required Drop Capabilities:", plain(scc, "/requiredDropCapabilities"));
    lines.pair("  Allowed Capabilities:", plain(scc, "/allowedCapabilities"));
    // What older SCCs do not have is shown where it is set.
    if has("/seccompProfiles") {
        lines.pair("  Allowed Seccomp Profiles:", plain(scc, "/seccompProfiles"));
    }
    lines.pair("  Allowed Volume Types:", plain(scc, "/volumes"));
    if has("/allowedFlexVolumes") {
        let drivers = scc.get("allowedFlexVolumes").and_then(Value::as_array).into_iter().flatten();
        let drivers: Vec<String> =
            drivers.map(|volume| format!("driver={}", text(volume, "/driver"))).collect();
        lines.pair("  Allowed Flexvolumes:", or_none(drivers.join(",")));
    }
    if has("/allowedUnsafeSysctls") {
        lines.pair("  Allowed Unsafe Sysctls:", plain(scc, "/allowedUnsafeSysctls"));
    }
    if has("/forbiddenSysctls") {
        lines.pair("  Forbidden Sysctls:", plain(scc, "/forbiddenSysctls"));
    }
    lines.pair("  Allow Host Network:", plain(scc, "/allowHostNetwork"));
    lines.pair("  Allow Host Ports:", plain(scc, "/allowHostPorts"));
    lines.pair("  Allow Host PID:", plain(scc, "/allowHostPID"));
    lines.pair("  Allow Host IPC:", plain(scc, "/allowHostIPC"));
    if text(scc, "/userNamespaceLevel") == "RequirePodLevel" {
        lines.pair("  User Namespace Level:", "RequirePodLevel");
    }
    lines.pair("  Read Only Root Filesystem:", plain(scc, "/readOnlyRootFilesystem"));
}

fn strategies(scc: &Value, lines: &mut Lines) {
    lines.head(format!("  Run As User Strategy: {}", text(scc, "/runAsUser/type")));
    lines.pair("    UID:", plain(scc, "/runAsUser/uid"));
    lines.pair("    UID Range Min:", plain(scc, "/runAsUser/uidRangeMin"));
    lines.pair("    UID Range Max:", plain(scc, "/runAsUser/uidRangeMax"));
    lines.head(format!("  SELinux Context Strategy: {}", text(scc, "/seLinuxContext/type")));
    for field in ["User", "Role", "Type", "Level"] {
        let pointer = format!("/seLinuxContext/seLinuxOptions/{}", field.to_lowercase());
        lines.pair(format!("    {field}:"), plain(scc, &pointer));
    }
    for (name, field) in [("FSGroup", "fsGroup"), ("Supplemental Groups", "supplementalGroups")] {
        lines.head(format!("  {name} Strategy: {}", text(scc, &format!("/{field}/type"))));
        let ranges = scc.pointer(&format!("/{field}/ranges")).and_then(Value::as_array).into_iter().flatten();
        let number = |range: &Value, end: &str| range.get(end).and_then(Value::as_i64).unwrap_or(0);
        let ranges: Vec<String> =
            ranges.map(|range| format!("{}-{}", number(range, "min"), number(range, "max"))).collect();
        lines.pair("    Ranges:", or_none(ranges.join(",")));
    }
}

/// Who may use an SCC by its own lists, and by roles that name it. Roles that allow everything say nothing of an SCC.
fn access(session: &Session, scc: &Value) -> Access {
    let list = |field: &str| -> Vec<String> {
        let items = scc.get(field).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut access = Access { users: list("users"), groups: list("groups"), grants: Vec::new() };
    let name = text(scc, "/metadata/name");
    let rbac = Rbac::new(RbacObjects {
        cluster_roles: read::<Role>(session, "clusterroles"),
        roles: read::<Role>(session, "roles"),
        cluster_role_bindings: read::<RoleBinding>(session, "clusterrolebindings"),
        role_bindings: read::<RoleBinding>(session, "rolebindings"),
    });
    let mut grants = BTreeSet::new();
    for grant in rbac.grants("use", scc::GROUP, scc::RESOURCE) {
        let is_named =
            matches!(grant.names, Names::Only(names) if names.iter().any(|granted| granted == name));
        if !is_named {
            continue;
        }
        let (holder, known) = match grant.holder {
            Holder::User(user) => (user, &mut access.users),
            Holder::Group(group) => (group, &mut access.groups),
        };
        if !known.iter().any(|known| known == holder) {
            known.push(holder.to_owned());
        }
        let place = grant.namespace.map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default();
        grants.insert(format!("{holder}{place}: {grant}"));
    }
    access.grants = grants.into_iter().collect();
    access
}

/// All objects of a kind of roles; none for who may not read them.
fn read<T: DeserializeOwned>(session: &Session, plural: &str) -> Vec<T> {
    let list = session.get(&format!("/apis/{GROUP}/v1/{plural}")).unwrap_or_default();
    let items = list.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    items.into_iter().filter_map(|item| serde_json::from_value(item).ok()).collect()
}
