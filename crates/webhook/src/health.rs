//! The readiness of a replica, and the state that it reports.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::feed::Freshness;
use crate::mode::Modes;

/// Maximum time since the last message from the API server for which a replica still answers.
const STALE: Duration = Duration::from_secs(60);

/// The readiness of the replica, as its parts report it.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    pub(crate) identity: Arc<str>,
    pub(crate) sources: Arc<[(&'static str, Freshness)]>,
    pub(crate) leaving: watch::Receiver<bool>,
    pub(crate) leads: Arc<AtomicBool>,
    /// The end of the presented certificate, in seconds since 1970; 0 until there is one of the cluster's authority.
    pub(crate) expiry: Arc<AtomicI64>,
    pub(crate) modes: Modes,
}

impl Health {
    /// The reason why it is not ready, if it is not.
    pub(crate) fn unready(&self) -> Option<String> {
        if self.is_leaving() {
            return Some("it is stopping".to_owned());
        }
        if self.expiry.load(Ordering::Acquire) == 0 {
            return Some("the certificate authority has not been read yet".to_owned());
        }
        self.sources.iter().find_map(|(name, freshness)| match freshness.age() {
            None => Some(format!("{name} have not been read yet")),
            Some(age) if age > STALE => Some(format!("{name} were last heard of {} s ago", age.as_secs())),
            Some(_) => None,
        })
    }

    /// Whether it is shutting down.
    pub(crate) fn is_leaving(&self) -> bool {
        *self.leaving.borrow()
    }

    /// The state of a replica, for `palisade status`.
    pub(crate) fn report(&self) -> Value {
        let age = |(name, freshness): &(&str, Freshness)| {
            ((*name).to_owned(), freshness.age().map(|age| age.as_secs()).into())
        };
        let expiry = Some(self.expiry.load(Ordering::Acquire)).filter(|expiry| *expiry != 0);
        let expiry = expiry.and_then(|expiry| Timestamp::from_second(expiry).ok());
        json!({
            "identity": &*self.identity,
            "version": env!("CARGO_PKG_VERSION"),
            "unready": self.unready(),
            "leads": self.leads.load(Ordering::Acquire),
            "certificateExpires": expiry.map(|expiry| expiry.to_string()),
            "snapshotAgeSeconds": self.sources.iter().map(age).collect::<serde_json::Map<_, _>>(),
        })
    }
}

impl Collector for Health {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut ages = encoder.encode_descriptor(
            "palisade_webhook_snapshot_age",
            "Time since the API server was last heard of, by resource",
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        for (name, freshness) in self.sources.iter() {
            let age = freshness.age().map_or(f64::INFINITY, |age| age.as_secs_f64());
            ConstGauge::new(age).encode(ages.encode_family(&[("resource", *name)])?)?;
        }
        let mut opt_outs = encoder.encode_descriptor(
            "palisade_webhook_opt_outs",
            "Namespaces whose labels exempt them from SCC, or set a mode that refuses nothing",
            None,
            MetricType::Gauge,
        )?;
        for (kind, count) in self.modes.opt_outs() {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            ConstGauge::new(count).encode(opt_outs.encode_family(&[("kind", kind)])?)?;
        }
        let leader = encoder.encode_descriptor(
            "palisade_webhook_leader",
            "1 in the replica that runs the controllers",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(i64::from(self.leads.load(Ordering::Acquire))).encode(leader)?;
        let expiry = encoder.encode_descriptor(
            "palisade_webhook_certificate_expiry_timestamp",
            "The end of the presented certificate",
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        ConstGauge::new(self.expiry.load(Ordering::Acquire)).encode(expiry)
    }
}
