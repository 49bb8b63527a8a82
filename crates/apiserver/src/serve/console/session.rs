//! Sessions of browsers: a form for a name and a password, and a cookie with a token.

use http::Response;
use http::header::{COOKIE, HeaderMap, HeaderValue, SET_COOKIE};
use palisade_https::Body;
use palisade_review::Frame;

use super::{Head, ROOT, page, redirect};
use crate::api::Api;
use crate::error::{ApiError, ApiResult};
use crate::limits::SESSION;
use crate::request::Query;
use crate::token;

/// The prefix makes browsers keep the cookie for this host alone, and for TLS.
const NAME: &str = "__Host-palisade";

/// The token in the cookie of a request.
pub(super) fn token(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, token) = pairs.find(|(name, _)| *name == NAME)?;
    // Accounts of pods have no sessions.
    Some(token).filter(|token| token.starts_with(token::PREFIX))
}

fn cookie(token: &str, seconds: i64) -> ApiResult<HeaderValue> {
    let text = format!("{NAME}={token}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Strict");
    HeaderValue::from_str(&text).map_err(|_| ApiError::internal("the cookie cannot be written"))
}

/// Begins a session, or shows the form again.
pub(super) async fn log_in(api: &Api, head: &Head, form: &Query) -> ApiResult<Response<Body>> {
    let field = |name: &str| form.get(name).unwrap_or_default().to_owned();
    let (name, password) = (field("username"), field("password"));
    let found = api.logins.check_password(&api.store, head.source.ip(), name, password).await?;
    let Some(user) = found else {
        let frame = Frame { root: ROOT, ..Frame::default() };
        return page(palisade_review::login("The name or the password is wrong."), 401, &frame);
    };
    let cookie = cookie(&token::issue(&api.store, &user, SESSION)?, SESSION)?;
    // The new session has a new token, so that one who knew the old one cannot use it.
    end(api, head);
    let mut response = redirect(ROOT);
    response.headers_mut().insert(SET_COOKIE, cookie);
    Ok(response)
}

/// Ends a session.
pub(super) fn log_out(api: &Api, head: &Head) -> Response<Body> {
    end(api, head);
    let mut response = redirect("/console/login");
    if let Ok(cookie) = cookie("", 0) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

fn end(api: &Api, head: &Head) {
    if let Some(token) = token(&head.headers) {
        token::end(&api.store, token);
    }
}
