//! Comparison: every pair of paths that some syscall takes is compared.

use crate::action::Action;
use crate::arch::{Arch, X32_BIT};
use crate::bpf::Program;
use crate::filter::{Data, Filter};
use crate::graph::{Graph, Node, NodeId};
use crate::lift::{LiftError, lift};
use crate::region::{Check, Region, Unbounded, Word};
use crate::table::Syscall;

/// A difference: two results, and a syscall that gets them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// A syscall.
    pub example: Data,
    /// The result of the first.
    pub a: Action,
    /// The result of the second.
    pub b: Action,
}

impl Difference {
    /// The syscall in C-like notation, without trailing arguments that are 0; its ABI is one of these.
    #[must_use]
    pub fn written(&self, archs: &[Arch]) -> String {
        let data = &self.example;
        let Some(arch) = data.arch_among(archs) else {
            return format!("any syscall by architecture {:#x}", data.arch);
        };
        let last = data.args.iter().rposition(|arg| *arg != 0).map_or(0, |at| at + 1);
        let args: Vec<_> = data.args.iter().take(last).map(|arg| format!("{arg:#x}")).collect();
        let args = if args.is_empty() { String::new() } else { format!("({})", args.join(", ")) };
        let syscall = Syscall::numbered(arch, data.number);
        let name =
            syscall.map_or_else(|| format!("number {:#x}", data.number), |syscall| syscall.name().to_owned());
        format!("{arch} {name}{args}")
    }
}

/// The reason why a comparison has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// Too many paths.
    #[error(transparent)]
    Unbounded(#[from] Unbounded),
    /// A program with arithmetic.
    #[error(transparent)]
    Lift(#[from] LiftError),
}

/// Maximum number of pairs of paths to compare.
const MAX_PAIRS: usize = 4_000_000;

/// Two decisions in one graph.
struct Walk<'g, F> {
    graph: &'g Graph,
    pairs: usize,
    found: F,
}

impl<F: FnMut(&Region, Action, Action) -> Result<(), Unbounded>> Walk<'_, F> {
    /// Both decisions on a region, path by path, without recursion since paths may be long.
    fn run(&mut self, region: Region, a: NodeId, b: NodeId) -> Result<(), Unbounded> {
        let mut stack = vec![(region, a, b)];
        while let Some((region, a, b)) = stack.pop() {
            self.pairs += 1;
            if self.pairs > MAX_PAIRS {
                return Err(Unbounded);
            }
            match (self.graph.node(a), self.graph.node(b)) {
                _ if a == b => {}
                (Node::Leaf(a), Node::Leaf(b)) => (self.found)(&region, a, b)?,
                (Node::Test { word, check, yes, no }, _) => {
                    split(&region, word, check).for_each(|(region, holds)| {
                        stack.push((region, if holds { yes } else { no }, b));
                    });
                }
                (_, Node::Test { word, check, yes, no }) => {
                    split(&region, word, check).for_each(|(region, holds)| {
                        stack.push((region, a, if holds { yes } else { no }));
                    });
                }
            }
        }
        Ok(())
    }
}

/// The parts of a region by the outcome of a test.
fn split(region: &Region, word: Word, check: Check) -> impl Iterator<Item = (Region, bool)> {
    let parts = match region.decide(word, check) {
        Some(holds) => [Some((region.clone(), holds)), None],
        None => [true, false].map(|holds| region.assume(word, check, holds).map(|region| (region, holds))),
    };
    parts.into_iter().flatten()
}

/// The differences of two decisions in `graph`, by regions, in order of architecture and number; at most `limit`.
fn differences(
    graph: &Graph,
    region: Region,
    (a, b): (NodeId, NodeId),
    limit: usize,
) -> Result<Vec<Difference>, Unbounded> {
    let mut list = Vec::new();
    let found = |region: &Region, a: Action, b: Action| {
        if a != b
            && list.len() < limit
            && let Some(words) = region.witness()?
        {
            list.push(Difference { example: Data::of_words(words), a, b });
        }
        Ok(())
    };
    Walk { graph, pairs: 0, found }.run(region, a, b)?;
    list.sort_by_key(|difference| (difference.example.arch, difference.example.number));
    Ok(list)
}

