//! Runs programs as the kernel does, and tells the path.

use crate::action::Action;
use crate::bpf::{Instruction, Program};
use crate::filter::Data;
use crate::region::Word;

/// What a program answered, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The value that it returned.
    pub code: u32,
    /// The instructions that ran, from 0.
    pub path: Vec<usize>,
    /// Whether any argument or the instruction pointer was loaded.
    pub looked_at_arguments: bool,
}

impl Run {
    /// The action of the returned value.
    #[must_use]
    pub fn action(&self) -> Action {
        Action::of_code(self.code)
    }
}

struct Machine<'p> {
    program: &'p Program,
    words: [u32; 14],
    a: u32,
    x: u32,
    scratch: [u32; 16],
    run: Run,
}

/// Runs a program on one call. The instruction pointer reads as 0.
#[must_use]
pub fn simulate(program: &Program, data: &Data) -> Run {
    let run = Run { code: 0, path: Vec::new(), looked_at_arguments: false };
    let mut machine = Machine { program, words: data.words(), a: 0, x: 0, scratch: [0; 16], run };
    let mut at = 0;
    // Every jump goes forward, so this ends; a checked program ends in a return.
    while let Some(instruction) = program.instructions().get(at) {
        machine.run.path.push(at);
        match machine.step(instruction) {
            Step::Return(code) => {
                machine.run.code = code;
                break;
            }
            Step::Skip(skip) => at += 1 + skip,
        }
    }
    machine.run
}

/// What several loaded filters answer together: the strictest wins, of equals the newest.
#[must_use]
pub fn simulate_stack(programs: &[Program], data: &Data) -> Action {
    let actions = programs.iter().rev().map(|program| simulate(program, data).action());
    actions.min_by_key(|action| action.rank()).unwrap_or(Action::Allow)
}

enum Step {
    Return(u32),
    Skip(usize),
}

impl Machine<'_> {
    fn step(&mut self, i: &Instruction) -> Step {
        match i.code & 7 {
            0 => self.a = self.load(i),
            1 => self.x = self.load(i),
            2 => self.store(i.k, self.a),
            3 => self.store(i.k, self.x),
            // The kernel ends a program that divides by a zero in X, with the answer 0.
            4 if i.code & 0xf8 == 0x38 && self.x == 0 => return Step::Return(0),
            4 => self.a = self.calculate(i),
            5 => return Step::Skip(self.jump(i)),
            6 => return Step::Return(if i.code == crate::bpf::code::RET_A { self.a } else { i.k }),
            _ if i.code & 0x80 != 0 => self.a = self.x,
            _ => self.x = self.a,
        }
        Step::Skip(0)
    }

    fn store(&mut self, k: u32, value: u32) {
        if let Some(cell) = self.scratch.get_mut(k as usize) {
            *cell = value;
        }
    }

    fn load(&mut self, i: &Instruction) -> u32 {
        match i.code & 0xe0 {
            0x00 => i.k,
            0x20 => {
                self.run.looked_at_arguments |= i.k >= 8;
                let word = Word::at_offset(i.k, self.program.is_big_endian());
                word.map_or(0, |word| word.of(&self.words))
            }
            0x60 => self.scratch.get(i.k as usize).copied().unwrap_or_default(),
            _ => crate::bpf::DATA_SIZE,
        }
    }

    fn operand(&self, i: &Instruction) -> u32 {
        if i.code & 8 != 0 { self.x } else { i.k }
    }

    fn calculate(&self, i: &Instruction) -> u32 {
        let (a, b) = (self.a, self.operand(i));
        match i.code & 0xf0 {
            0x00 => a.wrapping_add(b),
            0x10 => a.wrapping_sub(b),
            0x20 => a.wrapping_mul(b),
            0x30 => a.checked_div(b).unwrap_or_default(),
            0x40 => a | b,
            0x50 => a & b,
            0x60 => a.wrapping_shl(b),
            0x70 => a.wrapping_shr(b),
            0x80 => a.wrapping_neg(),
            _ => a ^ b,
        }
    }

    fn jump(&self, i: &Instruction) -> usize {
        let b = self.operand(i);
        let holds = match i.code & 0xf0 {
            0x00 => return i.k as usize,
            0x10 => self.a == b,
            0x20 => self.a > b,
            0x30 => self.a >= b,
            _ => self.a & b != 0,
        };
        usize::from(if holds { i.jt } else { i.jf })
    }
}
