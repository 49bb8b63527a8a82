//! `palisade seccomp simulate` and `disassemble`.

use std::io::Write;

use palisade_seccomp::{disassemble as listing, simulate, simulate_stack};
use serde_json::json;

use super::args::{DisassembleArgs, SimulateArgs, TextOrJson};
use super::input;
use crate::exit::Exit;

pub(super) fn run(args: &SimulateArgs) -> crate::Outcome {
    let (programs, _) = input::programs(&args.file, &args.rest.context)?;
    let (arch, data) = input::syscall(&args.syscall, &args.rest.args, args.rest.abi, &args.rest.context)?;
    let action = simulate_stack(&programs, &data);
    let mut out = palisade_console::terminal::out();
    let runs: Vec<_> = programs.iter().map(|program| (program, simulate(program, &data))).collect();
    if args.rest.output == TextOrJson::Json {
        let runs: Vec<_> =
            runs.iter().map(|(_, run)| json!({"returned": run.code, "path": run.path})).collect();
        let value = json!({
            "arch": arch.name(), "number": data.number, "args": data.args, "action": action.to_string(), "programs": runs,
        });
        writeln!(out, "{value:#}")?;
        return Ok(Exit::Fine);
    }
    for (program, run) in &runs {
        let lines = listing(program);
        for line in run.path.iter().filter_map(|at| lines.get(*at)) {
            writeln!(out, "{line}")?;
        }
    }
    let name = input::name(arch, data.number);
    writeln!(out, "{name} on {arch}: {}", crate::paint::strong(action))?;
    Ok(Exit::Fine)
}

pub(super) fn disassemble(args: &DisassembleArgs) -> crate::Outcome {
    let (programs, _) = input::programs(&args.file, &args.context)?;
    let mut out = palisade_console::terminal::out();
    for line in programs.iter().flat_map(listing) {
        writeln!(out, "{line}")?;
    }
    Ok(Exit::Fine)
}
