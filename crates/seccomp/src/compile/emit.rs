//! Instructions from a graph, laid out from the end.
//!
//! A test's two targets are laid out before it, so every jump goes forward. A target beyond the range of a conditional
//! jump gets a copy (a result) or a long jump next to where it is needed.

use crate::action::Action;
use crate::bpf::{Instruction, MAX_INSTRUCTIONS, Program, code};
use crate::graph::{Graph, Node, NodeId};
use crate::region::{Check, Word};

/// The position of a decision, counted from the program's end.
#[derive(Clone, Copy, Debug, Default)]
struct Placed {
    /// Its first instruction.
    start: usize,
    /// Its first instruction on paths that have its word loaded.
    loaded: usize,
}

struct Emitter<'g> {
    graph: &'g Graph,
    big_endian: bool,
    /// Last instruction first.
    reversed: Vec<Instruction>,
    placed: Vec<Option<Placed>>,
    /// The tests that some path reaches without their word loaded.
    needs_load: Vec<bool>,
    /// The nearest copy or long jump, by decision and entry.
    near: Vec<[Option<usize>; 2]>,
}

/// Lays out the decision `root` as instructions, each decision once, after the decisions that it leads to. Saves
/// instructions: parts that several paths share are emitted once, and only parts that a jump of 255 cannot reach are
/// repeated. The error is the length of a program that is too long, as far as it got.
pub(crate) fn lay_out(graph: &Graph, root: NodeId, big_endian: bool) -> Result<Program, usize> {
    let mut emitter = Emitter {
        graph,
        big_endian,
        reversed: Vec::with_capacity(512),
        placed: vec![None; graph.len()],
        needs_load: needs_load(graph, root),
        near: vec![[None; 2]; graph.len()],
    };
    emitter.all(root)?;
    let mut instructions = emitter.reversed;
    instructions.reverse();
    let length = instructions.len();
    Program::new(instructions, big_endian).map_err(|_| length)
}

/// The number of instructions of a decision by itself.
pub(super) fn weight(graph: &Graph, root: NodeId) -> usize {
    match lay_out(graph, root, false) {
        Ok(program) => program.instructions().len(),
        Err(length) => length,
    }
}

/// The word that is still loaded after a test: a mask other than JSET's overwrites it.
fn leaves_loaded(word: Word, check: Check) -> Option<Word> {
    let masks = match check {
        Check::AtLeast(_) | Check::Equal { mask: u32::MAX, .. } | Check::Equal { value: 0, .. } => false,
        Check::Equal { mask, value } => mask != value || !mask.is_power_of_two(),
    };
    (!masks).then_some(word)
}

/// The tests that must load their word: those that some path reaches with another word loaded, or none. Saves a load
/// for every other test, which is most of those of a search: consecutive ones test the number.
fn needs_load(graph: &Graph, root: NodeId) -> Vec<bool> {
    let mut needs = vec![false; graph.len()];
    let mut seen = vec![false; graph.len()];
    let mut stack = vec![(root, None)];
    while let Some((id, loaded)) = stack.pop() {
        let Node::Test { word, check, yes, no } = graph.node(id) else { continue };
        if let Some(needs) = needs.get_mut(id.index()) {
            *needs |= loaded != Some(word);
        }
        if seen.get_mut(id.index()).is_some_and(|seen| !std::mem::replace(seen, true)) {
            let loaded = leaves_loaded(word, check);
            stack.extend([(yes, loaded), (no, loaded)]);
        }
    }
    needs
}

