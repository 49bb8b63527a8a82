//! Privilege escalation: rules are granted only by those who hold rules that cover them.
//!
//! A rule is a product: each of its verbs on each of its resources, by each name. It is never multiplied out, as a
//! role of a megabyte comes to billions. Instead values that the same held rules list are taken together, list by
//! list. What is left of the work may still be large for rules that are made to be so; it is bounded, and a rule that
//! could not be compared within the bound counts as not held.

use std::collections::HashSet;

use palisade_k8s::rbac::PolicyRule;

/// The largest number of look-ups of one question; they take a second at most.
const MOST: usize = 4_000_000;

/// The rules of `wanted` that `held` does not cover.
#[must_use]
pub fn not_held<'w>(
    held: &[&PolicyRule],
    wanted: impl IntoIterator<Item = &'w PolicyRule>,
) -> Vec<&'w PolicyRule> {
    let held: Vec<Held<'_>> = held.iter().map(|rule| Held::new(rule)).collect();
    let all: Vec<usize> = (0..held.len()).collect();
    let mut question = Question { held, left: MOST };
    wanted.into_iter().filter(|rule| !question.covers(rule, &all)).collect()
}

/// One of a rule's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    Verbs,
    Groups,
    Resources,
    Names,
    Paths,
}

/// A held rule, its lists as sets.
struct Held<'a> {
    verbs: HashSet<&'a str>,
    groups: HashSet<&'a str>,
    resources: HashSet<&'a str>,
    names: HashSet<&'a str>,
    paths: HashSet<&'a str>,
    /// Prefixes: the paths that end in `*`, without it.
    prefixes: Vec<&'a str>,
}

impl<'a> Held<'a> {
    fn new(rule: &'a PolicyRule) -> Self {
        let set = |list: &'a [String]| list.iter().map(String::as_str).collect();
        let prefixes = rule.non_resource_urls.iter().filter_map(|path| path.strip_suffix('*'));
        Self {
            verbs: set(&rule.verbs),
            groups: set(&rule.api_groups),
            resources: set(&rule.resources),
            names: set(&rule.resource_names),
            paths: set(&rule.non_resource_urls),
            prefixes: prefixes.collect(),
        }
    }

    /// Whether one of its lists covers a value; `None` is any name.
    fn lists(&self, list: List, value: Option<&str>) -> bool {
        let has = |set: &HashSet<&str>| value.is_some_and(|value| set.contains("*") || set.contains(value));
        match list {
            List::Verbs => has(&self.verbs),
            List::Groups => has(&self.groups),
            List::Resources => has(&self.resources) || self.lists_subresource(value.unwrap_or_default()),
            List::Names => self.names.is_empty() || value.is_some_and(|name| self.names.contains(name)),
            List::Paths => {
                let path = value.unwrap_or_default();
                self.paths.contains(path) || self.prefixes.iter().any(|prefix| path.starts_with(prefix))
            }
        }
    }

    fn lists_subresource(&self, resource: &str) -> bool {
        let sub = resource.split_once('/').map(|(_, sub)| sub);
        sub.is_some_and(|sub| self.resources.contains(format!("*/{sub}").as_str()))
    }

    /// The cost of one look-up.
    fn cost(&self, list: List) -> usize {
        if list == List::Paths { 1 + self.prefixes.len() } else { 1 }
    }
}

struct Question<'a> {
    held: Vec<Held<'a>>,
    /// The number of look-ups that may still be made.
    left: usize,
}

type Values<'w> = (List, Vec<Option<&'w str>>);

