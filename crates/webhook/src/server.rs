//! One replica: it follows the policy, answers reviews, and runs the controllers while it holds the lease.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Request, Response, Version, header};
use hyper::body::{Body as _, Incoming};
use kube::Client;
use palisade_admission::{PolicyCache, PolicyKind};
use palisade_https::metrics::{MEDIA_TYPE, Metrics, Requests};
use palisade_https::{Body, Limits, Listener, Peer, ReadError, Tls};
use tokio::sync::watch;

use crate::config::Config;
use crate::controllers;
use crate::denials::Denials;
use crate::feed::{self, Freshness};
use crate::health::Health;
use crate::install::node_namespace;
use crate::leaf::{Leaf, LeafError};
use crate::lookup::Live;
use crate::memory::Memory;
use crate::mode::Modes;
use crate::namespaces::{Allocator, Lacking};
use crate::nodes::NodeProfiles;
use crate::policy::{Objects, Sink, resource};
use crate::recorder::Recorder;
use crate::review::{Endpoint, Reviewer};
use crate::unready::Unready;

/// The largest accepted review: two objects as large as an API server stores, and their managed fields.
const MAX_BODY: usize = 8 << 20;
/// Open connections, of all and of one address. An API server has one or two, and each holds memory.
const CONNECTIONS: (usize, usize) = (200, 50);
/// The flow-control window of one HTTP/2 request, in bytes: reviews are a few KiB.
const WINDOW: u32 = 32 << 10;
/// Maximum time to receive a body; the API server has given up by then.
const BODY_TIME: Duration = Duration::from_secs(5);
/// Time for which a replica goes on answering after it was told to stop, unready and with `Connection: close`: until
/// endpoints have changed everywhere, and API servers have closed the connections that they use. They do not retry a
/// request that was lost on a connection which closed at the same moment.
const LEAVE: Duration = Duration::from_secs(30);

/// An error at the start of a replica.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// No certificate could be made.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// The address cannot be listened on.
    #[error("{0} cannot be listened on: {1}")]
    Listen(SocketAddr, #[source] std::io::Error),
}

/// A replica that listens and follows the policy.
pub struct Server {
    listener: Listener,
    state: Arc<State>,
    tasks: tokio::task::JoinSet<()>,
    leave: watch::Sender<bool>,
}

/// The other end of a connection.
#[derive(Clone, Copy)]
struct Caller {
    address: IpAddr,
    /// Whether it has a certificate of an authority that is trusted.
    is_verified: bool,
}

struct State {
    /// Whether only clients with a verified certificate may post reviews.
    asks_for_certificates: bool,
    reviewer: Reviewer,
    health: Health,
    metrics: Metrics,
    requests: Requests<crate::review::Labels>,
    memory: Memory,
}

impl Server {
    /// Starts a replica: the socket first, then the watches. It is ready when it has read the certificate authority and
    /// the policy; until then it retries, whatever is down.
    ///
    /// # Errors
    ///
    /// See [`ServerError`].
    pub async fn start(client: Client, config: Config) -> Result<Self, ServerError> {
        let leaf = {
            let (namespace, clients) = (config.namespace.clone(), config.clients.clone());
            Leaf::provisional(client.clone(), namespace, names(&config), clients)?
        };
        let asks_for_certificates = config.clients.is_some();
        let listener = listen(config.listen, leaf.tls()).await?;

        let mut tasks = tokio::task::JoinSet::new();
        let (leave, leaving) = watch::channel(false);
        let cache = Arc::new(PolicyCache::default());
        let (allocator, lacking) = (Allocator::new(Arc::clone(&cache)), Lacking::default());
        let (modes, denials) = (Modes::new(config.mode), Denials::default());
        let sources = PolicyKind::RESOURCES.map(|source| {
            let freshness = Freshness::default();
            let sink = Sink {
                cache: Arc::clone(&cache),
                lacking: lacking.clone(),
                modes: modes.clone(),
                denials: denials.clone(),
            };
            let objects = Objects::new(source.2, sink);
            tasks.spawn(feed::follow(client.clone(), resource(source), objects, freshness.clone()));
            (source.1, freshness)
        });
        let unready = unready(&client, &config, &mut tasks);
        let health = Health {
            identity: config.identity.as_str().into(),
            sources: Arc::from(sources),
            leaving: leaving.clone(),
            leads: allocator.leads(),
            expiry: leaf.expiry(),
            modes: modes.clone(),
        };
        tasks.spawn(leaf.renew());
        let (recorder, telling) = Recorder::new(client.clone(), &config.identity, config.reports);
        tasks.spawn(telling);
        tasks.spawn(controllers::run(client.clone(), config, allocator.clone(), lacking, leaving));

        let mut metrics = Metrics::default();
        let requests = Requests::register(metrics.registry(), "palisade_webhook");
        metrics.registry().register_collector(Box::new(health.clone()));
        let listener = listener.counted(metrics.connections());
        let state = State {
            asks_for_certificates,
            reviewer: Reviewer::new(cache, allocator, modes, recorder, unready, Live::new(client, denials)),
            health,
            metrics,
            requests,
            memory: Memory::default(),
        };
        Ok(Self { listener, state: Arc::new(state), tasks, leave })
    }

