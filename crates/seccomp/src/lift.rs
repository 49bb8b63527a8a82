//! Reconstruction of a decision from a program.

use crate::action::Action;
use crate::bpf::{Instruction, Program, code};
use crate::graph::{Graph, NodeId, QuickMap};
use crate::region::{Check, Word};

/// A program whose decision cannot be reconstructed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "instruction {at} ({code:#06x}) does more than load, mask, compare and return, which is all that can be compared"
)]
pub struct LiftError {
    /// The instruction, from 0.
    pub at: usize,
    /// Its code.
    pub code: u16,
}

/// The accumulator: a word and its remaining bits after masks.
type Accumulator = Option<(Word, u32)>;

/// The decision of a program that loads words, masks them, compares them and returns, as programs of libseccomp and
/// Palisade do.
pub(crate) fn lift(program: &Program, graph: &mut Graph) -> Result<NodeId, LiftError> {
    let mut done: QuickMap<(usize, Accumulator), NodeId> = QuickMap::default();
    let mut stack = vec![(0, None)];
    // A state is finished when the states that it leads to are; all jumps go forward, so that this terminates.
    while let Some(&state) = stack.last() {
        if done.contains_key(&state) {
            stack.pop();
            continue;
        }
        let next = successors(program, state)?;
        let open: Vec<_> = next.iter().copied().filter(|state| !done.contains_key(state)).collect();
        if open.is_empty() {
            let ids: Vec<_> = next.iter().filter_map(|state| done.get(state).copied()).collect();
            let id = join(program, state, &ids, graph)?;
            done.insert(state, id);
            stack.pop();
        } else {
            stack.extend(open);
        }
    }
    done.get(&(0, None)).copied().ok_or(LiftError { at: 0, code: 0 })
}

fn at(program: &Program, at: usize) -> Result<Instruction, LiftError> {
    program.instructions().get(at).copied().ok_or(LiftError { at, code: 0 })
}

fn successors(
    program: &Program,
    (place, accumulator): (usize, Accumulator),
) -> Result<Vec<(usize, Accumulator)>, LiftError> {
    let i = at(program, place)?;
    let error = LiftError { at: place, code: i.code };
    Ok(match (i.code, accumulator) {
        (code::RET, _) => vec![],
        (code::LD_ABS, _) => {
            let word = Word::at_offset(i.k, program.is_big_endian()).ok_or(error)?;
            vec![(place + 1, Some((word, u32::MAX)))]
        }
        (code::AND, Some((word, mask))) => vec![(place + 1, Some((word, mask & i.k)))],
        (code::JA, _) => vec![(place + 1 + i.k as usize, accumulator)],
        (code::JEQ | code::JSET | code::JGE | code::JGT, Some(_)) => both(place, &i, accumulator),
        _ => return Err(error),
    })
}

fn both(place: usize, i: &Instruction, accumulator: Accumulator) -> Vec<(usize, Accumulator)> {
    vec![(place + 1 + usize::from(i.jt), accumulator), (place + 1 + usize::from(i.jf), accumulator)]
}

fn join(
    program: &Program,
    (place, accumulator): (usize, Accumulator),
    next: &[NodeId],
    graph: &mut Graph,
) -> Result<NodeId, LiftError> {
    let i = at(program, place)?;
    match (next, accumulator) {
        ([], _) => Ok(graph.leaf(Action::of_code(i.k))),
        ([only], _) => Ok(*only),
        ([yes, no, ..], Some((word, mask))) => Ok(match i.code {
            code::JSET => graph.test(word, Check::Equal { mask: mask & i.k, value: 0 }, *no, *yes),
            code::JGE => at_least(graph, (word, mask), i.k, *yes, *no),
            code::JGT => match i.k.checked_add(1) {
                Some(k) => at_least(graph, (word, mask), k, *yes, *no),
                None => *no,
            },
            _ => graph.test(word, Check::Equal { mask, value: i.k }, *yes, *no),
        }),
        _ => Err(LiftError { at: place, code: i.code }),
    }
}

/// `word & mask >= k`. The masked bits of a word are compared bit by bit.
fn at_least(graph: &mut Graph, (word, mask): (Word, u32), k: u32, yes: NodeId, no: NodeId) -> NodeId {
    if mask == u32::MAX {
        return graph.test(word, Check::AtLeast(k), yes, no);
    }
    (0..32).map(|bit| 1_u32 << bit).fold(yes, |lower, bit| match (k & bit != 0, mask & bit != 0) {
        (true, true) => graph.test(word, Check::Equal { mask: bit, value: bit }, lower, no),
        (true, false) => no,
        (false, true) => graph.test(word, Check::Equal { mask: bit, value: bit }, yes, lower),
        (false, false) => lower,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Data;
    use crate::graph::Node;
    use crate::simulate::simulate;

    fn program(instructions: &[(u16, u8, u8, u32)]) -> Program {
        let instructions =
            instructions.iter().map(|&(code, jt, jf, k)| Instruction { code, jt, jf, k }).collect();
        Program::new(instructions, false).unwrap()
    }

    /// Each comparison after each mask decides as the program does.
    #[test]
    fn programs_decide_as_they_run() {
        for operation in [code::JEQ, code::JGE, code::JGT, code::JSET] {
            for mask in [u32::MAX, 6, 0x8000_0001] {
                for k in [0, 1, 4, 6, 0x8000_0000, u32::MAX] {
                    let program = program(&[
                        (code::LD_ABS, 0, 0, 16),
                        (code::AND, 0, 0, mask),
                        (operation, 1, 0, k),
                        (code::RET, 0, 0, Action::Errno(1).code()),
                        (code::JA, 0, 0, 0),
                        (code::RET, 0, 0, Action::Allow.code()),
                    ]);
                    let mut graph = Graph::default();
                    let root = lift(&program, &mut graph).unwrap();
                    for value in [0, 1, 2, 4, 6, 7, 0x8000_0000, 0x8000_0001, u32::MAX] {
                        let data = Data { number: 0, arch: 0, args: [value.into(), 0, 0, 0, 0, 0] };
                        let (words, mut id) = (data.words(), root);
                        let action = loop {
                            match graph.node(id) {
                                Node::Leaf(action) => break action,
                                Node::Test { word, check, yes, no } => {
                                    id = if check.holds(word.of(&words)) { yes } else { no }
                                }
                            }
                        };
                        assert_eq!(
                            action,
                            simulate(&program, &data).action(),
                            "{operation:#x} {mask:#x} {k:#x} {value:#x}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    #[expect(clippy::type_complexity, reason = "a table of cases")]
    fn what_computes_is_not_read() {
        let ret = (code::RET, 0, 0, 0);
        let cases: [(&[(u16, u8, u8, u32)], usize); 4] = [
            (&[(0x04, 0, 0, 1), ret], 0),
            (&[(code::LD_ABS, 0, 0, 0), (0x0c, 0, 0, 0), ret], 1),
            (&[(code::LD_ABS, 0, 0, 8), ret], 0),
            (&[(code::RET_A, 0, 0, 0)], 0),
        ];
        for (instructions, at) in cases {
            let got = lift(&program(instructions), &mut Graph::default());
            assert_eq!(got.map_err(|error| error.at), Err(at), "{instructions:x?}");
        }
    }
}
