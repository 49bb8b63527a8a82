//! The options of lists and watches, and the start of one.
//!
//! The rules are those of `ValidateListOptions` (`k8s.io/apimachinery/pkg/apis/meta/internalversion/validation`), and
//! for the data that a list then reads, of `storage.ValidateListOptions`
//! (`k8s.io/apiserver/pkg/storage/interfaces.go`).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use palisade_k8s::{FieldError, FieldPath};
use serde_json::json;

use crate::error::{ApiError, ApiResult};
use crate::request::Query;

/// The data that a list reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListStart<'q> {
    /// The newest state.
    Newest,
    /// The newest state, which must be at least as new as a revision.
    NotOlderThan(u64),
    /// The state at a revision.
    Exact(u64),
    /// The next page of a list, by its continue token.
    Continue(&'q str),
}

/// The content of a continue token: the next page follows an object of the state at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continue {
    /// The revision.
    pub revision: u64,
    /// The namespace of the object.
    pub namespace: String,
    /// The name of the object.
    pub name: String,
}

impl Continue {
    /// Reads a token; nothing if it is not one.
    pub fn parse(token: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (revision, namespace, name) = serde_json::from_slice(&bytes).ok()?;
        Some(Self { revision, namespace, name })
    }
}

impl fmt::Display for Continue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = json!([self.revision, self.namespace, self.name]).to_string();
        out.write_str(&URL_SAFE_NO_PAD.encode(text))
    }
}

/// The start of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchStart {
    /// With the writes after a revision.
    After(u64),
    /// With the writes from now on.
    Now,
    /// All existing objects, at least as new as a revision, then changes.
    State {
        /// The revision; 0 for any.
        at_least: u64,
        /// Whether a bookmark marks the end of the initial objects.
        is_marked: bool,
    },
}

/// The options of a request.
struct Options<'q> {
    revision: &'q str,
    matching: &'q str,
    token: &'q str,
    initial: Option<bool>,
}

const MATCH: &str = "resourceVersionMatch";
const INITIAL: &str = "sendInitialEvents";
const NOT_OLDER: &str = "NotOlderThan";
const EXACT: &str = "Exact";

fn forbidden(field: &'static str, why: &'static str) -> FieldError {
    FieldError::forbidden(FieldPath::of(field), why)
}

impl<'q> Options<'q> {
    fn new(query: &'q Query) -> Self {
        let text = |name| query.get(name).unwrap_or_default();
        Self {
            revision: text("resourceVersion"),
            matching: text(MATCH),
            token: text("continue"),
            initial: query.get(INITIAL).map(|_| query.is_true(INITIAL)),
        }
    }

    /// A watch without options sends all objects first, for compatibility.
    fn default_watch(&mut self) {
        let is_legacy = matches!(self.revision, "" | "0");
        if self.initial.is_none() && self.matching.is_empty() && is_legacy {
            (self.initial, self.matching) = (Some(true), NOT_OLDER);
        }
    }

    fn check_list(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if !self.matching.is_empty() {
            if self.revision.is_empty() {
                errors.push(forbidden(
                    MATCH,
                    "resourceVersionMatch is forbidden unless resourceVersion is provided",
                ));
            }
            errors.extend(self.check_token());
            if ![EXACT, NOT_OLDER].contains(&self.matching) {
                let known = [EXACT, NOT_OLDER, ""];
                errors.push(FieldError::not_supported(FieldPath::of(MATCH), self.matching, &known));
            }
            if (self.matching, self.revision) == (EXACT, "0") {
                let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                errors.push(forbidden(MATCH, why));
            }
        }
        if self.initial.is_some() {
            errors.push(forbidden(INITIAL, "sendInitialEvents is forbidden for list"));
        }
        errors
    }

    fn check_watch(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if self.initial.is_some() && self.matching != NOT_OLDER {
            errors.push(forbidden(
                MATCH,
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ));
        }
        if !self.matching.is_empty() {
            if self.initial.is_none() {
                let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                errors.push(forbidden(MATCH, why));
            }
            if self.matching != NOT_OLDER {
                errors.push(FieldError::not_supported(FieldPath::of(MATCH), self.matching, &[NOT_OLDER]));
            }
            errors.extend(self.check_token());
        }
        errors
    }

    fn check_token(&self) -> Option<FieldError> {
        let why = "resourceVersionMatch is forbidden when continue is provided";
        (!self.token.is_empty()).then(|| forbidden(MATCH, why))
    }

    /// The revision, 0 if absent.
    fn number(&self) -> ApiResult<u64> {
        if self.revision.is_empty() {
            return Ok(0);
        }
        let digits = self.revision.bytes().all(|byte| byte.is_ascii_digit());
        self.revision.parse().ok().filter(|_| digits).ok_or_else(|| {
            let wrong =
                FieldError::invalid(FieldPath::of("resourceVersion"), self.revision, "must be a number");
            ApiError::bad_request(format!("invalid resource version: {wrong}"))
        })
    }
}

/// Where a list starts.
///
/// # Errors
///
/// Options that contradict each other (`Invalid`), a revision that is not a number, or one beside a token
/// (`BadRequest`).
pub fn list_start(query: &Query) -> ApiResult<ListStart<'_>> {
    let options = Options::new(query);
    ApiError::of_options("ListOptions", &options.check_list())?;
    if !options.token.is_empty() {
        return match options.revision {
            "" | "0" => Ok(ListStart::Continue(options.token)),
            _ => Err(ApiError::bad_request("specifying resource version is not allowed when using continue")),
        };
    }
    let revision = options.number()?;
    // A page from a revision has always meant exactly that one.
    let is_paged = query.limit()?.is_some();
    Ok(match (options.matching, revision) {
        (_, 0) => ListStart::Newest,
        (EXACT, revision) => ListStart::Exact(revision),
        ("", revision) if is_paged => ListStart::Exact(revision),
        (_, revision) => ListStart::NotOlderThan(revision),
    })
}

/// The start of a watch.
///
/// # Errors
///
/// Options that contradict each other (`Invalid`), or a revision that is not a number (`BadRequest`).
pub fn watch_start(query: &Query) -> ApiResult<WatchStart> {
    let mut options = Options::new(query);
    options.default_watch();
    ApiError::of_options("ListOptions", &options.check_watch())?;
    let revision = options.number()?;
    let is_marked = query.is_true("allowWatchBookmarks");
    Ok(match (options.initial, revision) {
        (Some(true), at_least) => WatchStart::State { at_least, is_marked },
        (_, 0) => WatchStart::Now,
        (_, revision) => WatchStart::After(revision),
    })
}
