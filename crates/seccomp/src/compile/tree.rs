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

/// A tree over ranges: a range of one number between two that are equal takes one test, so such runs of
/// three or five are leaves; all else is split where either side is used about as often.
fn search(graph: &mut Graph, ranges: &[Range]) -> NodeId {
    match ranges {
        [] => graph.leaf(crate::action::Action::KillProcess),
        [only] => only.id,
        [a, b] => graph.test(Word::NUMBER, Check::AtLeast(b.start), b.id, a.id),
        [a, b, c] if b.single && a.id == c.id => graph.test(Word::NUMBER, Check::equals(b.start), b.id, a.id),
        [a, b, c, d, e] if b.single && d.single && a.id == c.id && c.id == e.id => {
            let (first, second) = if b.weight >= d.weight { (b, d) } else { (d, b) };
            let rest = graph.test(Word::NUMBER, Check::equals(second.start), second.id, a.id);
            graph.test(Word::NUMBER, Check::equals(first.start), first.id, rest)
        }
        _ => {
            let at = if ranges.len() <= FEW { best_split(ranges) } else { middle(ranges) };
            let (low, high) = ranges.split_at(at);
            let Some(first) = high.first() else { return search(graph, low) };
            let (below, above) = (search(graph, low), search(graph, high));
            graph.test(Word::NUMBER, Check::AtLeast(first.start), above, below)
        }
    }
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

/// The split of few ranges that leaves the fewest tests to be made, weighted by how often they are.
fn best_split(ranges: &[Range]) -> usize {
    // By first range and number of ranges: the cost, and where to split.
    let mut costs = [[(0_u64, 1_usize); FEW + 1]; FEW];
    for count in 2..=ranges.len() {
        for (first, part) in ranges.windows(count).enumerate() {
            let weight: u64 = part.iter().map(|range| range.weight).sum();
            let cost = leaf_cost(part, weight).map(|cost| (cost, 1)).or_else(|| {
                let split = |at: usize| {
                    let low = costs.get(first)?.get(at)?.0;
                    let high = costs.get(first + at)?.get(count - at)?.0;
                    Some((weight + TEST + low + high, at))
                };
                (1..count).filter_map(split).min()
            });
            if let (Some(slot), Some(cost)) = (costs.get_mut(first).and_then(|row| row.get_mut(count)), cost)
            {
                *slot = cost;
            }
        }
    }
    costs.first().and_then(|row| row.get(ranges.len())).map_or(1, |&(_, at)| at)
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
