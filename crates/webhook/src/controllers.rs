//! Controllers that one replica runs for all: rotation of the certificate authority, its bundle in the webhook configurations, and
//! ranges of namespaces.

use std::time::{Duration, Instant};

use kube::Client;
use tokio::sync::watch;

use crate::config::Config;
use crate::install::LEASE;
use crate::lease::{Candidate, PERIOD};
use crate::namespaces::{Allocator, Lacking};
use crate::secret;

/// How often the authority and its bundle are looked at: somebody may have applied the installation again.
const BUNDLE_PERIOD: Duration = Duration::from_secs(10);

/// Competes for the lease, and does the work while it is held. Told to stop, it gives the lease to whoever is next.
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
    loop {
        if looked.is_none_or(|looked: Instant| looked.elapsed() >= PERIOD) {
            if let Err(error) = candidate.attempt(started.elapsed()).await {
                tracing::warn!("the lease cannot be renewed: {error}");
            }
            looked = Some(Instant::now());
        }
        let leads = candidate.holds(started.elapsed());
        allocator.lead(leads);
        if leads {
            work(&client, &config.namespace, &allocator, &lacking).await;
        }
        tokio::select! {
            () = tokio::time::sleep(BUNDLE_PERIOD) => {}
            () = lacking.changed(), if leads => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    allocator.lead(false);
    candidate.release(started.elapsed()).await;
}

async fn work(client: &Client, namespace: &str, allocator: &Allocator, lacking: &Lacking) {
    allocator.repair(client, lacking).await;
    let published = match secret::rotate(client, namespace).await {
        Ok(authority) => secret::publish(client, &authority.bundle()).await.map_err(Into::into),
        Err(error) => Err(error),
    };
    if let Err(error) = published {
        tracing::warn!("the bundle of the webhooks cannot be kept: {error}");
    }
}
