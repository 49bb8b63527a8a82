//! The rules of a role.

use std::sync::Arc;

use palisade_k8s::rbac::{PolicyRule, Role};
use palisade_k8s::scc;

/// The objects that a rule lets its verbs be used on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names<'a> {
    /// All.
    All,
    /// The objects of these names.
    Only(&'a [String]),
}

impl Names<'_> {
    /// Whether an object of this name is among them.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|listed| listed == name),
        }
    }
}

/// The memory of a role besides what it lists.
const ROLE: usize = 500;
/// The memory of a rule besides its lists.
const RULE: usize = 200;
/// The memory of a text besides its bytes: its place in a list, and what an allocation takes.
const TEXT: usize = 48;

/// The SCCs that a role lets its subjects `use`. Every pod asks for them, so they are collected once a role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SccNames {
    /// Whether all SCCs may be used, whatever their names.
    pub all: bool,
    /// Names, rising, each once.
    pub names: Vec<Arc<str>>,
}

/// A role, with derived values that are needed often.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedRole {
    role: Role,
    sccs: SccNames,
}

impl CheckedRole {
    /// Reads a role's rules, in time proportional to their size. The rules of an aggregated role are its members', so
    /// its own are dropped, as is what no decision reads.
    #[must_use]
    pub fn new(mut role: Role) -> Self {
        if role.aggregation_rule.is_some() {
            role.rules = Vec::new();
        }
        role.metadata.annotations.clear();
        role.rules.shrink_to_fit();
        role.rules.iter_mut().flat_map(lists_of_mut).for_each(Vec::shrink_to_fit);
        let sccs = scc_names(&role.rules);
        Self { role, sccs }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.role.metadata.name
    }

    /// The memory that it takes, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        let text = |text: &str| TEXT + text.len();
        let labels = self.role.metadata.labels.iter().map(|(key, value)| text(key) + text(value));
        let rules = self.role.rules.iter().map(|rule| {
            RULE + lists_of(rule).into_iter().flatten().map(|listed| text(listed)).sum::<usize>()
        });
        let sccs = self.sccs.names.iter().map(|name| text(name));
        ROLE + text(self.name()) + labels.chain(rules).chain(sccs).sum::<usize>()
    }

    /// Its own rules.
    #[must_use]
    pub fn rules(&self) -> &[PolicyRule] {
        &self.role.rules
    }

    /// The SCCs that its own rules let its subjects use.
    #[must_use]
    pub fn sccs(&self) -> &SccNames {
        &self.sccs
    }

    pub(crate) fn role(&self) -> &Role {
        &self.role
    }

    /// On which objects its own rules allow a verb, rule by rule.
    pub(crate) fn names<'a, 'q>(
        &'a self,
        verb: &'q str,
        group: &'q str,
        resource: &'q str,
    ) -> impl Iterator<Item = Names<'a>> + use<'a, 'q> {
        names(&self.role.rules, verb, group, resource)
    }
}

/// The lists of a rule.
fn lists_of(rule: &PolicyRule) -> [&Vec<String>; 5] {
    [&rule.verbs, &rule.api_groups, &rule.resources, &rule.resource_names, &rule.non_resource_urls]
}

fn lists_of_mut(rule: &mut PolicyRule) -> [&mut Vec<String>; 5] {
    let PolicyRule { verbs, api_groups, resources, resource_names, non_resource_urls } = rule;
    [verbs, api_groups, resources, resource_names, non_resource_urls]
}

fn names<'a, 'q>(
    rules: &'a [PolicyRule],
    verb: &'q str,
    group: &'q str,
    resource: &'q str,
) -> impl Iterator<Item = Names<'a>> + use<'a, 'q> {
    rules.iter().filter(move |rule| covers(rule, verb, group, resource)).map(|rule| {
        match rule.resource_names.as_slice() {
            [] => Names::All,
            names => Names::Only(names),
        }
    })
}

