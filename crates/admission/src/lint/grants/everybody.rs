//! SCCs with host access that are granted to all users.

use palisade_k8s::rbac::RoleBinding;
use palisade_k8s::{FieldPath, SecurityContextConstraints};
use palisade_scc::Finding;

use super::{Known, is_use, warn};

/// Groups of all users, or of all pods.
const EVERYBODY: [&str; 4] = [
    "system:authenticated",
    "system:authenticated:oauth",
    "system:unauthenticated",
    "system:serviceaccounts",
];

/// The host access that an SCC gives to pods, if any.
pub(super) fn power(scc: &SecurityContextConstraints) -> Option<&'static str> {
    let has =
        |list: Option<&Vec<String>>, name: &str| list.is_some_and(|list| list.iter().any(|n| n == name));
    let any_capability =
        |list: Option<&Vec<String>>| has(list, "*") || has(list, "ALL") || has(list, "SYS_ADMIN");
    let takes_any_user = scc.run_as_user.type_ == "RunAsAny" && scc.se_linux_context.type_ == "RunAsAny";
    [
        (scc.allow_privileged_container, "privileged containers"),
        (scc.allow_host_dir_volume_plugin, "the node's folders"),
        (scc.allow_host_network, "the node's network"),
        (scc.allow_host_pid, "the node's processes"),
        (scc.allow_host_ipc, "the node's shared memory"),
        (any_capability(scc.allowed_capabilities.as_ref()), "capabilities over the node"),
        (takes_any_user, "any user and any SELinux label"),
    ]
    .into_iter()
    .find_map(|(has, what)| has.then_some(what))
}

/// Groups of all users in an SCC with host access.
pub(in crate::lint) fn of_scc(scc: &SecurityContextConstraints) -> Vec<Finding> {
    let Some(power) = power(scc) else { return Vec::new() };
    let groups = scc.groups.as_deref().unwrap_or_default().iter().enumerate();
    let everybody = groups.filter(|(_, group)| EVERYBODY.contains(&group.as_str()));
    everybody.map(|(index, group)| told(FieldPath::of("groups").index(index), group, "it", power)).collect()
}

/// Groups of all users among the subjects of a binding that grants such an SCC by its name.
pub(super) fn of_binding(binding: &RoleBinding, known: &Known) -> Vec<Finding> {
    let rules = known.rules(&binding.role_ref, &binding.metadata.namespace).unwrap_or_default();
    let named = rules.iter().filter(|rule| is_use(rule)).flat_map(|rule| &rule.resource_names);
    let granted = named.filter_map(|name| Some((name, known.power(name)?)));
    let Some((scc, power)) = granted.into_iter().next() else { return Vec::new() };
    let subjects = binding.subjects.iter().enumerate();
    let everybody = subjects.filter(|(_, s)| s.kind == "Group" && EVERYBODY.contains(&s.name.as_str()));
    let path = |index| FieldPath::of("subjects").index(index).field("name");
    everybody.map(|(index, subject)| told(path(index), &subject.name, scc, power)).collect()
}

fn told(path: FieldPath, group: &str, scc: &str, power: &str) -> Finding {
    let message = format!("whoever is in {group} may use {scc}, and with it {power}");
    let help =
        "grant it to the service accounts that need it: `palisade scc generate` prints a sufficient one";
    warn("scc-for-everybody", path, message, help)
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_k8s::fit;
    use serde_json::json;

    #[test]
    fn sccs_with_host_access_for_all_users_are_found() {
        let scc = |field: &str, value: serde_json::Value| {
            fit::<SecurityContextConstraints, _>(&json!({"metadata": {"name": "x"}, field: value,
                "groups": ["team", "system:authenticated"]}))
            .unwrap()
        };
        for (field, value, is_told) in [
            ("allowPrivilegedContainer", json!(true), true),
            ("allowHostPID", json!(true), true),
            ("allowedCapabilities", json!(["*"]), true),
            ("allowedCapabilities", json!(["NET_BIND_SERVICE"]), false),
            ("runAsUser", json!({"type": "RunAsAny"}), false),
        ] {
            let found = of_scc(&scc(field, value.clone()));
            let paths: Vec<String> = found.iter().map(|finding| finding.path.to_string()).collect();
            assert_eq!(paths == ["groups[1]"], is_told, "{field} {value}");
        }
    }
}
