//! Findings on their way to the cluster: to the owner of the pod as an event and, where it is asked for, to the namespace
//! as a report.
//!
//! No review waits for that: a finding goes into a channel, which drops what it cannot hold. The texts come from whoever
//! makes pods, so each is cut, and what is kept and written is limited for each namespace.

use std::time::{Duration, Instant};

use kube::Client;
use tokio::sync::mpsc;

use crate::event::{self, Throttle};
use crate::finding::Finding;
use crate::report::{self, Reports};

/// How many findings wait to be written.
const WAITING: usize = 256;
/// How long one write may take.
const WRITE_TIME: Duration = Duration::from_secs(10);

/// Takes findings, and never waits.
#[derive(Clone, Debug)]
pub(crate) struct Recorder(mpsc::Sender<Finding>);

impl Recorder {
    /// The entrance, and the work behind it. Reports are written every so often, if at all.
    pub(crate) fn new(
        client: Client,
        identity: &str,
        reports: Option<Duration>,
    ) -> (Self, impl Future<Output = ()> + use<>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(sender), work(client, identity.to_owned(), reports, receiver))
    }

    /// Takes a finding; one too many is dropped.
    pub(crate) fn note(&self, finding: Finding) {
        drop(self.0.try_send(finding));
    }
}

async fn work(
    client: Client,
    identity: String,
    period: Option<Duration>,
    mut findings: mpsc::Receiver<Finding>,
) {
    let mut throttle = Throttle::default();
    let mut reports = Reports::default();
    let mut written = Instant::now();
    loop {
        let left = period.map(|period| period.saturating_sub(written.elapsed()));
        tokio::select! {
            finding = findings.recv() => {
                let Some(finding) = finding else { return };
                if event::is_due(&finding, &mut throttle, Instant::now()) {
                    let write = event::write(&client, &identity, &finding);
                    tell("an event", tokio::time::timeout(WRITE_TIME, write).await);
                }
                if period.is_some() {
                    reports.add(finding);
                }
            }
            () = tokio::time::sleep(left.unwrap_or_default()), if left.is_some() => {
                written = Instant::now();
                for (namespace, results) in reports.take() {
                    let write = report::write(&client, &namespace, results);
                    tell("a report", tokio::time::timeout(WRITE_TIME, write).await);
                }
            }
        }
    }
}

fn tell(what: &str, written: Result<Result<(), kube::Error>, tokio::time::error::Elapsed>) {
    match written {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!("{what} cannot be written: {error}"),
        Err(_) => tracing::warn!("{what} cannot be written: the API server does not answer"),
    }
}
