//! The metrics of the API, for `/metrics`; under Kubernetes' names where they exist.

use palisade_https::metrics::{self, Connections, Requests};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::gauge::Gauge;

use crate::request::Target;

/// The labels of a request. The values are from tables, so that clients cannot create new series.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Labels {
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    subresource: &'static str,
}

impl Labels {
    /// The labels of a request with an RBAC verb, which is reported as its HTTP method here.
    pub(crate) fn new(verb: &'static str, target: Option<&Target>) -> Self {
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
        let (group, resource) = target.map_or(("", ""), |target| target.resource.counted_as());
        Self { verb, group, resource, subresource: target.map_or("", Target::subresource_name) }
    }
}

/// The counters of the API.
#[derive(Debug)]
pub(crate) struct Metrics {
    all: metrics::Metrics,
    pub(crate) requests: Requests<Labels>,
    revision: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let (mut all, revision) = (metrics::Metrics::default(), Gauge::default());
        let requests = Requests::register(all.registry(), "apiserver");
        all.registry().register("palisade_store_revision", "The newest write", revision.clone());
        Self { all, requests, revision }
    }
}

impl Metrics {
    /// The counters of connections.
    pub(crate) fn connections(&self) -> &Connections {
        self.all.connections()
    }

    /// All metrics as text.
    pub(crate) fn text(&self, revision: u64) -> String {
        self.revision.set(i64::try_from(revision).unwrap_or(i64::MAX));
        self.all.text()
    }
}
