//! Ways from a refusal to an admission: edits of the pod, a grant of an existing SCC, and an SCC of one's own that
//! permits just the missing parts.
//!
//! All advice is tested: the proposed change is applied, and the decision made again.

use std::cmp::Reverse;

use palisade_k8s::{FieldError, FieldPath, Pod, SecurityContextConstraints};
use serde::Deserialize;
use serde_json::Value;

use crate::attempt::{Context, attempt};
use crate::changes::Changes;
use crate::diff::{Difference, diff};
use crate::plan::Plan;
use crate::pod_security::guaranteed_level;
use crate::set::{Entry, Mutation, Outcome};

mod edit;
#[cfg(test)]
mod tests;
mod widen;

pub use edit::{Action, Edit};

/// The name of the volume of the service account's token, or its prefix.
pub const TOKEN_VOLUME: &str = "kube-api-access";
/// Maximum number of nearest SCCs for which edits are sought: further ones need more edits than anyone would make.
const NEAREST: usize = 4;
/// Maximum number of rounds of edits; a pod's and a container's value take two.
const ROUNDS: usize = 8;

/// The standing of an SCC with a pod's account; an earlier one is preferred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Familiarity {
    /// The account may use it.
    OfAccount,
    /// Another account, user or group is bound to it by name.
    OfOthers,
    /// No subject is bound to it by name.
    #[default]
    OfNobody,
}

/// The checks of a pod after SCC: whether they admit it with these changes.
pub type Then<'q> = &'q dyn Fn(&Value, &Pod<'_>, &Changes<'_>) -> bool;

/// A pod that is refused.
#[derive(Clone, Copy)]
pub struct Refused<'q> {
    /// All SCCs, in order.
    pub entries: &'q [&'q Entry],
    /// The indexes of those that may be used, ascending.
    pub usable: &'q [usize],
    /// The standing of each SCC with the pod's account, by index; nobody is bound to the missing ones.
    pub familiarity: &'q [Familiarity],
    /// The namespace and the kernel.
    pub context: Context<'q>,
    /// The pod: its metadata and spec.
    pub pod: &'q Value,
    /// The checks after SCC.
    pub then: Then<'q>,
}

impl std::fmt::Debug for Refused<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refused")
            .field("usable", &self.usable)
            .field("pod", &self.pod)
            .finish_non_exhaustive()
    }
}

