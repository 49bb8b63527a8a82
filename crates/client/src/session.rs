//! A connection to a server, as one user.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::ClientBuilder;
use kube::config::Kubeconfig;
use serde_json::Value;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tower::util::MapResponseLayer;

use crate::config::{self, OnWarning, Options};
use crate::error::{Error, Result};
use crate::stream::{Events, Pieces};

/// Maximum size of an answer that is read whole, in bytes.
const MAX_ANSWER: usize = 128 * 1024 * 1024;
/// Maximum size of a refusal, in bytes; a longer one is told by its code alone.
const MAX_REFUSAL: usize = 1024 * 1024;

/// Number of tries of a request while the server responds with `Retry-After`, as in client-go (`rest/with_retry.go`).
const MAX_TRIES: usize = 10;
/// The longest time to wait before another try.
const MAX_PAUSE: Duration = Duration::from_secs(30);

const JSON: &str = "application/json";

/// A body of a request with its media type.
#[derive(Clone, Debug)]
pub struct Body {
    media_type: &'static str,
    bytes: Vec<u8>,
}

impl Body {
    /// Bytes of a media type.
    #[must_use]
    pub fn new(media_type: &'static str, bytes: Vec<u8>) -> Self {
        Self { media_type, bytes }
    }

    /// An object as JSON.
    #[must_use]
    pub fn json(object: &Value) -> Self {
        Self::new(JSON, object.to_string().into_bytes())
    }
}

/// A client of the `kube` crate whose answers, each watch as a whole, are bounded as those of a [`Session`].
///
/// # Errors
/// [`Error::Config`].
pub fn bounded(config: kube::Config) -> Result<Client> {
    let builder = ClientBuilder::try_from(config).map_err(|error| Error::Config(Box::new(error)))?;
    Ok(builder.with_layer(&MapResponseLayer::new(limited)).build())
}

fn limited<B>(response: Response<B>) -> Response<Limited<B>> {
    response.map(|body| Limited::new(body, MAX_ANSWER))
}

/// A connection after an upgrade to WebSocket.
pub type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

/// A server, the user that requests are made as, and the namespace that is meant.
#[derive(Clone)]
pub struct Session {
    client: Client,
    on_warning: OnWarning,
    config: Arc<kube::Config>,
    insecure_http: bool,
    /// The namespace of objects that name none.
    pub namespace: String,
    /// Whether the options named the namespace, and not the kubeconfig.
    pub has_namespace: bool,
    /// The server's address.
    pub url: String,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("url", &self.url).field("namespace", &self.namespace).finish()
    }
}

impl Session {
    /// Opens the session that the options and the kubeconfig describe. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Kubeconfig`], [`Error::Config`] and [`Error::InClear`].
    pub async fn open(options: &Options) -> Result<Self> {
        Self::of(config::kubeconfig(options)?, options).await
    }

