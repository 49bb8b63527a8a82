//! Paths outside of resources: discovery, OpenAPI, health, version, metrics, login.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, HeaderValue};
use http::{Method, Response};
use palisade_api::registry::Registry;
use serde_json::{Value, json};

use super::{Attended, Head, oauth};
use crate::api::Api;
use crate::authorize;
use crate::definitions;
use crate::discovery;
use crate::error::{ApiError, ApiResult};
use crate::failure;
use crate::identity::Identity;
use crate::openapi;
use crate::resource::Resource;
use crate::respond;
use crate::share::Lease;
use crate::version::version;
use palisade_https::Body;

pub(super) fn forbidden(head: &Head, identity: &Identity) -> Box<ApiError> {
    let verb = head.method.as_str().to_lowercase();
    ApiError::forbidden_path(format!("User {:?} cannot {verb} path {:?}", identity.name, head.path))
}

pub(super) async fn answer(api: &Arc<Api>, head: &Head, attended: &Attended) -> ApiResult<Response<Body>> {
    let identity = &attended.identity;
    let path = head.path.as_str();
    let verb = match head.method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        _ => "other",
    };
    let bare = if path.len() > 1 { path.trim_end_matches('/') } else { path };
    if !authorize::allowed_path(&api.policy, identity, verb, bare) {
        return Err(forbidden(head, identity));
    }
    let accept = head.header(ACCEPT);
    let registry = api.definitions.now();
    let parts: Vec<&str> = bare.split('/').filter(|part| !part.is_empty()).collect();
    let found = match parts.as_slice() {
        [] => Some(
            json!({"paths": ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2",
                                    "/openapi/v3", "/readyz", "/version"]}),
        ),
        ["healthz" | "livez" | "readyz"] => return Ok(health(api, head)),
        ["healthz" | "livez" | "readyz", "ping"] => return Ok(Body::text(200, "ok")),
        ["healthz" | "livez" | "readyz", "store"] => return Ok(health(api, head)),
        ["version"] => Some(version()),
        ["metrics"] => return Ok(metrics(api)),
        ["api"] => return aggregate(api, accept, &registry, true).await,
        ["apis"] => return aggregate(api, accept, &registry, false).await,
        ["api" | "apis", ..] => {
            // A path may be spelled with any number of slashes.
            let name = parts.join("/");
            let parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
            let made = document(api, &registry, &name, move |registry| of_group(registry, &parts)).await?;
            let answer = made.map(|bytes| Body::bytes(200, respond::JSON, bytes));
            return answer.ok_or_else(ApiError::no_such_path);
        }
        ["openapi", rest @ ..] => return openapi(api, attended, rest, accept).await,
        [".well-known", "oauth-authorization-server"] => Some(oauth::metadata(head)),
        ["oauth", "authorize"] => return oauth::authorize(api, head).await,
        ["oauth", "token", "implicit"] => return Ok(Body::text(200, "")),
        _ => None,
    };
    found.map(|value| respond::json(200, &value)).ok_or_else(ApiError::no_such_path)
}

/// Answers with the OpenAPI documents of the types.
async fn openapi(
    api: &Arc<Api>,
    attended: &Attended,
    parts: &[&str],
    accept: &str,
) -> ApiResult<Response<Body>> {
    let registry = api.definitions.now();
    let document = match parts {
        ["v2"] if accept.contains("proto-openapi.spec.v2") => OpenApi::TwoInProtobuf,
        ["v2"] => OpenApi::Two,
        ["v3"] => return Ok(respond::json(200, &openapi::index(&registry))),
        ["v3", "api", version] => OpenApi::Three(String::new(), (*version).to_owned()),
        ["v3", "apis", group, version] => OpenApi::Three((*group).to_owned(), (*version).to_owned()),
        _ => return Err(ApiError::no_such_path()),
    };
    let (name, media_type) = (format!("{document:?}"), document.media_type());
    let made = match api.openapi.kept(&registry, &name) {
        Some(bytes) => Some(bytes),
        None => {
            let own = Arc::clone(api);
            long(api, attended, move || {
                own.openapi.make(&registry, &name, |registry| document.bytes(registry, &own))
            })
            .await?
        }
    };
    made.map(|bytes| Body::bytes(200, media_type, bytes)).ok_or_else(ApiError::no_such_path)
}

/// An OpenAPI document.
#[derive(Debug)]
enum OpenApi {
    Two,
    TwoInProtobuf,
    /// Of a group and a version.
    Three(String, String),
}

