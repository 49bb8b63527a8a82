//! Cluster roles that take their rules from the cluster roles that they select by label.

use std::collections::BTreeSet;
use std::sync::Arc;

use palisade_k8s::rbac::AggregationRule;
use palisade_persistent::Map;
use smallvec::SmallVec;

use crate::role::CheckedRole;

/// The roles whose rules count for one: itself, or the members of an aggregated one.
pub(crate) type Effective<'a> = SmallVec<[&'a CheckedRole; 4]>;

/// All cluster roles, and which of them aggregated ones take.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClusterRoles {
    roles: Map<Arc<str>, Arc<CheckedRole>>,
    /// The members of each aggregated role, by its name. Only roles are looked through when one of these changes, and
    /// only these when a role does: nothing is collected before it is asked for.
    members: Map<Arc<str>, Map<Arc<str>, ()>>,
}

impl ClusterRoles {
    pub(crate) fn insert(&mut self, role: Arc<CheckedRole>) {
        let name: Arc<str> = Arc::from(role.name());
        self.settle_memberships(&name, Some(&role));
        match &role.role().aggregation_rule {
            Some(aggregation) => {
                let mut members: Map<Arc<str>, ()> = self
                    .roles
                    .iter()
                    .filter(|(other, candidate)| **other != name && selects(aggregation, candidate))
                    .map(|(other, _)| (Arc::clone(other), ()))
                    .collect();
                if selects(aggregation, &role) {
                    members.insert(Arc::clone(&name), ());
                }
                self.members.insert(Arc::clone(&name), members);
            }
            None => drop(self.members.remove(&*name)),
        }
        self.roles.insert(name, role);
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.members.remove(name);
        self.settle_memberships(&Arc::from(name), None);
        self.roles.remove(name);
    }

    /// Puts a changed role into the aggregated roles that select it, and takes it out of the others.
    fn settle_memberships(&mut self, name: &Arc<str>, role: Option<&CheckedRole>) {
        let aggregated: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for owner in aggregated {
            let rule = self.roles.get(&owner).and_then(|role| role.role().aggregation_rule.as_ref());
            let is_selected = role.zip(rule).is_some_and(|(role, rule)| selects(rule, role));
            let is_member = self.members.get(&owner).is_some_and(|members| members.get(name).is_some());
            if is_selected == is_member {
                continue;
            }
            let Some(members) = self.members.get_mut(&owner) else { continue };
            if is_selected {
                members.insert(Arc::clone(name), ());
            } else {
                members.remove(name);
            }
        }
    }

    /// The names of aggregated roles.
    pub(crate) fn aggregated(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(|name| &**name)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.roles.get(name).is_some()
    }

    /// The roles whose rules count for this one, through any number of aggregations, each once.
    pub(crate) fn effective(&self, name: &str) -> Effective<'_> {
        let Some(role) = self.roles.get(name) else { return Effective::new() };
        if role.role().aggregation_rule.is_none() {
            return SmallVec::from_slice(&[role.as_ref()]);
        }
        let (mut found, mut seen) = (Effective::new(), BTreeSet::new());
        let mut waiting = vec![name];
        while let Some(name) = waiting.pop() {
            if !seen.insert(name) {
                continue;
            }
            match self.members.get(name) {
                Some(members) => {
                    let at = waiting.len();
                    waiting.extend(members.keys().map(|member| &**member));
                    waiting.get_mut(at..).unwrap_or_default().reverse();
                }
                None => found.extend(self.roles.get(name).map(AsRef::as_ref)),
            }
        }
        found
    }
}

fn selects(aggregation: &AggregationRule, role: &CheckedRole) -> bool {
    let labels = &role.role().metadata.labels;
    aggregation.cluster_role_selectors.iter().any(|selector| selector.matches(labels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_k8s::rbac::Role;

    fn insert(roles: &mut ClusterRoles, json: &str) {
        let role: Role = serde_json::from_str(json).unwrap();
        roles.insert(Arc::new(CheckedRole::new(role)));
    }

    fn effective(roles: &ClusterRoles, name: &str) -> Vec<String> {
        roles.effective(name).iter().map(|role| role.name().to_owned()).collect()
    }

    const TOP: &str = r#"{"metadata": {"name": "top"}, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to": "top"}}]}}"#;

    #[test]
    fn members_come_and_go_with_their_labels() {
        let mut roles = ClusterRoles::default();
        insert(&mut roles, r#"{"metadata": {"name": "b", "labels": {"to": "top"}}}"#);
        insert(&mut roles, TOP);
        insert(&mut roles, r#"{"metadata": {"name": "a", "labels": {"to": "top"}}}"#);
        assert_eq!(effective(&roles, "top"), ["a", "b"]);
        insert(&mut roles, r#"{"metadata": {"name": "a"}}"#);
        assert_eq!(effective(&roles, "top"), ["b"]);
        roles.remove("b");
        assert_eq!(effective(&roles, "top"), [""; 0]);
        insert(&mut roles, r#"{"metadata": {"name": "top"}}"#);
        assert_eq!(effective(&roles, "top"), ["top"], "it is no longer aggregated");
    }

    #[test]
    fn circles_end() {
        let mut roles = ClusterRoles::default();
        insert(&mut roles, &TOP.replace(r#""name": "top""#, r#""name": "one", "labels": {"to": "top"}"#));
        insert(&mut roles, &TOP.replace(r#""name": "top""#, r#""name": "two", "labels": {"to": "top"}"#));
        insert(&mut roles, r#"{"metadata": {"name": "leaf", "labels": {"to": "top"}}}"#);
        assert_eq!(effective(&roles, "one"), ["leaf"]);
        assert_eq!(effective(&roles, "two"), ["leaf"]);
    }
}
