//! Linux capabilities. Names compare as they are written: `net_raw` is not `NET_RAW`.

use palisade_k8s::pod::Capabilities;
use palisade_k8s::{ContainerPath, FieldError, SecurityContextConstraints, Text};

use crate::findings::Findings;
use crate::lookup::Lookup;

/// The capabilities that must be dropped, may be added, and are added unless dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapabilityRule {
    /// Added unless dropped.
    pub default_add: Vec<String>,
    /// Dropped always.
    pub required_drop: Vec<String>,
    /// The capabilities that may be added in addition.
    pub allowed: Vec<String>,
    /// Whether any may be added.
    pub allow_all: bool,
}

/// The two lists that replace a container's: each sorted, each name once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapabilityChange<'x> {
    /// The capabilities that the container adds.
    pub add: Vec<&'x str>,
    /// The capabilities that it drops.
    pub drop: Vec<&'x str>,
}

impl CapabilityRule {
    pub(crate) fn new(scc: &SecurityContextConstraints) -> Self {
        let list = SecurityContextConstraints::list;
        let allowed = list(scc.allowed_capabilities.as_ref());
        Self {
            default_add: list(scc.default_add_capabilities.as_ref()).to_vec(),
            required_drop: list(scc.required_drop_capabilities.as_ref()).to_vec(),
            allow_all: allowed.iter().any(|name| name == "*"),
            allowed: allowed.to_vec(),
        }
    }

    /// The container's new lists; `None` if they stay as they are (reference/scc.md 2.13).
    pub(crate) fn generate<'x>(
        &'x self,
        asked: Option<&'x Capabilities<'_>>,
    ) -> Option<CapabilityChange<'x>> {
        let asked_add = asked.map_or(&[][..], |asked| &asked.add);
        let asked_drop = asked.map_or(&[][..], |asked| &asked.drop);
        let (adds, drops) = (Lookup::new(texts(asked_add)), Lookup::new(texts(asked_drop)));
        let added = |name: &&String| !drops.has(name) && !adds.has(name);
        let dropped = |name: &&String| !drops.has(name);
        if !self.default_add.iter().any(|name| added(&name))
            && !self.required_drop.iter().any(|name| dropped(&name))
        {
            return None;
        }
        Some(CapabilityChange {
            add: merge(self.default_add.iter().filter(added), asked_add),
            drop: merge(self.required_drop.iter().filter(dropped), asked_drop),
        })
    }

    /// Reports each of the added capabilities that is not allowed.
    pub(crate) fn check<'n>(
        &self,
        at: ContainerPath,
        adds: impl Iterator<Item = &'n str>,
        findings: &mut impl Findings,
    ) {
        if self.allow_all {
            return;
        }
        let known = Lookup::new(self.default_add.iter().chain(&self.allowed).map(String::as_str));
        for name in adds.filter(|name| !known.has(name)) {
            findings.add(|| {
                FieldError::invalid(at.security("capabilities.add"), name, "capability may not be added")
            });
        }
    }
}

fn texts<'l>(list: &'l [Text<'_>]) -> impl Iterator<Item = &'l str> + Clone {
    list.iter().map(|name| &**name)
}

fn merge<'x>(ours: impl Iterator<Item = &'x String>, theirs: &'x [Text<'_>]) -> Vec<&'x str> {
    let mut all: Vec<&str> = ours.map(String::as_str).chain(theirs.iter().map(|name| &**name)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_k8s::pod::ContainerList;
    use serde::Deserialize;
    use serde_json::json;

    type Lists = (&'static [&'static str], &'static [&'static str]);

    type Case = ([&'static [&'static str]; 3], Lists, Option<Lists>, &'static [&'static str]);

    #[test]
    fn lists_are_made_and_checked() {
        // Default additions, required drops, allowed; the container's lists; its new lists, and the violations.
        let cases: [Case; 9] = [
            ([&[], &[], &[]], (&[], &[]), None, &[]),
            ([&[], &["ALL"], &[]], (&[], &[]), Some((&[], &["ALL"])), &[]),
            ([&[], &["ALL"], &[]], (&[], &["ALL"]), None, &[]),
            ([&["B"], &["ALL"], &[]], (&["A"], &["Z"]), Some((&["A", "B"], &["ALL", "Z"])), &["A"]),
            ([&["A"], &[], &[]], (&[], &["A"]), None, &[]),
            ([&["A"], &[], &[]], (&[], &["ALL"]), Some((&["A"], &["ALL"])), &[]),
            ([&[], &["KILL"], &[]], (&[], &["ALL"]), Some((&[], &["ALL", "KILL"])), &[]),
            ([&[], &["KILL"], &["*"]], (&["A"], &[]), Some((&["A"], &["KILL"])), &[]),
            ([&[], &[], &["NET_RAW"]], (&["NET_RAW", "net_raw"], &[]), None, &["net_raw"]),
        ];
        let at = ContainerPath { list: ContainerList::Main, index: 0 };
        for ([default_add, required_drop, allowed], (add, drop), expected, refused) in cases {
            let scc = json!({"defaultAddCapabilities": default_add, "requiredDropCapabilities": required_drop,
                             "allowedCapabilities": allowed});
            let rule = CapabilityRule::new(&serde_json::from_value(scc.clone()).unwrap());
            let asked = json!({"add": add, "drop": drop});
            let asked = Capabilities::deserialize(&asked).unwrap();
            let change = rule.generate(Some(&asked));
            let expected =
                expected.map(|(add, drop)| CapabilityChange { add: add.to_vec(), drop: drop.to_vec() });
            assert_eq!(change, expected, "{scc} {add:?} {drop:?}");
            let then: Vec<&str> = change.map_or(add.to_vec(), |change| change.add);
            let mut findings: Vec<FieldError> = Vec::new();
            rule.check(at, then.into_iter(), &mut findings);
            let blamed: Vec<String> =
                findings.iter().map(|error| error.value.as_str().unwrap_or_default().to_owned()).collect();
            assert_eq!(blamed, refused, "{scc} {add:?}");
        }
    }
}
