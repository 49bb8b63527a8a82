//! How a command ends.

use std::error::Error;
use std::io::ErrorKind;
use std::process::ExitCode;

use crate::cluster::ClusterError;

/// The three exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: all is well.
    Fine,
    /// 1: the answer is no, or there are findings.
    Findings,
    /// 2: the command or its input is wrong.
    Wrong,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Fine => Self::from(0),
            Exit::Findings => Self::from(1),
            Exit::Wrong => Self::from(2),
        }
    }
}

/// Prints an error with its causes. A reader that closed its end of the pipe is no error.
pub(crate) fn report(error: &(dyn Error + 'static)) -> Exit {
    if error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe) {
        return Exit::Fine;
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    match error.downcast_ref::<ClusterError>() {
        // A server's refusal is an answer: it says no, as kubectl's exit code does.
        Some(ClusterError::Refused(_)) => {
            anstream::eprintln!("{text}");
            return Exit::Findings;
        }
        _ => anstream::eprintln!("{}: {text}", crate::paint::error("error")),
    }
    Exit::Wrong
}
