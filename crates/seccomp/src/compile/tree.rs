//! The search for a call's number: the architecture, then a tree over ranges of numbers.

use crate::arch::Arch;
use crate::filter::{Filter, Section};
use crate::graph::{Graph, NodeId};
use crate::region::{Check, Word};
use crate::weight::{FLOOR, Weights};

/// A range of numbers with one decision, and how often calls fall into it.
#[derive(Clone, Copy, Debug)]
struct Range {
    start: u32,
    id: NodeId,
    weight: u64,
    /// Whether it holds one number only.
    single: bool,
}

/// The whole decision as one graph.
pub(super) fn root(filter: &Filter, graph: &mut Graph, weights: &Weights) -> NodeId {
    filter.sections.iter().rev().fold(filter.bad_arch, |next, section| {
        let ranges = weigh(section, filter.archs(), weights);
        let tree = search(graph, &ranges);
        graph.test(Word::ARCH, Check::equals(section.audit), tree, next)
    })
}

fn weigh(section: &Section, archs: &[Arch], weights: &Weights) -> Vec<Range> {
    let ends = section.ranges.iter().skip(1).map(|&(start, _)| Some(start - 1)).chain([None]);
    let mut ranges: Vec<Range> = section
        .ranges
        .iter()
        .zip(ends)
        .map(|(&(start, id), end)| Range {
            start,
            id,
            weight: 0,
            single: end == Some(start) || start == u32::MAX,
        })
        .collect();
    for arch in archs.iter().filter(|arch| arch.audit() == section.audit) {
        // Few programs are of an ABI that runs beside the machine's own: how often they make a call shapes
        // their part of the tree less.
        let is_beside = archs.iter().any(|native| native.companions().contains(arch));
        let share = |weight: u64| if is_beside { FLOOR + weight.saturating_sub(FLOOR) / 64 } else { weight };
        let mut at = 0;
        for &(number, weight) in weights.of(*arch) {
            while ranges.get(at + 1).is_some_and(|next| next.start <= number) {
                at += 1;
            }
            if let Some(range) = ranges.get_mut(at) {
                range.weight += share(weight);
            }
        }
    }
    ranges
}

/// A tree over ranges; those that are no leaf are split where either side is used about as often.
fn search(graph: &mut Graph, ranges: &[Range]) -> NodeId {
    if let Some(leaf) = leaf(graph, ranges) {
        return leaf;
    }
    if ranges.len() <= FEW {
        return Best::of(ranges).tree(graph, 0, ranges.len());
    }
    let (low, high) = ranges.split_at(middle(ranges));
    let Some(first) = high.first() else { return search(graph, low) };
    let (below, above) = (search(graph, low), search(graph, high));
    graph.test(Word::NUMBER, Check::AtLeast(first.start), above, below)
}

/// Ranges that take one test, or two in a row: a range of one number between two that are equal takes one.
fn leaf(graph: &mut Graph, ranges: &[Range]) -> Option<NodeId> {
    Some(match ranges {
        [] => graph.leaf(crate::action::Action::KillProcess),
        [only] => only.id,
        [a, b] => graph.test(Word::NUMBER, Check::AtLeast(b.start), b.id, a.id),
        [a, b, c] if b.single && a.id == c.id => graph.test(Word::NUMBER, Check::equals(b.start), b.id, a.id),
        [a, b, c, d, e] if b.single && d.single && a.id == c.id && c.id == e.id => {
            let (first, second) = if b.weight >= d.weight { (b, d) } else { (d, b) };
            let rest = graph.test(Word::NUMBER, Check::equals(second.start), second.id, a.id);
            graph.test(Word::NUMBER, Check::equals(first.start), first.id, rest)
        }
        _ => return None,
    })
}

/// Where to split: near the middle by weight, at the place that leaves the least work on either side.
fn middle(ranges: &[Range]) -> usize {
    let total: u64 = ranges.iter().map(|range| range.weight).sum();
    let mut before: u64 = 0;
    let mut best = (u64::MAX, 1);
    for (at, range) in ranges.iter().enumerate() {
        if at > 0 {
            let uneven = (2 * before).abs_diff(total);
            // A split next to a lone number tears apart what one test could tell.
            let torn = ranges.get(at - 1).is_some_and(|low| low.single && at > 1)
                || (range.single && at + 1 < ranges.len());
            let cost = uneven + if torn { total / 24 + 1 } else { 0 };
            best = best.min((cost, at));
        }
        before += range.weight;
    }
    best.1
}

/// Up to how many ranges the best split is looked for, not just a good one.
const FEW: usize = 12;

/// The tree over few ranges that leaves the fewest tests to be made, weighted by how often they are.
struct Best<'r> {
    ranges: &'r [Range],
    /// By first range and number of ranges: the cost, and where to split.
    costs: [[u64; FEW + 1]; FEW],
    splits: [[u8; FEW + 1]; FEW],
}

#[expect(
    clippy::indexing_slicing,
    reason = "all places are within the ranges, of which there are at most FEW"
)]
impl<'r> Best<'r> {
    fn of(ranges: &'r [Range]) -> Self {
        let mut sums = [0; FEW + 1];
        for (at, range) in ranges.iter().enumerate() {
            sums[at + 1] = sums[at] + range.weight;
        }
        let mut best = Self { ranges, costs: [[0; FEW + 1]; FEW], splits: [[1; FEW + 1]; FEW] };
        for count in 2..=ranges.len() {
            for first in 0..=ranges.len() - count {
                let weight = sums[first + count] - sums[first];
                (best.costs[first][count], best.splits[first][count]) = best.cost(first, count, weight);
            }
        }
        best
    }

    fn cost(&self, first: usize, count: usize, weight: u64) -> (u64, u8) {
        if let Some(cost) = leaf_cost(&self.ranges[first..first + count], weight) {
            return (cost, 1);
        }
        let mut best = (u64::MAX, 1);
        for (at, split) in (1..count).zip(1..) {
            let inside = self.costs[first][at] + self.costs[first + at][count - at];
            if inside < best.0 {
                best = (inside, split);
            }
        }
        (weight + TEST + best.0, best.1)
    }

    fn tree(&self, graph: &mut Graph, first: usize, count: usize) -> NodeId {
        if let Some(leaf) = leaf(graph, &self.ranges[first..first + count]) {
            return leaf;
        }
        let at = usize::from(self.splits[first][count]);
        let (below, above) = (self.tree(graph, first, at), self.tree(graph, first + at, count - at));
        graph.test(Word::NUMBER, Check::AtLeast(self.ranges[first + at].start), above, below)
    }
}

/// What an instruction is worth, in weight.
const TEST: u64 = FLOOR / 4;

/// The cost of ranges that take one test, or two in a row.
fn leaf_cost(ranges: &[Range], weight: u64) -> Option<u64> {
    match ranges {
        [_, _] => Some(weight + TEST),
        [a, b, c] if b.single && a.id == c.id => Some(weight + TEST),
        [a, b, c, d, e] if b.single && d.single && a.id == c.id && c.id == e.id => {
            Some(2 * weight - b.weight.max(d.weight) + 2 * TEST)
        }
        _ => None,
    }
}
