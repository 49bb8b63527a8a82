//! The audit log of an API server: one line for each stage of a request, as Kubernetes' `audit.k8s.io/v1`.
//!
//! Each request has a [`Trail`]. The work itself completes it, before the client is answered; an incomplete trail is written when
//! it is dropped, because the client left or the work broke off. The [`Policy`] says how
//! much of which requests is written.
//!
//! ```
//! use std::sync::Arc;
//!
//! use palisade_audit::{Audit, Policy, Request};
//!
//! let folder = palisade_store::private::temporary()?;
//! let path = folder.path().join("audit.log");
//! let audit = Audit::to_file(&path, Policy::default())?;
//! let trail = audit.begin(
//!     &Request {
//!         id: "9f7f",
//!         requester: None,
//!         verb: "get",
//!         uri: "/version",
//!         path: "/version",
//!         source: "192.0.2.7",
//!         agent: "kubectl/v1.36",
//!         target: None,
//!         received: "2026-01-01T00:00:00Z",
//!     },
//!     &Arc::default(),
//! );
//! trail.complete(200, None, None);
//! assert!(std::fs::read_to_string(&path)?.contains(r#""stage":"ResponseComplete""#));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod file;
mod policy;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use palisade_k8s::put;
use palisade_store::private::Exposed;
use serde_json::{Value, json};

use jiff::Timestamp;
use palisade_api::body;
use palisade_api::error::ApiError;
use palisade_api::identity::Requester;
use palisade_api::notes::Notes;
use palisade_api::request::Target;
use palisade_api::time;

use file::LogFile;
use policy::{Level, Rule, Stage};
pub use policy::{Policy, PolicyError};

/// Maximum length of the logged user agent, in bytes.
const MAX_AGENT: usize = 1024;
/// Maximum length of the logged path and query, in bytes.
const MAX_URI: usize = 4096;

/// The log's file, and what goes there.
#[derive(Debug, Default)]
pub struct Audit(Option<Log>);

#[derive(Debug)]
struct Log {
    file: Arc<Mutex<LogFile>>,
    policy: Policy,
}

/// A request whose head is read.
#[derive(Debug)]
pub struct Request<'a> {
    /// Its `Audit-ID`.
    pub id: &'a str,
    /// The requester; none where authentication failed.
    pub requester: Option<&'a Requester>,
    /// The verb, as authorization names it.
    pub verb: &'a str,
    /// Path and query.
    pub uri: &'a str,
    /// The path alone.
    pub path: &'a str,
    /// The address of the client.
    pub source: &'a str,
    /// The client's name for itself.
    pub agent: &'a str,
    /// The resource, if the path is one's.
    pub target: Option<&'a Target>,
    /// The time of its arrival, in RFC 3339.
    pub received: &'a str,
}

impl Audit {
    /// Logs to the end of a file, which is made if it is missing; `-` is standard output. After 100 MiB a new file is begun; ten
    /// older ones are kept (`FILE.1` is the newest), fewer where the disk is nearly full.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, is a named pipe or the like, or others than this user may write it.
    pub fn to_file(path: &Path, policy: Policy) -> Result<Self, Exposed> {
        let file = LogFile::open(path)?;
        Ok(Self(Some(Log { file: Arc::new(Mutex::new(file)), policy })))
    }

    /// Begins the audit event of a request, if the policy logs it.
    pub fn begin(&self, request: &Request<'_>, notes: &Arc<Notes>) -> Arc<Trail> {
        let Some(log) = &self.0 else { return Arc::default() };
        let mut rule = log.policy.rule(request);
        if request.target.is_some_and(is_secret) {
            // Whatever the policy, secrets are never logged.
            rule.level = rule.level.min(Level::Metadata);
        }
        if rule.level == Level::None {
            return Arc::default();
        }
        let line = Line {
            event: event(request, rule.level),
            file: Arc::clone(&log.file),
            notes: Arc::clone(notes),
            rule,
        };
        line.write(Stage::RequestReceived);
        Arc::new(Trail(Mutex::new(Some(Open { line, started: None }))))
    }
}

