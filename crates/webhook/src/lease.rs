//! Leader election: a Lease decides which replica runs the controllers, judged by what this replica itself observes.
//!
//! A holder's `renewTime` is never compared with the local clock, since the clocks of nodes differ by minutes. A lease
//! counts as abandoned when it has not changed for its whole duration, as measured here by a monotonic clock. Every
//! write carries the `resourceVersion` that was read, so that of two candidates one fails.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, Error};

/// Duration of a lease without renewal: a leader survives an outage of the API server of a minute.
pub(crate) const DURATION: Duration = Duration::from_secs(137);
/// Interval of the holder's renewals, and of the others' checks.
pub(crate) const PERIOD: Duration = Duration::from_secs(26);
/// Time without a successful renewal after which the holder stops acting as one: well before others may take over.
pub(crate) const DEADLINE: Duration = Duration::from_secs(107);

/// The lease as last observed, and the time of the observation by the monotonic clock.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Observation {
    version: Option<String>,
    since: Duration,
}

/// The step to take for a lease as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Write it with this replica as the holder: it is ours, released or abandoned.
    Take,
    /// Another replica holds it.
    Wait,
}

impl Observation {
    /// Judges the lease read at `now`, the time since a fixed moment of this process.
    pub(crate) fn judge(&mut self, lease: &Lease, identity: &str, now: Duration) -> Step {
        if self.version != lease.metadata.resource_version {
            *self = Self { version: lease.metadata.resource_version.clone(), since: now };
        }
        let spec = lease.spec.as_ref();
        let holder = spec.and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
        let duration = spec.and_then(|spec| spec.lease_duration_seconds).unwrap_or_default();
        let duration = Duration::from_secs(u64::try_from(duration).unwrap_or_default());
        let is_abandoned = now.saturating_sub(self.since) >= duration;
        if holder.is_empty() || holder == identity || is_abandoned { Step::Take } else { Step::Wait }
    }
}

/// A candidate for a lease.
pub(crate) struct Candidate {
    api: Api<Lease>,
    name: String,
    identity: String,
    observation: Observation,
    /// The last time at which this replica is known to have held the lease.
    held: Option<Duration>,
}

impl Candidate {
    /// A candidate that does not hold the lease yet. `identity` must be unique among replicas: the pod's name.
    pub(crate) fn new(client: Client, namespace: &str, name: &str, identity: &str) -> Self {
        let api = Api::namespaced(client, namespace);
        Self {
            api,
            name: name.to_owned(),
            identity: identity.to_owned(),
            observation: Observation::default(),
            held: None,
        }
    }

    /// Whether the lease is held at `now`. It ends by itself if renewals fail.
    pub(crate) fn holds(&self, now: Duration) -> bool {
        self.held.is_some_and(|held| now.saturating_sub(held) < DEADLINE)
    }

    /// Reads the lease once, and takes or renews it if it may.
    ///
    /// # Errors
    ///
    /// The request to the API server failed; the lease stays held until [`DEADLINE`].
    pub(crate) async fn attempt(&mut self, now: Duration) -> Result<(), Error> {
        let lease = match self.api.get_opt(&self.name).await? {
            Some(lease) => lease,
            None => {
                let created = self.api.create(&PostParams::default(), &self.lease(None)).await;
                return self.settle(created, now);
            }
        };
        match self.observation.judge(&lease, &self.identity, now) {
            Step::Take => {
                let replaced =
                    self.api.replace(&self.name, &PostParams::default(), &self.lease(Some(lease))).await;
                self.settle(replaced, now)
            }
            Step::Wait => {
                self.held = None;
                Ok(())
            }
        }
    }

    /// Releases the lease, so that another replica need not wait for it to expire.
    pub(crate) async fn release(&mut self, now: Duration) {
        if !self.holds(now) {
            return;
        }
        self.held = None;
        let Ok(Some(mut lease)) = self.api.get_opt(&self.name).await else { return };
        if let Some(spec) =
            lease.spec.as_mut().filter(|spec| spec.holder_identity.as_deref() == Some(&self.identity))
        {
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
            // If this fails, it expires.
            drop(self.api.replace(&self.name, &PostParams::default(), &lease).await);
        }
    }

    fn settle(&mut self, written: Result<Lease, Error>, now: Duration) -> Result<(), Error> {
        match written {
            Ok(_) => {
                self.held = Some(now);
                Ok(())
            }
            // Another candidate wrote between the read and the write.
            Err(Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
                self.held = None;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn lease(&self, old: Option<Lease>) -> Lease {
        let spec = old.as_ref().and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let now = Some(MicroTime(Timestamp::now()));
        let is_ours = spec.holder_identity.as_deref() == Some(self.identity.as_str());
        let transitions = spec.lease_transitions.unwrap_or(0) + i32::from(!is_ours);
        let metadata = old.map_or_else(
            || ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            |lease| lease.metadata,
        );
        Lease {
            metadata,
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: Some(i32::try_from(DURATION.as_secs()).unwrap_or(i32::MAX)),
                acquire_time: if is_ours { spec.acquire_time.clone() } else { now.clone() },
                renew_time: now,
                lease_transitions: Some(transitions),
                ..spec
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::jiff::SignedDuration;

    /// A lease that a holder has renewed by a clock that is off by this many seconds.
    fn lease(skew: i64, version: &str, holder: &str, seconds: i32) -> Lease {
        Lease {
            metadata: ObjectMeta { resource_version: Some(version.to_owned()), ..ObjectMeta::default() },
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                lease_duration_seconds: Some(seconds),
                renew_time: Some(MicroTime(Timestamp::now() + SignedDuration::from_secs(skew))),
                ..LeaseSpec::default()
            }),
        }
    }

    #[test]
    fn a_lease_is_abandoned_when_it_was_seen_unchanged_for_its_duration() {
        let at = Duration::from_secs;
        for skew in [-3600, -300, 0, 300, 3600] {
            let mut seen = Observation::default();
            let lease = |version, holder, seconds| lease(skew, version, holder, seconds);
            let cases = [
                ("first sight", lease("1", "b", 10), at(100), Step::Wait),
                ("not long enough", lease("1", "b", 10), at(109), Step::Wait),
                ("renewed", lease("2", "b", 10), at(111), Step::Wait),
                ("counted from the renewal", lease("2", "b", 10), at(120), Step::Wait),
                ("abandoned", lease("2", "b", 10), at(121), Step::Take),
                ("released", lease("3", "", 10), at(121), Step::Take),
                ("ours", lease("4", "a", 10), at(122), Step::Take),
            ];
            for (case, lease, now, expected) in cases {
                assert_eq!(seen.judge(&lease, "a", now), expected, "{case}, {skew} s off");
            }
        }
    }

    #[test]
    fn deadlines_leave_room_for_each_other() {
        assert!(PERIOD * 2 < DEADLINE && DEADLINE < DURATION);
    }
}
