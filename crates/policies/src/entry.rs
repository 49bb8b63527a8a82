//! One SCC in CEL: its rules, and the variables made of them.

use std::collections::{HashMap, HashSet};

use palisade_k8s::KernelVersion;
use palisade_scc::{Entry, Plan, SccSet, Unusable};

use crate::cel::{self, identifier, text};
use crate::facts::Variable;
use crate::grant;
use crate::rule::{Demand, Rules, rules};

/// An SCC that can admit pods.
pub(crate) struct Translated<'x> {
    pub(crate) entry: &'x Entry,
    pub(crate) rules: Rules,
}

/// The SCCs of a set in their order, and those that can admit no pod, each with the reason.
pub(crate) type Split<'x> = (Vec<Translated<'x>>, Vec<(&'x str, &'x Unusable)>);

/// Maximum length of a condition in the variables of SCCs themselves; a longer one has a variable of its own.
const SHORT: usize = 64;

pub(crate) fn translate(sccs: &SccSet, kernel: KernelVersion) -> Split<'_> {
    let (mut usable, mut unusable): (Vec<Translated<'_>>, _) = (Vec::new(), Vec::new());
    for entry in sccs.entries() {
        match entry.plan() {
            Ok(plan) => usable.push(Translated::new(entry, plan, kernel)),
            Err(why) => unusable.push((entry.name(), why)),
        }
    }
    name_long_demands(&mut usable);
    (usable, unusable)
}

/// Names each long condition, once for all SCCs that have it.
fn name_long_demands(sccs: &mut [Translated<'_>]) {
    let mut names: HashMap<String, String> = HashMap::new();
    let mut counts: HashMap<&'static str, usize> = HashMap::new();
    for demand in sccs.iter_mut().flat_map(|scc| &mut scc.rules.demands) {
        if demand.holds.len() <= SHORT {
            continue;
        }
        let topic = demand.topic;
        let name = names.entry(demand.holds.clone()).or_insert_with(|| {
            let count = counts.entry(topic).or_default();
            *count += 1;
            format!("allows_{topic}_{count}")
        });
        demand.name = Some(name.clone());
    }
}

/// The variables of the conditions that SCCs share.
pub(crate) fn shared(sccs: &[Translated<'_>]) -> Vec<Variable> {
    let mut variables: Vec<Variable> = Vec::new();
    let mut known: HashSet<&str> = HashSet::new();
    for demand in sccs.iter().flat_map(|scc| &scc.rules.demands) {
        if let Some(name) = &demand.name
            && known.insert(name)
        {
            variables.push(Variable::new(name, &demand.holds));
        }
    }
    variables
}

impl<'x> Translated<'x> {
    fn new(entry: &'x Entry, plan: &Plan, kernel: KernelVersion) -> Self {
        Self { entry, rules: rules(plan, kernel) }
    }

    pub(crate) fn name(&self) -> &'x str {
        self.entry.name()
    }

    /// The name of one of its variables.
    pub(crate) fn variable(&self, prefix: &str) -> String {
        format!("{prefix}_{}", identifier(self.name()))
    }

    /// A reference to one of its variables.
    pub(crate) fn reference(&self, prefix: &str) -> String {
        format!("variables.{}", self.variable(prefix))
    }

    /// Whether the pod meets every demand, once it has the SCC's defaults.
    pub(crate) fn fits(&self) -> Variable {
        let demand = |demand: &Demand| format!("// {}\n{}", comment(&demand.because), demand.condition());
        Variable::new(self.variable("fits"), cel::all(self.rules.demands.iter().map(demand)))
    }

    /// Whether it has no default for parts that may not change any more.
    pub(crate) fn settled(&self) -> Variable {
        let condition = |condition: &String| format!("({condition})");
        Variable::new(self.variable("settled"), cel::all(self.rules.settled.iter().map(condition)))
    }

    /// The subject with the right to use it.
    pub(crate) fn grant(&self) -> Variable {
        Variable::new(self.variable("grant"), grant::grant(self.entry.scc()))
    }

    /// The violation, in words.
    pub(crate) fn findings(&self) -> Variable {
        let finding = |demand: &Demand| format!("{} ? '' : {}", demand.condition(), text(&demand.finding));
        let findings = cel::lines(self.rules.demands.iter().map(finding));
        Variable::new(self.variable("findings"), format!("{findings}.filter(f, f != '')"))
    }

    /// Whether it admits the pod: it is considered, fits, sets no default on parts that may not change, and may be
    /// used.
    pub(crate) fn admits(&self) -> String {
        format!(
            "{} && {} && (request.operation == 'CREATE' || {}) && {} != ''",
            self.considered(),
            self.reference("fits"),
            self.reference("settled"),
            self.reference("grant"),
        )
    }

    /// The same for a pod that does not exist yet.
    pub(crate) fn admits_anew(&self) -> String {
        format!("{} && {} && {} != ''", self.considered(), self.reference("fits"), self.reference("grant"))
    }

    /// Whether the pod may be evaluated by it: it requires no other.
    pub(crate) fn considered(&self) -> String {
        format!("variables.required in ['', {}]", text(self.name()))
    }
}

/// The rest of a line, whatever the text contains.
fn comment(text: &str) -> String {
    text.chars()
        .map(
            |letter| {
                if letter.is_control() || ('\u{2028}'..='\u{2029}').contains(&letter) { ' ' } else { letter }
            },
        )
        .collect()
}