    /// Opens a session with one cluster and one user of a kubeconfig, given as its `cluster` and `user` values.
    ///
    /// # Errors
    /// [`Error::Config`] and [`Error::InClear`].
    pub async fn with_entries(cluster: &Value, user: &Value, options: &Options) -> Result<Self> {
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": cluster}], "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        });
        let config = serde_json::from_value(config).map_err(|error| Error::Config(Box::new(error)))?;
        Self::of(config, options).await
    }

    async fn of(kubeconfig: Kubeconfig, options: &Options) -> Result<Self> {
        let config = config::connection(kubeconfig, options).await?;
        let client = Client::try_from(config.clone()).map_err(|error| Error::Config(Box::new(error)))?;
        Ok(Self {
            client,
            on_warning: options.on_warning.clone(),
            insecure_http: options.insecure_http,
            namespace: options.namespace.clone().unwrap_or_else(|| config.default_namespace.clone()),
            has_namespace: options.namespace.is_some(),
            url: config.cluster_url.to_string().trim_end_matches('/').to_owned(),
            config: Arc::new(config),
        })
    }

    /// Sends a request, and gives the answer's object. `accept` is the media type that is asked for.
    ///
    /// # Errors
    /// [`Error::Refused`] if the server answers 400 or above.
    pub async fn send_as(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<Body>,
    ) -> Result<Value> {
        let bytes = self.bytes(method, path, accept, body).await?;
        serde_json::from_slice(&bytes)
            .map_err(|_| Error::Answer { path: path.to_owned(), problem: "it is not JSON" })
    }

    /// Sends a request, and gives the answer's object.
    ///
    /// # Errors
    /// As [`send_as`](Self::send_as).
    pub async fn send(&self, method: Method, path: &str, body: Option<Body>) -> Result<Value> {
        self.send_as(method, path, JSON, body).await
    }

    /// Reads an object or a list.
    ///
    /// # Errors
    /// As [`send_as`](Self::send_as).
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.send(Method::GET, path, None).await
    }

    /// Creates an object.
    ///
    /// # Errors
    /// As [`send_as`](Self::send_as).
    pub async fn post(&self, path: &str, object: &Value) -> Result<Value> {
        self.send(Method::POST, path, Some(Body::json(object))).await
    }

    /// Replaces an object.
    ///
    /// # Errors
    /// As [`send_as`](Self::send_as).
    pub async fn put(&self, path: &str, object: &Value) -> Result<Value> {
        self.send(Method::PUT, path, Some(Body::json(object))).await
    }

    /// Reads whatever is at a path.
    ///
    /// # Errors
    /// As [`send_as`](Self::send_as).
    pub async fn raw(&self, path: &str) -> Result<Bytes> {
        self.bytes(Method::GET, path, "*/*", None).await
    }

    /// Reads whatever is at a path, piece by piece: logs, backups.
    ///
    /// # Errors
    /// As [`send_as`](Self::send_as).
    pub async fn pieces(&self, path: &str) -> Result<Pieces> {
        let response = self.exchange(Method::GET, path, "*/*", None).await?;
        Ok(Pieces(accepted(response).await?))
    }

    /// Watches what is at a path, which must ask for a watch.
    ///
    /// # Errors
    /// As [`send_as`](Self::send_as).
    pub async fn watch(&self, path: &str, accept: &str) -> Result<Events> {
        let response = self.exchange(Method::GET, path, accept, None).await?;
        Ok(Events::new(Pieces(accepted(response).await?), path))
    }

    /// Sends a name and a password by basic authentication, and gives the `Location` that the server redirects to; empty
    /// if it does not redirect.
    ///
    /// # Errors
    /// [`Error::InClear`] over `http://` to another machine, unless the options allow it.
    pub async fn location(&self, path: &str, name: &str, password: &str) -> Result<String> {
        if !self.insecure_http {
            config::refuse_in_clear(&self.config)?;
        }
        let secret = STANDARD.encode(format!("{name}:{password}"));
        let request = Request::builder()
            .uri(path)
            .header(header::AUTHORIZATION, format!("Basic {secret}"))
            // Without it OpenShift's OAuth server shows a page for browsers.
            .header("x-csrf-token", "1")
            .body(kube::client::Body::empty())
            .map_err(|cause| Error::Path { path: path.to_owned(), cause })?;
        let response = self.sent(request).await?;
        let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        Ok(location.unwrap_or_default().to_owned())
    }

    /// Asks for a WebSocket that speaks one of some subprotocols; gives it with the one that the server chose.
    ///
    /// # Errors
    /// [`Error::Refused`], and [`Error::Answer`] if the server does not upgrade as RFC 6455 says.
    pub async fn upgrade(&self, path: &str, protocols: &[&str]) -> Result<(Socket, String)> {
        let key = generate_key();
        let request = Request::builder()
            .uri(path)
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, &key)
            .header(header::SEC_WEBSOCKET_PROTOCOL, protocols.join(", "))
            .body(kube::client::Body::empty())
            .map_err(|cause| Error::Path { path: path.to_owned(), cause })?;
        let response = self.sent(request).await?;
        if response.status() != http::StatusCode::SWITCHING_PROTOCOLS {
            let code = response.status().as_u16();
            return Err(Error::refused(
                code,
                &collected(response.into_body(), path, MAX_REFUSAL).await.unwrap_or_default(),
            ));
        }
        let text = |name: header::HeaderName| {
            let value = response.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let (accept, protocol) = (text(header::SEC_WEBSOCKET_ACCEPT), text(header::SEC_WEBSOCKET_PROTOCOL));
        if accept != derive_accept_key(key.as_bytes()) || !protocols.contains(&protocol.as_str()) {
            return Err(Error::Answer { path: path.to_owned(), problem: "it does not upgrade to WebSocket" });
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(Error::broken)?;
        Ok((crate::exec::socket(TokioIo::new(upgraded)).await, protocol))
    }

    async fn sent(&self, request: Request<kube::client::Body>) -> Result<Response<kube::client::Body>> {
        self.client.send(request).await.map_err(|error| Error::unreachable(&self.url, &error))
    }

    async fn bytes(&self, method: Method, path: &str, accept: &str, body: Option<Body>) -> Result<Bytes> {
        let response = self.exchange(method, path, accept, body).await?;
        collected(accepted(response).await?, path, MAX_ANSWER).await
    }

    /// Sends a request, again while the server is too busy for it and says when to come back.
    async fn exchange(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<Body>,
    ) -> Result<Response<kube::client::Body>> {
        for _ in 1..MAX_TRIES {
            let response = self.once(&method, path, accept, body.as_ref()).await?;
            let Some(pause) = retry_after(&response) else { return Ok(response) };
            tokio::time::sleep(pause.min(MAX_PAUSE)).await;
        }
        self.once(&method, path, accept, body.as_ref()).await
    }

    async fn once(
        &self,
        method: &Method,
        path: &str,
        accept: &str,
        body: Option<&Body>,
    ) -> Result<Response<kube::client::Body>> {
        let mut request = Request::builder().method(method).uri(path).header(header::ACCEPT, accept);
        request = request.header(header::USER_AGENT, concat!("palisade/", env!("CARGO_PKG_VERSION")));
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, body.media_type);
        }
        let body = body.map_or_else(kube::client::Body::empty, |body| body.bytes.clone().into());
        let request = request.body(body).map_err(|cause| Error::Path { path: path.to_owned(), cause })?;
        let response = self.sent(request).await?;
        for warning in response.headers().get_all(header::WARNING) {
            self.on_warning.call(&warning_text(&String::from_utf8_lossy(warning.as_bytes())));
        }
        Ok(response)
    }
}

