//! The way of findings to the cluster: as an event to the owner of the pod and, if reports are enabled, to the report
//! of the namespace.
//!
//! No review waits for it: a finding goes into a channel, which drops those that do not fit. The texts are under the
//! control of pods' authors, so each is cut, and the stored and written amount is limited for each namespace.

use std::time::{Duration, Instant};

use kube::Client;
use tokio::sync::mpsc;

use crate::event::{self, Throttle};
use crate::finding::Finding;
use crate::report::{self, Reports};
use crate::words::error_text;

/// Maximum number of waiting findings.
const WAITING: usize = 256;
/// Maximum time of one write.
const WRITE_TIME: Duration = Duration::from_secs(10);

/// Accepts findings, and never blocks.
#[derive(Clone, Debug)]
pub(crate) struct Recorder(mpsc::Sender<Finding>);

impl Recorder {
    /// The sender, and the task behind it. Reports are written at an interval, if at all.
    pub(crate) fn new(
        client: Client,
        identity: &str,
        reports: Option<Duration>,
    ) -> (Self, impl Future<Output = ()> + use<>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(sender), work(client, identity.to_owned(), reports, receiver))
    }

    /// Accepts a finding; it is dropped if the channel is full.
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
        Ok(Err(error)) => tracing::warn!("{what} cannot be written: {}", error_text(&error)),
        Err(_) => tracing::warn!("{what} cannot be written: the API server does not answer"),
    }
}
