//! Decisions as an acyclic graph of tests: equal parts are shared.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::action::Action;
use crate::region::{Check, Region, Word};
use crate::rule::{Condition, Operator};

/// An index of a [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u32);

impl NodeId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A decision: a result, or a test with a decision for either outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// The result.
    Leaf(Action),
    /// A test of a word.
    Test {
        /// The word.
        word: Word,
        /// The check.
        check: Check,
        /// The next decision if the check holds.
        yes: NodeId,
        /// The next decision if not.
        no: NodeId,
    },
}

/// Multiplies and rotates: the hash needs no protection against chosen keys, since a graph's size is bounded.
#[derive(Default)]
pub(crate) struct QuickHasher(u64);

impl Hasher for QuickHasher {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(u64::from(byte)));
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u16(&mut self, value: u16) {
        self.write_u64(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u64(value.cast_unsigned() as u64);
    }
}

pub(crate) type QuickMap<K, V> = HashMap<K, V, BuildHasherDefault<QuickHasher>>;

/// Decisions, each stored once.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    known: QuickMap<Node, NodeId>,
    /// There are few results, which are requested often.
    leaves: Vec<(Action, NodeId)>,
}

impl Graph {
    /// A graph with capacity for about so many decisions.
    pub(crate) fn with_capacity(count: usize) -> Self {
        Self {
            nodes: Vec::with_capacity(count),
            known: QuickMap::with_capacity_and_hasher(count, BuildHasherDefault::default()),
            leaves: Vec::with_capacity(8),
        }
    }

    /// The number of decisions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether it has no decisions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The decision at an index.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "places are made by this graph only")]
    pub fn node(&self, id: NodeId) -> Node {
        self.nodes[id.index()]
    }

    /// All decisions, each after those that it leads to.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    fn add(&mut self, node: Node) -> NodeId {
        *self.known.entry(node).or_insert_with(|| {
            self.nodes.push(node);
            NodeId(u32::try_from(self.nodes.len() - 1).unwrap_or(u32::MAX))
        })
    }

    /// The result `action`, whatever the syscall.
    pub fn leaf(&mut self, action: Action) -> NodeId {
        if let Some(&(_, id)) = self.leaves.iter().find(|(other, _)| *other == action) {
            return id;
        }
        let id = self.add(Node::Leaf(action));
        self.leaves.push((action, id));
        id
    }

    /// A test, unless its outcome makes no difference or is certain.
    pub fn test(&mut self, word: Word, check: Check, yes: NodeId, no: NodeId) -> NodeId {
        match check {
            _ if yes == no => yes,
            Check::AtLeast(0) | Check::Equal { mask: 0, value: 0 } => yes,
            Check::Equal { mask, value } if value & !mask != 0 => no,
            _ => self.add(Node::Test { word, check, yes, no }),
        }
    }

    /// A condition, on an ABI with or without upper halves.
    pub(crate) fn condition(&mut self, condition: &Condition, wide: bool, yes: NodeId, no: NodeId) -> NodeId {
        let value = condition.value();
        match condition.operator() {
            Operator::Equal => self.equal(condition.arg(), u64::MAX, value, wide, yes, no),
            Operator::NotEqual => self.equal(condition.arg(), u64::MAX, value, wide, no, yes),
            Operator::MaskedEqual { mask } => self.equal(condition.arg(), mask, value & mask, wide, yes, no),
            Operator::GreaterOrEqual => self.at_least(condition.arg(), Some(value), wide, yes, no),
            Operator::Less => self.at_least(condition.arg(), Some(value), wide, no, yes),
            Operator::Greater => self.at_least(condition.arg(), value.checked_add(1), wide, yes, no),
            Operator::LessOrEqual => self.at_least(condition.arg(), value.checked_add(1), wide, no, yes),
        }
    }

    fn equal(&mut self, arg: u8, mask: u64, value: u64, wide: bool, yes: NodeId, no: NodeId) -> NodeId {
        let (mask_low, mask_high) = halves(mask);
        let (value_low, value_high) = halves(value);
        let low = self.test(Word::low(arg), Check::Equal { mask: mask_low, value: value_low }, yes, no);
        match wide {
            true => self.test(Word::high(arg), Check::Equal { mask: mask_high, value: value_high }, low, no),
            false => low,
        }
    }

    /// `value` is `None` if it is beyond all arguments.
    fn at_least(&mut self, arg: u8, value: Option<u64>, wide: bool, yes: NodeId, no: NodeId) -> NodeId {
        let Some((low, high)) = value.map(halves) else { return no };
        if !wide {
            return if high > 0 { no } else { self.test(Word::low(arg), Check::AtLeast(low), yes, no) };
        }
        let by_low = self.test(Word::low(arg), Check::AtLeast(low), yes, no);
        let same_high = self.test(Word::high(arg), Check::equals(high), by_low, yes);
        self.test(Word::high(arg), Check::AtLeast(high), same_high, no)
    }

    /// The decision at `id`, without the tests whose outcome is implied by the tests before them. Returns `id`
    /// unchanged if the result would be much larger.
    pub(crate) fn simplify(&mut self, id: NodeId) -> NodeId {
        let limit = self.len() * 8 + 256;
        let mut work = Simplify { graph: self, done: QuickMap::default(), limit };
        work.run(id, &Region::all(), 0).unwrap_or(id)
    }
}

fn halves(value: u64) -> (u32, u32) {
    let low = u32::try_from(value & 0xffff_ffff).unwrap_or_default();
    (low, u32::try_from(value >> 32).unwrap_or_default())
}

