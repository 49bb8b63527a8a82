//! The groups that users are in, in step with the store: a request of a user reads them without reading the groups.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;

use crate::resource;

/// The place of groups in the store.
pub const GROUPS: &str = "user.openshift.io/groups";

/// The groups that users are in.
#[derive(Debug, Default)]
pub struct Members(RwLock<Index>);

#[derive(Debug, Default)]
struct Index {
    by_user: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
    by_group: HashMap<Arc<str>, Vec<Arc<str>>>,
}

impl Members {
    /// Keeps the users of a group; none of a group that is gone, or that is the system's: users cannot assign those,
    /// whatever an older store holds.
    pub fn set(&self, group: &str, object: Option<&Value>) {
        let users = object.and_then(|object| object.get("users")?.as_array());
        let users = users.filter(|_| resource::broken_name(group).is_none());
        let users = users.into_iter().flatten().filter_map(Value::as_str);
        self.0.write().unwrap_or_else(PoisonError::into_inner).set(group, users);
    }

    /// The groups of a user, by name.
    pub fn of(&self, user: &str) -> Vec<String> {
        let index = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let groups = index.by_user.get(user).into_iter().flatten();
        groups.map(|group| group.as_ref().to_owned()).collect()
    }
}

impl Index {
    fn set<'u>(&mut self, group: &str, users: impl Iterator<Item = &'u str>) {
        for user in self.by_group.remove(group).into_iter().flatten() {
            if let Some(groups) = self.by_user.get_mut(&user) {
                groups.remove(group);
                if groups.is_empty() {
                    self.by_user.remove(&user);
                }
            }
        }
        let group: Arc<str> = group.into();
        let users: Vec<Arc<str>> = users.map(|user| self.join(user, &group)).collect();
        if !users.is_empty() {
            self.by_group.insert(group, users);
        }
    }

    /// Notes that a user is in a group; gives the name as it is kept.
    fn join(&mut self, user: &str, group: &Arc<str>) -> Arc<str> {
        let user = self.by_user.get_key_value(user).map_or_else(|| user.into(), |(kept, _)| Arc::clone(kept));
        self.by_user.entry(Arc::clone(&user)).or_default().insert(Arc::clone(group));
        user
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Members;

    #[test]
    fn a_user_is_in_the_groups_that_name_them() {
        let members = Members::default();
        let set = |group: &str, users: &[&str]| members.set(group, Some(&json!({"users": users})));
        set("dev", &["ann", "bob", "ann"]);
        set("ops", &["ann"]);
        set("system:masters", &["ann"]);
        assert_eq!(members.of("ann"), ["dev", "ops"]);
        assert_eq!(members.of("bob"), ["dev"]);
        set("dev", &["cid"]);
        assert_eq!((members.of("ann"), members.of("bob")), (vec!["ops".to_owned()], Vec::new()));
        members.set("ops", None);
        members.set("dev", Some(&json!({"users": null})));
        assert!(["ann", "bob", "cid"].iter().all(|user| members.of(user).is_empty()));
        let index = members.0.into_inner().unwrap();
        assert!(index.by_user.is_empty() && index.by_group.is_empty());
    }
}
