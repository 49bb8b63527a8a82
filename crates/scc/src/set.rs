//! All SCCs of a cluster, in the order of their evaluation.

use std::cmp::Ordering;
use std::sync::Arc;

use palisade_k8s::{FieldError, Pod, SecurityContextConstraints};
use palisade_persistent::Map;

use crate::attempt::{Context, attempt};
use crate::changes::Changes;
use crate::findings::{Few, Findings, Verdict};
use crate::plan::Plan;
use crate::score::{Rank, score};
use crate::unusable::Unusable;

#[cfg(test)]
mod tests;

/// One SCC of the set.
#[derive(Clone, Debug)]
pub struct Entry {
    scc: SecurityContextConstraints,
    score: u32,
    plan: Result<Plan, Unusable>,
}

impl Entry {
    /// Defaults, scores and parses an SCC.
    #[must_use]
    pub fn new(mut scc: SecurityContextConstraints) -> Self {
        crate::default(&mut scc);
        Self { score: score(&scc), plan: Plan::new(&scc), scc }
    }

    /// The SCC, defaulted.
    #[must_use]
    pub fn scc(&self) -> &SecurityContextConstraints {
        &self.scc
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.scc.metadata.name
    }

    /// The key of its place in the order.
    #[must_use]
    pub fn rank(&self) -> Rank<'_> {
        Rank { priority: self.scc.priority.unwrap_or(0), score: self.score, name: self.name() }
    }

    /// The SCC ready to be evaluated, or the reason why it can never admit a pod.
    ///
    /// # Errors
    ///
    /// The SCC can admit no pod in any namespace.
    pub fn plan(&self) -> Result<&Plan, &Unusable> {
        self.plan.as_ref()
    }

    /// The same evaluation as [`evaluate`] makes, with all findings.
    #[must_use]
    pub fn outcome<'x>(&'x self, context: Context<'x>, pod: &'x Pod<'_>, mutation: Mutation) -> Outcome<'x> {
        outcome(self, context, pod, mutation, Vec::new(), |errors| errors)
    }

    /// The same with only the first few findings.
    #[must_use]
    pub fn outcome_in_brief<'x>(
        &'x self,
        context: Context<'x>,
        pod: &'x Pod<'_>,
        mutation: Mutation,
    ) -> Outcome<'x> {
        outcome(self, context, pod, mutation, Few::default(), |few| few.0)
    }
}

fn outcome<'x, F: Findings>(
    entry: &'x Entry,
    context: Context<'x>,
    pod: &'x Pod<'_>,
    mutation: Mutation,
    mut findings: F,
    errors: impl FnOnce(F) -> Vec<FieldError>,
) -> Outcome<'x> {
    let plan = match entry.plan() {
        Ok(plan) => plan,
        Err(unusable) => return Outcome::Unusable(unusable.clone()),
    };
    let changes = attempt(plan, context, pod, &mut findings);
    let errors = errors(findings);
    match changes {
        Err(unusable) => Outcome::Unusable(unusable),
        Ok(_) if !errors.is_empty() => Outcome::Refuses(errors),
        Ok(changes) if mutation.permits(&changes) => Outcome::Admits(changes),
        Ok(changes) => Outcome::Changes(changes),
    }
}

/// The part of the pod that an SCC may change in the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Anything: the pod is created.
    Allowed,
    /// Ephemeral containers: they are added to a running pod.
    EphemeralOnly,
    /// Nothing: the pod runs already.
    Forbidden,
}

impl Mutation {
    /// Whether these changes may be made.
    #[must_use]
    pub fn permits(self, changes: &Changes<'_>) -> bool {
        match self {
            Self::Allowed => true,
            Self::EphemeralOnly => changes.only_ephemeral(),
            Self::Forbidden => changes.is_empty(),
        }
    }
}

/// The full result of one SCC for one pod.
#[derive(Clone, Debug)]
pub enum Outcome<'x> {
    /// It admits the pod, with these changes.
    Admits(Changes<'x>),
    /// It would admit the pod, but only with changes that this request does not permit.
    Changes(Changes<'x>),
    /// These fields violate it.
    Refuses(Vec<FieldError>),
    /// It can admit no pod here.
    Unusable(Unusable),
}

/// An entry at its index.
#[derive(Clone, Debug)]
struct Ranked(Arc<Entry>);

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.rank().cmp(&other.0.rank())
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for Ranked {}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

/// All SCCs in order, each defaulted, parsed and scored once. SCCs are added and removed one by one; a copy is cheap
/// and shares all unchanged ones.
#[derive(Clone, Debug, Default)]
pub struct SccSet {
    order: Map<Ranked, ()>,
    by_name: Map<Arc<str>, Arc<Entry>>,
}

impl SccSet {
    /// Takes SCCs of distinct names; of several with one name, the last counts.
    #[must_use]
    pub fn new(sccs: impl IntoIterator<Item = SecurityContextConstraints>) -> Self {
        let mut set = Self::default();
        for scc in sccs {
            set.insert(Arc::new(Entry::new(scc)));
        }
        set
    }

    /// Adds an SCC, and returns the one of its name that it replaces.
    pub fn insert(&mut self, entry: Arc<Entry>) -> Option<Arc<Entry>> {
        let old = self.remove(entry.name());
        self.by_name.insert(Arc::from(entry.name()), Arc::clone(&entry));
        self.order.insert(Ranked(entry), ());
        old
    }

    /// Removes the SCC of a name.
    pub fn remove(&mut self, name: &str) -> Option<Arc<Entry>> {
        let entry = self.by_name.remove(name)?;
        self.order.remove(&Ranked(Arc::clone(&entry)));
        Some(entry)
    }

    /// All of them, in the order of their evaluation.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> + Clone {
        self.order.iter().map(|(ranked, ())| &*ranked.0)
    }

    /// The SCC of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.by_name.get(name).map(|entry| &**entry)
    }

    /// The number of SCCs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

/// The decision: the first of `candidates`, which are in order, that admits the pod, with its changes.
#[must_use]
pub fn evaluate<'x>(
    candidates: impl IntoIterator<Item = &'x Entry>,
    context: Context<'x>,
    pod: &'x Pod<'_>,
    mutation: Mutation,
) -> Option<(&'x Entry, Changes<'x>)> {
    candidates.into_iter().find_map(|entry| {
        let plan = entry.plan().ok()?;
        let mut verdict = Verdict::default();
        let changes = attempt(plan, context, pod, &mut verdict).ok()?;
        (!verdict.is_refused() && mutation.permits(&changes)).then_some((entry, changes))
    })
}