struct Simplify<'g> {
    graph: &'g mut Graph,
    done: QuickMap<(NodeId, Region), NodeId>,
    limit: usize,
}

impl Simplify<'_> {
    /// `None` if it grows too large or too deep.
    fn run(&mut self, id: NodeId, region: &Region, depth: usize) -> Option<NodeId> {
        let Node::Test { word, check, yes, no } = self.graph.node(id) else { return Some(id) };
        match region.decide(word, check) {
            Some(true) => return self.run(yes, region, depth + 1),
            Some(false) => return self.run(no, region, depth + 1),
            None => {}
        }
        if self.done.len() > self.limit || depth > 400 {
            return None;
        }
        let key = (id, region.clone());
        if let Some(&known) = self.done.get(&key) {
            return Some(known);
        }
        let yes = match region.assume(word, check, true) {
            Some(region) => Some(self.run(yes, &region, depth + 1)?),
            None => None,
        };
        let no = match region.assume(word, check, false) {
            Some(region) => Some(self.run(no, &region, depth + 1)?),
            None => None,
        };
        let simple = match (yes, no) {
            (Some(yes), Some(no)) => self.graph.test(word, check, yes, no),
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => id,
        };
        self.done.insert(key, simple);
        Some(simple)
    }
}

#[cfg(test)]
impl Graph {
    /// The result of a decision for the words of a syscall.
    pub(crate) fn answer(&self, mut id: NodeId, words: &[u32; crate::region::WORDS]) -> Action {
        loop {
            match self.node(id) {
                Node::Leaf(action) => return action,
                Node::Test { word, check, yes, no } => {
                    id = if check.holds(word.of(words)) { yes } else { no }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Data;

    #[test]
    fn equal_decisions_are_one_and_certain_tests_none() {
        let mut graph = Graph::default();
        let (allow, deny) = (graph.leaf(Action::Allow), graph.leaf(Action::Errno(1)));
        assert_eq!(graph.leaf(Action::Allow), allow);
        let test = graph.test(Word::NUMBER, Check::AtLeast(5), allow, deny);
        assert_eq!(graph.test(Word::NUMBER, Check::AtLeast(5), allow, deny), test);
        let cases = [
            (Check::AtLeast(5), allow, allow, allow),
            (Check::AtLeast(0), allow, deny, allow),
            (Check::Equal { mask: 0, value: 0 }, allow, deny, allow),
            (Check::Equal { mask: 1, value: 2 }, allow, deny, deny),
        ];
        for (check, yes, no, expected) in cases {
            assert_eq!(graph.test(Word::NUMBER, check, yes, no), expected, "{check:?}");
        }
        assert_eq!(graph.len(), 3);
    }

    #[test]
    fn conditions_hold_as_they_do_of_whole_arguments() {
        let operators = [
            Operator::Equal,
            Operator::NotEqual,
            Operator::Less,
            Operator::LessOrEqual,
            Operator::Greater,
            Operator::GreaterOrEqual,
            Operator::MaskedEqual { mask: 0x1_0000_0006 },
        ];
        let values = [0, 1, 6, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0006, u64::MAX - 1, u64::MAX];
        for operator in operators {
            for value in values {
                let condition = Condition::new(1, operator, value).unwrap();
                let mut graph = Graph::default();
                let (allow, deny) = (graph.leaf(Action::Allow), graph.leaf(Action::Errno(1)));
                let wide = graph.condition(&condition, true, allow, deny);
                let narrow = condition.on(false).map(|cut| (cut, graph.condition(&cut, false, allow, deny)));
                for argument in values {
                    let args = [7, argument, 7, 7, 7, 7];
                    let expected = if condition.holds(argument) { Action::Allow } else { Action::Errno(1) };
                    assert_eq!(
                        graph.answer(wide, &Data { number: 0, arch: 0, args }.words()),
                        expected,
                        "{condition} {argument:#x}"
                    );
                    if let Some((cut, id)) = narrow {
                        let holds = cut.holds(argument & 0xffff_ffff);
                        let expected = if holds { Action::Allow } else { Action::Errno(1) };
                        assert_eq!(
                            graph.answer(id, &Data { number: 0, arch: 0, args }.words()),
                            expected,
                            "32 bits: {condition} {argument:#x}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn tests_that_others_make_certain_go() {
        let not = |value: u64| Condition::new(0, Operator::NotEqual, value).unwrap();
        let mut graph = Graph::default();
        let (allow, deny) = (graph.leaf(Action::Allow), graph.leaf(Action::Errno(1)));
        // Two values to exclude: a word that is one is not the other.
        let second = graph.condition(&not(38), true, allow, deny);
        let both = graph.condition(&not(40), true, allow, second);
        assert_eq!(graph.simplify(both), allow);
        // One test below itself.
        let inner = graph.test(Word::low(0), Check::AtLeast(10), allow, deny);
        let outer = graph.test(Word::low(0), Check::AtLeast(5), inner, deny);
        let twice = graph.test(Word::low(0), Check::AtLeast(10), outer, deny);
        let simple = graph.simplify(twice);
        for value in [0, 4, 5, 9, 10, 11] {
            let args = [value, 0, 0, 0, 0, 0];
            assert_eq!(
                graph.answer(simple, &Data { number: 0, arch: 0, args }.words()),
                graph.answer(twice, &Data { number: 0, arch: 0, args }.words()),
                "{value}"
            );
        }
        assert!(matches!(graph.node(simple), Node::Test { yes, no, .. } if yes == allow && no == deny));
    }
}
