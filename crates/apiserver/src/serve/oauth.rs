//! Login with a name and a password, by the flow of `oc login`: an OAuth server's address, a challenge, a redirect with
//! a token.

use std::sync::Arc;

use http::Response;
use http::header::{AUTHORIZATION, HOST, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use serde_json::{Value, json};

use super::Head;
use crate::api::Api;
use crate::error::{ApiError, ApiResult};
use crate::limits::LOGIN;
use crate::request::encode;
use crate::respond;
use crate::token;
use palisade_https::Body;

/// The OAuth client that answers challenges, and its redirect URI.
const CHALLENGING: &str = "openshift-challenging-client";

/// The path to which a client is redirected once it has logged in.
const RETURN: &str = "/oauth/token/implicit";

/// The URL of this server by the name that the client uses; `localhost` if that name is not valid.
fn address(head: &Head) -> String {
    let host = head.header(HOST);
    let is_name =
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b));
    format!("https://{}", if is_name { host } else { "localhost" })
}

/// Refuses redirects other than that of the challenging client.
fn check_return(head: &Head) -> ApiResult<()> {
    let wanted = head.query.get("redirect_uri").filter(|uri| !uri.is_empty());
    match wanted {
        Some(uri) if uri != RETURN && uri != format!("{}{RETURN}", address(head)) => {
            Err(ApiError::bad_request(format!("redirect_uri: {CHALLENGING} is sent to {RETURN} only")))
        }
        _ => Ok(()),
    }
}

/// The metadata of the OAuth server, which is this server (RFC 8414).
pub(super) fn metadata(head: &Head) -> Value {
    let base = address(head);
    json!({
        "issuer": base,
        "authorization_endpoint": format!("{base}/oauth/authorize"),
        "token_endpoint": format!("{base}/oauth/token"),
        "scopes_supported": ["user:full"],
        "response_types_supported": ["token"],
        "grant_types_supported": ["implicit"],
        "code_challenge_methods_supported": ["plain", "S256"],
    })
}

/// Requests a password, then redirects the client with a token.
pub(super) async fn authorize(api: &Arc<Api>, head: &Head) -> ApiResult<Response<Body>> {
    let client = head.query.get("client_id").unwrap_or_default();
    if client != CHALLENGING || head.query.get("response_type") != Some("token") {
        return Err(ApiError::bad_request(format!(
            "only response_type=token of the client {CHALLENGING} is served"
        )));
    }
    check_return(head)?;
    let found = api.logins.check(&api.store, head.source.ip(), head.header(AUTHORIZATION)).await?;
    let Some(user) = found else {
        let mut response = respond::error(&ApiError::unauthorized(), respond::Format::Json);
        let challenge = HeaderValue::from_static("Basic realm=\"openshift\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        return Ok(response);
    };
    // Groups are looked up when they are needed, so that leaving a group takes effect at once.
    let token = token::issue(&api.store, &user, LOGIN)?;
    let state = head.query.get("state").map(|state| format!("&state={}", encode(state))).unwrap_or_default();
    // A path on this server, whatever name the client uses for it: a token is sent nowhere else.
    let location = format!(
        "{RETURN}#access_token={token}&expires_in={LOGIN}&scope=user%3Afull&token_type=Bearer{state}"
    );
    let mut response = Body::text(302, "");
    let value = HeaderValue::from_str(&location)
        .map_err(|_| ApiError::bad_request("state: cannot be part of an address"))?;
    response.headers_mut().insert(LOCATION, value);
    Ok(response)
}
