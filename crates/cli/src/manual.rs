//! Completion scripts and manual pages, generated from the command line's definition.

use std::io::Write;
use std::path::Path;

use clap::CommandFactory;

use crate::args::Args;
use crate::exit::Exit;

pub(crate) fn completions(shell: clap_complete::Shell) -> crate::Outcome {
    // Written in one piece: clap's own writing panics if the reader closes the pipe, as in `| head`.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "palisade", &mut text);
    std::io::stdout().lock().write_all(&text)?;
    Ok(Exit::Fine)
}

pub(crate) fn man(folder: &Path) -> crate::Outcome {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Args::command(), folder)?;
    Ok(Exit::Fine)
}
