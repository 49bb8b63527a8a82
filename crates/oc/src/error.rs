//! Errors of verbs: all messages and their exit codes.

use std::path::{Path, PathBuf};

use palisade_client::{Status, exec::ExecError};
use palisade_console::files::FileError;
use palisade_console::input::InputError;
use palisade_console::{Exit, paint, terminal};
use palisade_k8s::error_chain;

use crate::jsonpath::JsonPathError;

/// The result of a step of a verb.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// The result of a verb.
pub(crate) type Outcome = Result<Exit>;

/// An error of a verb.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The connection, the kubeconfig or the server.
    #[error(transparent)]
    Client(#[from] palisade_client::Error),
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// Manifests on the command line.
    #[error(transparent)]
    Manifest(#[from] FileError),
    /// Another file on the command line.
    #[error("{}", path.display())]
    File {
        path: PathBuf,
        #[source]
        cause: InputError,
    },
    #[error("{}:{line}: not valid UTF-8", path.display())]
    NotUtf8 { path: PathBuf, line: usize },
    /// A failure of one of several objects.
    #[error("{place}: {cause}")]
    At { place: String, cause: Box<Error> },

    #[error("you must specify the type of resource")]
    NoType,
    #[error("resource(s) were provided, but no name was specified")]
    NoName,
    #[error("the server doesn't have a resource type {0:?}")]
    UnknownType(String),
    #[error("no matches for kind {kind:?} in version {version:?}")]
    UnknownKind { kind: String, version: String },
    #[error("{0:?}: either all arguments must be TYPE/NAME or none")]
    MixedArguments(String),
    #[error("{0:?} is not a pod: give NAME or pod/NAME")]
    NotAPod(String),
    #[error("the object has no {0}")]
    FieldMissing(&'static str),
    #[error(
        "the namespace from the provided object {object:?} does not match the namespace {given:?}; you must pass '--namespace={object}' to perform this operation"
    )]
    NamespaceMismatch { object: String, given: String },
    #[error("no resources were named: give TYPE NAME, or --filename")]
    NothingToCreate,
    #[error("resource names, a label selector (-l) or --all must be given")]
    NothingToDelete,
    #[error("{0:?} was deleted and still exists: a finalizer holds it")]
    NotGone(String),
    #[error("only one resource type can be watched, and of it one object or all")]
    WatchOne,
    #[error("the watch ended: {}", .0.message)]
    WatchFailed(Box<Status>),

    #[error("at least one {0} update is required, as KEY=VALUE or KEY-")]
    NoMapChange(&'static str),
    #[error("'{key}' already has a value ({value}), and --overwrite is false")]
    HasValue { key: String, value: String },
    #[error("the patch: {0}")]
    PatchSyntax(palisade_k8s::manifest::ReadError),
    #[error("the patch must be one document")]
    PatchCount,
    #[error(
        "--dry-run=client is not possible for a patch: only the server can apply it; use --dry-run=server"
    )]
    PatchClientDryRun,
    #[error("the editor {0:?} cannot be started")]
    EditorMissing(String, #[source] std::io::Error),
    #[error("the editor {0:?} failed; nothing was changed")]
    EditorFailed(String),
    #[error("the temporary file for the editor")]
    EditorFile(#[source] std::io::Error),
    #[error("interrupted; nothing was changed")]
    Interrupted,
    #[error("the edited text: {0}")]
    EditSyntax(palisade_k8s::manifest::ReadError),
    #[error("the edited text must be one object")]
    EditCount,

    #[error("at least one --resource must be specified")]
    NoResource,
    #[error("--non-resource-url is for cluster roles only")]
    UrlInRole,
    #[error("exactly one of --clusterrole or --role must be specified")]
    RoleOrClusterRole,
    #[error("the key {0:?} is given twice")]
    KeyTwice(String),
    #[error("{}: no PEM block of -----BEGIN …{block}", path.display())]
    NotPem { path: PathBuf, block: &'static str },

    #[error("{0:?} is not of the form system:serviceaccount:NAMESPACE:NAME")]
    NotAnAccount(String),
    #[error("you must specify at least one user, group or service account")]
    NoSubject,
    /// The binding does not name the subjects, so there is nothing to remove. The exit code is 1, as with `NotFound`.
    #[error("unable to find target {0}")]
    NotBound(String),
    #[error("{kind} has no pod template")]
    NoTemplate { kind: String },

    #[error("specify the address of the server")]
    NoServer,
    #[error("the server does not take passwords; log in with --token")]
    NoPasswords,
    #[error("Login failed (401 Unauthorized): verify you have provided the correct name and password")]
    BadPassword,
    #[error("a user name is needed: give --username, or --token")]
    NoUserName,
    #[error("a password is needed: at the prompt, or as a line on stdin")]
    NoPassword,
    #[error("no token is currently in use for this session")]
    NoToken,
    #[error("stdin cannot be read")]
    Stdin(#[source] std::io::Error),
    #[error(
        "a project named {name:?} does not exist on {url:?}, or you may not see it; your projects are shown by: palisade projects"
    )]
    NoProject { name: String, url: String },
    #[error("{}: already exists", .0.display())]
    FileExists(PathBuf),
    #[error("you may not restore a backup: it needs the right to post to {0}")]
    MayNotRestore(&'static str),

    #[error(transparent)]
    JsonPath(#[from] JsonPathError),
    #[error("the output cannot be written")]
    Output(#[source] std::io::Error),
    #[error("no runtime for the connection")]
    Runtime(#[source] std::io::Error),
}

impl Error {
    /// A file that cannot be read or written.
    pub(crate) fn file(path: &Path, cause: impl Into<InputError>) -> Self {
        Self::File { path: path.to_owned(), cause: cause.into() }
    }

    /// The error of one object among several.
    pub(crate) fn at(self, place: &str) -> Self {
        Self::At { place: place.to_owned(), cause: Box::new(self) }
    }

    /// The server's refusal, if it is one.
    pub(crate) fn status(&self) -> Option<&Status> {
        match self {
            Self::Client(error) => error.status(),
            Self::At { cause, .. } => cause.status(),
            _ => None,
        }
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.status().is_some_and(Status::is_not_found)
    }

    /// 1 for a refusal by the server, or by its state. 2 for an invalid command or input, or an unusable connection.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::At { cause, .. } => cause.exit(),
            Self::Client(palisade_client::Error::Refused(_))
            | Self::WatchFailed(_)
            | Self::HasValue { .. }
            | Self::NotBound(_)
            | Self::NotGone(_)
            | Self::BadPassword
            | Self::NoProject { .. }
            | Self::MayNotRestore(_) => Exit::Findings,
            _ => Exit::Wrong,
        }
    }

    /// The message: of a refusal in kubectl's words, of other errors with their causes.
    fn message(&self) -> String {
        match self {
            Self::At { place, cause } => format!("{place}: {}", cause.message()),
            Self::Client(palisade_client::Error::Refused(status)) => refusal(status),
            Self::Client(error @ palisade_client::Error::InClear { .. }) => {
                format!("{error}; use https, or --insecure-http if the network is trusted")
            }
            other => error_chain(other),
        }
    }

    /// Prints the error to standard error.
    pub(crate) fn report(&self) -> Exit {
        match self.status() {
            Some(_) => terminal::note(self.message()),
            None => terminal::note(format_args!("{}: {}", paint::error("error"), self.message())),
        }
        self.exit()
    }
}

/// A refusal in kubectl's words (`kubectl/pkg/cmd/util/helpers.go`): an invalid object by its fields.
fn refusal(status: &Status) -> String {
    let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
    if let (Some(details), true, false) = (&status.details, status.is_invalid(), causes.is_empty()) {
        let causes: Vec<String> = causes
            .iter()
            .map(|cause| match cause.field.as_str() {
                "" => cause.message.clone(),
                field => format!("{field}: {}", cause.message),
            })
            .collect();
        let head = format!("The {} {:?} is invalid: ", details.kind, details.name);
        return match causes.as_slice() {
            [one] => head + one,
            several => format!("{head}\n* {}", several.join("\n* ")),
        };
    }
    match status.reason.as_str() {
        "" => format!("Error from server: {}", status.message),
        reason => format!("Error from server ({reason}): {}", status.message),
    }
}

/// The failures among several objects: each is printed when it happens, and the worst determines the exit code.
#[derive(Debug, Default)]
pub(crate) struct Failures(Option<Exit>);

impl Failures {
    /// Reports a failure, if it is one.
    pub(crate) fn note(&mut self, result: Result<()>) {
        if let Err(error) = result {
            self.0 = self.0.max(Some(error.report()));
        }
    }

    /// The result of the verb.
    pub(crate) fn exit(self) -> Exit {
        self.0.unwrap_or(Exit::Fine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_one_exit_code_wherever_it_is_met() {
        let refused = || {
            let status = Status::failure("there", "AlreadyExists").with_code(409).boxed();
            Error::Client(palisade_client::Error::Refused(status))
        };
        assert_eq!(refused().exit(), Exit::Findings);
        assert_eq!(refused().at("pod.yaml:1:1").exit(), Exit::Findings);
        assert_eq!(
            refused().at("pod.yaml:1:1").message(),
            "pod.yaml:1:1: Error from server (AlreadyExists): there"
        );
        assert_eq!(Error::NoType.at("pod.yaml:1:1").exit(), Exit::Wrong);
        let mut failures = Failures::default();
        failures.note(Err(Error::NoType));
        failures.note(Err(refused()));
        failures.note(Ok(()));
        assert_eq!(failures.exit(), Exit::Wrong);
    }
}
