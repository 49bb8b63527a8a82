//! Requests: routing, limits, and the response.

mod backup;
mod console;
mod oauth;
mod other;
mod pages;
mod stream;
mod work;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue, USER_AGENT, WARNING};
use http::{HeaderMap, Method, Request, Response};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use palisade_admission::Namespace;
use palisade_audit::{self as audit, Trail};

use crate::api::Api;
use crate::authenticate::{ClientCertificate, Shown};
use crate::authorize;
use crate::error::{ApiError, ApiResult};
use crate::identity::{Identity, Requester};
use crate::limits;
use crate::metrics::Labels;
use crate::notes::Notes;
use crate::request::{Path, Query, Target};
use crate::resource;
use crate::respond::{self, Format};
use crate::share::{Lease, Party, Places};
use crate::table::Include;
use crate::time;
use crate::watch::{Asker, Shape, Watcher};
use palisade_https::metrics::Timed;
use palisade_https::{Body, Hangup, ReadError};
use work::{Work, run};

/// Answers requests.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    api: Arc<Api>,
}

/// The requester, and the audit record of the request.
struct Attended {
    identity: Identity,
    /// The user whose fair share the request uses: its sender, whomever it impersonates.
    party: Party,
    /// Ends its connection.
    hangup: Option<Hangup>,
    shown: Shown,
    notes: Arc<Notes>,
    trail: Arc<Trail>,
}

/// A request with its head parsed.
struct Head {
    method: Method,
    path: String,
    uri: String,
    query: Query,
    headers: HeaderMap,
    source: SocketAddr,
    received: String,
    id: String,
}

impl Head {
    fn header(&self, name: http::HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Service {
    pub(crate) fn new(api: Arc<Api>) -> Self {
        Self { api }
    }

    /// Answers one request; `certificate` is the client certificate of the connection.
    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
        certificate: Option<Arc<ClientCertificate>>,
        source: SocketAddr,
    ) -> Response<Body> {
        let timed = self.api.metrics.requests.begin();
        let (mut parts, body) = request.into_parts();
        let upgrade = parts.extensions.remove::<OnUpgrade>();
        let hangup = parts.extensions.remove::<Hangup>();
        let mut headers = parts.headers;
        name_host(&mut headers, &parts.uri);
        let mut query = Query::parse(parts.uri.query().unwrap_or_default());
        let path = query.of_old_watch(parts.uri.path(), &self.api.definitions.now());
        let head = Head {
            path: path.unwrap_or_else(|| parts.uri.path().to_owned()),
            query,
            uri: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            method: parts.method,
            headers,
            source,
            received: time::now(),
            id: uuid::Uuid::new_v4().to_string(),
        };
        let notes = Arc::new(Notes::default());
        let shown = console::shown(&self.api, &head, Shown::new(certificate, &head.headers));
        let requester = self.api.identify(&shown);
        let trail = self.begin(&head, requester.as_ref().ok(), &notes);
        let mut refusal = None;
        let mut response = match requester {
            Ok(requester) => {
                let attended = Attended {
                    party: self.party(requester.own(), source.ip()),
                    hangup,
                    identity: requester.identity,
                    shown,
                    notes: Arc::clone(&notes),
                    trail: Arc::clone(&trail),
                };
                self.route(&head, &attended, body, upgrade).await
            }
            Err(error) => Err(error),
        }
        .unwrap_or_else(|error| {
            let response = respond::error(&error, wanted(&head, None));
            refusal = Some(error);
            response
        });
        // Written before the answer is sent, unless the handler has written it already.
        trail.complete(response.status().as_u16(), refusal.as_deref(), None);
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(&head.id) {
            headers.insert("audit-id", id);
        }
        headers.insert("cache-control", HeaderValue::from_static("no-cache, private"));
        console::guard(&head.path, headers);
        for warning in notes.warnings() {
            let quoted = warning.replace(['\\', '"'], "'").replace(|c: char| c.is_control(), " ");
            if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()) {
                headers.append(WARNING, value);
            }
        }
        if head.method == Method::HEAD {
            respond::strip(&mut response);
        }
        self.count(&head, response.status().as_u16(), &timed);
        response
    }

    /// Begins the audit event of a request.
    fn begin(&self, head: &Head, requester: Option<&Requester>, notes: &Arc<Notes>) -> Arc<Trail> {
        let target = self.target_of(head);
        let verb = target.as_ref().and_then(|target| verb_of(head, target).ok());
        let method = head.method.as_str().to_lowercase();
        self.api.audit.begin(
            &audit::Request {
                id: &head.id,
                requester,
                verb: verb.unwrap_or(&method),
                uri: &head.uri,
                path: &head.path,
                source: &head.source.ip().to_string(),
                agent: head.header(USER_AGENT),
                target: target.as_ref(),
                received: &head.received,
            },
            notes,
        )
    }

    /// The party that a request is counted against.
    fn party(&self, identity: &Identity, source: IpAddr) -> Party {
        Party::of(identity, source, |namespace| {
            let policy = self.api.policy.snapshot();
            policy.namespace(namespace).and_then(Namespace::requester).cloned()
        })
    }

