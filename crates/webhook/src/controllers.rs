//! Controllers that one replica runs for all: rotation of the certificate authority, its bundle in the webhook configurations, and
//! ranges of namespaces.

use std::time::{Duration, Instant};

use kube::Client;
use tokio::sync::watch;

use crate::authority::Authority;
use crate::config::Config;
use crate::install::LEASE;
use crate::lease::{Candidate, PERIOD};
use crate::namespaces::{Allocator, Lacking};
use crate::secret;

/// Interval between checks of the authority and its bundle: an administrator may have applied the installation again.
const BUNDLE_PERIOD: Duration = Duration::from_secs(5);
/// The same while a configuration is missing: once it is applied, the API server trusts no replica without the bundle.
const MISSING_PERIOD: Duration = Duration::from_secs(1);
/// Number of such checks: an installation is complete after ten minutes, or has no webhooks.
const MISSING_CHECKS: u32 = 600;
/// Maximum time of one of the controllers' tasks.
const WORK_TIME: Duration = Duration::from_secs(20);

/// Competes for the lease, and runs the controllers while it is held. On shutdown it releases the lease for another
/// replica.
pub(crate) async fn run(
    client: Client,
    config: Config,
    allocator: Allocator,
    lacking: Lacking,
    mut stop: watch::Receiver<bool>,
) {
    let started = Instant::now();
    let mut candidate = Candidate::new(client.clone(), &config.namespace, LEASE, &config.identity);
    let mut looked = None;
    let mut rotation = Rotation::default();
    loop {
        if looked.is_none_or(|looked: Instant| looked.elapsed() >= PERIOD) {
            let attempt = in_time(candidate.attempt(started.elapsed())).await;
            if let Err(error) = attempt {
                tracing::warn!("the lease cannot be renewed: {error}");
            }
            looked = Some(Instant::now());
        }
        let leads = candidate.holds(started.elapsed());
        allocator.lead(leads);
        if leads {
            work(&client, &config.namespace, &allocator, &lacking, &mut rotation).await;
        }
        tokio::select! {
            () = tokio::time::sleep(rotation.pause()) => {}
            () = lacking.changed(), if leads => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    allocator.lead(false);
    candidate.release(started.elapsed()).await;
}

async fn work(
    client: &Client,
    namespace: &str,
    allocator: &Allocator,
    lacking: &Lacking,
    rotation: &mut Rotation,
) {
    allocator.repair(client, lacking).await;
    if let Err(error) = in_time(rotation.go_on(client, namespace)).await {
        tracing::warn!("the bundle of the webhooks cannot be kept: {error}");
    }
}

/// An error of a controller's work.
#[derive(Debug, thiserror::Error)]
enum WorkError<E> {
    #[error(transparent)]
    Failed(E),
    /// The task timed out: its connection may be dead.
    #[error("the API server does not answer")]
    Silent,
}

/// Cancels a task after [`WORK_TIME`]: one dead connection must not block the other tasks.
async fn in_time<T, E>(work: impl Future<Output = Result<T, E>>) -> Result<T, WorkError<E>> {
    match tokio::time::timeout(WORK_TIME, work).await {
        Ok(done) => done.map_err(WorkError::Failed),
        Err(_) => Err(WorkError::Silent),
    }
}

/// The rotation of the authority, as observed by this replica: the time since an announcement is measured by its own
/// monotonic clock.
#[derive(Debug, Default)]
struct Rotation {
    announced: Option<(String, Instant)>,
    /// Number of checks since the first that found a configuration missing; 0 once none is.
    missing: u32,
}

impl Rotation {
    /// Time until the next check.
    fn pause(&self) -> Duration {
        if (1..=MISSING_CHECKS).contains(&self.missing) { MISSING_PERIOD } else { BUNDLE_PERIOD }
    }

    async fn go_on(&mut self, client: &Client, namespace: &str) -> Result<(), secret::SecretError> {
        let authority = secret::rotate(client, namespace, |authority| self.announced_for(authority)).await?;
        let is_published = secret::publish(client, &authority.bundle()).await?;
        self.missing = if is_published { 0 } else { self.missing.saturating_add(1) };
        let certificate = authority.announced().map(str::to_owned);
        if certificate.as_ref() != self.announced.as_ref().map(|(certificate, _)| certificate) {
            self.announced = certificate.map(|certificate| (certificate, Instant::now()));
        }
        Ok(())
    }

    fn announced_for(&self, authority: &Authority) -> Duration {
        match &self.announced {
            Some((certificate, since)) if authority.announced() == Some(certificate) => since.elapsed(),
            _ => Duration::ZERO,
        }
    }
}
