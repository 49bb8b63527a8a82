//! Roles, bindings and pins that grant nothing, though their author meant them to.

use std::collections::BTreeSet;

use palisade_k8s::manifest;
use palisade_k8s::rbac::{GROUP as RBAC_GROUP, PolicyRule, Role, RoleBinding};
use palisade_k8s::scc::{GROUP, KIND, RESOURCE};
use palisade_k8s::{FieldPath, fit};
use palisade_scc::{BuiltinSet, Finding, Severity, is_half_account, suggestion};
use serde_json::Value;

/// The prefix of the roles that come with each SCC.
const ROLE_PREFIX: &str = "system:openshift:scc:";

/// The names that grants may refer to.
#[derive(Debug, Default)]
pub(super) struct Known {
    sccs: BTreeSet<String>,
    cluster_roles: BTreeSet<String>,
    /// Namespace and name.
    roles: BTreeSet<(String, String)>,
}

impl Known {
    /// The roles and SCCs that the objects define, and those that every cluster has.
    pub(super) fn new(objects: &[Value]) -> Self {
        let mut known = Self::default();
        for set in [BuiltinSet::V3, BuiltinSet::V4] {
            let documents = manifest::read(set.manifest()).unwrap_or_default();
            documents.iter().for_each(|document| known.add(&document.to_json()));
        }
        objects.iter().for_each(|object| known.add(object));
        known.cluster_roles.extend(EVERYWHERE.map(str::to_owned));
        known
    }

    fn add(&mut self, object: &Value) {
        let text =
            |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let name = text("/metadata/name");
        match object.get("kind").and_then(Value::as_str) {
            Some(KIND) => drop(self.sccs.insert(name)),
            Some("ClusterRole") => drop(self.cluster_roles.insert(name)),
            Some("Role") => drop(self.roles.insert((text("/metadata/namespace"), name))),
            _ => {}
        }
    }

    fn has_role(&self, namespace: &str, name: &str) -> bool {
        // A manifest may leave its namespace to the command line.
        let has = |namespace: &str| self.roles.contains(&(namespace.to_owned(), name.to_owned()));
        has(namespace) || has("") || (namespace.is_empty() && self.roles.iter().any(|(_, role)| role == name))
    }

    /// The SCC that a name that is none is likely to mean.
    fn near_scc(&self, name: &str) -> String {
        suggestion(name, self.sccs.iter().map(String::as_str), "create it, or name one that there is")
    }
}

fn warn(rule: &'static str, path: FieldPath, message: String, help: impl Into<String>) -> Finding {
    Finding::new(rule, Severity::Warning, path, message, help)
}

/// Rules about SCCs that cover none of them, by a letter or by a name.
pub(super) fn role(object: &Value, known: &Known, findings: &mut Vec<Finding>) {
    let Ok(role) = fit::<Role, _>(object) else { return };
    for (index, rule) in role.rules.iter().enumerate() {
        let path =
            |field: &'static str, place: usize| FieldPath::of("rules").index(index).field(field).index(place);
        if !is_about_sccs(rule) {
            continue;
        }
        let parts = [
            ("apiGroups", &rule.api_groups, GROUP),
            ("resources", &rule.resources, RESOURCE),
            ("verbs", &rule.verbs, "use"),
        ];
        for (field, list, needed) in parts {
            if list.iter().any(|name| name == needed || name == "*") {
                continue;
            }
            let Some((place, name)) = closest(list, needed, field) else { continue };
            findings.push(warn(
                "dead-rule",
                path(field, place),
                format!("{name:?} is compared letter by letter, so that the rule grants no use of an SCC"),
                format!("write {needed}"),
            ));
        }
        for (place, name) in
            rule.resource_names.iter().enumerate().filter(|(_, name)| !known.sccs.contains(*name))
        {
            let message = match name.contains('*') {
                true => format!("{name:?} is compared letter by letter; patterns match no SCC"),
                false => format!("there is no SCC {name} here, nor among the built-in ones"),
            };
            findings.push(warn("unknown-scc", path("resourceNames", place), message, known.near_scc(name)));
        }
    }
}

/// The element that is meant to be `needed`: near in letters, or a short form of it.
fn closest<'l>(list: &'l [String], needed: &str, field: &str) -> Option<(usize, &'l String)> {
    let named = list.iter().enumerate();
    named.into_iter().find(|(_, name)| is_near(name, needed) || (field == "resources" && *name == "scc"))
}

fn is_near(name: &str, needed: &str) -> bool {
    name == needed || suggestion(name, [needed].into_iter(), "").contains(needed)
}

/// Whether at least two of the three parts of a rule name what an SCC needs, or nearly.
fn is_about_sccs(rule: &PolicyRule) -> bool {
    let parts = [
        rule.api_groups.iter().any(|name| is_near(name, GROUP)),
        rule.resources.iter().any(|name| name == "scc" || is_near(name, RESOURCE)),
        rule.verbs.iter().any(|name| is_near(name, "use")),
    ];
    parts.iter().filter(|part| **part).count() >= 2
}

