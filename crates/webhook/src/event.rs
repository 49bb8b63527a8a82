//! Events: at most one for each owner and reason in five minutes, over all replicas.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::finding::Finding;
use crate::mode::Mode;

/// The time in which an owner gets one event for a reason.
const PERIOD: Duration = Duration::from_secs(300);
/// Maximum number of events of a namespace in that time: the owners of a pod are under its author's control.
const PER_NAMESPACE: usize = 20;
/// Maximum number of remembered events; beyond that there are no further ones until some expire.
const REMEMBERED: usize = 10_000;
/// Interval between two searches for expired ones.
const FORGET: Duration = Duration::from_secs(1);

/// The recent events and their times.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    told: HashMap<(String, String, &'static str), Instant>,
    namespaces: HashMap<String, (Instant, usize)>,
    forgot: Option<Instant>,
}

impl Throttle {
    /// Whether an event may be written now; then it is counted.
    fn permits(&mut self, namespace: &str, owner: &str, reason: &'static str, now: Instant) -> bool {
        let is_over = |since: &Instant| now.duration_since(*since) >= PERIOD;
        if self.is_full() && self.forgot.is_none_or(|forgot| now.duration_since(forgot) >= FORGET) {
            self.told.retain(|_, since| !is_over(since));
            self.namespaces.retain(|_, (since, _)| !is_over(since));
            self.forgot = Some(now);
        }
        if self.is_full() {
            return false;
        }
        let key = (namespace.to_owned(), owner.to_owned(), reason);
        if self.told.get(&key).is_some_and(|since| !is_over(since)) {
            return false;
        }
        let (since, count) = self.namespaces.entry(namespace.to_owned()).or_insert((now, 0));
        if is_over(since) {
            (*since, *count) = (now, 0);
        }
        if *count >= PER_NAMESPACE {
            return false;
        }
        *count += 1;
        self.told.insert(key, now);
        true
    }

    fn is_full(&self) -> bool {
        self.told.len() >= REMEMBERED || self.namespaces.len() >= REMEMBERED
    }
}

/// Whether to write an event: a pod without an owner is refused to its author, who sees it, and audit mode must not
/// alarm anyone.
pub(crate) fn is_due(finding: &Finding, throttle: &mut Throttle, now: Instant) -> bool {
    finding.mode != Mode::Audit
        && !finding.subject.uid.is_empty()
        && throttle.permits(&finding.namespace, &finding.subject.uid, finding.reason(), now)
}

/// Writes an event. Its name is derived from the owner and the reason, so that replicas share it.
pub(crate) async fn write(client: &Client, identity: &str, finding: &Finding) -> Result<(), kube::Error> {
    let api: Api<Event> = Api::namespaced(client.clone(), &finding.namespace);
    let now = Timestamp::now();
    let new = new(identity, finding, now).map_err(kube::Error::SerdeError)?;
    match api.create(&PostParams::default(), &new).await {
        Ok(_) => return Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        Err(error) => return Err(error),
    }
    let Some(mut known) = api.get_opt(&name(finding)).await? else { return Ok(()) };
    let age = known.last_timestamp.as_ref().map(|last| now.duration_since(last.0).unsigned_abs());
    if age.is_some_and(|age| age < PERIOD) {
        return Ok(());
    }
    known.count = Some(known.count.unwrap_or(1).saturating_add(1));
    known.last_timestamp = new.last_timestamp;
    known.message = new.message;
    match api.replace(&name(finding), &PostParams::default(), &known).await {
        Ok(_) => Ok(()),
        // Another replica was faster.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(error),
    }
}

fn name(finding: &Finding) -> String {
    let digest = Sha256::digest(format!("{}\n{}", finding.subject.uid, finding.reason()));
    let short: String = digest.iter().take(10).map(|byte| format!("{byte:02x}")).collect();
    format!("palisade.{short}")
}

fn new(identity: &str, finding: &Finding, now: Timestamp) -> Result<Event, serde_json::Error> {
    let subject = &finding.subject;
    serde_json::from_value(json!({
        "metadata": {"name": name(finding), "namespace": finding.namespace},
        "involvedObject": {"apiVersion": subject.api_version, "kind": subject.kind, "name": subject.name,
            "uid": subject.uid, "namespace": finding.namespace},
        "type": "Warning", "reason": finding.reason(), "message": finding.message,
        "source": {"component": "palisade"}, "reportingComponent": "palisade", "reportingInstance": identity,
        "firstTimestamp": now.to_string(), "lastTimestamp": now.to_string(), "count": 1,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_told_once_of_a_reason_in_five_minutes() {
        let mut throttle = Throttle::default();
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        for (namespace, owner, reason, seconds, expected) in [
            ("shop", "a", "SccRefused", 0, true),
            ("shop", "a", "SccRefused", 299, false),
            ("shop", "a", "SccWouldRefuse", 299, true),
            ("shop", "b", "SccRefused", 299, true),
            ("other", "a", "SccRefused", 299, true),
            ("shop", "a", "SccRefused", 300, true),
            ("shop", "a", "SccRefused", 301, false),
        ] {
            assert_eq!(
                throttle.permits(namespace, owner, reason, at(seconds)),
                expected,
                "{owner} {seconds}"
            );
        }
    }

    /// Owners can be forged as fast as pods are refused.
    #[test]
    fn forged_owners_get_few_events_and_little_memory() {
        let mut throttle = Throttle::default();
        let start = Instant::now();
        let told =
            (0..50_000).filter(|index| throttle.permits("shop", &index.to_string(), "SccRefused", start));
        assert_eq!(told.count(), PER_NAMESPACE);
        let told = (0..50_000).filter(|index| throttle.permits(&index.to_string(), "a", "SccRefused", start));
        assert!(told.count() <= REMEMBERED);
        assert!(throttle.told.len() <= REMEMBERED && throttle.namespaces.len() <= REMEMBERED);
        let later = start + PERIOD;
        assert!(throttle.permits("new", "a", "SccRefused", later), "memory is freed");
    }
}
