//! Programs in readable form.

use crate::action::Action;
use crate::arch::{Arch, X32_BIT};
use crate::bpf::{Instruction, Program, code};
use crate::region::Word;
use crate::table::Syscall;

/// One line for each instruction: its index, the operation, and its meaning.
#[must_use]
pub fn disassemble(program: &Program) -> Vec<String> {
    let archs = archs(program);
    let words = words(program);
    let line = |(at, i): (usize, &Instruction)| {
        let comment = comment(program, i, words.get(at).copied().flatten(), archs.get(at).copied().flatten());
        let text = format!("{at:>4}  {}", operation(at, i));
        if comment.is_empty() { text } else { format!("{text:<44}; {comment}") }
    };
    program.instructions().iter().enumerate().map(line).collect()
}

fn operation(at: usize, i: &Instruction) -> String {
    let (yes, no, k) = (at + 1 + usize::from(i.jt), at + 1 + usize::from(i.jf), i.k);
    let jump = |name: &str| format!("{name:<5} {k:#x}, {yes}, {no}");
    match i.code {
        code::LD_ABS => format!("ld    [{k}]"),
        code::AND => format!("and   {k:#x}"),
        code::JA => format!("ja    {}", at + 1 + k as usize),
        code::JEQ => jump("jeq"),
        code::JGT => jump("jgt"),
        code::JGE => jump("jge"),
        code::JSET => jump("jset"),
        code::RET => format!("ret   {k:#010x}"),
        code::RET_A => "ret   a".to_owned(),
        other => format!("{other:#06x} {k:#x}, {yes}, {no}"),
    }
}

fn comment(program: &Program, i: &Instruction, word: Option<Word>, arch: Option<Arch>) -> String {
    match (i.code, word) {
        (code::LD_ABS, _) => {
            Word::at_offset(i.k, program.is_big_endian()).map(|word| word.to_string()).unwrap_or_default()
        }
        (code::RET, _) => Action::of_code(i.k).to_string(),
        (code::JEQ, Some(Word::ARCH)) => {
            let arch = Arch::ALL.into_iter().find(|arch| arch.audit() == i.k);
            arch.map(|arch| arch.name().to_owned()).unwrap_or_default()
        }
        (code::JEQ | code::JGE | code::JGT, Some(Word::NUMBER)) => {
            let sign = match i.code {
                code::JEQ => "==",
                code::JGE => ">=",
                _ => ">",
            };
            let arch = if i.k >= X32_BIT && arch == Some(Arch::X86_64) { Some(Arch::X32) } else { arch };
            let name = arch.and_then(|arch| Syscall::numbered(arch, i.k));
            let name = name.map(|syscall| syscall.name().to_owned());
            format!("{sign} {}", name.unwrap_or_else(|| i.k.to_string()))
        }
        _ => String::new(),
    }
}

/// The value of a fact at each instruction, if it is the same on all paths to it.
fn flow<T: Copy + PartialEq>(
    program: &Program,
    start: Option<T>,
    step: impl Fn(usize, &Instruction, Option<T>, bool) -> Option<T>,
) -> Vec<Option<T>> {
    let count = program.instructions().len();
    let mut facts: Vec<Option<Option<T>>> = vec![None; count];
    if let Some(first) = facts.first_mut() {
        *first = Some(start);
    }
    for (at, i) in program.instructions().iter().enumerate() {
        let Some(fact) = facts.get(at).copied().flatten() else { continue };
        let next: Vec<(usize, bool)> = match i.code & 7 {
            5 if i.code == code::JA => vec![(at + 1 + i.k as usize, true)],
            5 => vec![(at + 1 + usize::from(i.jt), true), (at + 1 + usize::from(i.jf), false)],
            6 => vec![],
            _ => vec![(at + 1, true)],
        };
        for (to, holds) in next {
            let new = step(at, i, fact, holds);
            if let Some(slot) = facts.get_mut(to) {
                *slot = Some(match *slot {
                    Some(old) if old != new => None,
                    _ => new,
                });
            }
        }
    }
    facts.into_iter().map(Option::flatten).collect()
}

/// The word in the accumulator before each instruction.
fn words(program: &Program) -> Vec<Option<Word>> {
    flow(program, None, |_, i, word, _| match i.code {
        code::LD_ABS => Word::at_offset(i.k, program.is_big_endian()),
        other if other & 7 == 5 => word,
        _ => None,
    })
}

/// The known architecture at each instruction.
fn archs(program: &Program) -> Vec<Option<Arch>> {
    let words = words(program);
    flow(program, None, |at, i, arch, holds| {
        let is_arch = i.code == code::JEQ && words.get(at).copied().flatten() == Some(Word::ARCH);
        if is_arch && holds { Arch::ALL.into_iter().find(|arch| arch.audit() == i.k) } else { arch }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::compile;
    use crate::example::filter;
    use crate::rule::Operator;
    use crate::weight::Weights;

    #[test]
    fn lines_say_what_instructions_mean() {
        let filter = filter(&[("socket", &[(0, Operator::Equal, 2)], Action::Errno(97))]);
        let programs = compile(&filter, Weights::shipped()).unwrap();
        let lines = disassemble(&programs[0]);
        assert_eq!(lines.len(), programs[0].instructions().len());
        let text = lines.join("\n");
        for part in ["ld    [4]", "x86_64", "socket", "ERRNO(EAFNOSUPPORT)", "KILL_THREAD"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
