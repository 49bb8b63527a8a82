//! Errors of the handler.

use std::path::{Path, PathBuf};

use palisade_seccomp::Finding;

/// An error of the handler: a container is not started, or not kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The command line is none of an OCI runtime's.
    #[error("{0}")]
    Arguments(String),
    /// The runtime has no container of this id. containerd looks for these words.
    #[error("container {0:?} does not exist")]
    Lost(String),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The settings are wrong.
    #[error("{}: {}", .0.display(), .1)]
    Settings(PathBuf, String),
    /// `config.json` is wrong: the field and the reason.
    #[error("config.json: {0}")]
    Config(String),
    /// The profile is wrong.
    #[error("seccomp profile {name}: {}", first_of(.findings))]
    Profile {
        /// Its name.
        name: String,
        /// Findings.
        findings: Vec<Finding>,
    },
    /// The profile makes no filter, or none that one program can hold.
    #[error("seccomp profile {name}: {message}")]
    Filter {
        /// Its name.
        name: String,
        /// The reason.
        message: String,
    },
    /// No runtime to hand over to.
    #[error("neither crun nor runc is installed; on Debian: apt-get install crun")]
    NoRuntime,
    /// A runtime does not start.
    #[error("{}: {source}", runtime.display())]
    Runtime {
        /// The runtime.
        runtime: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A container ran without its filter and was killed.
    #[error("container {id} was killed: {reason}")]
    NotHeld {
        /// Its ID.
        id: String,
        /// The observation.
        reason: String,
    },
    /// The kernel does not let an audit login id be set.
    #[error(
        "/proc/self/loginuid: {0}; `loginIds` needs CAP_AUDIT_CONTROL and an engine without a login id of its own"
    )]
    LoginId(std::io::Error),
    /// The audit records cannot be read.
    #[error("the kernel's audit records: {0}; reading them needs CAP_AUDIT_READ")]
    Audit(std::io::Error),
}

impl Error {
    pub(crate) fn file(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::File { path: path.as_ref().to_owned(), source }
    }

    pub(crate) fn config(field: &str, problem: impl std::fmt::Display) -> Self {
        Self::Config(if field.is_empty() { problem.to_string() } else { format!("{field}: {problem}") })
    }
}

/// The first finding in full, and how many there are.
fn first_of(findings: &[Finding]) -> String {
    let errors = || findings.iter().filter(|f| f.severity == palisade_seccomp::Severity::Error);
    let Some(first) = errors().next() else { return "no profile".to_owned() };
    let field = if first.field.is_empty() { String::new() } else { format!("{}: ", first.field) };
    match errors().count() {
        1 => format!("{}: {field}{}", first.at, first.message),
        count => format!("{}: {field}{} (and {} more)", first.at, first.message, count - 1),
    }
}
