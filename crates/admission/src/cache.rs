//! The policy of a running cluster: one writer at a time changes it object by object, and readers never wait for one.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::policy::Policy;
use crate::source::{ObjectKey, PolicyObject};

/// The present policy.
///
/// A reader takes a [`snapshot`](Self::snapshot), which later changes do not affect. The cost of a change is
/// proportional to the changed object, whatever else there is: the new policy shares all other objects with the old
/// one. Objects are parsed and checked before they come here, so that no caller makes another wait for the size of an
/// object.
///
/// Changes are made in the order of the method calls. A source that may deliver two changes of one object out of order
/// has to order them first.
#[derive(Debug, Default)]
pub struct PolicyCache {
    current: RwLock<Arc<Policy>>,
    /// Held by a writer while it changes the policy, so that no change is lost.
    writing: Mutex<()>,
}

impl PolicyCache {
    /// A cache with an initial policy.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self { current: RwLock::new(Arc::new(policy)), writing: Mutex::default() }
    }

    /// The present policy.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Policy> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds an object, or replaces the one of its key.
    pub fn apply(&self, object: PolicyObject) {
        self.change(|policy| policy.apply(object));
    }

    /// Removes an object, if it exists.
    pub fn delete(&self, key: &ObjectKey) {
        self.change(|policy| policy.remove(key));
    }

    /// Replaces all objects; readers see all of the old ones or all of the new.
    pub fn replace(&self, objects: impl IntoIterator<Item = PolicyObject>) {
        self.change(|policy| {
            let mut next = Policy::default();
            next.keep_kernel(policy);
            objects.into_iter().for_each(|object| next.apply(object));
            *policy = next;
        });
    }

    fn change(&self, change: impl FnOnce(&mut Policy)) {
        let writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Policy::clone(&self.snapshot());
        change(&mut next);
        let mut next = Arc::new(next);
        std::mem::swap(&mut *self.current.write().unwrap_or_else(PoisonError::into_inner), &mut next);
        drop(writing);
        // Objects that only the old policy held are freed here, without holding a lock.
        drop(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grants::Identity;
    use crate::source::PolicyKind;
    use palisade_rbac::{Action, RbacKind, User};
    use palisade_scc::Entry;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    const KINDS: [PolicyKind; 6] = [
        PolicyKind::Scc,
        PolicyKind::Namespace,
        PolicyKind::Rbac(RbacKind::ClusterRole),
        PolicyKind::Rbac(RbacKind::Role),
        PolicyKind::Rbac(RbacKind::ClusterRoleBinding),
        PolicyKind::Rbac(RbacKind::RoleBinding),
    ];
    const NAMES: [&str; 4] = ["a", "b", "c", "d"];
    const NAMESPACES: [&str; 2] = ["dev", "ops"];

    fn name() -> impl Strategy<Value = &'static str> {
        prop::sample::select(&NAMES[..])
    }

    fn some_names() -> impl Strategy<Value = Vec<&'static str>> {
        prop::sample::subsequence(&NAMES[..], 0..=4)
    }

    /// The fields of all kinds; each kind uses its own.
    fn content() -> impl Strategy<Value = Value> {
        let subjects = prop::collection::vec(
            (prop::sample::select(&["User", "Group", "ServiceAccount"][..]), name())
                .prop_map(|(kind, name)| json!({"kind": kind, "name": name})),
            0..3,
        );
        let rules = prop::collection::vec(
            (prop::sample::select(&["use", "*", "get"][..]), some_names()).prop_map(|(verb, names)| {
                json!({"verbs": [verb], "apiGroups": ["*"], "resources": ["*"], "resourceNames": names})
            }),
            0..3,
        );
        let label = prop::option::of(name());
        let aggregation = prop::option::weighted(0.3, name())
            .prop_map(|to| to.map(|to| json!({"clusterRoleSelectors": [{"matchLabels": {"to": to}}]})));
        let role = (prop::sample::select(&["Role", "ClusterRole"][..]), name());
        let range = prop::option::of(0u64..3);
        (some_names(), some_names(), 0i64..3, subjects, (rules, label, aggregation), (role, range)).prop_map(
            |(users, groups, priority, subjects, (rules, label, aggregation), ((kind, role), range))| {
                let mut object = json!({
                    "metadata": {"labels": {}, "annotations": {}},
                    "users": users, "groups": groups, "priority": priority,
                    "runAsUser": {"type": "RunAsAny"}, "seLinuxContext": {"type": "RunAsAny"},
                    "subjects": subjects, "rules": rules, "roleRef": {"kind": kind, "name": role},
                });
                if let Some(label) = label {
                    object["metadata"]["labels"]["to"] = label.into();
                }
                if let Some(aggregation) = aggregation {
                    object["aggregationRule"] = aggregation;
                }
                if let Some(block) = range {
                    let range = format!("{}/10000", 1_000_000_000 + block * 10_000);
                    object["metadata"]["annotations"] = json!({
                        "openshift.io/sa.scc.uid-range": range, "openshift.io/sa.scc.mcs": "s0:c1,c0"});
                }
                object
            },
        )
    }

    fn key() -> impl Strategy<Value = ObjectKey> {
        let kind = prop::sample::select(&KINDS[..]);
        (kind, prop::sample::select(&NAMESPACES[..]), name()).prop_map(|(kind, namespace, name)| {
            let is_namespaced = matches!(kind, PolicyKind::Rbac(RbacKind::Role | RbacKind::RoleBinding));
            let namespace = if is_namespaced { namespace.to_owned() } else { String::new() };
            let name = if kind == PolicyKind::Namespace { format!("n{name}") } else { name.to_owned() };
            ObjectKey { kind, namespace, name }
        })
    }

    fn object(key: &ObjectKey, content: &Value) -> PolicyObject {
        let mut object = content.clone();
        object["metadata"]["name"] = key.name.as_str().into();
        object["metadata"]["namespace"] = key.namespace.as_str().into();
        PolicyObject::of(key.kind, &object).expect("the objects are usable")
    }

    /// The grants of users, as text.
    fn rights(policy: &Policy) -> Vec<String> {
        let mut said = Vec::new();
        for (user, groups) in
            [("a", vec!["b"]), ("system:serviceaccount:dev:c", vec!["a", "d"]), ("x", NAMES.to_vec())]
        {
            for namespace in ["dev", "ops", ""] {
                let usable = policy.usable(
                    &Identity { name: user, groups: &groups, scopes: palisade_rbac::Scopes::default() },
                    namespace,
                );
                let usable: Vec<&str> = usable.iter(policy.sccs()).map(Entry::name).collect();
                let action = Action { verb: "use", group: "g", resource: "r", name: "b", namespace };
                let user = User { name: user, groups: &groups };
                let grant = policy.rbac().authorize(&user, &action).map(|grant| grant.to_string());
                let rules: Vec<_> = policy.rbac().rules(&user, namespace).collect();
                said.push(format!("{usable:?} {grant:?} {rules:?}"));
            }
        }
        said
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn incremental_changes_equal_a_fresh_policy(
            changes in prop::collection::vec((key(), prop::option::weighted(0.7, content())), 0..80),
        ) {
            let cache = PolicyCache::default();
            let mut model: BTreeMap<ObjectKey, Value> = BTreeMap::new();
            let mut earlier: Option<(Arc<Policy>, String)> = None;
            for (key, content) in changes {
                match content {
                    Some(content) => {
                        cache.apply(object(&key, &content));
                        model.insert(key, content);
                    }
                    None => {
                        cache.delete(&key);
                        model.remove(&key);
                    }
                }
                earlier.get_or_insert_with(|| (cache.snapshot(), format!("{:?}", cache.snapshot())));
            }
            let fresh = PolicyCache::default();
            fresh.replace(model.iter().map(|(key, content)| object(key, content)));
            let (changed, fresh) = (cache.snapshot(), fresh.snapshot());
            prop_assert_eq!(rights(&changed), rights(&fresh));
            // Maps are printed in the order of their keys, so equal policies print equal.
            prop_assert_eq!(format!("{changed:?}"), format!("{fresh:?}"));
            if let Some((snapshot, was)) = earlier {
                prop_assert_eq!(format!("{snapshot:?}"), was, "a snapshot does not change");
            }
        }
    }

    /// Roles of the size of the largest stored objects, changed while others read: readers do not wait for their size.
    #[test]
    fn readers_do_not_wait_for_a_large_role() {
        let rule = |index: usize| json!({"verbs": ["get"], "apiGroups": [""], "resources": [format!("things-{index}")]});
        let large = |name: String| {
            let rules: Vec<Value> = (0..20_000).map(rule).collect();
            object(
                &ObjectKey { kind: KINDS[2], namespace: String::new(), name },
                &json!({"metadata": {"labels": {"to": "all"}}, "rules": rules}),
            )
        };
        let objects: Vec<PolicyObject> = (0..20).map(|index| large(format!("r{index}"))).collect();
        let cache = PolicyCache::default();
        cache.apply(object(
            &ObjectKey { kind: KINDS[2], namespace: String::new(), name: "all".to_owned() },
            &json!({"metadata": {}, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to": "all"}}]}}),
        ));
        let started = std::time::Instant::now();
        for object in objects {
            cache.apply(object);
        }
        // Each is one entry of a map; a second one would be 50 ms each, on a busy machine.
        assert!(started.elapsed() < std::time::Duration::from_secs(1), "{:?}", started.elapsed());
        let policy = cache.snapshot();
        assert_eq!(
            policy.rbac().role_rules(RbacKind::ClusterRole, "", "all").map(|rules| rules.len()),
            Some(20_000)
        );
    }
}
