//! Classic BPF, as far as seccomp accepts it: instructions, and programs in files.

/// Maximum number of instructions in one filter.
pub const MAX_INSTRUCTIONS: usize = 4096;

/// The size of `seccomp_data`, in bytes.
pub const DATA_SIZE: u32 = 64;

/// One instruction: the kernel's `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// The operation.
    pub code: u16,
    /// Number of instructions to skip if a test holds.
    pub jt: u8,
    /// Number of instructions to skip if it does not.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

/// Codes of the operations that the compiler uses.
pub(crate) mod code {
    pub(crate) const LD_ABS: u16 = 0x20;
    pub(crate) const AND: u16 = 0x54;
    pub(crate) const JA: u16 = 0x05;
    pub(crate) const JEQ: u16 = 0x15;
    pub(crate) const JGT: u16 = 0x25;
    pub(crate) const JGE: u16 = 0x35;
    pub(crate) const JSET: u16 = 0x45;
    pub(crate) const RET: u16 = 0x06;
    pub(crate) const RET_A: u16 = 0x16;
}

/// A program that the kernel accepts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Program {
    instructions: Vec<Instruction>,
    big_endian: bool,
}

/// An error in a program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// The length is not a multiple of 8.
    #[error("a program consists of 8-byte instructions; {0} bytes are not a multiple")]
    Length(usize),
    /// There are none, or too many.
    #[error("a program has 1 to {MAX_INSTRUCTIONS} instructions, not {0}")]
    Count(usize),
    /// An instruction that seccomp does not accept.
    #[error("instruction {at}: seccomp takes no operation {code:#06x}")]
    Operation {
        /// The instruction, from 0.
        at: usize,
        /// Its code.
        code: u16,
    },
    /// A load other than of a word of `seccomp_data`, or an index in scratch memory beyond 15.
    #[error("instruction {at}: {k} is not an offset that it can read or write")]
    Place {
        /// The instruction, from 0.
        at: usize,
        /// The offset or index.
        k: u32,
    },
    /// A jump past the end.
    #[error("instruction {0}: jumps past the end")]
    Jump(usize),
    /// A division by zero, or a shift by 32 or more.
    #[error("instruction {0}: divides by zero or shifts all bits out")]
    Arithmetic(usize),
    /// The last instruction is not a return.
    #[error("the last instruction does not return")]
    NoReturn,
    /// Scratch memory is read before it is written.
    #[error("instruction {0}: reads scratch memory that was not written")]
    Scratch(usize),
}

impl Program {
    /// Checks a program as the kernel does.
    pub fn new(instructions: Vec<Instruction>, big_endian: bool) -> Result<Self, ProgramError> {
        if instructions.is_empty() || instructions.len() > MAX_INSTRUCTIONS {
            return Err(ProgramError::Count(instructions.len()));
        }
        for (at, instruction) in instructions.iter().enumerate() {
            check(at, instruction, instructions.len())?;
        }
        check_scratch(&instructions)?;
        match instructions.last().map(|last| last.code) {
            Some(code::RET | code::RET_A) => Ok(Self { instructions, big_endian }),
            _ => Err(ProgramError::NoReturn),
        }
    }

    /// Parses little-endian instructions.
    pub fn from_bytes(bytes: &[u8], big_endian: bool) -> Result<Self, ProgramError> {
        let (chunks, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(ProgramError::Length(bytes.len()));
        }
        if chunks.len() > MAX_INSTRUCTIONS {
            return Err(ProgramError::Count(chunks.len()));
        }
        let read = |&[a, b, jt, jf, k0, k1, k2, k3]: &[u8; 8]| Instruction {
            code: u16::from_le_bytes([a, b]),
            jt,
            jf,
            k: u32::from_le_bytes([k0, k1, k2, k3]),
        };
        Self::new(chunks.iter().map(read).collect(), big_endian)
    }

    /// The instructions as little-endian bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let bytes = |i: &Instruction| {
            let ([a, b], [c, d, e, f]) = (i.code.to_le_bytes(), i.k.to_le_bytes());
            [a, b, i.jt, i.jf, c, d, e, f]
        };
        self.instructions.iter().flat_map(bytes).collect()
    }

    /// The instructions.
    #[must_use]
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// Whether it is for a big-endian machine, where an argument's upper half comes first.
    #[must_use]
    pub fn is_big_endian(&self) -> bool {
        self.big_endian
    }
}