/// Shows that programs decide as a filter does: all their paths are walked, and for each region of syscalls the results
/// are compared. Returns the differences, at most `limit`; an empty list is the proof.
pub fn verify(filter: &Filter, programs: &[Program], limit: usize) -> Result<Vec<Difference>, CompareError> {
    let mut graph = filter.graph.clone();
    let lifted = programs.iter().map(|program| lift(program, &mut graph)).collect::<Result<Vec<_>, _>>()?;
    let all = Stack { decisions: lifted };
    let root = all.join(&mut graph)?;
    let mut list = Vec::new();
    let mut elsewhere = Some(Region::all());
    for section in &filter.sections {
        let check = Check::equals(section.audit);
        elsewhere = elsewhere.and_then(|region| region.assume(Word::ARCH, check, false));
        let Some(here) = Region::all().assume(Word::ARCH, check, true) else { continue };
        let ends = section.ranges.iter().skip(1).map(|&(start, _)| Some(start)).chain([None]);
        for (&(start, id), end) in section.ranges.iter().zip(ends) {
            let from = here.assume(Word::NUMBER, Check::AtLeast(start), true);
            let region = match end {
                Some(end) => from.and_then(|from| from.assume(Word::NUMBER, Check::AtLeast(end), false)),
                None => from,
            };
            if let Some(region) = region {
                list.extend(differences(&graph, region, (root, id), limit)?);
            }
        }
    }
    if let Some(region) = elsewhere {
        list.extend(differences(&graph, region, (root, filter.bad_arch), limit)?);
    }
    list.truncate(limit);
    Ok(list)
}

/// Several filters that are loaded together.
struct Stack {
    decisions: Vec<NodeId>,
}

impl Stack {
    fn join(self, graph: &mut Graph) -> Result<NodeId, Unbounded> {
        let mut decisions = self.decisions.into_iter();
        let Some(first) = decisions.next() else { return Ok(graph.leaf(Action::Allow)) };
        decisions.try_fold(first, |a, b| combine(graph, a, b, strictest))
    }
}

/// The result that the kernel prefers of two filters' results.
#[must_use]
pub fn strictest(a: Action, b: Action) -> Action {
    if b.rank() < a.rank() { b } else { a }
}

/// The result with the lowest precedence.
#[must_use]
pub fn laxest(a: Action, b: Action) -> Action {
    if b.rank() > a.rank() { b } else { a }
}

/// The decision whose result is the one that `choose` picks of the results of two.
fn combine(
    graph: &mut Graph,
    a: NodeId,
    b: NodeId,
    choose: fn(Action, Action) -> Action,
) -> Result<NodeId, Unbounded> {
    let mut work = Combine { graph, choose, done: std::collections::HashMap::new(), steps: 0 };
    work.run(a, b, &Region::all(), 0)
}

struct Combine<'g> {
    graph: &'g mut Graph,
    choose: fn(Action, Action) -> Action,
    done: std::collections::HashMap<(NodeId, NodeId, Region), NodeId>,
    steps: usize,
}

impl Combine<'_> {
    fn run(&mut self, a: NodeId, b: NodeId, region: &Region, depth: usize) -> Result<NodeId, Unbounded> {
        self.steps += 1;
        if self.steps > 500_000 || depth > 1500 {
            return Err(Unbounded);
        }
        let (word, check, on_a) = match (self.graph.node(a), self.graph.node(b)) {
            (Node::Leaf(a), Node::Leaf(b)) => return Ok(self.graph.leaf((self.choose)(a, b))),
            (Node::Test { word, check, .. }, _) => (word, check, true),
            (_, Node::Test { word, check, .. }) => (word, check, false),
        };
        let key = (a, b, region.clone());
        if let Some(&done) = self.done.get(&key) {
            return Ok(done);
        }
        let follow = |graph: &Graph, id: NodeId, holds: bool| match graph.node(id) {
            Node::Test { yes, no, .. } => {
                if holds {
                    yes
                } else {
                    no
                }
            }
            Node::Leaf(_) => id,
        };
        let mut outcomes = [None, None];
        for (region, holds) in split(region, word, check).collect::<Vec<_>>() {
            let (a, b) = match on_a {
                true => (follow(self.graph, a, holds), b),
                false => (a, follow(self.graph, b, holds)),
            };
            let id = self.run(a, b, &region, depth + 1)?;
            if let Some(slot) = outcomes.get_mut(usize::from(!holds)) {
                *slot = Some(id);
            }
        }
        let id = match outcomes {
            [Some(yes), Some(no)] => self.graph.test(word, check, yes, no),
            [Some(only), None] | [None, Some(only)] => only,
            [None, None] => a,
        };
        self.done.insert(key, id);
        Ok(id)
    }
}