impl OpenApi {
    fn media_type(&self) -> &'static str {
        match self {
            // The @ of the requested name is not a token character of a media type (RFC 9110).
            Self::TwoInProtobuf => "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
            Self::Two | Self::Three(..) => respond::JSON,
        }
    }

    /// Bytes of the document; `None` if the group or the version does not exist.
    fn bytes(&self, registry: &Registry, api: &Api) -> Option<Vec<u8>> {
        let schemas = |resource: &Resource| definitions::schema(&api.store, resource);
        let value = match self {
            Self::TwoInProtobuf => return Some(openapi::two_in_protobuf(registry, &schemas)),
            Self::Two => openapi::two(registry, &schemas),
            Self::Three(group, version) => openapi::three(registry, group, version, &schemas)?,
        };
        Some(value.to_string().into_bytes())
    }
}

/// Runs slow work on a thread of low priority, one piece for each user at a time.
async fn long<T: Send + 'static>(
    api: &Api,
    attended: &Attended,
    work: impl FnOnce() -> T + Send + 'static,
) -> ApiResult<T> {
    let turn = api.shares.long.get(&attended.party, 1).await?;
    run_long(api, turn, work).await
}

/// Runs slow work whose turn has come.
pub(super) async fn run_long<T: Send + 'static>(
    api: &Api,
    turn: Lease,
    work: impl FnOnce() -> T + Send + 'static,
) -> ApiResult<T> {
    // The turn lasts as long as the work, even if the client has gone.
    let work = move || {
        let _turn = turn;
        work()
    };
    let done = api.shares.lane.run(work).await;
    done.ok_or_else(|| ApiError::internal("the request could not be answered"))
}

/// The text of a document of discovery, made at its first request on a thread that serves no connections; none if there is none.
async fn document(
    api: &Arc<Api>,
    registry: &Arc<Registry>,
    name: &str,
    make: impl FnOnce(&Registry) -> Option<Value> + Send + 'static,
) -> ApiResult<Option<Bytes>> {
    let make = move |registry: &Registry| Some(make(registry)?.to_string().into_bytes());
    if let Some(bytes) = api.documents.kept(registry, name) {
        return Ok(Some(bytes));
    }
    let (api, registry, name) = (Arc::clone(api), Arc::clone(registry), name.to_owned());
    let made = tokio::task::spawn_blocking(move || api.documents.make(&registry, &name, make)).await;
    made.map_err(|error| failure::internal("a document of discovery cannot be made", &error))
}

/// The document of a group or of one of its versions.
fn of_group(registry: &Registry, parts: &[String]) -> Option<Value> {
    match parts.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["api", "v1"] => discovery::resources(registry, "", "v1"),
        ["apis", group] => discovery::group(registry, group),
        ["apis", group, version] => discovery::resources(registry, group, version),
        _ => None,
    }
}

/// Discovery in one answer (aggregated) for clients that request it, else by group.
async fn aggregate(
    api: &Arc<Api>,
    accept: &str,
    registry: &Arc<Registry>,
    core: bool,
) -> ApiResult<Response<Body>> {
    let Some(version) = accept.split(',').find_map(aggregated) else {
        let groups = if core { discovery::versions() } else { discovery::group_list(registry) };
        return Ok(respond::json(200, &groups));
    };
    let name = format!("{} {version}", if core { "core" } else { "groups" });
    let make = move |registry: &Registry| Some(discovery::aggregated(registry, core, version));
    let made = document(api, registry, &name, make).await?.unwrap_or_default();
    let mut response = Body::bytes(200, respond::JSON, made);
    let media_type = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
    if let Ok(value) = HeaderValue::from_str(&media_type) {
        response.headers_mut().insert(http::header::CONTENT_TYPE, value);
    }
    response.headers_mut().insert(http::header::VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

/// The version of aggregated discovery that a media type asks for.
fn aggregated(wanted: &str) -> Option<&'static str> {
    let is_aggregated = wanted.contains("as=APIGroupDiscoveryList");
    let versions = ["v2beta1", "v2"].into_iter();
    versions.filter(|_| is_aggregated).find(|version| wanted.contains(&format!("v={version}")))
}

/// The server is healthy if its store can be read.
fn health(api: &Api, head: &Head) -> Response<Body> {
    let works = api.store.list("namespaces", None, Some(1), None).is_ok();
    let code = if works { 200 } else { 500 };
    if head.query.get("verbose").is_none() {
        return Body::text(code, if works { "ok" } else { "the store cannot be read" });
    }
    let name = head.path.trim_matches('/');
    let sign = if works { "[+]store ok" } else { "[-]store failed" };
    let said = if works { "passed" } else { "failed" };
    Body::text(code, format!("[+]ping ok\n{sign}\n{name} check {said}\n"))
}

fn metrics(api: &Api) -> Response<Body> {
    let text = api.metrics.text(api.store.revision().number());
    Body::bytes(200, palisade_https::metrics::MEDIA_TYPE, text.into_bytes())
}
