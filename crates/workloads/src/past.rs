//! Bounds of a workload's past: how many of its earlier forms are kept, and of which weight.

use std::collections::HashMap;

use palisade_api::kind::text;
use palisade_api::weight;
use serde_json::Value;

use crate::work::Work;

/// Weight of what is kept of a workload's past, in bytes: each small patch of a large template adds to it.
pub(crate) const PAST: usize = 32 << 20;
/// Weight, in bytes, of the forms that pods are of, from which on no further one is made.
pub(crate) const PRESENT: usize = 64 << 20;

/// The weight of each object, by name, in bytes.
#[derive(Debug, Default)]
pub(crate) struct Weights(HashMap<String, usize>);

impl Weights {
    /// Notes the weight of a whole object, of which less is held.
    pub(crate) fn note(&mut self, object: &Value) {
        self.0.insert(text(object, "/metadata/name").to_owned(), weight::of(object));
    }

    pub(crate) fn of(&self, object: &Value) -> usize {
        self.0.get(text(object, "/metadata/name")).copied().unwrap_or_default()
    }
}

/// How many earlier forms are kept, as the workload says.
pub(crate) fn limit(work: &Work<'_>) -> usize {
    let kept = work.object.pointer("/spec/revisionHistoryLimit").and_then(Value::as_u64).unwrap_or(10);
    usize::try_from(kept).unwrap_or(usize::MAX)
}

/// Earlier forms that are not kept, the oldest first: those beyond a number and those beyond a weight.
pub(crate) fn surplus<'o>(oldest_first: &[&'o Value], kept: usize, weights: &Weights) -> Vec<&'o Value> {
    let mut held = 0;
    let newest_first = oldest_first.iter().rev().copied().enumerate();
    let surplus = newest_first.filter(|(at, object)| {
        held += weights.of(object);
        // One is left to roll back to, whatever it weighs.
        *at >= kept || *at > 0 && held > PAST
    });
    let mut surplus: Vec<&Value> = surplus.map(|(_, object)| object).collect();
    surplus.reverse();
    surplus
}