/// A decision on its own, from a filter or a program, ready to be compared with others.
#[derive(Clone, Debug)]
pub struct Decision {
    graph: Graph,
    root: NodeId,
}

impl Decision {
    /// The decision of programs that are loaded together.
    pub fn of_programs(programs: &[Program]) -> Result<Self, CompareError> {
        let mut graph = Graph::default();
        let decisions = programs.iter().map(|program| lift(program, &mut graph)).collect::<Result<_, _>>()?;
        let root = Stack { decisions }.join(&mut graph)?;
        Ok(Self { graph, root })
    }

    /// The decision whose result for each syscall is the one that `choose` picks of this and another decision's
    /// results.
    pub fn combine(&self, other: &Self, choose: fn(Action, Action) -> Action) -> Result<Self, CompareError> {
        let mut both = self.clone();
        let b = both.import(other);
        both.root = combine(&mut both.graph, both.root, b, choose)?;
        Ok(both)
    }

    /// A program for the decision. The error is its length, if that exceeds the kernel's limit.
    pub fn compile(&self, big_endian: bool) -> Result<Program, usize> {
        crate::compile::lay_out(&self.graph, self.root, big_endian)
    }

    fn import(&mut self, other: &Self) -> NodeId {
        let mut places: Vec<NodeId> = Vec::with_capacity(other.graph.len());
        // A graph's nodes come after the nodes that they lead to.
        for node in other.graph.nodes() {
            let place = |id: NodeId| places.get(id.index()).copied().unwrap_or(self.root);
            let id = match *node {
                Node::Leaf(action) => self.graph.leaf(action),
                Node::Test { word, check, yes, no } => {
                    let (yes, no) = (place(yes), place(no));
                    self.graph.test(word, check, yes, no)
                }
            };
            places.push(id);
        }
        places.get(other.root.index()).copied().unwrap_or(self.root)
    }

    /// The differences between this and another decision, number by number of the architectures' tables and region by
    /// region of the rest; at most `limit`.
    pub fn differences(
        &self,
        other: &Self,
        archs: &[Arch],
        limit: usize,
    ) -> Result<Vec<Difference>, CompareError> {
        let mut both = self.clone();
        let b = both.import(other);
        let mut list = Vec::new();
        for region in regions(archs) {
            if list.len() >= limit {
                break;
            }
            list.extend(differences(&both.graph, region, (both.root, b), limit - list.len())?);
        }
        Ok(list)
    }
}

