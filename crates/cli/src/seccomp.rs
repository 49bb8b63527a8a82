//! `palisade seccomp`.

pub(crate) mod args;
mod check;
mod compile;
mod convert;
mod diff;
mod explain;
mod input;
mod minimize;
#[cfg(feature = "serve")]
mod path;
mod run;
mod simulate;

use args::SeccompCommand;

pub(crate) fn run(command: &SeccompCommand) -> crate::Outcome {
    match command {
        SeccompCommand::Check(args) => check::run(args),
        SeccompCommand::Resolve(args) => convert::resolve(args),
        SeccompCommand::Compile(args) => compile::run(args),
        SeccompCommand::Explain(args) => explain::run(args),
        SeccompCommand::Simulate(args) => simulate::run(args),
        SeccompCommand::Disassemble(args) => simulate::disassemble(args),
        SeccompCommand::Diff(args) => diff::run(args),
        SeccompCommand::Intersect(args) => convert::join(args, palisade_seccomp::strictest),
        SeccompCommand::Union(args) => convert::join(args, palisade_seccomp::laxest),
        SeccompCommand::Lint(args) => convert::lint(args),
        SeccompCommand::Import(args) => convert::import(args),
        SeccompCommand::Export(args) => convert::export(args),
        SeccompCommand::Run(args) => run::run(args),
        SeccompCommand::Record(args) => crate::record::run(args),
        SeccompCommand::Minimize(args) => minimize::run(args),
        #[cfg(feature = "serve")]
        SeccompCommand::Path(args) => path::run(args),
    }
}
