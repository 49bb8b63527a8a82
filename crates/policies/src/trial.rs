//! The decision on a pod for which no mutation has chosen an SCC: in the modes that enforce nothing, for requests that
//! connect to a pod, and for the future pods of a workload.

use crate::cel::{self, text};
use crate::entry::{Translated, shared};
use crate::facts::{Frozen, Place, Variable, facts};
use crate::grant;

/// The evaluated pod.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trial<'x> {
    /// The pod of the request, as it would be created or changed.
    Request,
    /// The pod that a request connects to, as if the user created it.
    Connection,
    /// The template of a workload, as if its controller created the pods.
    Workload {
        /// SCCs that all authenticated users may use, and controllers among them.
        everybody: &'x [String],
        /// Whether the authorizer is asked for the rights of the controller.
        asks_controller: bool,
    },
}

impl Trial<'_> {
    fn facts(self) -> Vec<Variable> {
        match self {
            Self::Request => facts(Place::Object, Frozen::ByRequest),
            Self::Connection => facts(Place::Parameter, Frozen::Nothing),
            Self::Workload { .. } => facts(Place::Template, Frozen::Nothing),
        }
    }

    fn grant(self, scc: &Translated<'_>) -> Variable {
        match self {
            Self::Request | Self::Connection => scc.grant(),
            Self::Workload { everybody, asks_controller } => {
                let is_open = everybody.iter().any(|name| name == scc.name());
                let grant = grant::of_template(scc.entry.scc(), is_open, asks_controller);
                Variable::new(scc.variable("grant"), grant)
            }
        }
    }

    fn admits(self, scc: &Translated<'_>) -> String {
        match self {
            Self::Request => scc.admits(),
            Self::Connection | Self::Workload { .. } => scc.admits_anew(),
        }
    }

    /// The beginning of a sentence about SCCs that fit.
    fn nobody(self) -> &'static str {
        match self {
            Self::Request | Self::Connection => {
                "(variables.account == '' ? ', but the user may not use ' : \
                 ', but neither the user nor the service account ' + variables.account + ' may use ')"
            }
            Self::Workload { asks_controller: false, .. } => {
                "', but the service account ' + variables.account + ' may not use '"
            }
            Self::Workload { asks_controller: true, .. } => {
                "', but neither the ' + variables.controller + ' nor the service account ' + variables.account + ' may use '"
            }
        }
    }
}

/// The variables of an evaluation; `admitted` and `refusal` are its outcome.
pub(crate) fn variables(sccs: &[Translated<'_>], trial: Trial<'_>) -> Vec<Variable> {
    let mut variables = trial.facts();
    variables.extend(shared(sccs));
    let all = |scc: &Translated<'_>| [scc.fits(), scc.settled(), scc.findings(), trial.grant(scc)];
    variables.extend(sccs.iter().flat_map(all));
    let admits = sccs.iter().map(|scc| trial.admits(scc));
    variables.push(Variable::new("admitted", cel::any(admits)));
    variables.extend(message(sccs, "", trial.nobody(), ""));
    variables
}

/// Maximum number of SCCs that a message names: the API server takes no longer one than 5 KiB.
const NAMED: usize = 10;

/// The message of a refusal: the SCCs that fit and may not be used, else the nearest one and its violations.
/// Expressions of messages cannot call the authorizer.
pub(crate) fn message(sccs: &[Translated<'_>], before: &str, nobody: &str, after: &str) -> Vec<Variable> {
    let fitting = sccs
        .iter()
        .map(|scc| format!("{} && {} ? {} : ''", scc.considered(), scc.reference("fits"), text(scc.name())));
    let findings = sccs.iter().map(|scc| {
        let considered = scc.considered();
        format!(
            "{considered} && !{} ? [{}] + {} : []",
            scc.reference("fits"),
            text(scc.name()),
            scc.reference("findings")
        )
    });
    let fit = format!(
        "variables.fitting.filter(s, variables.fitting.indexOf(s) < {NAMED}).join(', ') + \
         (variables.fitting.size() > {NAMED} ? ' and ' + string(variables.fitting.size() - {NAMED}) + ' more' : '')"
    );
    let refusal = format!(
        "{before}variables.fitting.size() > 0 ? {fit} + (variables.fitting.size() == 1 ? ' fits' : ' fit') + \
         {nobody} + (variables.fitting.size() == 1 ? 'it' : 'any of them') + '{after}' :\n\
         variables.refusing.size() == 0 ? 'none could be tried' :\n\
         variables.nearest[0] + ' comes nearest, but ' + variables.nearest.filter(f, f != variables.nearest[0]).join('; ')"
    );
    vec![
        Variable::new("fitting", format!("{}.filter(s, s != '')", cel::lines(fitting))),
        Variable::new("refusing", format!("{}.filter(f, f.size() > 0)", cel::lines(findings))),
        Variable::new(
            "nearest",
            "[variables.refusing.map(f, f.size())].map(n, variables.refusing.filter(f, f.size() == n.min()))[0][0]",
        ),
        Variable::new("refusal", refusal),
    ]
}
