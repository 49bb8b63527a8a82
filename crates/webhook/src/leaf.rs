//! The certificate that this replica presents: minted in memory, and minted anew in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use palisade_https::{Pair, Tls, TlsError};

use crate::authority::{Authority, AuthorityError};
use crate::secret::{self, SecretError};

/// How often the Secret is read. Timers stand still in a suspended machine, so the wall clock is looked at each time.
const PERIOD: Duration = Duration::from_secs(10);

/// Why there is no certificate to present.
#[derive(Debug, thiserror::Error)]
pub enum LeafError {
    /// The certificate authority cannot be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A certificate cannot be made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A certificate cannot be served.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The presented certificate and what it is made from.
pub(crate) struct Leaf {
    client: Client,
    namespace: String,
    names: Vec<String>,
    authority: Authority,
    due: Timestamp,
    tls: Tls,
    expiry: Arc<AtomicI64>,
}

impl Leaf {
    /// Mints the first one.
    ///
    /// # Errors
    ///
    /// The authority cannot be had, or its certificates cannot be used.
    pub(crate) async fn mint(
        client: Client,
        namespace: String,
        names: Vec<String>,
    ) -> Result<Self, LeafError> {
        let authority = secret::authority(&client, &namespace).await?;
        let (pair, due) = authority.leaf(&names, Timestamp::now())?;
        let tls = Tls::new(&pair, None)?;
        let expiry = Arc::new(AtomicI64::new(seconds(&pair)?));
        Ok(Self { client, namespace, names, authority, due, tls, expiry })
    }

    pub(crate) fn tls(&self) -> Tls {
        self.tls.clone()
    }

    pub(crate) fn expiry(&self) -> Arc<AtomicI64> {
        Arc::clone(&self.expiry)
    }

    /// Presents a new one when the authority changed or the old one is due, for ever.
    pub(crate) async fn renew(mut self) {
        loop {
            tokio::time::sleep(PERIOD).await;
            let current = match secret::authority(&self.client, &self.namespace).await {
                Ok(current) => current,
                Err(error) => {
                    tracing::warn!("the certificate authority cannot be read: {error}");
                    self.authority.clone()
                }
            };
            if current == self.authority && Timestamp::now() < self.due {
                continue;
            }
            if let Err(error) = self.present(current) {
                tracing::error!("no new certificate: {error}");
            }
        }
    }

    fn present(&mut self, authority: Authority) -> Result<(), LeafError> {
        let (pair, due) = authority.leaf(&self.names, Timestamp::now())?;
        self.tls.replace(&pair, None)?;
        self.expiry.store(seconds(&pair)?, Ordering::Release);
        (self.authority, self.due) = (authority, due);
        Ok(())
    }
}

fn seconds(pair: &Pair) -> Result<i64, LeafError> {
    Ok(pair.expiry().map_err(AuthorityError::from)?.as_second())
}
