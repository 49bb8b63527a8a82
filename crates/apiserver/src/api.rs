//! The state that all requests share.

use std::sync::{Arc, RwLock};

use palisade_store::Store;

use crate::audit::Audit;
use crate::hub::Hub;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::ranges::Ranges;
use crate::token::Tokens;

/// The state that all requests share.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) store: Store,
    pub(crate) hub: Arc<Hub>,
    pub(crate) live: Live,
    pub(crate) tokens: Tokens,
    /// Which blocks of IDs namespaces have.
    pub(crate) ranges: Ranges,
    pub(crate) audit: Audit,
    pub(crate) metrics: Metrics,
    /// Held by requests; closed while a backup is taken back.
    pub(crate) gate: RwLock<()>,
    /// The certificate of whoever signs the server's, for pods and clients to trust.
    pub(crate) ca: String,
    /// How nodes are reached.
    pub(crate) nodes: Arc<rustls::ClientConfig>,
}

impl Api {
    pub(crate) fn new(
        store: Store,
        tokens: Tokens,
        audit: Audit,
        ca: String,
        nodes: Arc<rustls::ClientConfig>,
    ) -> Self {
        Self {
            hub: Hub::start(&store),
            live: Live::new(&store),
            ranges: Ranges::default(),
            gate: RwLock::default(),
            metrics: Metrics::default(),
            store,
            tokens,
            audit,
            ca,
            nodes,
        }
    }
}
