//! Simulation of programs as the kernel runs them, with the path.

use crate::action::Action;
use crate::bpf::{Instruction, Program};
use crate::filter::Data;
use crate::region::Word;

/// The result of a program, and its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The return value.
    pub code: u32,
    /// The executed instructions, from 0.
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

/// Runs a program on one syscall. The instruction pointer reads as 0.
#[must_use]
pub fn simulate(program: &Program, data: &Data) -> Run {
    let run = Run { code: 0, path: Vec::new(), looked_at_arguments: false };
    let mut machine = Machine { program, words: data.words(), a: 0, x: 0, scratch: [0; 16], run };
    let mut at = 0;
    // Every jump goes forward, so this terminates; a checked program ends in a return.
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

/// The result of several loaded filters: the strictest wins, of equals the newest.
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
            // The kernel ends a program that divides by a zero in X, with the result 0.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::code;

    /// A program, and its return value for number 6 and first argument 0x1_0000_0007.
    #[test]
    #[expect(clippy::type_complexity, reason = "a table of cases")]
    fn instructions_do_what_the_kernels_do() {
        const RET_A: (u16, u8, u8, u32) = (code::RET_A, 0, 0, 0);
        const NUMBER: (u16, u8, u8, u32) = (code::LD_ABS, 0, 0, 0);
        let alu = |operation: u16, k: u32| vec![NUMBER, (4 | operation, 0, 0, k), RET_A];
        let cases: Vec<(Vec<(u16, u8, u8, u32)>, u32)> = vec![
            (vec![NUMBER, RET_A], 6),
            (vec![(code::LD_ABS, 0, 0, 16), RET_A], 7),
            (vec![(code::LD_ABS, 0, 0, 20), RET_A], 1),
            (vec![(0x80, 0, 0, 0), RET_A], 64),
            (alu(0x00, 4), 10),
            (alu(0x10, 8), u32::MAX - 1),
            (alu(0x20, 3), 18),
            (alu(0x30, 4), 1),
            (alu(0x40, 1), 7),
            (alu(0x50, 4), 4),
            (alu(0x60, 1), 12),
            (alu(0x70, 1), 3),
            (alu(0x80, 0), 6_u32.wrapping_neg()),
            (alu(0xa0, 2), 4),
            // X from A, then A + X; A from X.
            (vec![NUMBER, (0x07, 0, 0, 0), (0x0c, 0, 0, 0), RET_A], 12),
            (vec![(0x01, 0, 0, 9), (0x87, 0, 0, 0), RET_A], 9),
            // A division by a zero in X ends the program with 0.
            (vec![NUMBER, (0x3c, 0, 0, 0), (code::RET, 0, 0, 5)], 0),
            // Scratch memory.
            (vec![NUMBER, (0x02, 0, 0, 3), (0x00, 0, 0, 1), (0x60, 0, 0, 3), RET_A], 6),
            // Jumps.
            (vec![NUMBER, (code::JEQ, 1, 0, 6), (code::RET, 0, 0, 1), (code::RET, 0, 0, 2)], 2),
            (vec![NUMBER, (code::JGT, 1, 0, 6), (code::RET, 0, 0, 1), (code::RET, 0, 0, 2)], 1),
            (vec![NUMBER, (code::JGE, 1, 0, 6), (code::RET, 0, 0, 1), (code::RET, 0, 0, 2)], 2),
            (vec![NUMBER, (code::JSET, 1, 0, 1), (code::RET, 0, 0, 1), (code::RET, 0, 0, 2)], 1),
            (vec![(code::JA, 0, 0, 1), (code::RET, 0, 0, 1), (code::RET, 0, 0, 2)], 2),
        ];
        let data = Data { number: 6, arch: 0, args: [0x1_0000_0007, 0, 0, 0, 0, 0] };
        for (instructions, expected) in cases {
            let list =
                instructions.iter().map(|&(code, jt, jf, k)| Instruction { code, jt, jf, k }).collect();
            let program =
                Program::new(list, false).unwrap_or_else(|error| panic!("{instructions:x?}: {error}"));
            let run = simulate(&program, &data);
            assert_eq!(run.code, expected, "{instructions:x?}");
            let looks = instructions.iter().any(|i| i.0 == code::LD_ABS && i.3 >= 8);
            assert_eq!(run.looked_at_arguments, looks, "{instructions:x?}");
        }
    }

    #[test]
    fn the_strictest_of_a_stack_wins_and_of_equals_the_newest() {
        let answer = |action: Action| {
            Program::new(vec![Instruction { code: code::RET, jt: 0, jf: 0, k: action.code() }], false)
                .unwrap()
        };
        let data = Data { number: 0, arch: 0, args: [0; 6] };
        let cases = [
            (vec![], Action::Allow),
            (vec![Action::Allow, Action::Errno(5)], Action::Errno(5)),
            (vec![Action::Errno(5), Action::Errno(6)], Action::Errno(6)),
            (vec![Action::KillProcess, Action::KillThread], Action::KillProcess),
        ];
        for (actions, expected) in cases {
            let programs: Vec<_> = actions.iter().copied().map(answer).collect();
            assert_eq!(simulate_stack(&programs, &data), expected, "{actions:?}");
        }
    }
}
