//! What the server counts of itself, for `/metrics`; under Kubernetes' names where it has some.

use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::request::Target;

/// Of which kind a request is. The values are from tables, so that no client makes new ones.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    subresource: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    subresource: &'static str,
    code: u16,
}

/// Upper bounds of times, in seconds.
const BOUNDS: [f64; 8] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0];

#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    times: Family<Kind, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    revision: Gauge,
    memory: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let requests = Family::default();
        let times = Family::new_with_constructor((|| Histogram::new(BOUNDS)) as fn() -> Histogram);
        let (in_flight, revision, memory) = (Gauge::default(), Gauge::default(), Gauge::default());
        registry.register("apiserver_request", "Requests answered", requests.clone());
        registry.register_with_unit(
            "apiserver_request_duration",
            "Time until a request is answered; of a watch, until it begins",
            Unit::Seconds,
            times.clone(),
        );
        registry.register(
            "apiserver_current_inflight_requests",
            "Requests being answered",
            in_flight.clone(),
        );
        registry.register("palisade_store_revision", "The newest write", revision.clone());
        registry.register_with_unit("process_resident_memory", "Memory in use", Unit::Bytes, memory.clone());
        Self { registry, requests, times, in_flight, revision, memory }
    }
}

/// A request that is being answered.
pub(crate) struct Timed<'m> {
    metrics: &'m Metrics,
    start: Instant,
}

impl Metrics {
    pub(crate) fn begin(&self) -> Timed<'_> {
        self.in_flight.inc();
        Timed { metrics: self, start: Instant::now() }
    }

    /// All of them as text, with what is asked for only now.
    pub(crate) fn text(&self, revision: u64) -> String {
        self.revision.set(i64::try_from(revision).unwrap_or(i64::MAX));
        self.memory.set(resident().unwrap_or_default());
        let mut text = String::new();
        // Writing to a text does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

impl Timed<'_> {
    /// Counts a request under its verb as rules name it, which is written as HTTP's here.
    pub(crate) fn end(&self, verb: &'static str, target: Option<&Target>, code: u16) {
        let verb = match verb {
            "get" => "GET",
            "list" => "LIST",
            "watch" => "WATCH",
            "create" => "POST",
            "update" => "PUT",
            "patch" => "PATCH",
            "delete" => "DELETE",
            "deletecollection" => "DELETECOLLECTION",
            other => other,
        };
        let (group, resource) =
            target.map_or(("", ""), |target| (target.resource.group, target.resource.plural));
        let known = target.and_then(|target| {
            target.resource.subresources.iter().find(|subresource| **subresource == target.subresource)
        });
        let subresource = known.copied().unwrap_or_default();
        let answered = Answered { verb, group, resource, subresource, code };
        self.metrics.requests.get_or_create(&answered).inc();
        let kind = Kind { verb, group, resource, subresource };
        self.metrics.times.get_or_create(&kind).observe(self.start.elapsed().as_secs_f64());
    }
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
    }
}

/// The memory of this process, in bytes; none where the system does not say.
fn resident() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<i64>().ok()?.checked_mul(1024)
}
