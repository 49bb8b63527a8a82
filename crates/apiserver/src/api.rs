//! The state that all requests share.

use std::sync::{Arc, Mutex};

use palisade_admission::{PolicyCache, Reservations};
use palisade_audit::Audit;
use palisade_hooks::{Client, Webhooks};
use palisade_registry::services::Services;
use palisade_store::Store;

use crate::authenticate::{Shown, Sources};
use crate::authorize;
use crate::decider::Decider;
use crate::definitions::Definitions;
use crate::documents::Documents;
use crate::error::ApiResult;
use crate::gate::Gate;
use crate::hub::Hub;
use crate::identity::{Identity, Requester};
use crate::locks::Locks;
use crate::login::Logins;
use crate::metrics::Metrics;
use crate::node::Placed;
use crate::policy::{self, Epoch, Others};
use crate::request::Target;
use crate::shares::Shares;
use crate::token::Tokens;

/// The state that all requests share.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) store: Store,
    pub(crate) hub: Arc<Hub>,
    /// Documents of discovery.
    pub(crate) documents: Documents,
    /// Documents of OpenAPI, which take longer: discovery does not wait for them.
    pub(crate) openapi: Documents,
    /// SCCs, roles, bindings and namespaces, kept in step with the store.
    pub(crate) policy: Arc<PolicyCache>,
    /// Generation that changes with every write that may end a user's rights.
    pub(crate) epoch: Arc<Epoch>,
    pub(crate) tokens: Tokens,
    pub(crate) logins: Logins,
    pub(crate) shares: Shares,
    /// Blocks of IDs for namespaces that are about to be written.
    pub(crate) ranges: Reservations,
    /// Lock held while the used amounts of a namespace's quotas are read and changed.
    pub(crate) quotas: Locks,
    /// Locks held while bounds of a namespace, or of a user, are looked at and something more is written.
    pub(crate) rooms: Locks,
    /// Lock held while the ranges of a node's pods are checked and written.
    pub(crate) node_ranges: Mutex<()>,
    /// Lock held while a pod that is evicted from a namespace is deleted.
    pub(crate) evictions: Locks,
    pub(crate) audit: Audit,
    pub(crate) metrics: Metrics,
    /// Requests are inside; closed while a backup is restored.
    pub(crate) gate: Gate,
    /// The certificate of the authority that signs the server's, for pods and clients to trust.
    pub(crate) ca: String,
    /// Client for connections to nodes.
    pub(crate) nodes: Arc<rustls::ClientConfig>,
    /// The decider on SCC.
    pub(crate) decider: Decider,
    /// Webhooks that requests go through, in step with the store.
    pub(crate) webhooks: Arc<Webhooks>,
    pub(crate) webhook_client: Client,
    /// The resources that are served, kept in step with the store.
    pub(crate) definitions: Arc<Definitions>,
    /// References of the pods on nodes, kept in step with the store.
    pub(crate) placed: Arc<Placed>,
    /// The addresses and ports of services, kept in step with the store.
    pub(crate) services: Arc<Services>,
    /// Threads for work that may wait for others.
    pub(crate) runtime: tokio::runtime::Handle,
}

/// The decider on SCC, and the client of admission webhooks.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    pub(crate) decider: Decider,
    pub(crate) client: Client,
}

impl Api {
    pub(crate) fn new(
        store: Store,
        tokens: Tokens,
        audit: Audit,
        ca: String,
        nodes: Arc<rustls::ClientConfig>,
        outside: Outside,
    ) -> ApiResult<Self> {
        let others = Others { members: Arc::clone(tokens.members()), ..Others::default() };
        let (policy, epoch) = policy::follow(&store, &others)?;
        Ok(Self {
            hub: Hub::start(&store),
            documents: Documents::default(),
            openapi: Documents::default(),
            policy,
            epoch,
            ranges: Reservations::default(),
            quotas: Locks::default(),
            rooms: Locks::default(),
            node_ranges: Mutex::default(),
            evictions: Locks::default(),
            gate: Gate::default(),
            metrics: Metrics::default(),
            store,
            tokens,
            logins: Logins::default(),
            shares: Shares::default(),
            audit,
            ca,
            nodes,
            decider: outside.decider,
            webhook_client: outside.client,
            webhooks: others.webhooks,
            definitions: others.definitions,
            placed: others.placed,
            services: others.services,
            runtime: tokio::runtime::Handle::current(),
        })
    }

    /// The current user of the credentials.
    pub(crate) fn identify(&self, shown: &Shown) -> ApiResult<Requester> {
        let Self { store, policy, tokens, .. } = self;
        shown.identify(&Sources { store, policy, tokens })
    }

    /// The reason why a user may do something; refuses otherwise, as [`authorize::require`] does.
    pub(crate) fn require(
        &self,
        identity: &Identity,
        verb: &str,
        target: &Target,
        selected: Option<&str>,
    ) -> ApiResult<String> {
        authorize::require((&self.store, &self.placed), &self.policy, identity, verb, target, selected)
    }
}
