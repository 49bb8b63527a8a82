//! The certificate that this replica presents: minted in memory, and renewed in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use palisade_https::{Pair, Tls, TlsError};

use crate::authority::{Authority, AuthorityError};
use crate::secret;

/// Interval between reads of the Secret. Timers stand still in a suspended machine, so the wall clock is checked each
/// time.
const PERIOD: Duration = Duration::from_secs(5);
/// The interval before the first certificate: the replica waits for it.
const FIRST_PERIOD: Duration = Duration::from_secs(1);

/// An error of the presented certificate.
#[derive(Debug, thiserror::Error)]
pub enum LeafError {
    /// A certificate cannot be made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A certificate cannot be served.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The presented certificate and its authority.
pub(crate) struct Leaf {
    client: Client,
    namespace: String,
    names: Vec<String>,
    /// The cluster's authority, once it could be read.
    authority: Option<Authority>,
    due: Timestamp,
    tls: Tls,
    /// The certificates of the authorities of client certificates, if these are required.
    clients: Option<String>,
    expiry: Arc<AtomicI64>,
}

impl Leaf {
    /// Mints a certificate of an untrusted authority. So a replica that cannot reach the API server yet can answer the
    /// kubelet, which does not verify it: that it is alive, and why it is not ready.
    ///
    /// # Errors
    ///
    /// Certificates cannot be made, or those of the clients' authorities cannot be read.
    pub(crate) fn provisional(
        client: Client,
        namespace: String,
        names: Vec<String>,
        clients: Option<String>,
    ) -> Result<Self, LeafError> {
        let (pair, due) = Authority::generate(Timestamp::now())?.leaf(&names, Timestamp::now())?;
        let tls = Tls::new(&pair, clients.as_deref())?;
        Ok(Self { client, namespace, names, authority: None, due, tls, clients, expiry: Arc::default() })
    }

    pub(crate) fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// The end of the presented certificate, in seconds since 1970; 0 until it is of the cluster's authority.
    pub(crate) fn expiry(&self) -> Arc<AtomicI64> {
        Arc::clone(&self.expiry)
    }

    /// Presents a certificate of the cluster's authority, and a new one when the authority changes or the old one is
    /// due, without end.
    pub(crate) async fn renew(mut self) {
        loop {
            let read = secret::authority(&self.client, &self.namespace);
            let current = match tokio::time::timeout(PERIOD, read).await {
                Ok(Ok(current)) => Some(current),
                Ok(Err(error)) => {
                    tracing::warn!("the certificate authority cannot be read: {error}");
                    self.authority.clone()
                }
                Err(_) => {
                    tracing::warn!(
                        "the certificate authority cannot be read: the API server does not answer"
                    );
                    self.authority.clone()
                }
            };
            if let Some(authority) = current
                && (self.authority.as_ref() != Some(&authority) || Timestamp::now() >= self.due)
                && let Err(error) = self.present(authority)
            {
                tracing::error!("no new certificate: {error}");
            }
            tokio::time::sleep(if self.authority.is_some() { PERIOD } else { FIRST_PERIOD }).await;
        }
    }

    fn present(&mut self, authority: Authority) -> Result<(), LeafError> {
        let (pair, due) = authority.leaf(&self.names, Timestamp::now())?;
        self.tls.replace(&pair, self.clients.as_deref())?;
        self.expiry.store(seconds(&pair)?, Ordering::Release);
        (self.authority, self.due) = (Some(authority), due);
        Ok(())
    }
}

fn seconds(pair: &Pair) -> Result<i64, LeafError> {
    Ok(pair.expiry().map_err(AuthorityError::from)?.as_second())
}
