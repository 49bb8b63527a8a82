//! Grants that miss an account by its namespace, by its kind, or by a letter.

use std::collections::{BTreeMap, BTreeSet};

use palisade_k8s::rbac::RoleBinding;
use palisade_k8s::scc::KIND;
use palisade_k8s::{FieldPath, SecurityContextConstraints, fit};
use palisade_scc::{Finding, meant};
use serde_json::Value;

use super::{CANDIDATES, Known, is_near, is_use, warn};

/// Accounts that OpenShift makes in each namespace.
const IN_EVERY_NAMESPACE: [&str; 3] = ["default", "builder", "deployer"];

/// The paths of the name of a pod's account in a pod and in workloads.
const ACCOUNT_OF: [&str; 3] = [
    "/spec/serviceAccountName",
    "/spec/template/spec/serviceAccountName",
    "/spec/jobTemplate/spec/template/spec/serviceAccountName",
];

/// The accounts and users of grants of SCCs, by their bare name; of each, the position of the first grant and of the
/// field in it. So a lookup takes the same time however often an account is named.
#[derive(Debug, Default)]
pub struct NamedInGrants {
    named: BTreeMap<String, BTreeMap<Is, (usize, FieldPath)>>,
    /// The namespaces and names of the accounts that there are: a grant that names one is taken as meant.
    accounts: BTreeSet<(String, String)>,
    namespaces: BTreeSet<String>,
}

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
                _ => all.add_object(object),
            }
        }
        all
    }

    /// A namespace, an account, or the account of a workload.
    fn add_object(&mut self, object: &Value) {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let (name, namespace) = (text("/metadata/name"), text("/metadata/namespace").unwrap_or_default());
        let is = |kind: &str| object.get("kind").and_then(Value::as_str) == Some(kind);
        self.namespaces.extend(name.clone().filter(|_| is("Namespace")));
        let account = name.filter(|_| is("ServiceAccount"));
        let accounts = account.into_iter().chain(ACCOUNT_OF.into_iter().filter_map(text));
        self.accounts.extend(accounts.map(|name| (namespace.clone(), name)));
    }

    fn add(&mut self, name: &str, object: usize, path: FieldPath, is: Is) {
        self.named.entry(name.to_owned()).or_default().entry(is).or_insert((object, path));
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
            self.add_named(&subject.name, place, FieldPath::of("subjects").index(index), is);
        }
    }

    fn add_scc(&mut self, place: usize, object: &Value) {
        let Ok(scc) = fit::<SecurityContextConstraints, _>(object) else { return };
        for (field, kind, names) in [("users", "User", &scc.users), ("groups", "Group", &scc.groups)] {
            for (index, name) in names.as_deref().unwrap_or_default().iter().enumerate() {
                self.add_named(name, place, FieldPath::of(field).index(index), Is::Other(kind.to_owned()));
            }
        }
    }

    /// A user of an account's name is the account.
    fn add_named(&mut self, name: &str, object: usize, path: FieldPath, is: Is) {
        let account = name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
        match account.filter(|_| is == Is::Other("User".to_owned())) {
            Some((namespace, name)) => self.add(name, object, path, Is::Account(namespace.to_owned())),
            None => self.add(name, object, path, is),
        }
    }

    /// The grants that name another account with an account's name, or a user of that name, or an account, a user or a group
    /// that differs by a few letters, each with the position of its object: they were likely meant for the account.
    pub fn near<'a>(
        &'a self,
        namespace: &'a str,
        account: &'a str,
    ) -> impl Iterator<Item = (usize, Finding)> + use<'a> {
        let named = self.named.get(account).into_iter().flatten();
        let slips = self.slips(namespace, account);
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
        .chain(slips)
    }

    /// Names that are an account's, or its groups', but for a few letters, and that nothing else here has.
    fn slips<'a>(
        &'a self,
        namespace: &'a str,
        account: &'a str,
    ) -> impl Iterator<Item = (usize, Finding)> + use<'a> {
        let named = self.named.iter().filter(move |(name, _)| *name != account).take(CANDIDATES);
        named.flat_map(|(name, all)| all.iter().map(move |found| (name, found))).filter_map(
            move |(name, (is, (object, path)))| {
                let (what, wanted) = match is {
                    Is::Account(theirs) => {
                        let is_slip =
                            is_slip(name, account) && (theirs == namespace || is_slip(theirs, namespace));
                        let is_other = self.accounts.contains(&(theirs.clone(), name.clone()));
                        let user = format!("system:serviceaccount:{namespace}:{account}");
                        (is_slip && !is_other)
                            .then(|| (format!("the account {name} of namespace {theirs}"), user))?
                    }
                    Is::Other(kind) => {
                        (format!("{kind} {name}"), self.wanted(name, kind, namespace, account)?)
                    }
                };
                let message = format!("{what} is named nowhere else here");
                let help = format!("did you mean {wanted}, which the pod's account is or belongs to?");
                Some((*object, warn("other-account", path.clone(), message, help)))
            },
        )
    }

    /// The user or the group of an account that a name is but for a few letters.
    fn wanted(&self, name: &str, kind: &str, namespace: &str, account: &str) -> Option<String> {
        let of_namespace = name.strip_prefix("system:serviceaccounts:");
        let is_other = of_namespace.is_some_and(|other| self.namespaces.contains(other));
        // What no subject can be named is reported on its own.
        if is_other || name == "system:unauthenticated" || meant(name, kind == "Group").is_some() {
            return None;
        }
        let groups = ["system:authenticated".to_owned(), format!("system:serviceaccounts:{namespace}")];
        let wanted = match kind {
            "User" => vec![format!("system:serviceaccount:{namespace}:{account}")],
            "Group" => [&groups[..], &["system:serviceaccounts".to_owned()]].concat(),
            _ => Vec::new(),
        };
        let parts = |name: &str| name.split(':').map(str::to_owned).collect::<Vec<_>>();
        let is_slip = |wanted: &String| {
            let (ours, theirs) = (parts(wanted), parts(name));
            let mut pairs = ours.iter().zip(&theirs);
            wanted != name && ours.len() == theirs.len() && pairs.all(|(a, b)| a == b || is_slip(b, a))
        };
        wanted.into_iter().find(is_slip)
    }
}