impl Question<'_> {
    fn covers(&mut self, rule: &PolicyRule, all: &[usize]) -> bool {
        fn values(list: &[String]) -> Vec<Option<&str>> {
            let distinct: HashSet<&str> = list.iter().map(String::as_str).collect();
            distinct.into_iter().map(Some).collect()
        }
        let names = if rule.resource_names.is_empty() { vec![None] } else { values(&rule.resource_names) };
        let verbs = (List::Verbs, values(&rule.verbs));
        let resources = [
            verbs.clone(),
            (List::Groups, values(&rule.api_groups)),
            (List::Resources, values(&rule.resources)),
            (List::Names, names),
        ];
        let paths = [verbs, (List::Paths, values(&rule.non_resource_urls))];
        self.covers_product(&paths, all) && self.covers_product(&resources, all)
    }

    /// Whether the held rules at `places` cover each combination of the lists' values.
    fn covers_product(&mut self, lists: &[Values<'_>], places: &[usize]) -> bool {
        // A list without values makes a product without any.
        if lists.iter().any(|(_, values)| values.is_empty()) {
            return true;
        }
        let Some(((list, values), rest)) = lists.split_first() else { return !places.is_empty() };
        let mut classes: HashSet<Vec<usize>> = HashSet::new();
        for value in values {
            let Some(class) = self.places_of(*list, *value, places) else { return false };
            if class.is_empty() {
                return false;
            }
            classes.insert(class);
        }
        classes.iter().all(|class| self.covers_product(rest, class))
    }

    /// The places of the held rules that list a value; `None` when there is no work left to find out.
    fn places_of(&mut self, list: List, value: Option<&str>, places: &[usize]) -> Option<Vec<usize>> {
        let mut found = Vec::new();
        for place in places {
            let held = self.held.get(*place)?;
            self.left = self.left.checked_sub(held.cost(list))?;
            if held.lists(list, value) {
                found.push(*place);
            }
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<String> {
        text.split_whitespace().map(|word| word.trim_matches('\'').to_owned()).collect()
    }

    /// A rule of verbs, groups, resources and names; `''` is the core group.
    fn rule((verbs, groups, resources, names): (&str, &str, &str, &str)) -> PolicyRule {
        PolicyRule {
            verbs: list(verbs),
            api_groups: list(groups),
            resources: list(resources),
            resource_names: list(names),
            ..PolicyRule::default()
        }
    }

    #[test]
    fn held_rules_cover_together() {
        let held = [
            rule(("get list", "''", "pods services", "")),
            rule(("delete", "''", "pods", "a b")),
            rule(("delete", "''", "services", "")),
            rule(("get", "apps", "*", "")),
            rule(("get", "''", "*/log", "")),
        ];
        let held: Vec<&PolicyRule> = held.iter().collect();
        for (wanted, covered) in [
            (("get", "''", "pods", ""), true),
            (("get list", "''", "services pods", "x"), true),
            (("delete", "''", "pods", "a"), true),
            (("delete", "''", "pods", "a c"), false),
            (("delete", "''", "pods", ""), false),
            (("delete", "''", "pods services", "b"), true),
            (("delete get", "''", "pods services", "a b"), true),
            (("get", "'' apps", "pods", ""), true),
            (("list", "'' apps", "pods", ""), false),
            (("*", "''", "pods", ""), false),
            (("get", "apps", "*", ""), true),
            (("get", "''", "nodes/log", ""), true),
            (("get", "''", "*", ""), false),
            (("", "''", "pods", ""), true),
        ] {
            let wanted = rule(wanted);
            assert_eq!(not_held(&held, [&wanted]).is_empty(), covered, "{wanted:?}");
        }
    }

    #[test]
    fn paths_are_covered_by_prefixes() {
        let of = |verbs: &str, paths: &str| PolicyRule {
            verbs: list(verbs),
            non_resource_urls: list(paths),
            ..PolicyRule::default()
        };
        let held = of("get", "/api/* /healthz");
        for (wanted, covered) in [
            (of("get", "/api/v1 /healthz"), true),
            (of("get", "/api/*"), true),
            (of("post", "/healthz"), false),
            (of("get", "/healthz/*"), false),
            (of("get", "*"), false),
        ] {
            assert_eq!(not_held(&[&held], [&wanted]).is_empty(), covered, "{wanted:?}");
        }
    }

    #[test]
    fn rules_made_to_be_multiplied_end_in_time() {
        let many = |prefix: &str| (0..20_000).map(|index| format!("{prefix}{index}")).collect::<Vec<_>>();
        let wide = PolicyRule {
            verbs: many("v"),
            api_groups: many("g"),
            resources: many("r"),
            ..PolicyRule::default()
        };
        assert!(not_held(&[&wide], [&wide]).is_empty(), "eight trillion combinations are one class");
        let rules: Vec<PolicyRule> =
            (0..20_000).map(|index| rule(("get", "''", &format!("r{index}"), ""))).collect();
        let held: Vec<&PolicyRule> = rules.iter().collect();
        let started = std::time::Instant::now();
        assert!(!not_held(&held, held.iter().copied()).is_empty(), "beyond the bound nothing counts as held");
        assert!(started.elapsed() < std::time::Duration::from_secs(60), "{:?}", started.elapsed());
    }
}