/// Whether bodies contain credentials: secrets, tokens, passwords.
fn is_secret(target: &Target) -> bool {
    matches!(
        (target.resource.plural(), target.subresource_name()),
        ("secrets" | "tokenreviews", _) | ("serviceaccounts", "token") | ("users", "password")
    )
}

fn event(request: &Request<'_>, level: Level) -> Value {
    let mut event = json!({
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": level.name(), "auditID": request.id,
        "stage": "", "requestURI": cut(request.uri, MAX_URI), "verb": request.verb, "user": {}, "sourceIPs": [request.source],
    });
    if let Some(requester) = request.requester {
        put(&mut event, &["user"], requester.own().to_json());
        if requester.impersonator.is_some() {
            put(&mut event, &["impersonatedUser"], requester.identity.to_json());
        }
    }
    if !request.agent.is_empty() {
        put(&mut event, &["userAgent"], cut(request.agent, MAX_AGENT).into());
    }
    if let Some(target) = request.target {
        put(&mut event, &["objectRef"], reference(target));
    }
    put(&mut event, &["requestReceivedTimestamp"], request.received.into());
    event
}

/// The beginning of a text, as far as it fits.
fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default()
}

fn reference(target: &Target) -> Value {
    let resource = &target.resource;
    let fields = [
        ("resource", resource.plural()),
        ("namespace", &target.namespace),
        ("name", &target.name),
        ("apiGroup", resource.group()),
        ("apiVersion", resource.version()),
        ("subresource", target.subresource_name()),
    ];
    fields.iter().filter(|(_, value)| !value.is_empty()).map(|(field, value)| (*field, *value)).collect()
}

/// The record of one request.
#[derive(Debug, Default)]
pub struct Trail(Mutex<Option<Open>>);

/// A request that is not completed.
#[derive(Debug)]
struct Open {
    line: Line,
    /// The answer that is on its way for longer, as a watch's.
    started: Option<u16>,
}

impl Trail {
    fn with(&self, act: impl FnOnce(&mut Open)) {
        if let Some(open) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            act(open);
        }
    }

    fn take(&self) -> Option<Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Notes what the client sent, if that is logged.
    pub fn request(&self, bytes: &[u8], content_type: &str) {
        self.with(|open| {
            let is_wanted = open.line.rule.level >= Level::Request && !bytes.is_empty();
            let read = is_wanted.then(|| body::read(bytes, content_type, &mut Vec::new()).ok()).flatten();
            if let Some(object) = read {
                open.line.object("requestObject", object);
            }
        });
    }

    /// The answer begins, and ends when the last copy of this is dropped.
    pub fn started(&self, code: u16) {
        self.with(|open| {
            open.started = Some(code);
            open.line.status(code, None);
            open.line.write(Stage::ResponseStarted);
        });
    }

    /// The request is answered, unless its answer has only begun. The first to say so is heard.
    pub fn complete(&self, code: u16, refusal: Option<&ApiError>, object: Option<&Value>) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.as_ref().is_some_and(|open| open.started.is_some()) {
            return;
        }
        let Some(Open { mut line, .. }) = open.take() else { return };
        line.status(code, refusal);
        let object = object.cloned().or_else(|| refusal.map(ApiError::status));
        if let Some(object) = object.filter(|_| line.rule.level >= Level::RequestResponse) {
            line.object("responseObject", object);
        }
        line.write(Stage::ResponseComplete);
    }

    /// The work broke off by a fault of ours.
    pub fn panicked(&self) {
        if let Some(Open { line, .. }) = self.take() {
            line.panicked();
        }
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        let Some(Open { mut line, started }) = self.take() else { return };
        match started {
            _ if std::thread::panicking() => line.panicked(),
            Some(_) => line.write(Stage::ResponseComplete),
            None => {
                let why = "the client left before the request was answered";
                put(
                    &mut line.event,
                    &["responseStatus"],
                    json!({"metadata": {}, "status": "Failure", "message": why}),
                );
                line.write(Stage::ResponseComplete);
            }
        }
    }
}

