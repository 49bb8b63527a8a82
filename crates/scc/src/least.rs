//! The least SCC that admits a set of pods, and the proof that it is the least.
//!
//! Each field starts at its widest value and takes the tightest of the values that the pods' own requests suggest, as
//! far as [`attempt`](crate::attempt) still admits every pod. Then every [`Tightening`] of the result is tried: one
//! that admits all pods is applied, and for each of the others a pod that it refuses is recorded ([`Need`]). So the
//! result admits every pod, and no single tightening of it does.
//!
//! A *base* SCC defines the defaults of a pod for the fields that it leaves open. The least SCC sets on a pod no field
//! that the base leaves alone, except a supplemental group, and where it sets another value than the base, that value
//! gives no more: never user 0, never another SELinux type, never another seccomp profile.
//!
//! ```
//! use palisade_k8s::{KernelVersion, Pod, SecurityContextConstraints};
//! use palisade_scc::least::{Question, least};
//! use palisade_scc::{Context, NamespaceRanges};
//!
//! let base: SecurityContextConstraints = serde_json::from_str(r#"{
//!     "runAsUser": {"type": "MustRunAsRange"}, "seLinuxContext": {"type": "MustRunAs"},
//!     "fsGroup": {"type": "MustRunAs"}, "requiredDropCapabilities": ["ALL"], "allowPrivilegeEscalation": false
//! }"#)?;
//! let ranges = NamespaceRanges::read(|key| match key {
//!     "openshift.io/sa.scc.uid-range" => Some("1000000000/10000"),
//!     "openshift.io/sa.scc.mcs" => Some("s0:c1,c0"),
//!     _ => None,
//! })?;
//! let context = Context { ranges: &ranges, kernel: KernelVersion::LATEST };
//! let pods: [Pod<'_>; 1] = [serde_json::from_str(r#"{"spec": {
//!     "securityContext": {"runAsUser": 1000}, "volumes": [{"name": "d", "emptyDir": {}}],
//!     "containers": [{"name": "app", "securityContext": {"capabilities": {"add": ["CHOWN"]}}}]}}"#)?];
//!
//! let least = least("shop", &Question { pods: &pods, context, base: &base })?;
//! assert_eq!(least.scc.volumes, Some(vec!["emptyDir".to_owned()]));
//! assert_eq!(least.scc.allowed_capabilities, Some(vec!["CHOWN".to_owned()]));
//! assert_eq!(least.scc.run_as_user.uid, Some(1000));
//! assert!(least.needs.iter().any(|need| need.field == "volumes" && need.value == "emptyDir" && need.first == 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use palisade_k8s::{Pod, SecurityContextConstraints};

use crate::attempt::Context;
use crate::plan::Plan;
use crate::unusable::Unusable;

mod candidate;
mod demand;
mod judge;
mod split;
#[cfg(test)]
mod tests;
mod tighten;

pub(crate) use candidate::strategy;
pub use split::{Blur, Reason};
pub(crate) use tighten::user_range;
pub use tighten::{Tightening, tightenings};

use demand::Demand;
use judge::Judge;

/// Maximum number of tightenings that are applied because they admit every pod.
const ROUNDS: usize = 1_000;

/// A set of pods of one namespace.
#[derive(Clone, Copy, Debug)]
pub struct Question<'q> {
    /// The pods, as the API server has them before SCC admission.
    pub pods: &'q [Pod<'q>],
    /// Their namespace, and the kernel.
    pub context: Context<'q>,
    /// The SCC whose defaults the pods get for fields that they leave open.
    pub base: &'q SecurityContextConstraints,
}

/// The least SCC of a set of pods. Pods are named by their index in the question.
#[derive(Clone, Debug)]
pub struct Least {
    /// The SCC, defaulted; without users and groups.
    pub scc: SecurityContextConstraints,
    /// The need for each value: one a tightening.
    pub needs: Vec<Need>,
    /// Pods that no SCC admits in this namespace, with the first reason. They do not count for the rest.
    pub hopeless: Vec<(usize, String)>,
    /// Fields in which one SCC permits more than any of the pods requests.
    pub blurs: Vec<Blur>,
}

/// A value of the SCC that could not be tighter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The field of the SCC.
    pub field: &'static str,
    /// The value, or the part of it, that is needed.
    pub value: String,
    /// A pod that is refused without it.
    pub first: usize,
    /// Number of pods that request this value; at least 1.
    pub count: usize,
    /// The reason why that pod is refused without it.
    pub refusal: String,
}

/// The least SCC, under this name, that admits all pods that any SCC admits.
///
/// # Errors
///
/// The base can admit no pod in this namespace.
pub fn least(name: &str, question: &Question<'_>) -> Result<Least, Unusable> {
    let base = defaulted(question.base);
    let plan = Plan::new(&base)?;
    plan.resolve(question.context.ranges)?;
    let judge = Judge::new(question, &plan);
    let (judge, hopeless) = judge.without_hopeless(&candidate::widest(name, &base));
    let demand = Demand::of(&judge, question.context.kernel);
    let mut scc = candidate::choose(name, &judge, &demand, &base);
    let needs = descend(&mut scc, &judge, &demand, &base);
    let blurs = split::blurs(&scc, &judge, &demand, question, &base);
    Ok(Least { scc, needs, hopeless, blurs })
}

/// The least SCC without the proof, for comparing.
fn scc_alone(question: &Question<'_>) -> Result<SecurityContextConstraints, Unusable> {
    let base = defaulted(question.base);
    let plan = Plan::new(&base)?;
    let judge = Judge::new(question, &plan);
    let demand = Demand::of(&judge, question.context.kernel);
    Ok(candidate::choose("half", &judge, &demand, &base))
}

/// Whether the SCC admits every pod of the question without giving more than the base does.
#[must_use]
pub fn is_enough(scc: &SecurityContextConstraints, question: &Question<'_>) -> bool {
    let base = defaulted(question.base);
    Plan::new(&base).is_ok_and(|plan| Judge::new(question, &plan).admits_all(scc))
}

fn defaulted(scc: &SecurityContextConstraints) -> SecurityContextConstraints {
    let mut scc = scc.clone();
    crate::default(&mut scc);
    scc
}

/// Applies tightenings until each refuses a pod, and records which.
fn descend(
    scc: &mut SecurityContextConstraints,
    judge: &Judge<'_>,
    demand: &Demand,
    base: &SecurityContextConstraints,
) -> Vec<Need> {
    for _ in 0..ROUNDS {
        match needs(scc, judge, demand, base) {
            Ok(needs) => return needs,
            Err(tighter) => *scc = *tighter,
        }
    }
    Vec::new()
}

/// The need for each value, or a tighter SCC that admits every pod as well.
fn needs(
    scc: &SecurityContextConstraints,
    judge: &Judge<'_>,
    demand: &Demand,
    base: &SecurityContextConstraints,
) -> Result<Vec<Need>, Box<SecurityContextConstraints>> {
    let mut needs: Vec<Need> = Vec::new();
    for tightening in tightenings(scc, base) {
        let hint = demand.uses(tightening.field, &tightening.value);
        let Some((first, refusal)) = judge.refusal(&tightening.scc, hint.map(|uses| uses.first)) else {
            return Err(Box::new(tightening.scc));
        };
        let count = hint.filter(|uses| uses.first == first).map_or(1, |uses| uses.count);
        let need = Need {
            field: tightening.field,
            value: tightening.value,
            first: judge.place(first),
            count,
            refusal,
        };
        if !needs.iter().any(|known| (known.field, &known.value) == (need.field, &need.value)) {
            needs.push(need);
        }
    }
    Ok(needs)
}