    /// The requested resource, if any.
    fn target_of(&self, head: &Head) -> Option<Target> {
        match Path::parse(&head.path, &self.api.definitions.now()) {
            Ok(Path::Resource(target)) => Some(target),
            _ => None,
        }
    }

    /// Counts an answered request.
    fn count(&self, head: &Head, code: u16, timed: &Timed<'_, Labels>) {
        let target = self.target_of(head);
        let verb = target.as_ref().and_then(|target| verb_of(head, target).ok());
        timed.end(Labels::new(verb.unwrap_or("other"), target.as_ref()), code);
    }

    /// Routes a request to its handler, once it is authorized and its media type is supported.
    async fn route(
        &self,
        head: &Head,
        attended: &Attended,
        body: Incoming,
        upgrade: Option<OnUpgrade>,
    ) -> ApiResult<Response<Body>> {
        let target = match self.path(head, &attended.identity)? {
            Path::Resource(target) => target,
            Path::Other if head.path == backup::PATH => {
                return backup::answer(&self.api, head, &attended.identity, body).await;
            }
            Path::Other if console::is_below(&head.path) => {
                let answer = console::answer(&self.api, head, attended, body).await?;
                return self.hold(attended, answer).await;
            }
            Path::Other => {
                let answer = other::answer(&self.api, head, attended).await?;
                return self.hold(attended, answer).await;
            }
        };
        let told = |error| self.told(head, &attended.identity, error);
        let verb = verb_of(head, &target).map_err(told)?;
        self.authorize(head, attended, &target, verb)?;
        let has_method = match target.subresource {
            Some(part) => part.allows(verb),
            None => target.resource.allows(verb),
        };
        if !has_method {
            return Err(ApiError::method_not_allowed(&target.resource));
        }
        if verb == "watch" {
            return self.watch(head, attended, &target).await;
        }
        if lacks_namespace(&target, verb) {
            return Err(ApiError::method_not_allowed(&target.resource));
        }
        let is_stream = target.subresource.is_some_and(|part| part.serves.is_stream());
        let accept = head.header(ACCEPT);
        if !is_stream && Format::parse(accept, Some(&target.resource)).is_none() && !is_for_kubernetes(accept)
        {
            return Err(ApiError::not_acceptable(accept));
        }
        let (bytes, held) = match is_stream {
            true => (Bytes::new(), None),
            false => read(&self.api, &attended.party, body, limits::BODY).await?,
        };
        let format = wanted(head, Some(&target.resource));
        let include = Include::parse(head.query.get("includeObject"))
            .ok_or_else(|| ApiError::bad_request("includeObject: must be None, Metadata or Object"))?;
        let work = Arc::new(self.work(head, attended, target, bytes));
        if is_stream {
            return stream::answer(&work, head, upgrade).await;
        }
        let shape = work::Shape { format, include };
        if let Some(answer) = pages::answer(&work, shape).await? {
            return Ok(answer);
        }
        let answer = run(Arc::clone(&work), held, shape).await?;
        self.hold(attended, answer).await
    }

    /// Counts an answer until it is sent.
    async fn hold(&self, attended: &Attended, answer: Response<Body>) -> ApiResult<Response<Body>> {
        self.api.shares.hold_answer(&attended.party, attended.hangup.clone(), answer).await
    }

    /// Parses the path.
    fn path(&self, head: &Head, identity: &Identity) -> ApiResult<Path> {
        Path::parse(&head.path, &self.api.definitions.now()).map_err(|error| self.told(head, identity, error))
    }

    /// The refusal as a user is told it: to those who may not see which paths exist, all paths are refused alike.
    fn told(&self, head: &Head, identity: &Identity, error: Box<ApiError>) -> Box<ApiError> {
        match authorize::allowed_path(&self.api.policy, identity, "get", "/api") {
            true => error,
            false => other::forbidden(head, identity),
        }
    }

    /// Refuses what the requester may not do, and records the decision for the audit log.
    fn authorize(&self, head: &Head, attended: &Attended, target: &Target, verb: &str) -> ApiResult<()> {
        let mut asked = target.clone();
        let mut node = None;
        // A list that selects one name is authorized for that name.
        if matches!(verb, "list" | "watch") && asked.name.is_empty() {
            let selector = head.query.get("fieldSelector").unwrap_or_default();
            let fields = crate::selector::Fields::parse(selector, &target.resource.selectable());
            let fields = fields.map_err(|error| self.told(head, &attended.identity, error))?;
            asked.name = fields.name().unwrap_or_default().to_owned();
            node = fields.node().map(str::to_owned);
        }
        let why = self.api.require(&attended.identity, verb, &asked, node.as_deref());
        let notes = &attended.notes;
        notes.annotate("authorization.k8s.io/decision", if why.is_ok() { "allow" } else { "forbid" });
        notes.annotate("authorization.k8s.io/reason", why.as_deref().unwrap_or_default());
        why.map(drop).map_err(|error| self.told(head, &attended.identity, error))
    }

