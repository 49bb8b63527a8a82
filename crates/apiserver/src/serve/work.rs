//! A request with its body: its weight, its turn, and the verb that answers it.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response};
use palisade_audit::Trail;
use palisade_https::{Body, Hangup};

use crate::api::Api;
use crate::body::media_type;
use crate::call::{Answer, Call, Stay};
use crate::error::{ApiError, ApiResult};
use crate::gate::Pass;
use crate::identity::Identity;
use crate::limits;
use crate::notes::Notes;
use crate::objects;
use crate::patch;
use crate::request::{Query, Target};
use crate::resource::{Serves, Subresource};
use crate::respond::{self, Format};
use crate::review;
use crate::share::{Lease, Party, Places};
use crate::table::Include;
use crate::verb;
use crate::weight;

/// The encoding of an answer.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) format: Format,
    pub(super) include: Include,
}

/// A request with its body, for a thread that may block.
pub(super) struct Work {
    pub(super) api: Arc<Api>,
    pub(super) identity: Identity,
    pub(super) party: Party,
    pub(super) hangup: Option<Hangup>,
    pub(super) target: Target,
    pub(super) query: Query,
    pub(super) agent: String,
    pub(super) content_type: String,
    pub(super) method: Method,
    pub(super) notes: Arc<Notes>,
    pub(super) trail: Arc<Trail>,
    pub(super) bytes: Bytes,
    pub(super) places: Places,
}

impl Work {
    pub(super) fn call<'a>(&'a self, pass: Option<&'a Pass<'a>>) -> Call<'a> {
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
    fn answer(&self, shape: Shape) -> Response<Body> {
        let pass = self.api.gate.enter();
        self.trail.request(&self.bytes, &self.content_type);
        let Shape { format, include } = shape;
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

/// Handles a request on a thread that may wait for the disk; slow ones on a thread of low priority. Its place among the requests
/// is kept until there is memory for the answer.
pub(super) async fn run(work: Arc<Work>, held: Option<Lease>, shape: Shape) -> ApiResult<Response<Body>> {
    let (shares, party) = (&work.api.shares, &work.party);
    let place = shares.requests.get(party, 1).await?;
    let is_large = work.bytes.len() > limits::LONG || work.is_of_large();
    let weighing = Arc::clone(&work);
    let weight = match is_large {
        true => shares.lane.run(move || weighing.weight()).await.unwrap_or_default(),
        false => work.weight(),
    };
    let is_long = work.bytes.len() > limits::LONG || weight > limits::LONG_WEIGHT || work.is_costly();
    // A slow one waits for its turn without a place. Then all take a place before memory, so that none waits for the other.
    let place = match is_long {
        true => {
            drop(place);
            work.places.hold_turn(shares.long.get(party, 1).await?);
            shares.requests.get(party, 1).await?
        }
        false => place,
    };
    work.places.hold(place);
    if weight > 0 {
        work.places.hold_memory(shares.trees.get(party, weight).await?);
    }
    held.into_iter().for_each(|held| work.places.hold_memory(held));
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
