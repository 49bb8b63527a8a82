//! A connection to a server.

use std::ops::ControlFlow;
use std::path::PathBuf;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::args::ConnectArgs;

/// Why a verb fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    /// There is no usable kubeconfig.
    #[error("{path}: {why}; log in, or give --kubeconfig")]
    Kubeconfig { path: String, why: String },
    /// The server cannot be reached, or says no in its TLS.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// The server says no.
    #[error("{}", .0.said())]
    Refused(Box<Refusal>),
    /// The server's answer is no JSON.
    #[error("the server's answer to {0} cannot be understood")]
    Answer(String),
    /// The command is wrong.
    #[error("{0}")]
    Usage(String),
}

/// What a server says no with.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) reason: String,
    pub(crate) message: String,
    status: Value,
}

impl Refusal {
    fn said(&self) -> String {
        let text = |pointer: &str| self.status.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let causes = self.status.pointer("/details/causes").and_then(Value::as_array);
        if let (422, Some(causes)) = (self.code, causes.filter(|causes| !causes.is_empty())) {
            let said: Vec<String> = causes
                .iter()
                .map(|cause| {
                    let part = |field: &str| cause.get(field).and_then(Value::as_str).unwrap_or_default();
                    match part("field") {
                        "" => part("message").to_owned(),
                        field => format!("{field}: {}", part("message")),
                    }
                })
                .collect();
            let head = format!("The {} {:?} is invalid: ", text("/details/kind"), text("/details/name"));
            return match said.as_slice() {
                [one] => head + one,
                several => format!("{head}\n* {}", several.join("\n* ")),
            };
        }
        match self.reason.as_str() {
            "" => format!("Error from server: {}", self.message),
            reason => format!("Error from server ({reason}): {}", self.message),
        }
    }
}

impl ClusterError {
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.code == 404)
    }

    pub(crate) fn code(&self) -> Option<u16> {
        match self {
            Self::Refused(refusal) => Some(refusal.code),
            _ => None,
        }
    }
}

pub(crate) type Result<T> = std::result::Result<T, ClusterError>;

/// The file that servers, users and contexts are in.
pub(crate) fn kubeconfig_path(args: &ConnectArgs) -> PathBuf {
    let given = args.kubeconfig.clone();
    let variable = std::env::var_os("KUBECONFIG");
    let first =
        variable.and_then(|paths| std::env::split_paths(&paths).find(|path| !path.as_os_str().is_empty()));
    given.or(first).unwrap_or_else(|| std::env::home_dir().unwrap_or_default().join(".kube/config"))
}

/// A connection after an upgrade.
pub(crate) type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

/// A server, with who asks and where.
pub(crate) struct Session {
    runtime: tokio::runtime::Runtime,
    client: Client,
    pub(crate) namespace: String,
    /// Whether the command line named the namespace.
    pub(crate) has_namespace: bool,
    pub(crate) url: String,
}

impl Session {
    pub(crate) fn open(args: &ConnectArgs) -> Result<Self> {
        let path = kubeconfig_path(args);
        let bad = |why: String| ClusterError::Kubeconfig { path: path.display().to_string(), why };
        let mut kubeconfig = match (&args.server, path.exists()) {
            (Some(_), false) => Kubeconfig::default(),
            (None, false) => return Err(bad("there is no such file".to_owned())),
            _ => Kubeconfig::read_from(&path).map_err(|error| bad(chain(&error)))?,
        };
        adjust(&mut kubeconfig, args);
        Self::of(kubeconfig, args).map_err(|error| match error {
            ClusterError::Usage(why) => bad(why),
            other => other,
        })
    }