    fn work(&self, head: &Head, attended: &Attended, target: Target, bytes: Bytes) -> Work {
        Work {
            api: Arc::clone(&self.api),
            identity: attended.identity.clone(),
            party: attended.party.clone(),
            hangup: attended.hangup.clone(),
            target,
            query: head.query.clone(),
            agent: head.header(USER_AGENT).to_owned(),
            content_type: head.header(CONTENT_TYPE).to_owned(),
            method: head.method.clone(),
            notes: Arc::clone(&attended.notes),
            trail: Arc::clone(&attended.trail),
            bytes,
            places: Places::default(),
        }
    }

    async fn watch(&self, head: &Head, attended: &Attended, target: &Target) -> ApiResult<Response<Body>> {
        let include = Include::parse(head.query.get("includeObject")).unwrap_or(Include::Metadata);
        let shape = match Format::parse(head.header(ACCEPT), Some(&target.resource)) {
            Some(Format::Table) => Shape::Table(include),
            Some(Format::Metadata) => Shape::Metadata,
            _ => Shape::Object,
        };
        let seconds = head.query.number("timeoutSeconds")?;
        let shown = attended.shown.clone();
        let (identity, party) = (attended.identity.clone(), attended.party.clone());
        let place = self.api.shares.watches.get(&party, 1).await?;
        let asker = Asker { identity, shown, party };
        let (watcher, receiver) = Watcher::new(&self.api, asker, target, &head.query, shape)?;
        let trail = Arc::clone(&attended.trail);
        trail.started(200);
        tokio::spawn(async move {
            watcher.run(seconds).await;
            drop(place);
            // The final audit line is written when the last holder drops the trail.
            drop(trail);
        });
        Ok(Body::stream(respond::JSON, receiver, None))
    }
}

/// Whether an object of a namespaced kind would be created without a namespace; reviews, which are not stored, may be.
fn lacks_namespace(target: &Target, verb: &str) -> bool {
    let is_review = target.resource.review.is_some();
    target.resource.namespaced && verb == "create" && target.namespace.is_empty() && !is_review
}

/// HTTP/2 has the host in the request itself; here it is moved to where HTTP/1 has it.
fn name_host(headers: &mut HeaderMap, uri: &http::Uri) {
    let named = uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let Some(host) = named {
        headers.insert(http::header::HOST, host);
    }
}

/// Whether a client accepts a format that only Kubernetes has: it accepts JSON too, which is used instead.
fn is_for_kubernetes(accept: &str) -> bool {
    accept.contains("application/vnd.kubernetes.protobuf")
}

/// The format that a client accepts; JSON if none of them is supported.
fn wanted(head: &Head, resource: Option<&resource::Resource>) -> Format {
    let accept = head.header(ACCEPT);
    match Format::parse(accept, resource) {
        Some(format) => format,
        None if accept.starts_with("application/vnd.kubernetes.protobuf") && resource.is_none() => {
            Format::Protobuf
        }
        None => Format::Json,
    }
}

/// The RBAC verb of a request.
fn verb_of(head: &Head, target: &Target) -> ApiResult<&'static str> {
    let is_one = !target.name.is_empty();
    Ok(match (&head.method, is_one) {
        (&Method::GET | &Method::HEAD, false) if head.query.is_true("watch") => "watch",
        (&Method::GET | &Method::HEAD, true) => "get",
        (&Method::GET | &Method::HEAD, false) => "list",
        (&Method::POST, _) => "create",
        (&Method::PUT, true) => "update",
        (&Method::PATCH, true) => "patch",
        (&Method::DELETE, true) => "delete",
        (&Method::DELETE, false) => "deletecollection",
        _ => return Err(ApiError::method_not_allowed(&target.resource)),
    })
}

/// Reads a body of at most `limit` bytes, after reserving memory for it.
async fn read(api: &Api, party: &Party, body: Incoming, limit: usize) -> ApiResult<(Bytes, Option<Lease>)> {
    let length = hyper::body::Body::size_hint(&body).exact();
    // A body of unknown length may have the maximum length.
    let length = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(limit);
    if length == 0 {
        return Ok((Bytes::new(), None));
    }
    let mut held = api.shares.body(party, length.min(limit)).await?;
    let read = palisade_https::read(body, limit, limits::BODY_TIME).await;
    let bytes = read.map_err(|error| match error {
        ReadError::TooLarge(limit) => ApiError::too_large(limit),
        ReadError::Slow => ApiError::timeout(error.to_string()),
        ReadError::Broken(_) => ApiError::bad_request(error.to_string()),
    })?;
    held.shrink(bytes.len());
    Ok((bytes, Some(held)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_known_in_both_versions_of_http() {
        let host = |header: Option<&'static str>, uri: &str| {
            let mut headers = HeaderMap::new();
            header.map(|header| headers.insert(http::header::HOST, HeaderValue::from_static(header)));
            name_host(&mut headers, &uri.parse().unwrap());
            headers.get(http::header::HOST).map(|host| host.to_str().unwrap().to_owned())
        };
        assert_eq!(host(Some("a:6443"), "/version").as_deref(), Some("a:6443"));
        assert_eq!(host(None, "https://b:6443/version").as_deref(), Some("b:6443"));
        assert_eq!(host(None, "/version"), None);
    }
}
