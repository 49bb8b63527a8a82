//! `describe scc`: laid out as in oc, with the users and groups to which roles grant the SCC, besides its own lists.

use std::collections::BTreeSet;

use palisade_k8s::rbac::{GROUP, Role};
use palisade_k8s::scc;
use palisade_rbac::{Holder, Names, Rbac, RbacObject};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::or_none;
use super::sheet::{Sheet, word};
use crate::value::text;
use palisade_client::Session;

/// The users and groups that may use an SCC.
#[derive(Debug, Default)]
struct Access {
    users: Vec<String>,
    groups: Vec<String>,
    /// A line for each grant by a role.
    grants: Vec<String>,
}

pub(super) async fn describe(session: &Session, scc: &Value) -> String {
    let access = access(session, scc).await;
    let mut sheet = Sheet::default();
    sheet.pair(0, "Name", text(scc, "/metadata/name"));
    sheet.pair(0, "Priority", plain(scc, "/priority"));
    sheet.line(0, "Access:\t");
    sheet.pair(1, "Users", or_none(access.users.join(",")));
    sheet.pair(1, "Groups", or_none(access.groups.join(",")));
    if !access.grants.is_empty() {
        sheet.list("  Granted By", access.grants);
    }
    settings(scc, &mut sheet);
    strategies(scc, &mut sheet);
    sheet.finish()
}

/// A field as one line; `<none>` if it is absent.
fn plain(scc: &Value, pointer: &str) -> String {
    match scc.pointer(pointer) {
        None | Some(Value::Null) => "<none>".to_owned(),
        Some(Value::String(text)) => or_none(text.as_str()),
        Some(Value::Array(items)) => {
            let items: Vec<String> = items.iter().map(word).collect();
            or_none(items.join(","))
        }
        Some(other) => other.to_string(),
    }
}

fn settings(scc: &Value, sheet: &mut Sheet) {
    sheet.line(0, "Settings:\t");
    let has = |pointer: &str| scc.pointer(pointer).is_some_and(|value| !value.is_null());
    sheet.pair(1, "Allow Privileged", plain(scc, "/allowPrivilegedContainer"));
    if scc.get("allowPrivilegeEscalation") == Some(&Value::Bool(false)) {
        sheet.pair(1, "Allow Privilege Escalation", "false");
    }
    if has("/defaultAllowPrivilegeEscalation") {
        sheet.pair(1, "Default Allow Privilege Escalation", plain(scc, "/defaultAllowPrivilegeEscalation"));
    }
    sheet.pair(1, "Default Add Capabilities", plain(scc, "/defaultAddCapabilities"));
    sheet.pair(1, "Required Drop Capabilities", plain(scc, "/requiredDropCapabilities"));
    sheet.pair(1, "Allowed Capabilities", plain(scc, "/allowedCapabilities"));
    // Fields that older SCCs lack are shown if they are set.
    if has("/seccompProfiles") {
        sheet.pair(1, "Allowed Seccomp Profiles", plain(scc, "/seccompProfiles"));
    }
    sheet.pair(1, "Allowed Volume Types", plain(scc, "/volumes"));
    if has("/allowedFlexVolumes") {
        let drivers = scc.get("allowedFlexVolumes").and_then(Value::as_array).into_iter().flatten();
        let drivers: Vec<String> =
            drivers.map(|volume| format!("driver={}", text(volume, "/driver"))).collect();
        sheet.pair(1, "Allowed Flexvolumes", or_none(drivers.join(",")));
    }
    if has("/allowedUnsafeSysctls") {
        sheet.pair(1, "Allowed Unsafe Sysctls", plain(scc, "/allowedUnsafeSysctls"));
    }
    if has("/forbiddenSysctls") {
        sheet.pair(1, "Forbidden Sysctls", plain(scc, "/forbiddenSysctls"));
    }
    sheet.pair(1, "Allow Host Network", plain(scc, "/allowHostNetwork"));
    sheet.pair(1, "Allow Host Ports", plain(scc, "/allowHostPorts"));
    sheet.pair(1, "Allow Host PID", plain(scc, "/allowHostPID"));
    sheet.pair(1, "Allow Host IPC", plain(scc, "/allowHostIPC"));
    if text(scc, "/userNamespaceLevel") == "RequirePodLevel" {
        sheet.pair(1, "User Namespace Level", "RequirePodLevel");
    }
    sheet.pair(1, "Read Only Root Filesystem", plain(scc, "/readOnlyRootFilesystem"));
}

fn strategies(scc: &Value, sheet: &mut Sheet) {
    sheet.line(1, format!("Run As User Strategy: {}\t", text(scc, "/runAsUser/type")));
    sheet.pair(2, "UID", plain(scc, "/runAsUser/uid"));
    sheet.pair(2, "UID Range Min", plain(scc, "/runAsUser/uidRangeMin"));
    sheet.pair(2, "UID Range Max", plain(scc, "/runAsUser/uidRangeMax"));
    sheet.line(1, format!("SELinux Context Strategy: {}\t", text(scc, "/seLinuxContext/type")));
    for field in ["User", "Role", "Type", "Level"] {
        let pointer = format!("/seLinuxContext/seLinuxOptions/{}", field.to_lowercase());
        sheet.pair(2, field, plain(scc, &pointer));
    }
    for (name, field) in [("FSGroup", "fsGroup"), ("Supplemental Groups", "supplementalGroups")] {
        sheet.line(1, format!("{name} Strategy: {}\t", text(scc, &format!("/{field}/type"))));
        let ranges = scc.pointer(&format!("/{field}/ranges")).and_then(Value::as_array).into_iter().flatten();
        let number = |range: &Value, end: &str| range.get(end).and_then(Value::as_i64).unwrap_or(0);
        let ranges: Vec<String> =
            ranges.map(|range| format!("{}-{}", number(range, "min"), number(range, "max"))).collect();
        sheet.pair(2, "Ranges", or_none(ranges.join(",")));
    }
}

/// Collects the users and groups of the SCC's own lists and of the roles that name it. Roles for all SCCs are left out.
async fn access(session: &Session, scc: &Value) -> Access {
    let list = |field: &str| -> Vec<String> {
        let items = scc.get(field).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut access = Access { users: list("users"), groups: list("groups"), grants: Vec::new() };
    let name = text(scc, "/metadata/name");
    let cluster_roles = read::<Role>(session, "clusterroles").await.into_iter().map(RbacObject::cluster_role);
    let roles = read::<Role>(session, "roles").await.into_iter().map(RbacObject::role);
    let cluster_bindings = read(session, "clusterrolebindings").await;
    let cluster_bindings = cluster_bindings.into_iter().map(RbacObject::cluster_role_binding);
    let bindings = read(session, "rolebindings").await.into_iter().map(RbacObject::role_binding);
    let rbac: Rbac = cluster_roles.chain(roles).chain(cluster_bindings).chain(bindings).collect();
    let mut grants = BTreeSet::new();
    for grant in rbac.grants(scc::USE, scc::GROUP, scc::RESOURCE) {
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

/// All roles or bindings of a resource; empty for a user who may not list them.
async fn read<T: DeserializeOwned>(session: &Session, plural: &str) -> Vec<T> {
    let list = session.get(&format!("/apis/{GROUP}/v1/{plural}")).await.unwrap_or_default();
    let items = list.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    items.into_iter().filter_map(|item| serde_json::from_value(item).ok()).collect()
}