    pub(crate) fn of(kubeconfig: Kubeconfig, args: &ConnectArgs) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| ClusterError::Usage(error.to_string()))?;
        let options = KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
        let (config, client) = runtime.block_on(async {
            let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
            let mut config = config.map_err(|error| ClusterError::Usage(chain(&error)))?;
            config.auth_info.impersonate.clone_from(&args.as_user);
            if !args.as_groups.is_empty() {
                config.auth_info.impersonate_groups = Some(args.as_groups.clone());
            }
            config.accept_invalid_certs |= args.insecure_skip_tls_verify;
            let client =
                Client::try_from(config.clone()).map_err(|error| ClusterError::Usage(chain(&error)))?;
            Ok::<_, ClusterError>((config, client))
        })?;
        Ok(Self {
            runtime,
            client,
            namespace: args.namespace.clone().unwrap_or_else(|| config.default_namespace.clone()),
            has_namespace: args.namespace.is_some(),
            url: config.cluster_url.to_string().trim_end_matches('/').to_owned(),
        })
    }

    /// Sends a request; gives the answer's status and text.
    fn exchange(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Result<(u16, Bytes)> {
        let mut request = Request::builder().method(method).uri(path).header("accept", accept);
        request = request.header("user-agent", concat!("palisade/", env!("CARGO_PKG_VERSION")));
        if let Some((content_type, _)) = &body {
            request = request.header("content-type", *content_type);
        }
        let body = body.map_or_else(Body::empty, |(_, bytes)| Body::from(bytes));
        let request = request.body(body).map_err(|error| ClusterError::Usage(format!("{path}: {error}")))?;
        self.runtime.block_on(async {
            let response =
                self.client.send(request).await.map_err(|error| ClusterError::Unreachable(chain(&error)))?;
            for warning in response.headers().get_all("warning") {
                let text = String::from_utf8_lossy(warning.as_bytes());
                let said = text.split_once('"').map_or(&*text, |(_, rest)| rest.trim_end_matches('"'));
                anstream::eprintln!("{}: {said}", crate::paint::warning("Warning"));
            }
            let status = response.status().as_u16();
            let bytes = response.into_body().collect().await;
            let bytes = bytes.map_err(|error| ClusterError::Unreachable(chain(&error)))?;
            Ok((status, bytes.to_bytes()))
        })
    }

    /// Asks for a connection that speaks one of some protocols over WebSocket, and gives it to a function with the
    /// protocol that the server chose.
    pub(crate) fn upgrade<T, F: Future<Output = Result<T>>>(
        &self,
        path: &str,
        protocols: &[&str],
        talk: impl FnOnce(Socket, String) -> F,
    ) -> Result<T> {
        use http::header;
        let key = generate_key();
        let request = Request::builder()
            .uri(path)
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, &key)
            .header(header::SEC_WEBSOCKET_PROTOCOL, protocols.join(", "))
            .body(Body::empty())
            .map_err(|error| ClusterError::Usage(format!("{path}: {error}")))?;
        self.runtime.block_on(async {
            let unreachable = |error: &dyn std::error::Error| ClusterError::Unreachable(chain(error));
            let response = self.client.send(request).await.map_err(|error| unreachable(&error))?;
            let status = response.status();
            let text = |name: header::HeaderName| {
                let value = response.headers().get(name).and_then(|value| value.to_str().ok());
                value.unwrap_or_default().to_owned()
            };
            let (accept, protocol) =
                (text(header::SEC_WEBSOCKET_ACCEPT), text(header::SEC_WEBSOCKET_PROTOCOL));
            if status != http::StatusCode::SWITCHING_PROTOCOLS {
                let bytes = response.into_body().collect().await;
                return Err(refused(status.as_u16(), &bytes.map(|body| body.to_bytes()).unwrap_or_default()));
            }
            if accept != derive_accept_key(key.as_bytes()) || !protocols.contains(&protocol.as_str()) {
                return Err(ClusterError::Answer(path.to_owned()));
            }
            let upgraded = hyper::upgrade::on(response).await.map_err(|error| unreachable(&error))?;
            let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None).await;
            talk(socket, protocol).await
        })
    }

    /// Gives each piece of an answer to a function, until that or the server ends it. An answer that ends too early is
    /// an error.
    fn pieces(
        &self,
        path: &str,
        accept: &str,
        mut each: impl FnMut(&[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let request = Request::builder().uri(path).header("accept", accept).body(Body::empty());
        let request = request.map_err(|error| ClusterError::Usage(format!("{path}: {error}")))?;
        self.runtime.block_on(async {
            let response =
                self.client.send(request).await.map_err(|error| ClusterError::Unreachable(chain(&error)))?;
            let code = response.status().as_u16();
            let mut body = response.into_body();
            if code >= 400 {
                let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
                return Err(refused(code, &bytes));
            }
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| ClusterError::Unreachable(chain(&error)))?;
                if each(frame.data_ref().map(AsRef::as_ref).unwrap_or_default())?.is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Gives an answer to a function piece by piece.
    pub(crate) fn download(&self, path: &str, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.pieces(path, "*/*", |bytes| each(bytes).map(ControlFlow::Continue))
    }

    /// Sends a request; gives the answer's object.
    pub(crate) fn send(&self, method: Method, path: &str, body: Option<(&str, Vec<u8>)>) -> Result<Value> {
        self.send_as(method, path, "application/json", body)
    }

    pub(crate) fn send_as(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Result<Value> {
        let (code, bytes) = self.exchange(method, path, accept, body)?;
        if code >= 400 {
            return Err(refused(code, &bytes));
        }
        serde_json::from_slice(&bytes).map_err(|_| ClusterError::Answer(path.to_owned()))
    }

    /// Where a request with a name and a password is sent on to; empty if nowhere.
    pub(crate) fn location(&self, path: &str, name: &str, password: &str) -> Result<String> {
        use base64::Engine;
        let secret = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
        let request = Request::builder()
            .uri(path)
            .header("authorization", format!("Basic {secret}"))
            // Without it some servers show a page for people.
            .header("x-csrf-token", "1")
            .body(Body::empty())
            .map_err(|error| ClusterError::Usage(error.to_string()))?;
        self.runtime.block_on(async {
            let response = self.client.send(request).await;
            let response = response.map_err(|error| ClusterError::Unreachable(chain(&error)))?;
            let location = response.headers().get("location").and_then(|value| value.to_str().ok());
            Ok(location.unwrap_or_default().to_owned())
        })
    }

    pub(crate) fn text(&self, path: &str) -> Result<String> {
        let (code, bytes) = self.exchange(Method::GET, path, "*/*", None)?;
        if code >= 400 {
            return Err(refused(code, &bytes));
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        self.send(Method::GET, path, None)
    }

    pub(crate) fn post(&self, path: &str, object: &Value) -> Result<Value> {
        self.send(Method::POST, path, Some(("application/json", object.to_string().into_bytes())))
    }

    pub(crate) fn put(&self, path: &str, object: &Value) -> Result<Value> {
        self.send(Method::PUT, path, Some(("application/json", object.to_string().into_bytes())))
    }

    /// Gives each event of a watch to a function, until that or the server ends it.
    pub(crate) fn watch(
        &self,
        path: &str,
        accept: &str,
        mut each: impl FnMut(Value) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut rest: Vec<u8> = Vec::new();
        self.pieces(path, accept, |bytes| {
            rest.extend_from_slice(bytes);
            while let Some(end) = memchr::memchr(b'\n', &rest) {
                let line: Vec<u8> = rest.drain(..=end).collect();
                let event =
                    serde_json::from_slice(&line).map_err(|_| ClusterError::Answer(path.to_owned()))?;
                if each(event).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        })
    }
}

fn refused(code: u16, bytes: &[u8]) -> ClusterError {
    let status: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let text = |field: &str| status.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let message = match text("message") {
        message if message.is_empty() => format!("{code}: {}", String::from_utf8_lossy(bytes).trim()),
        message => message,
    };
    ClusterError::Refused(Box::new(Refusal { code, reason: text("reason"), message, status }))
}

/// An error with its causes, each once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(&format!(": {said}"));
        }
        source = cause.source();
    }
    text
}

/// Puts what the command line says over what the file says.
fn adjust(kubeconfig: &mut Kubeconfig, args: &ConnectArgs) {
    use kube::config::{AuthInfo, Cluster, Context, NamedAuthInfo, NamedCluster, NamedContext};
    if args.server.is_none() && args.token.is_none() {
        return;
    }
    let name = args.context.clone().or_else(|| kubeconfig.current_context.clone());
    let found = kubeconfig.contexts.iter().find(|context| Some(&context.name) == name.as_ref());
    let mut context = found.and_then(|named| named.context.clone()).unwrap_or_default();
    const NAME: &str = "palisade-command-line";
    if let Some(server) = &args.server {
        let old = kubeconfig.clusters.iter().find(|cluster| cluster.name == context.cluster);
        let mut cluster: Cluster = old.and_then(|named| named.cluster.clone()).unwrap_or_default();
        cluster.server = Some(server.clone());
        kubeconfig.clusters.push(NamedCluster {
            name: NAME.to_owned(),
            cluster: Some(cluster),
            ..Default::default()
        });
        context.cluster = NAME.to_owned();
    }
    let mut user = AuthInfo::default();
    match &args.token {
        Some(token) => user.token = Some(token.clone().into()),
        None => {
            let old = kubeconfig.auth_infos.iter().find(|user| Some(&user.name) == context.user.as_ref());
            user = old.and_then(|named| named.auth_info.clone()).unwrap_or_default();
        }
    }
    kubeconfig.auth_infos.push(NamedAuthInfo {
        name: NAME.to_owned(),
        auth_info: Some(user),
        ..Default::default()
    });
    context.user = Some(NAME.to_owned());
    let context: Context = context;
    kubeconfig.contexts.push(NamedContext {
        name: NAME.to_owned(),
        context: Some(context),
        ..Default::default()
    });
    kubeconfig.current_context = Some(NAME.to_owned());
}
