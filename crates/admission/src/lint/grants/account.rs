//! Grants that miss an account by its namespace or by its kind.

use std::collections::BTreeMap;

use palisade_k8s::rbac::RoleBinding;
use palisade_k8s::scc::KIND;
use palisade_k8s::{FieldPath, SecurityContextConstraints, fit};
use palisade_scc::Finding;
use serde_json::Value;

use super::{Known, is_use, warn};

/// Accounts that OpenShift makes in each namespace.
const IN_EVERY_NAMESPACE: [&str; 3] = ["default", "builder", "deployer"];

/// The accounts and users of grants of SCCs, by their bare name; of each, the position of the first grant and of the
/// field in it. So a lookup takes the same time however often an account is named.
#[derive(Debug, Default)]
pub struct NamedInGrants(BTreeMap<String, BTreeMap<Is, (usize, FieldPath)>>);

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Is {
    /// A service account of a namespace.
    Account(String),
    /// A user or a group.
    Other(String),
}

impl NamedInGrants {
    /// Those that the objects name.
    #[must_use]
    pub fn new(objects: &[Value]) -> Self {
        let (known, mut all) = (Known::new(objects), Self::default());
        for (place, object) in objects.iter().enumerate() {
            match object.get("kind").and_then(Value::as_str).unwrap_or_default() {
                "RoleBinding" | "ClusterRoleBinding" => all.add_binding(place, object, &known),
                KIND => all.add_scc(place, object),
                _ => {}
            }
        }
        all
    }

    fn add(&mut self, name: &str, object: usize, path: FieldPath, is: Is) {
        self.0.entry(name.to_owned()).or_default().entry(is).or_insert((object, path));
    }

    fn add_binding(&mut self, place: usize, object: &Value, known: &Known) {
        let Ok(binding) = fit::<RoleBinding, _>(object) else { return };
        let own = &binding.metadata.namespace;
        if !known.rules(&binding.role_ref, own).is_some_and(|rules| rules.iter().any(is_use)) {
            return;
        }
        for (index, subject) in binding.subjects.iter().enumerate() {
            let namespace = if subject.namespace.is_empty() { own } else { &subject.namespace };
            let is = match subject.kind.as_str() {
                // Every namespace has an account of these names, and grants to its own are not meant for another.
                "ServiceAccount"
                    if namespace == own && IN_EVERY_NAMESPACE.contains(&subject.name.as_str()) =>
                {
                    continue;
                }
                "ServiceAccount" => Is::Account(namespace.clone()),
                kind => Is::Other(kind.to_owned()),
            };
            self.add(&subject.name, place, FieldPath::of("subjects").index(index), is);
        }
    }

    fn add_scc(&mut self, place: usize, object: &Value) {
        let Ok(scc) = fit::<SecurityContextConstraints, _>(object) else { return };
        for (index, user) in scc.users.as_deref().unwrap_or_default().iter().enumerate() {
            let account = user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
            let (name, is) = match account {
                Some((namespace, name)) => (name, Is::Account(namespace.to_owned())),
                None => (user.as_str(), Is::Other("User".to_owned())),
            };
            self.add(name, place, FieldPath::of("users").index(index), is);
        }
    }

    /// The grants that name another account with an account's name, or a user of that name, each with the position of
    /// its object: they were likely meant for the account.
    pub fn near<'a>(
        &'a self,
        namespace: &'a str,
        account: &'a str,
    ) -> impl Iterator<Item = (usize, Finding)> + use<'a> {
        let named = self.0.get(account).into_iter().flatten();
        named.filter_map(move |(is, (object, path))| {
            let message = match is {
                Is::Account(theirs) if theirs == namespace => return None,
                Is::Account(theirs) => {
                    format!("it is the account {account} of namespace {theirs}; the pod's is that of namespace {namespace}")
                }
                Is::Other(kind) => format!("the {kind} {account} is not the service account of that name"),
            };
            let help = format!("the pod's account is system:serviceaccount:{namespace}:{account}");
            Some((*object, warn("other-account", path.clone(), message, help)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn grants_of_a_namespace_to_its_own_default_account_are_not_told() {
        let binding = |namespace: &str| {
            json!({"kind": "RoleBinding", "metadata": {"name": "b", "namespace": namespace},
                "roleRef": {"kind": "ClusterRole", "name": "system:openshift:scc:anyuid"},
                "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "other"}]})
        };
        for (namespace, count) in [("other", 0), ("shop", 1)] {
            let objects = [binding(namespace)];
            assert_eq!(NamedInGrants::new(&objects).near("shop", "default").count(), count, "{namespace}");
        }
    }

    #[test]
    fn a_grant_to_another_account_of_the_name_is_told() {
        let binding = |role: &str, subject: Value| {
            json!({"kind": "RoleBinding", "metadata": {"name": "b", "namespace": "shop"},
                "roleRef": {"kind": "ClusterRole", "name": role}, "subjects": [subject]})
        };
        let account =
            |namespace: &str| json!({"kind": "ServiceAccount", "name": "app", "namespace": namespace});
        const ANYUID: &str = "system:openshift:scc:anyuid";
        for (object, expected) in [
            (binding(ANYUID, account("default")), &["subjects[0]"][..]),
            (binding(ANYUID, account("shop")), &[]),
            (binding(ANYUID, account("")), &[]),
            (binding("view", account("default")), &[]),
            (binding(ANYUID, json!({"kind": "User", "name": "app"})), &["subjects[0]"]),
            (binding(ANYUID, json!({"kind": "User", "name": "other"})), &[]),
            (
                json!({"kind": KIND, "metadata": {"name": "x"}, "users": [
                    "system:serviceaccount:shop:app", "system:serviceaccount:other:app", "app"]}),
                &["users[1]", "users[2]"],
            ),
        ] {
            let named = NamedInGrants::new(std::slice::from_ref(&object));
            let paths: Vec<String> =
                named.near("shop", "app").map(|(_, finding)| finding.path.to_string()).collect();
            assert_eq!(paths, expected, "{object}");
        }
    }
}