impl Emitter<'_> {
    /// Depth first without recursion, since a chain of rules may be long.
    fn all(&mut self, root: NodeId) -> Result<(), usize> {
        let mut stack = vec![(root, false)];
        while let Some((id, children_done)) = stack.pop() {
            if self.placed.get(id.index()).is_none_or(Option::is_some) {
                continue;
            }
            match self.graph.node(id) {
                Node::Leaf(action) => self.leaf(id, action),
                Node::Test { word, check, yes, no } if children_done => self.test(id, word, check, yes, no),
                Node::Test { yes, no, .. } => {
                    stack.extend([(id, true), (yes, false), (no, false)]);
                }
            }
            if self.reversed.len() > MAX_INSTRUCTIONS {
                return Err(self.reversed.len());
            }
        }
        Ok(())
    }

    /// Prepends an instruction and returns its position.
    fn put(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> usize {
        self.reversed.push(Instruction { code, jt, jf, k });
        self.reversed.len() - 1
    }

    fn leaf(&mut self, id: NodeId, action: Action) {
        let at = self.put(code::RET, 0, 0, action.code());
        self.place(id, Placed { start: at, loaded: at });
    }

    fn place(&mut self, id: NodeId, placed: Placed) {
        if let Some(slot) = self.placed.get_mut(id.index()) {
            *slot = Some(placed);
        }
    }

    fn test(&mut self, id: NodeId, word: Word, check: Check, yes: NodeId, no: NodeId) {
        let (operation, k, mask, swap) = match check {
            Check::AtLeast(k) => (code::JGE, k, u32::MAX, false),
            Check::Equal { mask: u32::MAX, value } => (code::JEQ, value, u32::MAX, false),
            Check::Equal { mask, value: 0 } => (code::JSET, mask, u32::MAX, true),
            // A single bit.
            Check::Equal { mask, value } if mask == value && mask.is_power_of_two() => {
                (code::JSET, mask, u32::MAX, false)
            }
            Check::Equal { mask, value } => (code::JEQ, value, mask, false),
        };
        let (yes, no) = if swap { (no, yes) } else { (yes, no) };
        let loaded = leaves_loaded(word, check);
        let (jt, jf) = self.reach(yes, no, loaded);
        let mut at = self.put(operation, jt, jf, k);
        if mask != u32::MAX {
            at = self.put(code::AND, 0, 0, mask);
        }
        let loaded = at;
        if self.needs_load.get(id.index()).copied().unwrap_or(true) {
            at = self.put(code::LD_ABS, 0, 0, word.offset(self.big_endian));
        }
        self.place(id, Placed { start: at, loaded });
    }

    /// Offsets from the instruction to come to both targets.
    fn reach(&mut self, yes: NodeId, no: NodeId, loaded: Option<Word>) -> (u8, u8) {
        // A long jump or copy added for one target moves the other away: this is repeated until both are in range.
        loop {
            let here = self.reversed.len();
            let (jt, jf) = (self.offset(here, yes, loaded), self.offset(here, no, loaded));
            match (jt, jf) {
                (Some(jt), Some(jf)) => return (jt, jf),
                (None, _) => self.bring_near(yes, loaded),
                (_, None) => self.bring_near(no, loaded),
            }
        }
    }

    fn entry(&self, id: NodeId, loaded: Option<Word>) -> (usize, usize) {
        let placed = self.placed.get(id.index()).copied().flatten().unwrap_or_default();
        match self.graph.node(id) {
            Node::Test { word, .. } if loaded == Some(word) => (placed.loaded, 1),
            _ => (placed.start, 0),
        }
    }

    fn offset(&self, here: usize, id: NodeId, loaded: Option<Word>) -> Option<u8> {
        let (target, kind) = self.entry(id, loaded);
        let near = self.near.get(id.index()).and_then(|near| near.get(kind).copied().flatten());
        let distance = |target: usize| u8::try_from(here - target - 1).ok();
        distance(target).or_else(|| near.and_then(distance))
    }

    fn bring_near(&mut self, id: NodeId, loaded: Option<Word>) {
        let (target, kind) = self.entry(id, loaded);
        let at = match self.graph.node(id) {
            Node::Leaf(action) => self.put(code::RET, 0, 0, action.code()),
            Node::Test { .. } => {
                let distance = self.reversed.len() - target - 1;
                self.put(code::JA, 0, 0, u32::try_from(distance).unwrap_or(u32::MAX))
            }
        };
        if let Some(slot) = self.near.get_mut(id.index()).and_then(|near| near.get_mut(kind)) {
            *slot = Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Data;
    use crate::simulate::simulate;

    #[test]
    fn every_check_becomes_instructions_that_decide_it() {
        let checks = [
            Check::AtLeast(5),
            Check::equals(5),
            Check::Equal { mask: 6, value: 0 },
            Check::Equal { mask: 4, value: 4 },
            Check::Equal { mask: 6, value: 4 },
        ];
        for first in checks {
            for second in checks {
                for big_endian in [false, true] {
                    let mut graph = Graph::default();
                    let leaves =
                        [Action::Allow, Action::Errno(1), Action::Log].map(|action| graph.leaf(action));
                    let inner = graph.test(Word::low(1), second, leaves[0], leaves[1]);
                    let root = graph.test(Word::low(1), first, inner, leaves[2]);
                    let program = lay_out(&graph, root, big_endian).unwrap();
                    for value in [0, 1, 2, 3, 4, 5, 6, 7, u32::MAX] {
                        let data = Data { number: 0, arch: 0, args: [9, value.into(), 9, 9, 9, 9] };
                        assert_eq!(
                            simulate(&program, &data).action(),
                            graph.answer(root, &data.words()),
                            "{first:?} {second:?} {value}"
                        );
                    }
                }
            }
        }
    }

    /// A word is loaded once for consecutive tests, and equal results are one instruction.
    #[test]
    fn a_loaded_word_is_not_loaded_again() {
        let mut graph = Graph::default();
        let (allow, deny) = (graph.leaf(Action::Allow), graph.leaf(Action::Errno(1)));
        let low = graph.test(Word::NUMBER, Check::AtLeast(5), allow, deny);
        let root = graph.test(Word::NUMBER, Check::AtLeast(9), deny, low);
        let program = lay_out(&graph, root, false).unwrap();
        let codes: Vec<_> = program.instructions().iter().map(|i| i.code).collect();
        assert_eq!(codes.iter().filter(|code| **code == code::LD_ABS).count(), 1, "{codes:x?}");
        assert_eq!(codes.iter().filter(|code| **code == code::RET).count(), 2, "{codes:x?}");
    }

    /// A chain that is longer than a conditional jump reaches, and one that is longer than a program.
    #[test]
    fn far_targets_are_reached_and_long_programs_measured() {
        for (count, fits) in [(900, true), (5000, false)] {
            let mut graph = Graph::default();
            let far = graph.leaf(Action::Log);
            let inner = graph.test(Word::low(2), Check::AtLeast(7), far, far);
            let shared = graph.test(Word::low(3), Check::AtLeast(7), inner, far);
            let mut next = graph.leaf(Action::Errno(1));
            for value in 0..count {
                let yes = if value % 3 == 0 { shared } else { graph.leaf(Action::Allow) };
                next = graph.test(Word::low(0), Check::equals(value * 2), yes, next);
            }
            let program = lay_out(&graph, next, false);
            assert_eq!(program.is_ok(), fits, "{count}");
            let Ok(program) = program else {
                assert!(program.unwrap_err() > MAX_INSTRUCTIONS);
                continue;
            };
            for value in [0, 1, 2, 4, 6, 900, 1797, 1798, 1799] {
                let data = Data { number: 0, arch: 0, args: [value, 0, 0, 9, 0, 0] };
                assert_eq!(simulate(&program, &data).action(), graph.answer(next, &data.words()), "{value}");
            }
        }
    }
}