/// Whether a name is another but for a few letters; a number at the end tells two accounts apart.
fn is_slip(name: &str, wanted: &str) -> bool {
    let letters = |name: &str| name.trim_end_matches(|letter: char| letter.is_ascii_digit()).to_owned();
    let is_numbered = letters(name) == letters(wanted);
    name.len().max(wanted.len()) > 2 && !is_numbered && is_near(name, wanted)
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
    fn a_name_that_is_a_few_letters_off_is_told_with_the_right_one() {
        let binding = |subject: Value| {
            json!({"kind": "ClusterRoleBinding", "metadata": {"name": "b"}, "subjects": [subject],
                "roleRef": {"kind": "ClusterRole", "name": "system:openshift:scc:anyuid"}})
        };
        let account = |name: &str, namespace: &str| {
            binding(json!({"kind": "ServiceAccount", "name": name, "namespace": namespace}))
        };
        let scc = |field: &str, name: &str| json!({"kind": KIND, "metadata": {"name": "x"}, field: [name]});
        let user = |name: &str| binding(json!({"kind": "User", "name": name}));
        let group = |name: &str| binding(json!({"kind": "Group", "name": name}));
        let of_pod = Some("system:serviceaccount:shop:app");
        let of_namespace = Some("system:serviceaccounts:shop");
        for (object, expected) in [
            (account("ap", "shop"), of_pod),
            (account("apq", "shpo"), of_pod),
            (account("known", "shop"), None),
            (account("app2", "shop"), None),
            (account("worker", "shop"), None),
            (user("system:serviceaccount:shop:ap"), of_pod),
            (user("system:serviceacount:shop:app"), of_pod),
            (scc("users", "system:serviceaccount:shop:ap"), of_pod),
            (scc("users", "sytem:serviceaccount:shop:app"), of_pod),
            (group("system:serviceaccounts:shpo"), of_namespace),
            (group("system:serviceaccounts:shops"), None),
            (group("system:serviceacounts:shop"), of_namespace),
            (group("system:authentcated"), Some("system:authenticated")),
            (group("system:unauthenticated"), None),
            (scc("groups", "system:serviceaccounts:shpo"), of_namespace),
            (scc("groups", "system:serviceaccount"), None),
            (scc("groups", "system:serviceacounts"), Some("system:serviceaccounts")),
        ] {
            let known = json!({"kind": "ServiceAccount", "metadata": {"name": "known", "namespace": "shop"}});
            let near = json!({"kind": "Namespace", "metadata": {"name": "shops"}});
            let named = NamedInGrants::new(&[object.clone(), known, near]);
            let found: Vec<String> = named.near("shop", "known2").map(|(_, finding)| finding.help).collect();
            assert!(found.is_empty() || !found[0].contains(":app"), "{found:?}");
            let found: Vec<String> = named.near("shop", "app").map(|(_, finding)| finding.help).collect();
            let expected = expected
                .map(|name| format!("did you mean {name}, which the pod's account is or belongs to?"));
            assert_eq!(found, Vec::from_iter(expected), "{object}");
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
