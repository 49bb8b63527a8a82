//! Roles, bindings and pins without an effect that their author intended.

use std::collections::{BTreeMap, BTreeSet};

use palisade_k8s::manifest;
use palisade_k8s::rbac::{GROUP as RBAC_GROUP, PolicyRule, Role, RoleBinding, RoleRef};
use palisade_k8s::scc::{GROUP, KIND, RESOURCE};
use palisade_k8s::{FieldPath, SecurityContextConstraints, fit};
use palisade_scc::{BuiltinSet, Finding, Severity, suggestion};
use serde_json::Value;

mod account;
mod everybody;
mod subject;

pub use account::NamedInGrants;
pub(super) use everybody::of_scc as granted_to_everybody;

/// Maximum number of names that a wrong one is compared with: each comparison takes time, and there may be as many
/// wrong names.
const CANDIDATES: usize = 1000;

/// The prefix of the roles that come with each SCC.
const ROLE_PREFIX: &str = "system:openshift:scc:";

/// The names that grants may refer to.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The host access that each SCC gives, if any.
    sccs: BTreeMap<String, Option<&'static str>>,
    /// The rules of each role.
    cluster_roles: BTreeMap<String, Vec<PolicyRule>>,
    /// The same, by namespace and name.
    roles: BTreeMap<(String, String), Vec<PolicyRule>>,
    /// The names of roles, whatever their namespace.
    role_names: BTreeSet<String>,
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
        for role in EVERYWHERE {
            known.cluster_roles.entry(role.to_owned()).or_default();
        }
        known
    }

    fn add(&mut self, object: &Value) {
        let text =
            |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let name = text("/metadata/name");
        match object.get("kind").and_then(Value::as_str) {
            Some(KIND) => {
                let scc = fit::<SecurityContextConstraints, _>(object).ok();
                self.sccs.insert(name, scc.as_ref().and_then(everybody::power));
            }
            Some("ClusterRole") => drop(self.cluster_roles.insert(name, rules(object))),
            Some("Role") => {
                self.role_names.insert(name.clone());
                self.roles.insert((text("/metadata/namespace"), name), rules(object));
            }
            _ => {}
        }
    }

    fn has_role(&self, namespace: &str, name: &str) -> bool {
        // A manifest may leave its namespace to the command line.
        let has = |namespace: &str| self.roles.contains_key(&(namespace.to_owned(), name.to_owned()));
        has(namespace) || has("") || (namespace.is_empty() && self.role_names.contains(name))
    }

    /// The host access that an SCC gives, if any.
    fn power(&self, scc: &str) -> Option<&'static str> {
        self.sccs.get(scc).copied().flatten()
    }

    /// The rules of the role that a binding of a namespace refers to, if it is known.
    fn rules(&self, role: &RoleRef, namespace: &str) -> Option<&[PolicyRule]> {
        let of = |namespace: &str| self.roles.get(&(namespace.to_owned(), role.name.clone()));
        match role.kind.as_str() {
            "ClusterRole" => self.cluster_roles.get(&role.name),
            "Role" => of(namespace).or_else(|| of("")),
            _ => None,
        }
        .map(Vec::as_slice)
    }

    /// The SCC that an unknown name was likely meant to be.
    fn near_scc(&self, name: &str) -> String {
        suggestion(
            name,
            self.sccs.keys().map(String::as_str).take(CANDIDATES),
            "create it, or name one that there is",
        )
    }
}

fn rules(object: &Value) -> Vec<PolicyRule> {
    fit::<Role, _>(object).map(|role| role.rules).unwrap_or_default()
}

/// Whether a rule permits the use of an SCC.
pub(super) fn is_use(rule: &PolicyRule) -> bool {
    let lists = |list: &[String], name: &str| list.iter().any(|listed| listed == name || listed == "*");
    lists(&rule.api_groups, GROUP) && lists(&rule.resources, RESOURCE) && lists(&rule.verbs, "use")
}

/// Whether rules name SCCs, whatever their verbs.
fn mentions_sccs(rules: &[PolicyRule]) -> bool {
    rules.iter().any(|rule| {
        rule.resources.iter().any(|name| name == RESOURCE) && rule.api_groups.iter().any(|name| name == GROUP)
    })
}

fn warn(rule: &'static str, path: FieldPath, message: String, help: impl Into<String>) -> Finding {
    Finding::new(rule, Severity::Warning, path, message, help)
}

/// Rules about SCCs that match none, because of a letter or a name.
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
            findings.push(match closest(list, needed, field) {
                Some((place, name)) => warn(
                    "dead-rule",
                    path(field, place),
                    format!(
                        "{name:?} is compared letter by letter, so that the rule grants no use of an SCC"
                    ),
                    format!("write {needed}"),
                ),
                // Rights to read or change SCCs are intended.
                None if field == "verbs" => continue,
                None => warn(
                    "dead-rule",
                    FieldPath::of("rules").index(index).field(field),
                    format!("{needed} is not among them, so that the rule grants no use of an SCC"),
                    format!("write {needed}"),
                ),
            });
        }
        for (place, name) in
            rule.resource_names.iter().enumerate().filter(|(_, name)| !known.sccs.contains_key(*name))
        {
            let message = match name.contains('*') {
                true => format!("{name:?} is compared letter by letter; patterns match no SCC"),
                false => format!("there is no SCC {name} here, nor among the built-in ones"),
            };
            findings.push(warn("unknown-scc", path("resourceNames", place), message, known.near_scc(name)));
        }
    }
}

