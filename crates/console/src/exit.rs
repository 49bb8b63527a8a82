//! Exit codes.

use std::process::ExitCode;

/// How a command ends; the order is that of severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// 0: success.
    Fine,
    /// 1: the answer is no, the server refused, or there are findings.
    Findings,
    /// 2: the command line, its input or the connection is unusable.
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