/// The delay after which a refused request may be sent again: 429 and server errors with a `Retry-After` in seconds.
fn retry_after<B>(response: &Response<B>) -> Option<Duration> {
    let code = response.status();
    if code != http::StatusCode::TOO_MANY_REQUESTS && !code.is_server_error() {
        return None;
    }
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The body of an answer that is not a refusal.
async fn accepted(response: Response<kube::client::Body>) -> Result<kube::client::Body> {
    let code = response.status().as_u16();
    let body = response.into_body();
    if code < 400 {
        return Ok(body);
    }
    Err(Error::refused(code, &collected(body, "", MAX_REFUSAL).await.unwrap_or_default()))
}

async fn collected(body: kube::client::Body, path: &str, most: usize) -> Result<Bytes> {
    match Limited::new(body, most).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Error::Answer { path: path.to_owned(), problem: "it is too long" })
        }
        Err(error) => Err(Error::Broken(error)),
    }
}

/// The text of a `Warning` header, `299 - "TEXT"`, in which `\` stands before quotes (RFC 7234, section 5.5).
fn warning_text(header: &str) -> String {
    let Some((_, quoted)) = header.split_once('"') else { return header.to_owned() };
    let mut text = String::new();
    let mut letters = quoted.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => break,
            '\\' => text.extend(letters.next()),
            letter => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_busy_server_is_asked_again() {
        let answer = |code: u16, after: Option<&str>| {
            let mut answer = Response::builder().status(code);
            if let Some(after) = after {
                answer = answer.header(header::RETRY_AFTER, after);
            }
            retry_after(&answer.body(()).unwrap()).map(|pause| pause.as_secs())
        };
        assert_eq!(answer(429, Some("1")), Some(1));
        assert_eq!(answer(503, Some("0")), Some(0));
        for (code, after) in
            [(429, None), (503, Some("Tue, 24 Nov 2026 00:00:00 GMT")), (404, Some("1")), (200, Some("1"))]
        {
            assert_eq!(answer(code, after), None, "{code}");
        }
    }

    #[test]
    fn warnings_are_read_as_the_header_quotes_them() {
        for (header, text) in [
            (r#"299 - "plain""#, "plain"),
            (r#"299 - "a \"quoted\" \\ word""#, r#"a "quoted" \ word"#),
            (r#"299 - "cut"#, "cut"),
            ("no quotes", "no quotes"),
        ] {
            assert_eq!(warning_text(header), text);
        }
    }
}
