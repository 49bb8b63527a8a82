//! Seccomp profiles, from the file to the kernel's filter and back.
//!
//! A [`Profile`](profile::Profile) is what a file says. [Resolved](resolve::resolve) for a machine and a
//! container it is [`Rules`](filter::Rules); those make a [`Filter`](filter::Filter): for each architecture and
//! each number a decision on the arguments. A filter is [compiled](compile::compile) to the smallest BPF
//! program that decides the same, which [`compare::verify`] proves path by path. Programs can be
//! [simulated](simulate::simulate) and [compared](compare::Decision), libseccomp's too.
//!
//! ```
//! use palisade_seccomp::action::Action;
//! use palisade_seccomp::arch::Arch;
//! use palisade_seccomp::filter::{Data, Filter};
//! use palisade_seccomp::resolve::{Context, resolve};
//! use palisade_seccomp::table::{self, Syscall};
//! use palisade_seccomp::{builtin, compare, compile, profile, simulate, weight};
//!
//! let (profile, findings) = profile::read(builtin::DEFAULT);
//! assert!(findings.is_empty());
//! let context = Context { arch: Arch::X86_64, caps: Default::default(), kernel: table::NEWEST };
//! let resolved = resolve(&profile.unwrap(), &context);
//! let filter = Filter::new(&resolved.rules)?;
//! let programs = compile::compile(&filter, weight::Weights::shipped())?;
//! assert_eq!(compare::verify(&filter, &programs, 1)?, []);
//!
//! // A new user namespace is refused; a thread is not.
//! let number = Syscall::named("clone").and_then(|call| call.number(Arch::X86_64)).unwrap();
//! let clone = |flags| Data { number, arch: Arch::X86_64.audit(), args: [flags, 0, 0, 0, 0, 0] };
//! assert_eq!(simulate::simulate(&programs[0], &clone(0x1000_0000)).action(), Action::Errno(1));
//! assert_eq!(simulate::simulate(&programs[0], &clone(0x3d0f00)).action(), Action::Allow);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod action;
pub mod arch;
pub mod bpf;
pub mod builtin;
pub mod capability;
pub mod compare;
pub mod compile;
pub mod disassemble;
pub mod errno;
pub mod explain;
pub mod filter;
pub mod finding;
pub mod graph;
pub mod join;
mod lift;
pub mod lint;
pub mod pod;
mod precedence;
pub mod profile;
pub mod region;
pub mod resolve;
pub mod rule;
pub mod simulate;
pub mod source;
pub mod stats;
pub mod systemd;
pub mod table;
pub mod weight;
