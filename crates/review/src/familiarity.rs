//! The standing of SCCs with the account of a workload: of several that would do, those in use come first.

use std::cell::OnceCell;
use std::collections::HashSet;

use palisade_admission::{Policy, Step};
use palisade_k8s::SecurityContextConstraints;
use palisade_scc::Entry;
use palisade_scc::advice::Familiarity;

use crate::subject::Subject;
use crate::surroundings::Surroundings;

/// The accounts of a workload's namespace, and what they may use.
pub(crate) struct Neighbours<'a> {
    policy: &'a Policy,
    surroundings: &'a Surroundings,
    subject: &'a Subject,
    /// The SCCs that other accounts of the namespace may use; computed for a workload that is refused.
    used: OnceCell<HashSet<&'a str>>,
}

impl<'a> Neighbours<'a> {
    pub(crate) fn new(policy: &'a Policy, surroundings: &'a Surroundings, subject: &'a Subject) -> Self {
        Self { policy, surroundings, subject, used: OnceCell::new() }
    }

    /// The names of the other accounts of the namespace.
    pub(crate) fn others(&self) -> impl Iterator<Item = String> + use<'a> {
        let names = self.surroundings.accounts(self.policy, &self.subject.namespace);
        let subject = self.subject;
        names.into_iter().filter(move |name| *name != subject.service_account)
    }

    /// The standing of each SCC that was tried.
    pub(crate) fn familiarity(&self, steps: &[Step<'_>]) -> Vec<Familiarity> {
        let of = |step: &Step<'_>| match step.service_account {
            Some(_) => Familiarity::OfAccount,
            None if self.is_used(step.entry) => Familiarity::OfOthers,
            None => Familiarity::OfNobody,
        };
        steps.iter().map(of).collect()
    }

    fn is_used(&self, entry: &Entry) -> bool {
        let used = || {
            let of_account = |name: String| self.policy.named_for(&self.subject.namespace, &name);
            self.others().flat_map(of_account).map(Entry::name).collect()
        };
        names_somebody(entry.scc()) || self.used.get_or_init(used).contains(entry.name())
    }
}

/// Whether the SCC's own lists name a user, an account or a group that is not of the platform, as the built-in ones do.
fn names_somebody(scc: &SecurityContextConstraints) -> bool {
    let is_own = |name: &String| !name.starts_with("system:");
    let is_account = |name: &String| {
        let account = name.strip_prefix("system:serviceaccount:");
        account.is_some_and(|account| !["openshift-", "kube-"].iter().any(|of| account.starts_with(of)))
    };
    scc.users.iter().flatten().any(|name| is_own(name) || is_account(name))
        || scc.groups.iter().flatten().any(is_own)
}
