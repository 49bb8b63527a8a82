//! Fields in which one SCC cannot tell the pods apart, and the two SCCs that can.

use palisade_k8s::{Pod, SecurityContextConstraints};

use super::Question;
use super::candidate::{labels, strategy};
use super::demand::Demand;
use super::judge::Judge;

/// A field in which the SCC permits more than any of the pods requests, because it has one value for all of them.
#[derive(Clone, Debug)]
pub struct Blur {
    /// The field.
    pub field: &'static str,
    /// The reason.
    pub reason: Reason,
    /// The pods for which one SCC would suffice, and those for another: both are less than the one for all. `None` if
    /// pods themselves need several values.
    pub halves: Option<[Vec<usize>; 2]>,
}

/// The reason why a field permits more than is requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// An SCC has one range of users: those between are permitted too.
    Span {
        /// The lowest user.
        min: i64,
        /// The highest user.
        max: i64,
        /// Number of distinct requested users.
        asked: usize,
    },
    /// Some containers name a user, others leave it open; one value for both would make those run as root.
    RootAndOpen,
    /// Any user is permitted.
    AnyUser,
    /// More than one set of SELinux labels is needed, and an SCC has one.
    Labels,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Span { min, max, asked } => write!(
                f,
                "{asked} users are requested, and an SCC has one range: every user from {min} to {max} is permitted"
            ),
            Self::RootAndOpen => f.write_str(
                "some containers ask for root and others name no user; so that those do not become root, any user is permitted, \
                 and they run as their image says",
            ),
            Self::AnyUser => f.write_str("no strategy but RunAsAny fits all pods"),
            Self::Labels => f.write_str("an SCC has one set of SELinux labels, and the pods need several: any are permitted"),
        }
    }
}

/// The fields of the chosen SCC that permit more than is requested.
pub(super) fn blurs(
    scc: &SecurityContextConstraints,
    judge: &Judge<'_>,
    demand: &Demand,
    question: &Question<'_>,
    base: &SecurityContextConstraints,
) -> Vec<Blur> {
    let mut found = Vec::new();
    if let Some(reason) = user_reason(scc, demand, base) {
        let mut own = scc.clone();
        own.run_as_user = strategy("MustRunAsRange");
        let halves = parted(judge, &own).or_else(|| at_gap(judge, demand));
        found.push(Blur { field: "runAsUser", reason, halves: less(scc, halves, question) });
    }
    if scc.se_linux_context.type_ == "RunAsAny" && base.se_linux_context.type_ == "MustRunAs" {
        let mut own = scc.clone();
        own.se_linux_context = labels("MustRunAs", None);
        let by_label = || {
            let mut first = scc.clone();
            first.se_linux_context = labels("MustRunAs", demand.labels.first().cloned());
            parted(judge, &first)
        };
        let halves = parted(judge, &own).or_else(by_label);
        found.push(Blur {
            field: "seLinuxContext",
            reason: Reason::Labels,
            halves: less(scc, halves, question),
        });
    }
    found
}

fn user_reason(
    scc: &SecurityContextConstraints,
    demand: &Demand,
    base: &SecurityContextConstraints,
) -> Option<Reason> {
    let users = &scc.run_as_user;
    match (users.type_.as_str(), users.uid_range_min, users.uid_range_max) {
        ("MustRunAsRange", Some(min), Some(max)) => {
            let asked = demand.users.len();
            let spans = max.saturating_sub(min).saturating_add(1) > i64::try_from(asked).unwrap_or(i64::MAX);
            spans.then_some(Reason::Span { min, max, asked })
        }
        ("RunAsAny", ..) if base.run_as_user.type_ == "RunAsAny" => None,
        ("RunAsAny", ..) if demand.users.first() == Some(&0) => Some(Reason::RootAndOpen),
        ("RunAsAny", ..) => Some(Reason::AnyUser),
        _ => None,
    }
}

/// The pods that this SCC admits, and the others; places of the question.
fn parted(judge: &Judge<'_>, scc: &SecurityContextConstraints) -> Option<[Vec<usize>; 2]> {
    let (mut fits, mut others) = (Vec::new(), Vec::new());
    for index in 0..judge.pods().len() {
        let half = if judge.admits(scc, index) { &mut fits } else { &mut others };
        half.push(judge.place(index));
    }
    (!fits.is_empty() && !others.is_empty()).then_some([fits, others])
}

/// The pods below and above the widest gap between users.
fn at_gap(judge: &Judge<'_>, demand: &Demand) -> Option<[Vec<usize>; 2]> {
    let gaps = demand.users.iter().zip(demand.users.iter().skip(1));
    let (below, _) = gaps.max_by_key(|(low, high)| high.saturating_sub(**low))?;
    let (mut low, mut high) = (Vec::new(), Vec::new());
    for (index, pod) in judge.pods().enumerate() {
        let users = users(pod);
        match (users.iter().any(|user| user <= below), users.iter().any(|user| user > below)) {
            (true, true) => return None,
            (true, false) => low.push(judge.place(index)),
            (false, _) => high.push(judge.place(index)),
        }
    }
    Some([low, high])
}

fn users(pod: &Pod<'_>) -> Vec<i64> {
    let of_pod = pod.spec.security_context.as_ref().and_then(|security| security.run_as_user);
    let containers = pod.spec.all_containers();
    containers
        .filter_map(|(_, container)| container.security().and_then(|own| own.run_as_user).or(of_pod))
        .collect()
}

/// The halves, if the SCC of each permits less than the SCC for all, and nothing beyond it.
fn less(
    whole: &SecurityContextConstraints,
    halves: Option<[Vec<usize>; 2]>,
    question: &Question<'_>,
) -> Option<[Vec<usize>; 2]> {
    let halves = halves?;
    let is_less = |places: &Vec<usize>| {
        let pods: Vec<Pod<'_>> =
            places.iter().filter_map(|place| question.pods.get(*place)).cloned().collect();
        let half = super::scc_alone(&Question { pods: &pods, ..*question });
        half.is_ok_and(|half| crate::diff(whole, &half).iter().any(|field| field.only_a.is_some()))
    };
    halves.iter().all(is_less).then_some(halves)
}