fn scc_names(rules: &[PolicyRule]) -> SccNames {
    let mut found = SccNames::default();
    for names in names(rules, scc::USE, scc::GROUP, scc::RESOURCE) {
        match names {
            Names::All => found.all = true,
            Names::Only(names) => found.names.extend(names.iter().map(|name| Arc::from(name.as_str()))),
        }
    }
    found.names.sort_unstable();
    found.names.dedup();
    found
}

/// Whether a list of a rule holds a value, by itself or by `*`.
pub(crate) fn lists(list: &[String], value: &str) -> bool {
    list.iter().any(|listed| listed == "*" || listed == value)
}

/// Whether a rule allows a verb on a resource, names aside.
pub(crate) fn covers(rule: &PolicyRule, verb: &str, group: &str, resource: &str) -> bool {
    let any_with_subresource = |listed: &String| {
        resource.split_once('/').is_some_and(|(_, sub)| listed.strip_prefix("*/") == Some(sub))
    };
    lists(&rule.verbs, verb)
        && lists(&rule.api_groups, group)
        && (lists(&rule.resources, resource) || rule.resources.iter().any(any_with_subresource))
}

/// Whether a rule allows a verb on a path that is not a resource; `*` at the end of a listed path is any rest.
pub(crate) fn covers_path(rule: &PolicyRule, verb: &str, path: &str) -> bool {
    let is_path = |listed: &String| match listed.strip_suffix('*') {
        Some(start) => path.starts_with(start),
        None => listed == path,
    };
    lists(&rule.verbs, verb) && rule.non_resource_urls.iter().any(is_path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(verb: &str, group: &str, resource: &str, names: &[&str]) -> PolicyRule {
        PolicyRule {
            verbs: vec![verb.into()],
            api_groups: vec![group.into()],
            resources: vec![resource.into()],
            resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
            ..PolicyRule::default()
        }
    }

    #[test]
    fn rules_cover_verbs_groups_and_subresources() {
        for (listed, asked, covered) in [
            (("*", "*", "*"), ("get", "", "pods/log"), true),
            (("get", "", "*/log"), ("get", "", "pods/log"), true),
            (("get", "", "pods"), ("get", "", "pods/log"), false),
            (("get", "", "*/log"), ("get", "", "pods"), false),
            (("get", "", "pods"), ("list", "", "pods"), false),
            (("get", "apps", "pods"), ("get", "", "pods"), false),
            (("get", "", "pods"), ("get", "", "pods"), true),
        ] {
            let rule = rule(listed.0, listed.1, listed.2, &[]);
            assert_eq!(covers(&rule, asked.0, asked.1, asked.2), covered, "{listed:?} {asked:?}");
        }
    }

    #[test]
    fn paths_end_in_any_rest() {
        for (listed, asked, covered) in [
            ("/healthz", "/healthz", true),
            ("/healthz", "/healthz/x", false),
            ("/api/*", "/api/v1", true),
            ("*", "/x", true),
        ] {
            let rule = PolicyRule {
                verbs: vec!["get".into()],
                non_resource_urls: vec![listed.into()],
                ..PolicyRule::default()
            };
            assert_eq!(covers_path(&rule, "get", asked), covered, "{listed} {asked}");
            assert!(!covers_path(&rule, "post", asked));
        }
    }

    #[test]
    fn a_role_collects_the_sccs_that_it_grants() {
        let with =
            |rules: Vec<PolicyRule>| CheckedRole::new(Role { rules, ..Role::default() }).sccs().clone();
        let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect::<Vec<Arc<str>>>();
        let of = |names: &[&str]| rule("use", scc::GROUP, scc::RESOURCE, names);
        assert_eq!(
            with(vec![of(&["b", "a"]), of(&["b"])]),
            SccNames { all: false, names: names(&["a", "b"]) }
        );
        assert_eq!(with(vec![rule("*", "*", "*", &[])]), SccNames { all: true, names: Vec::new() });
        assert_eq!(with(vec![rule("get", scc::GROUP, scc::RESOURCE, &[])]), SccNames::default());
    }
}