/// One region for each number of a table, and the rest.
fn regions(archs: &[Arch]) -> Vec<Region> {
    let mut regions = Vec::new();
    let mut other_arch = Some(Region::all());
    for &arch in archs {
        let check = Check::equals(arch.audit());
        other_arch = other_arch.and_then(|region| region.assume(Word::ARCH, check, false));
        let Some(here) = Region::all().assume(Word::ARCH, check, true) else { continue };
        let last = crate::table::highest(arch);
        let number = |number: u32| here.assume(Word::NUMBER, Check::equals(number), true);
        regions.extend((arch.base()..=last).filter_map(number));
        let above = here.assume(Word::NUMBER, Check::AtLeast(last + 1), true);
        regions.extend(match arch {
            Arch::X86_64 => {
                above.and_then(|above| above.assume(Word::NUMBER, Check::AtLeast(X32_BIT), false))
            }
            _ => above,
        });
        if arch.base() > 0 && arch != Arch::X32 {
            regions.extend(here.assume(Word::NUMBER, Check::AtLeast(arch.base()), false));
        }
        if arch == Arch::X86_64 && !archs.contains(&Arch::X32) {
            regions.extend(here.assume(Word::NUMBER, Check::AtLeast(X32_BIT), true));
        }
    }
    regions.extend(other_arch);
    regions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::{Instruction, code};
    use crate::compile::compile;
    use crate::example::{call, filter};
    use crate::rule::Operator;
    use crate::weight::Weights;

    #[test]
    fn the_stricter_and_the_laxer_answer_are_the_kernels() {
        let order = [
            Action::KillProcess,
            Action::KillThread,
            Action::Trap(0),
            Action::Errno(1),
            Action::Notify,
            Action::Trace(0),
            Action::Log,
            Action::Allow,
        ];
        for (at, &a) in order.iter().enumerate() {
            for &b in &order[at..] {
                assert_eq!((strictest(a, b), strictest(b, a)), (a, a), "{a} {b}");
                assert_eq!((laxest(a, b), laxest(b, a)), (b, b), "{a} {b}");
            }
        }
        assert_eq!(strictest(Action::Errno(1), Action::Errno(2)), Action::Errno(1), "ties keep the first");
    }

    #[test]
    fn differences_have_an_example() {
        let decision = |cases: &[crate::example::Case<'_>]| {
            Decision::of_programs(&compile(&filter(cases), Weights::shipped()).unwrap()).unwrap()
        };
        let a =
            decision(&[("read", &[], Action::Allow), ("socket", &[(0, Operator::Less, 38)], Action::Allow)]);
        let b = decision(&[
            ("read", &[], Action::Allow),
            ("socket", &[(0, Operator::LessOrEqual, 38)], Action::Allow),
        ]);
        let archs = [Arch::X86_64];
        assert_eq!(a.differences(&a, &archs, 9), Ok(vec![]));
        let found = a.differences(&b, &archs, 9).unwrap();
        let example = Difference {
            example: call(Arch::X86_64, "socket", &[38]),
            a: Action::Errno(1),
            b: Action::Allow,
        };
        assert_eq!(found, [example]);
        let (narrow, wide) = (a.combine(&b, strictest).unwrap(), a.combine(&b, laxest).unwrap());
        assert_eq!(narrow.differences(&a, &archs, 9), Ok(vec![]));
        assert_eq!(wide.differences(&b, &archs, 9), Ok(vec![]));
        assert_eq!(Decision::of_programs(&[]).unwrap().differences(&a, &archs, 1).unwrap().len(), 1);
    }

    /// Every program with one instruction changed is distinguished from the filter, or decides the same.
    #[test]
    fn a_wrong_program_does_not_pass() {
        let filter = filter(&[
            ("read", &[], Action::Allow),
            ("socket", &[(0, Operator::Equal, 2)], Action::Errno(97)),
            ("write", &[], Action::Log),
        ]);
        let programs = compile(&filter, Weights::shipped()).unwrap();
        assert_eq!(verify(&filter, &programs, 5), Ok(vec![]));
        let right = programs[0].instructions();
        let mut told = 0;
        for at in 0..right.len() {
            for change in [
                |i: &mut Instruction| i.k ^= if i.code == code::RET { 0x0001_0000 } else { 4 },
                |i: &mut Instruction| std::mem::swap(&mut i.jt, &mut i.jf),
            ] {
                let mut wrong = right.to_vec();
                change(&mut wrong[at]);
                let Ok(program) = Program::new(wrong, false) else { continue };
                if program == programs[0] {
                    continue;
                }
                let found = verify(&filter, &[program], 5);
                assert!(!matches!(&found, Ok(list) if list.is_empty()), "instruction {at} may be anything");
                told += 1;
            }
        }
        assert!(told > right.len() / 2, "{told} of {}", right.len());
        let computes =
            Program::new(vec![Instruction { code: code::RET_A, jt: 0, jf: 0, k: 0 }], false).unwrap();
        assert!(matches!(verify(&filter, &[computes], 1), Err(CompareError::Lift(_))));
    }
}
