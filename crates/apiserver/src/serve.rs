//! Requests: routing, limits, and the response.

mod backup;
mod console;
mod oauth;
mod other;
mod pages;
mod stream;

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
use crate::body::media_type;
use crate::call::{Answer, Call, Stay};
use crate::error::{ApiError, ApiResult};
use crate::gate::Pass;
use crate::identity::{Identity, Requester};
use crate::limits;
use crate::metrics::Labels;
use crate::notes::Notes;
use crate::objects;
use crate::patch;
use crate::request::{Path, Query, Target};
use crate::resource::{self, Serves, Subresource};
use crate::respond::{self, Format};
use crate::review;
use crate::share::{Lease, Party, Places};
use crate::table::Include;
use crate::time;
use crate::verb;
use crate::watch::{Asker, Shape, Watcher};
use crate::weight;
use palisade_https::metrics::Timed;
use palisade_https::{Body, Hangup, ReadError};

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
        let shape = pages::Shape { format, include };
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

/// Handles a request on a thread that may wait for the disk; slow ones on a thread of low priority. Its place among the requests
/// is kept until there is memory for the answer.
async fn run(work: Arc<Work>, held: Option<Lease>, shape: pages::Shape) -> ApiResult<Response<Body>> {
    let (shares, party) = (&work.api.shares, &work.party);
    let place = shares.requests.get(party, 1).await?;
    let is_large = work.bytes.len() > limits::LONG || work.is_of_large();
    let weighing = Arc::clone(&work);
    let weight = match is_large {
        true => shares.lane.run(move || weighing.weight()).await.unwrap_or_default(),
        false => work.weight(),
    };
    let is_long = work.bytes.len() > limits::LONG || weight > limits::LONG_WEIGHT || work.is_costly();
    // A slow one waits for its turn first, and holds nothing meanwhile that others want.
    let place = if is_long { None } else { Some(place) };
    if is_long {
        work.places.hold_turn(shares.long.get(party, 1).await?);
    }
    if weight > 0 {
        work.places.hold_memory(shares.trees.get(party, weight).await?);
    }
    held.into_iter().for_each(|held| work.places.hold_memory(held));
    work.places.hold(match place {
        Some(place) => place,
        None => shares.requests.get(party, 1).await?,
    });
    let doing = Arc::clone(&work);
    let done = match is_long {
        true => {
            let act = move || {
                let done = doing.answer(shape);
                palisade_sys::memory::trim();
                done
            };
            shares.lane.run(act).await
        }
        false => tokio::task::spawn_blocking(move || doing.answer(shape)).await.ok(),
    };
    work.places.end_work();
    done.ok_or_else(|| {
        work.trail.panicked();
        ApiError::internal("the request could not be answered")
    })
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

/// A request with its body, for a thread that may block.
struct Work {
    api: Arc<Api>,
    identity: Identity,
    party: Party,
    hangup: Option<Hangup>,
    target: Target,
    query: Query,
    agent: String,
    content_type: String,
    method: Method,
    notes: Arc<Notes>,
    trail: Arc<Trail>,
    bytes: Bytes,
    places: Places,
}

impl Work {
    fn call<'a>(&'a self, pass: Option<&'a Pass<'a>>) -> Call<'a> {
        Call {
            api: &self.api,
            identity: &self.identity,
            target: &self.target,
            query: &self.query,
            agent: &self.agent,
            notes: &self.notes,
            stay: Stay { places: Some(&self.places), pass },
        }
    }

    /// The weight of the request's objects as values, including the copies of them.
    fn weight(&self) -> usize {
        let [reads, makes, changes] = limits::COPIES;
        let body = weight::of_body(&self.bytes, &self.content_type);
        let body = if self.bytes.is_empty() { 0 } else { body };
        let body = body + self.of_defaults(&self.bytes, &self.content_type);
        let copies = patch::copies(&self.bytes, media_type(&self.content_type));
        let kept = if self.target.name.is_empty() { 0 } else { self.kept_weight() };
        match self.method.as_str() {
            "POST" => body * makes + kept * reads,
            "PUT" | "PATCH" => body * makes + kept * changes + copies,
            "DELETE" => body + kept * makes,
            _ => kept * reads,
        }
    }

    /// The weight of the requested object as it is stored.
    fn kept_weight(&self) -> usize {
        let (store, target) = (&self.api.store, &self.target);
        let key = objects::key(&target.resource, &target.namespace, &target.name);
        let (light, times) = limits::LIGHT;
        let has_defaults = target.resource.heaviest_defaults() > 0;
        match store.length(&key) {
            Ok(Some(length)) if length <= light && !has_defaults => length * times,
            Ok(Some(_)) => store.get(&key).ok().flatten().map_or(0, |kept| {
                weight::of_json(&kept.value) + self.of_defaults(&kept.value, "application/json")
            }),
            _ => 0,
        }
    }

    /// An upper bound on the weight of the defaults that an object gets.
    fn of_defaults(&self, text: &[u8], content_type: &str) -> usize {
        match self.target.resource.heaviest_defaults() {
            0 => 0,
            _ if text.is_empty() => 0,
            most => most.saturating_mul(weight::places(text, content_type)).min(limits::DEFAULTS),
        }
    }

    /// Whether the requested object is not small.
    fn is_of_large(&self) -> bool {
        let target = &self.target;
        let key = objects::key(&target.resource, &target.namespace, &target.name);
        let length = self.api.store.length(&key).ok().flatten();
        !target.name.is_empty() && length.is_some_and(|length| length > limits::LIGHT.0)
    }

    /// Whether it uses much CPU, however small the request is.
    fn is_costly(&self) -> bool {
        self.target.subresource.is_some_and(|part| matches!(part.serves, Serves::Password))
    }

    /// Handles it, records the audit event, and writes the answer.
    fn answer(&self, shape: pages::Shape) -> Response<Body> {
        let pass = self.api.gate.enter();
        self.trail.request(&self.bytes, &self.content_type);
        let pages::Shape { format, include } = shape;
        let answer = self.run(&pass);
        // Recorded by the thread that did the work, and before the answer: a client that has disconnected still leaves
        // a line.
        match &answer {
            Ok(answer) => self.trail.complete(answer.code, None, Some(&answer.object)),
            Err(error) => self.trail.complete(error.code(), Some(error), None),
        }
        let resource = &self.target.resource;
        match answer {
            Ok(answer) => respond::object(answer.code, &answer.object, format, resource, include),
            Err(error) => respond::error(&error, format),
        }
    }

    fn run(&self, pass: &Pass<'_>) -> ApiResult<Answer> {
        let call = self.call(Some(pass));
        let (bytes, content_type) = (self.bytes.as_ref(), self.content_type.as_str());
        verb::options::check(self.method.as_str(), content_type, &self.query)?;
        if let Some(part) = self.target.subresource {
            return self.subresource(&call, part);
        }
        match (self.method.as_str(), self.target.name.as_str()) {
            // All other lists are answered part by part.
            ("GET" | "HEAD", "") => Ok(verb::list_reviews()),
            ("GET" | "HEAD", _) => verb::get(&call),
            ("POST", "") => match self.target.resource.review {
                Some(review) => review::answer(&call, review, bytes, content_type),
                None => verb::create(&call, bytes, content_type),
            },
            ("PUT", _) => verb::update(&call, bytes, content_type),
            ("PATCH", _) => self.patch(&call),
            ("DELETE", "") => verb::delete_collection(&call, bytes, content_type),
            ("DELETE", _) => verb::delete(&call, bytes, content_type),
            _ => Err(ApiError::method_not_allowed(&self.target.resource)),
        }
    }

    fn subresource(&self, call: &Call<'_>, part: &Subresource) -> ApiResult<Answer> {
        let (bytes, content_type) = (self.bytes.as_ref(), self.content_type.as_str());
        let body = || crate::body::read(bytes, content_type, &mut Vec::new());
        match (self.method.as_str(), part.serves) {
            ("GET" | "HEAD", Serves::Part(_)) => verb::get(call),
            ("GET" | "HEAD", Serves::Scale) => verb::get_scale(call),
            ("PUT", Serves::Scale) => verb::update_scale(call, bytes, content_type),
            ("PATCH", Serves::Scale) => verb::patch_scale(call, bytes, content_type),
            ("POST", Serves::Token) => review::request_token(call, bytes, content_type),
            ("POST", Serves::Password) => review::set_password(call, bytes, content_type),
            ("POST", Serves::Binding) => {
                review::bind(call, &self.target.name, &review::admitted(call, body()?)?)
            }
            ("POST", Serves::Eviction) => review::evict(call, &review::admitted(call, body()?)?),
            ("PUT", Serves::Part(_)) => verb::update(call, bytes, content_type),
            ("PATCH", Serves::Part(_)) => self.patch(call),
            _ => Err(ApiError::method_not_allowed(&self.target.resource)),
        }
    }

    fn patch(&self, call: &Call<'_>) -> ApiResult<Answer> {
        let (bytes, content_type) = (self.bytes.as_ref(), self.content_type.as_str());
        match media_type(content_type) {
            "application/apply-patch+yaml" => verb::apply(call, bytes, content_type),
            _ => verb::patch(call, bytes, content_type),
        }
    }
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
