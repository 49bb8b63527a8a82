//! Completion scripts and manual pages, made from the command line's own definition.

use std::path::Path;

use clap::CommandFactory;

use crate::args::Args;
use crate::exit::Exit;

pub(crate) fn completions(shell: clap_complete::Shell) -> crate::Outcome {
    clap_complete::generate(shell, &mut Args::command(), "palisade", &mut std::io::stdout());
    Ok(Exit::Fine)
}

pub(crate) fn man(folder: &Path) -> crate::Outcome {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Args::command(), folder)?;
    Ok(Exit::Fine)
}