    /// The address that it listens on.
    ///
    /// # Errors
    ///
    /// The operating system does not report it.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.address()
    }

    /// Answers until `stop` is ready; then it is unready for a while, and drains.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { listener, state, tasks, leave } = self;
        let connect = move |peer: Peer| {
            let state = Arc::clone(&state);
            let caller = Caller { address: peer.address.ip(), is_verified: !peer.certificates.is_empty() };
            move |request| {
                let state = Arc::clone(&state);
                async move { state.answer(request, caller).await }
            }
        };
        let shutdown = async {
            stop.await;
            leave.send_replace(true);
            tokio::time::sleep(LEAVE).await;
        };
        listener.run(connect, shutdown).await;
        // The watches and controllers end with the process.
        drop(tasks);
    }
}

/// The profiles of nodes, followed from now on. A replica is ready without them.
fn unready(client: &Client, config: &Config, tasks: &mut tokio::task::JoinSet<()>) -> Unready {
    let (nodes, freshness) = (NodeProfiles::default(), Freshness::default());
    let resource = palisade_profiles::report::resource();
    tasks.spawn(feed::follow(client.clone(), resource, nodes.clone(), freshness.clone()));
    let agents = node_namespace(&config.namespace);
    Unready::new(client.clone(), nodes, freshness, config.missing_profile, agents)
}

/// Listens. An address of all interfaces stands for IPv4 and IPv6; a machine may have only one of them.
async fn listen(address: SocketAddr, tls: Tls) -> Result<Listener, ServerError> {
    let limits = Limits {
        drain: Duration::from_secs(20),
        connections: CONNECTIONS.0,
        each: CONNECTIONS.1,
        window: WINDOW,
        ..Limits::default()
    };
    match Listener::bind(address, tls.clone(), limits).await {
        Err(_) if address.is_ipv6() && address.ip().is_unspecified() => {
            let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            Listener::bind(address, tls, limits).await
        }
        bound => bound,
    }
    .map_err(|error| ServerError::Listen(address, error))
}

/// The names of the certificate: the Service's, and the configured ones.
fn names(config: &Config) -> Vec<String> {
    let service = format!("{}.{}.svc", crate::install::NAME, config.namespace);
    let mut names = vec![service.clone(), format!("{service}.cluster.local")];
    names.extend(config.names.iter().cloned());
    names
}

impl State {
    /// Answers; a replica that is leaving has its clients go to another one for the next request.
    async fn answer(&self, request: Request<Incoming>, caller: Caller) -> Response<Body> {
        let version = request.version();
        let mut response = self.respond(request, caller).await;
        if version <= Version::HTTP_11 && self.health.is_leaving() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn respond(&self, request: Request<Incoming>, caller: Caller) -> Response<Body> {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/livez") => Body::text(200, "ok\n"),
            (&Method::GET, "/readyz") => match self.health.unready() {
                None => Body::text(200, "ok\n"),
                Some(why) => Body::text(503, why + "\n"),
            },
            (&Method::GET, "/status") => {
                Body::bytes(200, "application/json", self.health.report().to_string().into_bytes())
            }
            (&Method::GET, "/metrics") => Body::bytes(200, MEDIA_TYPE, self.metrics.text().into_bytes()),
            (method, path) => match Endpoint::of_path(path) {
                None => Body::text(404, "no such path\n"),
                Some(_) if method != Method::POST => Body::text(405, "reviews are posted\n"),
                Some(_) if self.asks_for_certificates && !caller.is_verified => Body::text(
                    401,
                    "reviews are for clients with a certificate that --client-ca has signed\n",
                ),
                Some(endpoint) => self.review(endpoint, request, caller.address).await,
            },
        }
    }

    async fn review(
        &self,
        endpoint: Endpoint,
        request: Request<Incoming>,
        address: IpAddr,
    ) -> Response<Body> {
        let timed = self.requests.begin();
        // Without a length it may have the maximum length.
        let size = request
            .body()
            .size_hint()
            .exact()
            .map_or(MAX_BODY, |size| usize::try_from(size).unwrap_or(MAX_BODY));
        let busy = || Body::text(503, "too many reviews at once\n");
        let Some(held) = self.memory.take(address.to_canonical(), size.min(MAX_BODY)).await else {
            let response = busy();
            timed.end(endpoint.labels(), response.status().as_u16());
            return response;
        };
        let response = match palisade_https::read(request.into_body(), MAX_BODY, BODY_TIME).await {
            Ok(body) => match self.memory.turn(&held, body.len()).await {
                Some(_turn) => self.reviewer.answer(endpoint, &body).await,
                None => busy(),
            },
            Err(error @ ReadError::TooLarge(_)) => Body::text(413, format!("{error}\n")),
            Err(error) => Body::text(400, format!("{error}\n")),
        };
        timed.end(endpoint.labels(), response.status().as_u16());
        response
    }
}
