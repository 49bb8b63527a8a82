//! `/console`: the pages of `palisade review`, `scc diff`, `scc impact` and `seccomp explain|diff`, for the objects of
//! the server.
//!
//! Every page is computed from objects that its reader may read (`view`), and changes nothing. A browser logs in by a
//! form and gets a cookie, which is valid for these paths alone (`session`). Pages are notified of changes (`live`).

mod live;
mod session;
mod shipped;
mod view;

use std::sync::Arc;

use http::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, ORIGIN};
use http::{Method, Response};
use hyper::body::Incoming;
use palisade_review::{Frame, Page, PageError};

use super::other::run_long;
use super::{Attended, Head, read};
use crate::api::Api;
use crate::authenticate::Shown;
use crate::error::{ApiError, ApiResult};
use crate::failure;
use crate::identity::ANONYMOUS;
use crate::limits;
use crate::request::Query;
use crate::share::Lease;
use palisade_https::Body;
use view::{Patience, Reader};

const ROOT: &str = "/console";
const HTML: &str = "text/html; charset=utf-8";

/// Headers of every answer: no caching, no frames, no content sniffing, no resources from elsewhere. A referrer is sent
/// to this server only; without any, browsers would omit the origin of a form too.
const GUARDS: [(&str, &str); 7] = [
    ("cache-control", "no-store"),
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
         form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    ("x-frame-options", "DENY"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// Whether a path is one of the console's.
pub(super) fn is_below(path: &str) -> bool {
    path.strip_prefix(ROOT).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Puts the headers of the console on an answer to one of its paths.
pub(super) fn guard(path: &str, headers: &mut HeaderMap) {
    if is_below(path) {
        for (name, value) in GUARDS {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
    }
}

/// The credentials of a request, its session cookie among them if the path is one of the console's: the cookie counts
/// nowhere else, so that no other site's page can use the API with it.
pub(super) fn shown(api: &Api, head: &Head, shown: Shown) -> Shown {
    let token = session::token(&head.headers).filter(|_| is_below(&head.path));
    match token.filter(|token| api.tokens.check(&api.store, token, &[]).is_some()) {
        Some(token) => shown.with_session(token),
        None => shown,
    }
}

/// Answers a request for a page.
pub(super) async fn answer(
    api: &Arc<Api>,
    head: &Head,
    attended: &Attended,
    body: Incoming,
) -> ApiResult<Response<Body>> {
    match serve(api, head, attended, body).await {
        Err(error) if wants_html(head) => {
            let title = error.reason.as_str();
            page(palisade_review::message(title, &error.message), error.code(), &Frame::default())
        }
        answer => answer,
    }
}

fn wants_html(head: &Head) -> bool {
    head.header(ACCEPT).contains("text/html")
}

async fn serve(
    api: &Arc<Api>,
    head: &Head,
    attended: &Attended,
    body: Incoming,
) -> ApiResult<Response<Body>> {
    let name = head.path.strip_prefix(ROOT).unwrap_or_default().trim_matches('/');
    let is_get = matches!(head.method, Method::GET | Method::HEAD);
    let is_post = head.method == Method::POST;
    match name {
        "style.css" if is_get => {
            return Ok(Body::bytes(200, "text/css; charset=utf-8", palisade_review::STYLE));
        }
        "live.js" if is_get => return Ok(Body::bytes(200, "text/javascript", palisade_review::SCRIPT)),
        "login" if is_get => return page(palisade_review::login(""), 200, &frame(head, attended, None)),
        "login" if is_post => {
            let (form, _held) = form(api, head, attended, body, limits::LOGIN_FORM).await?;
            return session::log_in(api, head, &form).await;
        }
        "logout" if is_post => {
            check_origin(head)?;
            return Ok(session::log_out(api, head));
        }
        _ => {}
    }
    if attended.identity.name == ANONYMOUS {
        return if is_get && wants_html(head) {
            Ok(redirect("/console/login"))
        } else {
            Err(ApiError::unauthorized())
        };
    }
    let (form, _body) = match is_post && name == "impact" {
        true => form(api, head, attended, body, limits::FORM).await?,
        false if is_get => (Query::default(), None),
        false => return Err(not_allowed()),
    };
    if name == "live" {
        return live::answer(api, head, attended).await;
    }
    let waits = Arc::new(());
    let (reader, weak) = (Reader::new(api, &attended.identity), Arc::downgrade(&waits));
    let (name, query) = (name.to_owned(), head.query.clone());
    let [page_turn, turn] = api.shares.page(&attended.party).await?;
    // Reading takes many times the size of the input in memory, which others lack while this waits for its turn with it.
    let trees = api.shares.trees.get(&attended.party, limits::SHOWN.1 * 16).await?;
    let made = run_long(api, turn, move || {
        let _held = (page_turn, trees);
        reader.page(&name, &query, &form, &Patience::new(weak))
    });
    let made = made.await??;
    drop(waits);
    page(made.page, 200, &frame(head, attended, made.live))
}

fn not_allowed() -> Box<ApiError> {
    let mut error = ApiError::bad_request("the console's pages are read, and only its forms are sent");
    error.reason = crate::error::Reason::MethodNotAllowed;
    error
}

/// The layout around a page.
fn frame(head: &Head, attended: &Attended, live: Option<String>) -> Frame {
    let is_known = attended.identity.name != ANONYMOUS;
    let links = [("", "palisade"), ("/review", "Review"), ("/seccomp", "Seccomp"), ("/impact", "Impact")];
    let links =
        links.into_iter().filter(|_| is_known).map(|(at, text)| (format!("{ROOT}{at}"), text.to_owned()));
    let has_session = is_known && session::token(&head.headers).is_some();
    Frame {
        root: ROOT,
        session: has_session.then(|| attended.identity.name.clone()),
        live,
        links: links.collect(),
    }
}

fn page(page: Page, code: u16, frame: &Frame) -> ApiResult<Response<Body>> {
    let frame = Frame {
        root: ROOT,
        session: frame.session.clone(),
        live: frame.live.clone(),
        links: frame.links.clone(),
    };
    let text = page
        .framed(&frame)
        .map_err(|error: PageError| failure::internal("the page cannot be written", &error))?;
    Ok(Body::bytes(code, HTML, text.into_bytes()))
}

/// Redirects a browser to a path on this server, whatever name it uses for the server.
fn redirect(to: &'static str) -> Response<Body> {
    let mut response = Body::text(303, "");
    response.headers_mut().insert(LOCATION, HeaderValue::from_static(to));
    response
}

/// Refuses cross-site requests: current browsers send the origin with each, so a request without one is refused too.
fn check_origin(head: &Head) -> ApiResult<()> {
    let site = head.headers.get("sec-fetch-site").map(|site| site.as_bytes() == b"same-origin");
    let own = format!("https://{}", head.header(HOST));
    let origin = head.headers.get(ORIGIN).map(|origin| origin.as_bytes() == own.as_bytes());
    match (site, origin) {
        (Some(false), _) | (_, Some(false)) | (None, None) => Err(ApiError::forbidden_path(
            "the form was not sent by a page of this server (Origin)".to_owned(),
        )),
        _ => Ok(()),
    }
}

/// The fields of a form that a page of this server has submitted, of this many bytes at most, with the lease of their memory.
async fn form(
    api: &Api,
    head: &Head,
    attended: &Attended,
    body: Incoming,
    most: usize,
) -> ApiResult<(Query, Option<Lease>)> {
    check_origin(head)?;
    if crate::body::media_type(head.header(CONTENT_TYPE)) != "application/x-www-form-urlencoded" {
        return Err(ApiError::bad_request("a form is expected: application/x-www-form-urlencoded"));
    }
    let (bytes, held) = read(api, &attended.party, body, most).await?;
    Ok((Query::parse(&String::from_utf8_lossy(&bytes)), held))
}
