//! Seccomp profiles, from the file to the kernel's filter and back.
//!
//! A [`Profile`](profile::Profile) is the content of a file. [Resolved](resolve()) for a machine and a container it is
//! [`Rules`]; those make a [`Filter`]: for each architecture and each number a decision on the arguments. A filter is
//! [compiled](compile()) to a BPF program that decides the same, which [`verify`] proves path by path. Programs can be
//! [simulated](simulate()) and [compared](Decision), libseccomp's too.
//!
//! ```
//! use palisade_seccomp::{Action, Arch, Context, Data, Filter, Weights};
//! use palisade_seccomp::{builtin, compile, profile, resolve, simulate, table, verify};
//!
//! let (profile, findings) = profile::read(builtin::DEFAULT);
//! assert!(findings.is_empty());
//! let context = Context { arch: Arch::X86_64, caps: Default::default(), kernel: table::NEWEST };
//! let resolved = resolve(&profile.unwrap(), &context);
//! let filter = Filter::new(&resolved.rules)?;
//! let programs = compile(&filter, Weights::shipped())?;
//! assert_eq!(verify(&filter, &programs, 1)?, []);
//!
//! // A new user namespace is refused; a thread is not.
//! let number = table::Syscall::named("clone").and_then(|syscall| syscall.number(Arch::X86_64)).unwrap();
//! let clone = |flags| Data { number, arch: Arch::X86_64.audit(), args: [flags, 0, 0, 0, 0, 0] };
//! assert_eq!(simulate(&programs[0], &clone(0x1000_0000)).action(), Action::Errno(1));
//! assert_eq!(simulate(&programs[0], &clone(0x3d0f00)).action(), Action::Allow);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | to | see |
//! |---|---|
//! | read a profile: a file, an object, a unit | [`source`], [`profile`], [`systemd`] |
//! | know what it means for a machine and a container | [`resolve()`], [`explain()`], [`lint()`] |
//! | load it | [`compile()`], [`Program`] |
//! | compare and combine | [`Decision`], [`join()`] |
//! | make the least one from recordings | [`minimize`] |

mod action;
mod arch;
mod bpf;
pub mod builtin;
mod compare;
mod compile;
mod disassemble;
pub mod errno;
#[cfg(test)]
mod example;
mod explain;
mod filter;
mod finding;
mod graph;
mod join;
mod lift;
mod lint;
pub mod minimize;
mod precedence;
pub mod profile;
mod region;
mod resolve;
mod rule;
mod simulate;
pub mod source;
mod stats;
pub mod systemd;
pub mod table;
mod weight;

pub use action::Action;
pub use arch::{Arch, ArchSet, X32_BIT};
pub use bpf::{DATA_SIZE, Instruction, MAX_INSTRUCTIONS, Program, ProgramError};
pub use compare::{CompareError, Decision, Difference, laxest, strictest, verify};
pub use compile::{CompileError, compile, open_holes};
pub use disassemble::disassemble;
pub use explain::{Decider, Explanation, Tried, explain};
pub use filter::{Data, Filter, FilterError, Rules, Unknown};
pub use finding::{Finding, Severity};
pub use graph::{Graph, Node, NodeId};
pub use join::{JoinError, join};
pub use lint::{addition, lint};
pub use region::{Check, Unbounded, Word};
pub use resolve::{Context, Resolved, Unmet, resolve};
pub use rule::{Condition, Operator, Rule};
pub use simulate::{Run, simulate, simulate_stack};
pub use stats::{ArchStats, stats};
pub use weight::{WeightError, Weights};
