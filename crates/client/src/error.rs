//! Errors of a session.

use std::io;
use std::path::PathBuf;

pub use kube::core::Status;
use kube::core::response::reason;
use palisade_console::input;
use palisade_k8s::{error_chain, manifest, root_cause};

/// The result of a request.
pub type Result<T> = std::result::Result<T, Error>;

/// A cause whose type is a matter of the connection.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// An error of a session: it cannot be opened, or a request fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A kubeconfig cannot be read or written.
    #[error("{}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// The problem with it.
        #[source]
        cause: KubeconfigError,
    },
    /// The kubeconfig and the options do not make up a connection.
    #[error("the connection cannot be set up")]
    Config(#[source] Cause),
    /// Credentials would go over an unencrypted connection to another machine.
    #[error("{url}: credentials are not sent over unencrypted http")]
    InClear {
        /// The server's address.
        url: String,
    },
    /// The server cannot be reached.
    #[error("the API server at {server} cannot be reached: {why}")]
    Unreachable {
        /// Its URL.
        server: String,
        /// The reason, in the words of the system, of TLS or of whatever gives the credentials.
        why: String,
    },
    /// The connection broke.
    #[error("the connection to the API server broke")]
    Broken(#[source] Cause),
    /// The connection ended before the answer did.
    #[error("the connection ended before the server's answer was complete")]
    Incomplete,
    /// The server refuses.
    #[error("{0}")]
    Refused(Box<Status>),
    /// The server's answer is not what the protocol says.
    #[error("{path}: the server's answer cannot be read: {problem}")]
    Answer {
        /// The path that was requested.
        path: String,
        /// The problem with the answer.
        problem: &'static str,
    },
    /// A path is not valid in a request.
    #[error("{path}: not a valid path of a request")]
    Path {
        /// The path.
        path: String,
        /// The cause.
        #[source]
        cause: http::Error,
    },
}

/// A flaw of a kubeconfig.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// It is not there.
    #[error("there is no such file; log in, or give --kubeconfig")]
    Missing,
    /// The system refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not a file that can be read whole.
    #[error(transparent)]
    Input(#[from] input::InputError),
    /// It is not YAML.
    #[error(transparent)]
    Yaml(#[from] manifest::ReadError),
    /// It does not have the fields of a kubeconfig.
    #[error("not a valid kubeconfig")]
    Fields(#[source] Box<kube::config::KubeconfigError>),
    /// It holds something else than one object.
    #[error("it holds no kubeconfig")]
    NotAnObject,
    /// Another process holds the lock.
    #[error("locked by {}; remove that file if no other process is changing the kubeconfig", .0.display())]
    Locked(PathBuf),
}

impl Error {
    /// A request that did not reach the server. Of a connection that could not be made the innermost cause says it all.
    pub(crate) fn unreachable(server: &str, error: &kube::Error) -> Self {
        let mut causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
        let connects = causes.any(|cause| {
            cause.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(|error| error.is_connect())
        });
        let why = if connects { root_cause(error) } else { error_chain(error) };
        Self::Unreachable { server: server.to_owned(), why }
    }

    pub(crate) fn broken(cause: impl Into<Cause>) -> Self {
        Self::Broken(cause.into())
    }

    /// The server's refusal, if that is what it is.
    #[must_use]
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Refused(status) => Some(status),
            _ => None,
        }
    }

    /// Whether the server has no such object or path.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.status().is_some_and(Status::is_not_found)
    }

    /// Whether the user may not do it.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.status().is_some_and(Status::is_forbidden)
    }

    /// Whether an object of this name exists.
    #[must_use]
    pub fn is_already_exists(&self) -> bool {
        self.status().is_some_and(Status::is_already_exists)
    }

    /// The refusal in an answer of 400 or more. What is not a `Status`, as from a proxy, becomes one.
    pub(crate) fn refused(code: u16, body: &[u8]) -> Self {
        let mut status: Status = serde_json::from_slice(body).unwrap_or_default();
        if status.message.is_empty() {
            status.message = format!("{code}: {}", String::from_utf8_lossy(body).trim());
        }
        if status.reason.is_empty() {
            reason(code).clone_into(&mut status.reason);
        }
        status.code = code;
        Self::Refused(Box::new(status))
    }
}

/// The reason of a code, for answers that are not from an API server. Empty where a code has several or none.
fn reason(code: u16) -> &'static str {
    match code {
        401 => reason::UNAUTHORIZED,
        403 => reason::FORBIDDEN,
        404 => reason::NOT_FOUND,
        405 => reason::METHOD_NOT_ALLOWED,
        410 => reason::GONE,
        413 => reason::REQUEST_ENTITY_TOO_LARGE,
        422 => reason::INVALID,
        429 => reason::TOO_MANY_REQUESTS,
        503 => reason::SERVICE_UNAVAILABLE,
        _ => reason::UNKNOWN,
    }
}

/// Gives `None` for what the server does not have.
pub trait Optional<T> {
    /// `Ok(None)` instead of a refusal of [`Error::is_not_found`].
    ///
    /// # Errors
    /// All others.
    fn optional(self) -> Result<Option<T>>;
}

impl<T> Optional<T> for Result<T> {
    fn optional(self) -> Result<Option<T>> {
        match self {
            Err(error) if error.is_not_found() => Ok(None),
            other => other.map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_of_400_and_more_is_a_status() {
        let status = |code, body: &[u8]| match Error::refused(code, body) {
            Error::Refused(status) => (status.code, status.reason, status.message),
            other => panic!("{other}"),
        };
        let json = br#"{"kind":"Status","code":409,"reason":"AlreadyExists","message":"there"}"#;
        assert_eq!(status(409, json), (409, "AlreadyExists".to_owned(), "there".to_owned()));
        assert_eq!(status(502, b"<html>\n"), (502, String::new(), "502: <html>".to_owned()));
        assert_eq!(status(400, br#"{"code":"text"}"#).0, 400);
        assert!(Error::refused(404, b"").is_not_found());
        assert!(Error::refused(403, b"{}").is_forbidden());
    }
}
