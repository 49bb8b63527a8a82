//! All SCCs of a cluster, in the order in which they are tried.

use std::collections::HashMap;

use palisade_k8s::{FieldError, Pod, SecurityContextConstraints};

use crate::attempt::{Context, attempt};
use crate::changes::Changes;
use crate::findings::{Few, Findings, Verdict};
use crate::plan::{Plan, Unusable};
use crate::score::{Rank, score};

/// One SCC of the set.
#[derive(Clone, Debug)]
pub struct Entry {
    scc: SecurityContextConstraints,
    score: u32,
    plan: Result<Plan, Unusable>,
}

impl Entry {
    fn new(mut scc: SecurityContextConstraints) -> Self {
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

    /// What decides its place.
    #[must_use]
    pub fn rank(&self) -> Rank<'_> {
        Rank { priority: self.scc.priority.unwrap_or(0), score: self.score, name: self.name() }
    }

    /// The SCC ready to be tried, or why it can never admit a pod.
    ///
    /// # Errors
    ///
    /// The SCC can admit no pod in any namespace.
    pub fn plan(&self) -> Result<&Plan, &Unusable> {
        self.plan.as_ref()
    }
}

/// How much of the pod an SCC may change for the request to be allowed.
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

/// What became of one SCC tried on one pod, in full.
#[derive(Clone, Debug)]
pub enum Outcome<'x> {
    /// It admits the pod, with these changes.
    Admits(Changes<'x>),
    /// It would admit the pod, but only with changes that this request does not permit.
    Changes(Changes<'x>),
    /// These fields are in the way.
    Refuses(Vec<FieldError>),
    /// It can admit no pod here.
    Unusable(Unusable),
}

/// All SCCs, defaulted, parsed and put in order once.
#[derive(Clone, Debug, Default)]
pub struct SccSet {
    entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
}

impl SccSet {
    /// Takes SCCs of distinct names; of several with one name, the last counts.
    #[must_use]
    pub fn new(sccs: impl IntoIterator<Item = SecurityContextConstraints>) -> Self {
        let distinct: HashMap<String, SecurityContextConstraints> =
            sccs.into_iter().map(|scc| (scc.metadata.name.clone(), scc)).collect();
        let mut entries: Vec<Entry> = distinct.into_values().map(Entry::new).collect();
        entries.sort_by(|a, b| a.rank().cmp(&b.rank()));
        let by_name =
            entries.iter().enumerate().map(|(place, entry)| (entry.name().to_owned(), place)).collect();
        Self { entries, by_name }
    }

    /// All of them, first tried first; a place in this list names an SCC elsewhere.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The place of the SCC of this name.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The decision: the first of `candidates` (places, in order) that admits the pod, and what it
    /// changes.
    #[must_use]
    pub fn evaluate<'x>(
        &'x self,
        candidates: impl IntoIterator<Item = usize>,
        context: Context<'x>,
        pod: &'x Pod<'_>,
        mutation: Mutation,
    ) -> Option<(usize, Changes<'x>)> {
        candidates.into_iter().find_map(|place| {
            let plan = self.entries.get(place)?.plan().ok()?;
            let mut verdict = Verdict::default();
            let changes = attempt(plan, context, pod, &mut verdict).ok()?;
            (!verdict.is_refused() && mutation.permits(&changes)).then_some((place, changes))
        })
    }

    /// The same attempt as [`SccSet::evaluate`] makes, with everything that it found.
    #[must_use]
    pub fn outcome<'x>(
        &'x self,
        entry: &'x Entry,
        context: Context<'x>,
        pod: &'x Pod<'_>,
        mutation: Mutation,
    ) -> Outcome<'x> {
        outcome(entry, context, pod, mutation, Vec::new(), |errors| errors)
    }

    /// The same with the first few findings alone.
    #[must_use]
    pub fn outcome_in_brief<'x>(
        &'x self,
        entry: &'x Entry,
        context: Context<'x>,
        pod: &'x Pod<'_>,
        mutation: Mutation,
    ) -> Outcome<'x> {
        outcome(entry, context, pod, mutation, Few::default(), |few| few.0)
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