impl Refused<'_> {
    /// The index of the SCC that admits `pod` with these SCCs, if all checks pass.
    fn admitted(&self, pod: &Value, usable: &[usize]) -> Option<usize> {
        let parsed = Pod::deserialize(pod).ok()?;
        let (place, changes) = self.evaluate(usable, &parsed)?;
        (self.then)(pod, &parsed, &changes).then_some(place)
    }

    /// The first of the usable SCCs that admits a pod.
    fn evaluate<'x>(&self, usable: &[usize], pod: &'x Pod<'_>) -> Option<(usize, Changes<'x>)>
    where
        Self: 'x,
    {
        usable.iter().find_map(|place| {
            let entry = self.entries.get(*place).copied()?;
            let chosen = crate::evaluate([entry], self.context, pod, Mutation::Allowed);
            chosen.map(|(_, changes)| (*place, changes))
        })
    }

    /// Whether the pod is admitted after all.
    #[must_use]
    pub fn is_admitted(&self) -> bool {
        self.admitted(self.pod, self.usable).is_some()
    }

    fn familiarity(&self, place: usize) -> Familiarity {
        self.familiarity.get(place).copied().unwrap_or_default()
    }

    /// The index of the SCC from which a new one is derived: the nearest that may be used, else the most restrictive, those
    /// last that require a user namespace which the pod does not have.
    #[must_use]
    pub fn base(&self) -> Option<usize> {
        let has_users = self.pod.pointer("/spec/hostUsers") == Some(&Value::Bool(false));
        let plans = self.entries.iter().enumerate().filter_map(|(place, entry)| {
            let plan = entry.plan().ok()?;
            Some((plan.requires_user_namespace && !has_users, entry.rank().score, place))
        });
        self.nearest().first().copied().or_else(|| plans.min().map(|(.., place)| place))
    }

    /// The usable SCCs in the order of [`distance`].
    fn nearest(&self) -> Vec<usize> {
        let Ok(pod) = Pod::deserialize(self.pod) else { return Vec::new() };
        let distance = |place: &usize| {
            let entry = self.entries.get(*place)?;
            let outcome = entry.outcome(self.context, &pod, Mutation::Allowed);
            Some((distance(entry, &outcome, self.familiarity(*place))?, *place))
        };
        let mut near: Vec<_> = self.usable.iter().filter_map(distance).collect();
        near.sort_unstable();
        near.into_iter().map(|(_, place)| place).collect()
    }

    /// Edits of the pod after which an SCC that may be used admits it: without a user namespace if possible, then as few as
    /// possible, in order. With the index of that SCC.
    #[must_use]
    pub fn edits(&self) -> Option<(usize, Vec<Edit>)> {
        let tries = self.nearest().into_iter().take(NEAREST).filter_map(|place| self.edits_for(place));
        tries.min_by_key(|(_, edits)| (edits.iter().any(Edit::takes_user_namespace), edits.len()))
    }

    /// Whether the pod is admitted as it is once it has a user namespace of its own, by an SCC that may be used.
    #[must_use]
    pub fn user_namespace_helps(&self) -> bool {
        let mut pod = self.pod.clone();
        let edit = Edit::user_namespace();
        edit.apply(&edit.path, &mut pod) && self.admitted(&pod, self.usable).is_some()
    }

    fn edits_for(&self, place: usize) -> Option<(usize, Vec<Edit>)> {
        let plan = self.entries.get(place)?.plan().ok()?;
        let mut pod = self.pod.clone();
        let mut edits = Vec::new();
        for _ in 0..ROUNDS {
            let errors = errors(plan, self.context, &pod)?;
            if errors.is_empty()
                && let Some(chosen) = self.admitted(&pod, self.usable)
            {
                return Some((chosen, edits));
            }
            // Another SCC comes before it, and later checks refuse what that makes of the pod.
            if errors.is_empty() && self.admitted(&pod, &[place]).is_some() {
                edits.push(Edit::pin(self.entries.get(place)?.name()));
                return Some((place, edits));
            }
            let mended = edit::mend(&errors, plan, &mut pod);
            if mended.is_empty() {
                return None;
            }
            edits.extend(mended);
        }
        None
    }

    /// Of the SCCs that would admit the pod if its account might use them, the one to be granted: none that allows
    /// privileged containers, or guarantees less Pod Security, where another does; then by its standing, then the most
    /// restrictive.
    #[must_use]
    pub fn grant(&self) -> Option<usize> {
        let key = |place: &usize| {
            let entry = self.entries.get(*place)?;
            let scc = entry.scc();
            let level = Reverse(guaranteed_level(scc));
            Some((scc.allow_privileged_container, level, self.familiarity(*place), entry.rank().score))
        };
        let mut places: Vec<usize> =
            (0..self.entries.len()).filter(|place| !self.usable.contains(place)).collect();
        places.sort_by_cached_key(key);
        places.into_iter().find(|place| {
            let mut usable = self.usable.to_vec();
            usable.push(*place);
            usable.sort_unstable();
            self.admitted(self.pod, &usable) == Some(*place)
        })
    }

    /// An SCC of this name that is like the nearest, plus just the missing parts; it admits the pod once its account
    /// may use it.
    #[must_use]
    pub fn own(&self, name: &str) -> Option<SecurityContextConstraints> {
        let base = self.entries.get(self.base()?)?.scc();
        let pod = Pod::deserialize(self.pod).ok()?;
        let mut own = widen::own(base, name);
        for _ in 0..ROUNDS {
            let plan = Plan::new(&own).ok()?;
            let mut errors: Vec<FieldError> = Vec::new();
            let changes = attempt(&plan, self.context, &pod, &mut errors).ok()?;
            if errors.is_empty() && (self.then)(self.pod, &pod, &changes) {
                self.drop_volumes(&mut own, base);
                let is_first = self.put_first(&mut own, &pod);
                return (is_first && crate::validate(&own).is_empty()).then_some(own);
            }
            if !widen::widen(&mut own, &errors, &pod, self.context) {
                return None;
            }
        }
        None
    }

    /// `own` with an SELinux type for all containers, if it chooses their labels and still admits the pod.
    #[must_use]
    pub fn labelled(&self, own: SecurityContextConstraints, type_: &str) -> SecurityContextConstraints {
        let mut labelled = own.clone();
        let labels = labelled.se_linux_context.se_linux_options.get_or_insert_default();
        let is_free = own.se_linux_context.type_ == "MustRunAs" && labels.type_.is_empty();
        type_.clone_into(&mut labels.type_);
        if is_free && self.is_admitted_by(&labelled) { labelled } else { own }
    }

    /// Removes the kinds of volumes that others of them cover, as `secret` does some `projected` ones.
    fn drop_volumes(&self, own: &mut SecurityContextConstraints, base: &SecurityContextConstraints) {
        let known = SecurityContextConstraints::list(base.volumes.as_ref());
        let added = own.volumes.clone().unwrap_or_default().into_iter().filter(|kind| !known.contains(kind));
        for kind in added.filter(|kind| kind != "hostPath") {
            let mut fewer = own.clone();
            fewer.volumes.iter_mut().for_each(|kinds| kinds.retain(|other| *other != kind));
            if self.is_admitted_by(&fewer) {
                *own = fewer;
            }
        }
    }

    /// The permissions of an SCC that admits the pod beyond what it lacks: beyond `own`, and beyond the nearest in each field in
    /// which the pod is admitted without them. `own` may need a field that the granted SCC does not, where their defaults differ.
    #[must_use]
    pub fn unneeded(
        &self,
        granted: &SecurityContextConstraints,
        own: Option<&SecurityContextConstraints>,
    ) -> Vec<Difference> {
        let base = self.base().and_then(|place| self.entries.get(place)).map(|entry| entry.scc());
        let mut beyond: Vec<Difference> =
            own.map(|own| permitted(granted, own).collect()).unwrap_or_default();
        for difference in base.into_iter().flat_map(|base| permitted(granted, base)) {
            let is_known = beyond.iter().any(|known| known.field == difference.field);
            let is_needless =
                || base.is_some_and(|base| self.is_admitted_without(granted, base, difference.field));
            if !is_known && is_needless() {
                beyond.push(difference);
            }
        }
        beyond
    }

    /// Whether `granted` admits the pod with a field of `narrow`.
    fn is_admitted_without(
        &self,
        granted: &SecurityContextConstraints,
        narrow: &SecurityContextConstraints,
        field: &str,
    ) -> bool {
        let field_of = |scc, field| serde_json::to_value(scc).ok()?.get(field).cloned();
        // Two fields say that volumes of the node are permitted.
        let also = (field == "volumes").then_some("allowHostDirVolumePlugin");
        let narrowed = serde_json::to_value(granted).ok().and_then(|mut scc| {
            for field in also.into_iter().chain([field]) {
                let value = field_of(narrow, field).unwrap_or_default();
                scc.as_object_mut()?.insert(field.to_owned(), value);
            }
            SecurityContextConstraints::deserialize(scc).ok()
        });
        narrowed.is_some_and(|mut scc| {
            crate::default(&mut scc);
            crate::validate(&scc).is_empty() && self.is_admitted_by(&scc)
        })
    }

    fn is_admitted_by(&self, scc: &SecurityContextConstraints) -> bool {
        let Ok(pod) = Pod::deserialize(self.pod) else { return false };
        let Ok(plan) = Plan::new(scc) else { return false };
        let mut errors: Vec<FieldError> = Vec::new();
        let changes = attempt(&plan, self.context, &pod, &mut errors);
        changes.is_ok_and(|changes| errors.is_empty() && (self.then)(self.pod, &pod, &changes))
    }

    /// Gives `own` a priority if an SCC that admits the pod, which later checks then refuse, would be evaluated first.
    /// It then takes pods of all who may use every SCC, so there is none, and no way for `own`, where the pod can name
    /// another SCC instead.
    fn put_first(&self, own: &mut SecurityContextConstraints, pod: &Pod<'_>) -> bool {
        let first = self.evaluate(self.usable, pod);
        let Some(entry) = first.and_then(|(place, _)| self.entries.get(place)) else { return true };
        if crate::Rank::of(own) > entry.rank() {
            if self.usable.iter().any(|place| self.admitted(self.pod, &[*place]).is_some()) {
                return false;
            }
            own.priority = Some(entry.rank().priority.saturating_add(1));
        }
        true
    }
}

