//! Paths outside of resources: discovery, OpenAPI, health, version, metrics, login.

use std::sync::Arc;

use http::header::{ACCEPT, HeaderValue};
use http::{Method, Response};
use palisade_api::registry::Registry;
use serde_json::json;

use super::{Attended, Head, oauth};
use crate::api::Api;
use crate::authorize;
use crate::definitions;
use crate::discovery;
use crate::error::{ApiError, ApiResult};
use crate::identity::Identity;
use crate::openapi;
use crate::resource::Resource;
use crate::respond;
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
        ["api"] => return Ok(aggregate(accept, &registry, true)),
        ["apis"] => return Ok(aggregate(accept, &registry, false)),
        ["api", "v1"] => discovery::resources(&registry, "", "v1"),
        ["apis", group] => discovery::group(&registry, group),
        ["apis", group, version] => discovery::resources(&registry, group, version),
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
    let (own, registry) = (Arc::clone(api), api.definitions.now());
    let schemas = move |resource: &Resource| definitions::schema(&own.store, resource);
    let three = async |group: &str, version: &str| {
        let (group, version) = (group.to_owned(), version.to_owned());
        let (registry, schemas) = (Arc::clone(&registry), schemas.clone());
        long(api, attended, move || openapi::three(&registry, &group, &version, &schemas)).await
    };
    let found = match parts {
        ["v2"] if accept.contains("proto-openapi.spec.v2") => {
            // The @ of the requested name is not a token character of a media type (RFC 9110).
            let media_type = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
            let bytes = long(api, attended, move || openapi::two_in_protobuf(&registry, &schemas)).await?;
            return Ok(Body::bytes(200, media_type, bytes));
        }
        ["v2"] => Some(long(api, attended, move || openapi::two(&registry, &schemas)).await?),
        ["v3"] => Some(openapi::index(&registry)),
        ["v3", "api", version] => three("", version).await?,
        ["v3", "apis", group, version] => three(group, version).await?,
        _ => None,
    };
    found.map(|value| respond::json(200, &value)).ok_or_else(ApiError::no_such_path)
}

/// Runs slow work on a thread of low priority, one piece for each user at a time.
pub(super) async fn long<T: Send + 'static>(
    api: &Api,
    attended: &Attended,
    work: impl FnOnce() -> T + Send + 'static,
) -> ApiResult<T> {
    let turn = api.shares.long.get(&attended.party, 1).await?;
    // The turn lasts as long as the work, even if the client has gone.
    let work = move || {
        let _turn = turn;
        work()
    };
    let done = api.shares.lane.run(work).await;
    done.ok_or_else(|| ApiError::internal("the request could not be answered"))
}

/// Discovery in one answer (aggregated) for clients that request it, else by group.
fn aggregate(accept: &str, registry: &Registry, core: bool) -> Response<Body> {
    for wanted in accept.split(',') {
        let is_aggregated = wanted.contains("as=APIGroupDiscoveryList");
        let version = match (wanted.contains("v=v2beta1"), wanted.contains("v=v2")) {
            (true, _) => "v2beta1",
            (false, true) => "v2",
            _ => continue,
        };
        if is_aggregated {
            let mut response = respond::json(200, &discovery::aggregated(registry, core, version));
            let media_type =
                format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
            if let Ok(value) = HeaderValue::from_str(&media_type) {
                response.headers_mut().insert(http::header::CONTENT_TYPE, value);
            }
            response.headers_mut().insert(http::header::VARY, HeaderValue::from_static("Accept"));
            return response;
        }
    }
    respond::json(200, &if core { discovery::versions() } else { discovery::group_list(registry) })
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