fn check(at: usize, instruction: &Instruction, count: usize) -> Result<(), ProgramError> {
    let &Instruction { code, jt, jf, k } = instruction;
    let left = count - at - 1;
    match code {
        // Words of seccomp_data.
        0x20 if k >= DATA_SIZE || k % 4 != 0 => Err(ProgramError::Place { at, k }),
        // Scratch memory.
        0x60 | 0x61 | 0x02 | 0x03 if k > 15 => Err(ProgramError::Place { at, k }),
        0x05 if k as usize >= left => Err(ProgramError::Jump(at)),
        0x15 | 0x1d | 0x25 | 0x2d | 0x35 | 0x3d | 0x45 | 0x4d if usize::from(jt.max(jf)) >= left => {
            Err(ProgramError::Jump(at))
        }
        0x34 if k == 0 => Err(ProgramError::Arithmetic(at)),
        0x64 | 0x74 if k > 31 => Err(ProgramError::Arithmetic(at)),
        0x20 | 0x80 | 0x81 | 0x00 | 0x01 | 0x60 | 0x61 | 0x02 | 0x03 | 0x05 | 0x06 | 0x16 | 0x07 | 0x87 => {
            Ok(())
        }
        0x04 | 0x0c | 0x14 | 0x1c | 0x24 | 0x2c | 0x34 | 0x3c | 0x44 | 0x4c | 0x54 | 0x5c => Ok(()),
        0x64 | 0x6c | 0x74 | 0x7c | 0x84 | 0xa4 | 0xac => Ok(()),
        0x15 | 0x1d | 0x25 | 0x2d | 0x35 | 0x3d | 0x45 | 0x4d => Ok(()),
        _ => Err(ProgramError::Operation { at, code }),
    }
}

/// The kernel refuses a program that may read scratch memory before writing it: `valid` holds, for each instruction,
/// the cells that are written on every path to it.
fn check_scratch(instructions: &[Instruction]) -> Result<(), ProgramError> {
    let mut valid = vec![u16::MAX; instructions.len() + 1];
    let mut written = 0_u16;
    for (at, i) in instructions.iter().enumerate() {
        written &= valid.get(at).copied().unwrap_or_default();
        let mut jump = |skip: usize, written: u16| {
            if let Some(cells) = valid.get_mut(at + 1 + skip) {
                *cells &= written;
            }
        };
        match i.code {
            0x02 | 0x03 => written |= 1 << (i.k & 15),
            0x60 | 0x61 if written & (1 << (i.k & 15)) == 0 => return Err(ProgramError::Scratch(at)),
            0x05 => {
                jump(i.k as usize, written);
                written = u16::MAX;
            }
            code if code & 7 == 5 => {
                jump(usize::from(i.jt), written);
                jump(usize::from(i.jf), written);
                written = u16::MAX;
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    fn ret() -> Instruction {
        Instruction { code: code::RET, jt: 0, jf: 0, k: 0 }
    }

    #[test]
    fn what_the_kernel_refuses_is_refused() {
        let i = |code: u16, jt: u8, jf: u8, k: u32| Instruction { code, jt, jf, k };
        let cases: Vec<(Vec<Instruction>, &str)> = vec![
            (vec![ret()], ""),
            (vec![], "1 to 4096"),
            (vec![ret(); 4097], "1 to 4096"),
            (vec![i(code::LD_ABS, 0, 0, 0)], "does not return"),
            (vec![i(code::LD_ABS, 0, 0, 2), ret()], "is not an offset"),
            (vec![i(code::LD_ABS, 0, 0, 64), ret()], "is not an offset"),
            (vec![i(code::JEQ, 1, 0, 0), ret()], "jumps past the end"),
            (vec![i(code::JA, 0, 0, 1), ret()], "jumps past the end"),
            (vec![i(0x34, 0, 0, 0), ret()], "divides by zero"),
            (vec![i(0x64, 0, 0, 32), ret()], "divides by zero"),
            (vec![i(0x60, 0, 0, 1), ret()], "not written"),
            (vec![i(0x02, 0, 0, 16), ret()], "is not an offset"),
            (vec![i(0xffff, 0, 0, 0), ret()], "takes no operation"),
        ];
        for (instructions, message) in cases {
            let got = Program::new(instructions.clone(), false).map_err(|error| error.to_string());
            assert_eq!(got.is_ok(), message.is_empty(), "{instructions:x?}: {got:?}");
            assert!(got.err().unwrap_or_default().contains(message), "{instructions:x?}");
        }
    }

    #[test]
    fn bytes_come_back() {
        let program =
            Program::new(vec![Instruction { code: code::LD_ABS, jt: 0, jf: 0, k: 4 }, ret()], false).unwrap();
        let bytes = program.to_bytes();
        assert_eq!(bytes, [0x20, 0, 0, 0, 4, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Program::from_bytes(&bytes, false), Ok(program));
        assert_eq!(Program::from_bytes(&bytes[..9], false), Err(ProgramError::Length(9)));
    }
}