/// The fields in which `a` permits a pod more than `b`.
fn permitted(
    a: &SecurityContextConstraints,
    b: &SecurityContextConstraints,
) -> impl Iterator<Item = Difference> {
    let permits = |difference: &Difference| !matches!(difference.field, "users" | "groups" | "priority");
    diff(a, b).into_iter().filter(move |difference| permits(difference) && difference.only_a.is_some())
}

/// The distance of a pod from an SCC: whether the pod would need a user namespace, which not every cluster supports; the
/// number of fields in violation; the SCC's standing; its score. `None` if the SCC can admit no pod.
#[must_use]
pub fn distance(
    entry: &Entry,
    outcome: &Outcome<'_>,
    familiarity: Familiarity,
) -> Option<(bool, usize, Familiarity, u32)> {
    let errors = match outcome {
        Outcome::Refuses(errors) => errors.as_slice(),
        Outcome::Admits(_) | Outcome::Changes(_) => &[],
        Outcome::Unusable(_) => return None,
    };
    let needs_users = errors.iter().any(|error| error.path == FieldPath::of("spec.hostUsers"));
    Some((needs_users, errors.len(), familiarity, entry.rank().score))
}

/// The findings on the pod under one SCC; `None` if that can admit no pod here.
fn errors(plan: &Plan, context: Context<'_>, pod: &Value) -> Option<Vec<FieldError>> {
    let parsed = Pod::deserialize(pod).ok()?;
    let mut errors = Vec::new();
    attempt(plan, context, &parsed, &mut errors).ok()?;
    Some(errors)
}