/// The element that was likely meant to be `needed`: similar, or a short form of it.
fn closest<'l>(list: &'l [String], needed: &str, field: &str) -> Option<(usize, &'l String)> {
    let named = list.iter().enumerate();
    named.into_iter().find(|(_, name)| is_near(name, needed) || (field == "resources" && *name == "scc"))
}

fn is_near(name: &str, needed: &str) -> bool {
    name == needed || suggestion(name, [needed].into_iter(), "").contains(needed)
}

/// Whether at least two of the three parts of a rule are those for an SCC, or similar.
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

/// The cluster role of the input that is similar to an unknown name; empty if there is none. Other cluster roles may
/// exist in the cluster.
fn near_cluster_role(known: &Known, name: &str) -> String {
    let own = known
        .cluster_roles
        .keys()
        .map(String::as_str)
        .take(CANDIDATES)
        .filter(|role| !EVERYWHERE.contains(role));
    suggestion(name, own, "")
}

/// The finding that the role of a binding is missing in the input.
fn missing(role: &RoleRef, namespace: &str, known: &Known) -> Option<Finding> {
    let name = &role.name;
    let has_cluster_role = known.cluster_roles.contains_key(name);
    let of_kind = |kind: &str, message: String| {
        warn("missing-role", FieldPath::of("roleRef.kind"), message, format!("write kind: {kind}"))
    };
    let may_be_meant = || {
        let is_sccs = name.starts_with(ROLE_PREFIX) || known.sccs.contains_key(name);
        is_sccs || !near_cluster_role(known, name).is_empty()
    };
    match role.kind.as_str() {
        "Role" if known.has_role(namespace, name) => None,
        "Role" if has_cluster_role => {
            let message = format!("there is no Role {name} here, but a ClusterRole of that name");
            Some(of_kind("ClusterRole", message))
        }
        "Role" => Some(absent(role, known)),
        "ClusterRole" if has_cluster_role => None,
        "ClusterRole" if may_be_meant() => Some(absent(role, known)),
        "ClusterRole" if known.has_role(namespace, name) => {
            Some(of_kind("Role", format!("there is no ClusterRole {name}, but a Role of that name")))
        }
        _ => None,
    }
}

/// The finding that the role is missing as a Role and as a ClusterRole, with a similar name if there is one.
fn absent(role: &RoleRef, known: &Known) -> Finding {
    let RoleRef { kind, name, .. } = role;
    let help = match name.strip_prefix(ROLE_PREFIX) {
        Some(scc) if !known.sccs.contains_key(scc) => {
            known.near_scc(scc).replace("did you mean ", &format!("did you mean {ROLE_PREFIX}"))
        }
        None if known.sccs.contains_key(name) => {
            format!("the role that may use that SCC is kind: ClusterRole, name: {ROLE_PREFIX}{name}")
        }
        None if kind == "ClusterRole" => near_cluster_role(known, name),
        _ => suggestion(
            name,
            known.role_names.iter().map(String::as_str).take(CANDIDATES),
            "create it beside the binding",
        ),
    };
    let message = format!("there is no {kind} {name} here; until there is, the binding grants nothing");
    warn("missing-role", FieldPath::of("roleRef.name"), message, help)
}

/// A missing role, and impossible subjects.
pub(super) fn binding(object: &Value, known: &Known, findings: &mut Vec<Finding>) {
    let Ok(binding) = fit::<RoleBinding, _>(object) else { return };
    let role = &binding.role_ref;
    let namespace = &binding.metadata.namespace;
    findings.extend(missing(role, namespace, known));
    let is_of_cluster = object.get("kind").and_then(Value::as_str) == Some("ClusterRoleBinding");
    let subjects = binding.subjects.iter().enumerate();
    findings.extend(subjects.filter_map(|(index, named)| subject::finding(named, index, is_of_cluster)));
    findings.extend(everybody::of_binding(&binding, known));
    if let Some(rules) = known.rules(role, namespace)
        && mentions_sccs(rules)
        && !rules.iter().any(is_use)
    {
        let message = format!("{} {} has rules on SCCs, but none with the verb `use`", role.kind, role.name);
        let help =
            "add `use` to its verbs: the others let its holders read or change the SCC, not have pods by it";
        findings.push(warn("dead-rule", FieldPath::of("roleRef.name"), message, help));
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

/// A pin to a missing SCC.
pub(super) fn pin(name: &str, path: FieldPath, known: &Known, findings: &mut Vec<Finding>) {
    if !name.is_empty() && !known.sccs.contains_key(name) {
        let message = format!("there is no SCC {name} here, nor among the built-in ones: the pod is refused");
        findings.push(warn("unknown-scc", path, message, known.near_scc(name)));
    }
}
