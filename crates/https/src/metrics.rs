//! Metrics of a server, as OpenMetrics text.

use std::fmt::Debug;
use std::hash::Hash;
use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
pub use prometheus_client::registry::Registry;
use prometheus_client::registry::Unit;

/// The media type of [`Metrics::text`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of durations, in seconds.
const BOUNDS: [f64; 8] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0];

/// All metrics of a process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    memory: Gauge,
    connections: Connections,
}

impl Default for Metrics {
    fn default() -> Self {
        let (mut registry, memory) = (Registry::default(), Gauge::default());
        let connections = Connections::default();
        registry.register_with_unit("process_resident_memory", "Memory in use", Unit::Bytes, memory.clone());
        registry.register("palisade_https_connections", "Open connections", connections.open.clone());
        registry.register(
            "palisade_https_handshake_failures",
            "TLS handshakes that failed or took too long",
            connections.failures.clone(),
        );
        Self { registry, memory, connections }
    }
}

impl Metrics {
    /// The registry, for the server's own metrics.
    pub fn registry(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// The counters of a [`Listener`](crate::Listener).
    #[must_use]
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// All of them as they are now.
    #[must_use]
    pub fn text(&self) -> String {
        self.memory.set(resident().unwrap_or_default());
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// The connections of a listener.
#[derive(Clone, Debug, Default)]
pub struct Connections {
    open: Gauge,
    failures: Counter,
}

impl Connections {
    pub(crate) fn failed(&self) {
        self.failures.inc();
    }

    pub(crate) fn open(&self) -> Open {
        self.open.inc();
        Open(self.open.clone())
    }
}

/// An open connection, counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The labels of a request. Their values must come from tables of the server, so that no client makes new ones.
pub trait Labels: EncodeLabelSet + Clone + Debug + Eq + Hash + Send + Sync + 'static {}

impl<T: EncodeLabelSet + Clone + Debug + Eq + Hash + Send + Sync + 'static> Labels for T {}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    code: u16,
}

/// Requests by their labels: how many, how long they took, how many are being answered.
#[derive(Debug)]
pub struct Requests<L: Labels> {
    answered: Family<(L, Code), Counter>,
    durations: Family<L, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
}

impl<L: Labels> Requests<L> {
    /// Registers the three under names that begin with `prefix`, as `apiserver`.
    pub fn register(registry: &mut Registry, prefix: &str) -> Self {
        let requests = Self {
            answered: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BOUNDS)),
            in_flight: Gauge::default(),
        };
        let name = |name: &str| format!("{prefix}_{name}");
        registry.register(name("request"), "Requests answered", requests.answered.clone());
        registry.register_with_unit(
            name("request_duration"),
            "Time until a request is answered; of a watch, until it begins",
            Unit::Seconds,
            requests.durations.clone(),
        );
        registry.register(
            name("current_inflight_requests"),
            "Requests being answered",
            requests.in_flight.clone(),
        );
        requests
    }

    /// Begins to time a request.
    pub fn begin(&self) -> Timed<'_, L> {
        self.in_flight.inc();
        Timed { requests: self, start: Instant::now() }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub struct Timed<'m, L: Labels> {
    requests: &'m Requests<L>,
    start: Instant,
}

impl<L: Labels> Timed<'_, L> {
    /// Counts the request as answered with an HTTP code.
    pub fn end(&self, labels: L, code: u16) {
        self.requests.durations.get_or_create(&labels).observe(self.start.elapsed().as_secs_f64());
        self.requests.answered.get_or_create(&(labels, Code { code })).inc();
    }
}

impl<L: Labels> Drop for Timed<'_, L> {
    fn drop(&mut self) {
        self.requests.in_flight.dec();
    }
}

/// The memory of this process, in bytes; none where the system does not say.
fn resident() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<i64>().ok()?.checked_mul(1024)
}