/// Names of cluster roles that every cluster has, whatever the input holds.
const EVERYWHERE: [&str; 4] = ["admin", "cluster-admin", "edit", "view"];

/// The cluster role of the input that a name of none is a few letters off; empty if there is none. Other cluster roles
/// may be in the cluster.
fn near_cluster_role(known: &Known, name: &str) -> String {
    let own = known.cluster_roles.iter().map(String::as_str).filter(|role| !EVERYWHERE.contains(role));
    suggestion(name, own, "")
}

/// A role that is not there, and subjects that nobody can be.
pub(super) fn binding(object: &Value, known: &Known, findings: &mut Vec<Finding>) {
    let Ok(binding) = fit::<RoleBinding, _>(object) else { return };
    let role = &binding.role_ref;
    let namespace = &binding.metadata.namespace;
    let is_missing = match role.kind.as_str() {
        "Role" => !known.has_role(namespace, &role.name),
        "ClusterRole" => {
            !known.cluster_roles.contains(&role.name)
                && (role.name.starts_with(ROLE_PREFIX) || !near_cluster_role(known, &role.name).is_empty())
        }
        _ => false,
    };
    let path = FieldPath::of("roleRef.name");
    if is_missing {
        let help = match role.name.strip_prefix(ROLE_PREFIX) {
            Some(scc) if !known.sccs.contains(scc) => known.near_scc(scc),
            None if role.kind == "ClusterRole" => near_cluster_role(known, &role.name),
            _ => suggestion(
                &role.name,
                known.roles.iter().map(|(_, name)| name.as_str()),
                "create it beside the binding",
            ),
        };
        let message = format!(
            "there is no {} {} here; until there is, the binding grants nothing",
            role.kind, role.name
        );
        findings.push(warn("missing-role", path, message, help));
    } else if role.kind == "ClusterRole"
        && !known.cluster_roles.contains(&role.name)
        && known.has_role(namespace, &role.name)
    {
        let message = format!("there is no ClusterRole {}, but a Role of that name", role.name);
        findings.push(warn("missing-role", FieldPath::of("roleRef.kind"), message, "write kind: Role"));
    }
    for (index, subject) in binding.subjects.iter().enumerate() {
        let at = |field: &'static str| FieldPath::of("subjects").index(index).field(field);
        let (kind, name) = (subject.kind.as_str(), subject.name.as_str());
        let nobody = |field, help: &str| {
            warn("impossible-subject", at(field), format!("{kind} {name:?} is nobody"), help.to_owned())
        };
        let finding = match kind {
            "ServiceAccount" if subject.namespace.is_empty() => {
                let message = "a ServiceAccount without a namespace is refused".to_owned();
                Some(warn("impossible-subject", at("name"), message, "add its namespace"))
            }
            "ServiceAccount" if name.contains(':') => {
                Some(nobody("name", "name it by its bare name, and its namespace beside"))
            }
            "User" | "Group" | "ServiceAccount" if name.contains('*') => Some(nobody(
                "name",
                "names are compared as they stand: bind a group such as system:serviceaccounts:NAMESPACE",
            )),
            "Group" if name.starts_with("system:serviceaccount:") => {
                Some(nobody("kind", "it is an account: write kind: ServiceAccount"))
            }
            "Group" if is_half_account(name) => {
                Some(nobody("name", "if an account is meant, write kind: ServiceAccount with its namespace"))
            }
            "User" if name.starts_with("system:serviceaccounts") => {
                Some(nobody("kind", "it is a group: write kind: Group"))
            }
            "User"
                if matches!(name, "system:authenticated" | "system:unauthenticated" | "system:masters") =>
            {
                Some(nobody("kind", "it is a group: write kind: Group"))
            }
            "User" if is_half_account(name) => {
                Some(nobody("name", "if an account is meant, write kind: ServiceAccount with its namespace"))
            }
            "User" | "Group" | "ServiceAccount" => None,
            other => {
                let kinds = ["User", "Group", "ServiceAccount"];
                let help = suggestion(other, kinds.into_iter(), "write User, Group or ServiceAccount");
                Some(warn(
                    "impossible-subject",
                    at("kind"),
                    format!("unknown kind of subject {other:?}"),
                    help,
                ))
            }
        };
        findings.extend(finding);
    }
    if !role.api_group.is_empty() && role.api_group != RBAC_GROUP {
        let message = format!("unknown API group {:?} of a role", role.api_group);
        findings.push(warn(
            "missing-role",
            FieldPath::of("roleRef.apiGroup"),
            message,
            format!("write {RBAC_GROUP}"),
        ));
    }
}

/// A pin to an SCC that is not there.
pub(super) fn pin(name: &str, path: FieldPath, known: &Known, findings: &mut Vec<Finding>) {
    if !name.is_empty() && !known.sccs.contains(name) {
        let message = format!("there is no SCC {name} here, nor among the built-in ones: the pod is refused");
        findings.push(warn("unknown-scc", path, message, known.near_scc(name)));
    }
}
