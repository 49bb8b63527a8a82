//! The search for a syscall's number: the architecture, then a tree over ranges of numbers.

use crate::arch::Arch;
use crate::filter::{Filter, Section};
use crate::graph::{Graph, NodeId};
use crate::region::{Check, Word};
use crate::weight::{FLOOR, Weights};

/// A range of numbers with one decision, and the frequency of its syscalls.
#[derive(Clone, Copy, Debug)]
struct Range {
    start: u32,
    id: NodeId,
    weight: u64,
    /// Whether it consists of one number.
    single: bool,
}

/// Joins architectures and ranges of numbers to one decision: a test for each `AUDIT_ARCH`, then a binary search over the
/// ranges, weighted by how often their syscalls occur. Saves tests: a syscall takes about the binary logarithm of the
/// ranges, and a frequent one less, where a chain takes one for each syscall before it.
pub(super) fn search_tree(filter: &Filter, graph: &mut Graph, weights: &Weights) -> NodeId {
    filter.sections.iter().rev().fold(filter.bad_arch, |next, section| {
        let ranges = weigh(section, filter.archs(), weights);
        let tree = search(graph, &ranges);
        graph.test(Word::ARCH, Check::equals(section.audit), tree, next)
    })
}

/// Ranges with the frequency of their syscalls.
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
        // Few programs use an ABI other than the machine's own: their frequencies have a smaller weight in the tree.
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

/// A tree over ranges; those that are not leaves are split where either side is used about as often.
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

/// Ranges that take one test, or two consecutive ones: a range of one number between two equal ones takes one.
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

/// The split: near the middle by weight, where it leaves the least work on either side.
fn middle(ranges: &[Range]) -> usize {
    let total: u64 = ranges.iter().map(|range| range.weight).sum();
    let mut before: u64 = 0;
    let mut best = (u64::MAX, 1);
    for (at, range) in ranges.iter().enumerate() {
        if at > 0 {
            let uneven = (2 * before).abs_diff(total);
            // A split next to a single number separates ranges that one test could distinguish.
            let torn = ranges.get(at - 1).is_some_and(|low| low.single && at > 1)
                || (range.single && at + 1 < ranges.len());
            let cost = uneven + if torn { total / 24 + 1 } else { 0 };
            best = best.min((cost, at));
        }
        before += range.weight;
    }
    best.1
}

/// Maximum number of ranges for which the optimal split is computed.
const FEW: usize = 12;

/// The tree over few ranges with the fewest expected tests.
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

/// The cost of an instruction, in weight.
const TEST: u64 = FLOOR / 4;

/// The cost of ranges that take one test, or two consecutive ones.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Action;
    use crate::example::filter;
    use crate::filter::Data;
    use crate::graph::Node;

    /// The answer, and how many tests it takes.
    fn walk(graph: &Graph, mut id: NodeId, data: &Data) -> (Action, usize) {
        let words = data.words();
        for tests in 0.. {
            match graph.node(id) {
                Node::Leaf(action) => return (action, tests),
                Node::Test { word, check, yes, no } => {
                    id = if check.holds(word.of(&words)) { yes } else { no }
                }
            }
        }
        unreachable!()
    }

    #[test]
    fn the_search_finds_every_number_in_few_tests() {
        let names = [
            "read", "open", "stat", "poll", "mmap", "brk", "ioctl", "pipe", "select", "madvise", "dup",
            "getpid", "socket", "clone", "execve", "exit", "kill", "uname", "fcntl", "chdir", "rename",
            "mkdir",
        ];
        let cases: Vec<_> = names.iter().map(|name| (*name, &[][..], Action::Allow)).collect();
        let filter = filter(&cases);
        let mut graph = filter.graph.clone();
        let root = search_tree(&filter, &mut graph, Weights::shipped());
        let mut most = 0;
        for number in (0..600).chain([0x3fff_ffff, 0x4000_0000, u32::MAX]) {
            for arch in [Arch::X86_64, Arch::Aarch64] {
                let data = Data { number, arch: arch.audit(), args: [0; 6] };
                let (action, tests) = walk(&graph, root, &data);
                assert_eq!(action, filter.decide(&data), "{number} on {arch}");
                most = most.max(tests);
            }
        }
        let ranges = filter.sections[0].ranges.len();
        assert!(most <= 2 * ranges.ilog2() as usize + 2, "{most} tests for {ranges} ranges");
    }

    #[test]
    fn what_is_used_often_is_found_early() {
        let names = [
            "read", "stat", "mmap", "ioctl", "select", "dup", "socket", "execve", "kill", "fcntl", "rename",
            "chmod", "ptrace", "setsid",
        ];
        let cases: Vec<_> =
            names.iter().zip(1..).map(|(name, errno)| (*name, &[][..], Action::Errno(errno))).collect();
        let filter = filter(&cases);
        let depth = |name: &str, weights: &Weights| {
            let mut graph = filter.graph.clone();
            let root = search_tree(&filter, &mut graph, weights);
            walk(&graph, root, &crate::example::call(Arch::X86_64, name, &[])).1
        };
        for name in ["ptrace", "read"] {
            let hot = Weights::parse(&format!("{name} 1000000")).unwrap();
            let other = Weights::parse("rename 1000000").unwrap();
            assert!(depth(name, &hot) < depth(name, &other), "{name}");
        }
    }
}