/// An entry to write.
#[derive(Debug)]
struct Line {
    event: Value,
    file: Arc<Mutex<LogFile>>,
    notes: Arc<Notes>,
    rule: Rule,
}

impl Line {
    fn object(&mut self, field: &str, mut object: Value) {
        if self.rule.omit_managed_fields {
            remove_managed(&mut object);
        }
        put(&mut self.event, &[field], object);
    }

    fn status(&mut self, code: u16, refusal: Option<&ApiError>) {
        let mut status = json!({"metadata": {}, "code": code});
        if let Some(refusal) = refusal {
            status = refusal.status();
            for field in ["kind", "apiVersion"] {
                status.as_object_mut().and_then(|status| status.shift_remove(field));
            }
        }
        put(&mut self.event, &["responseStatus"], status);
    }

    fn panicked(mut self) {
        let status = json!({"metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500});
        put(&mut self.event, &["responseStatus"], status);
        self.write(Stage::Panic);
    }

    fn write(&self, stage: Stage) {
        if self.rule.omit_stages.contains(&stage) {
            return;
        }
        let mut event = self.event.clone();
        put(&mut event, &["stage"], stage.name().into());
        put(&mut event, &["stageTimestamp"], now().into());
        let annotations = self.notes.annotations();
        if !annotations.is_empty() {
            put(&mut event, &["annotations"], json!(annotations));
        }
        let text = format!("{event}\n");
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write(text.as_bytes()) {
            tracing::error!("the audit log cannot be written: {error}");
        }
    }
}

/// The time as objects have it, to the second.
fn now() -> String {
    time::format(Timestamp::now().as_second(), 0, false).unwrap_or_default()
}

fn remove_managed(object: &mut Value) {
    let remove = |object: &mut Value| {
        let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
        metadata.and_then(|metadata| metadata.shift_remove("managedFields"));
    };
    remove(object);
    object.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten().for_each(remove);
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_store::private;

    fn request() -> Request<'static> {
        Request {
            id: "1",
            requester: None,
            verb: "get",
            uri: "/version",
            path: "/version",
            source: "127.0.0.1",
            agent: "test",
            target: None,
            received: "2026-01-01T00:00:00Z",
        }
    }

    #[test]
    fn a_long_path_is_cut() {
        let long = format!("/{}", "a".repeat(60_000));
        let event = event(&Request { uri: &long, ..request() }, Level::Metadata);
        assert_eq!(event["requestURI"].as_str().map(str::len), Some(MAX_URI));
    }

    #[test]
    fn every_way_to_end_leaves_one_line_of_its_end() {
        let folder = private::temporary().unwrap();
        let path = folder.path().join("audit.log");
        let audit = Audit::to_file(&path, Policy::default()).unwrap();
        let begin = || audit.begin(&request(), &Arc::default());
        let answered = begin();
        answered.complete(200, None, None);
        answered.complete(500, None, None);
        drop(answered);
        drop(begin());
        let broken = begin();
        let thread = std::thread::spawn(move || {
            let _held = broken;
            panic!("a fault of ours");
        });
        thread.join().unwrap_err();
        let told = begin();
        told.panicked();
        drop(told);
        let watched = begin();
        watched.started(200);
        watched.complete(200, None, None);
        drop(watched);
        let lines = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<(String, u64)> = lines
            .lines()
            .map(|line| {
                let line: Value = serde_json::from_str(line).unwrap();
                let code = line.pointer("/responseStatus/code").and_then(Value::as_u64);
                (palisade_api::kind::text(&line, "/stage").to_owned(), code.unwrap_or_default())
            })
            .collect();
        let wanted = [
            ("ResponseComplete", 200),
            ("ResponseComplete", 0),
            ("Panic", 500),
            ("Panic", 500),
            ("ResponseStarted", 200),
            ("ResponseComplete", 200),
        ];
        assert_eq!(lines, wanted.map(|(stage, code)| (stage.to_owned(), code)));
    }
}
