//! The policy as it is now: roles, bindings, SCCs and namespaces, computed again when one of them changes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use palisade_admission::{Policy, PolicyBuilder};
use palisade_k8s::rbac::{Role, RoleBinding};
use palisade_rbac::{Rbac, RbacObjects};
use palisade_store::{Revision, Store};
use serde::de::DeserializeOwned;

use crate::error::{ApiError, ApiResult};
use crate::{objects, resource};

/// What roles and bindings are kept under.
const RBAC: [&str; 4] = ["clusterroles", "roles", "clusterrolebindings", "rolebindings"];

/// Something computed from objects, and of which moment it is.
#[derive(Debug)]
struct Computed<T> {
    at: Option<(Revision, Arc<T>)>,
    /// The last write that changes it.
    changed: Revision,
}

impl<T> Default for Computed<T> {
    fn default() -> Self {
        Self { at: None, changed: Revision::default() }
    }
}

/// What decisions are made by.
#[derive(Debug)]
pub(crate) struct Live {
    store: Store,
    rbac: Mutex<Computed<Rbac>>,
    policy: Mutex<Computed<Policy>>,
    /// Counts what may end somebody's rights, or somebody.
    epoch: AtomicU64,
}

/// What says who somebody is.
const WHO: [&str; 3] = ["serviceaccounts", "user.openshift.io/users", "user.openshift.io/groups"];

impl Live {
    pub(crate) fn new(store: &Store) -> Self {
        Self {
            store: store.clone(),
            rbac: Mutex::default(),
            policy: Mutex::default(),
            epoch: AtomicU64::new(1),
        }
    }

    /// A write has been made: what depends on it is computed again before it is next asked for, so that whoever was
    /// told of the write never meets an answer from before it.
    pub(crate) fn wrote(&self, storage: &str, revision: Revision) {
        let is_rbac = storage.starts_with(palisade_k8s::rbac::GROUP);
        let is_policy = storage.starts_with(palisade_k8s::scc::GROUP) || storage == "namespaces";
        if is_rbac {
            note(&self.rbac, revision);
        }
        if is_rbac || is_policy {
            note(&self.policy, revision);
        }
        if is_rbac || WHO.contains(&storage) {
            self.forgot();
        }
    }

    /// Something is gone that somebody's rights may have come from: an account, a token, what a token is bound to.
    pub(crate) fn forgot(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    /// Changes when those who go on for long, such as watches, must show again who they are.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Anything may have been written.
    pub(crate) fn wrote_all(&self, revision: Revision) {
        note(&self.rbac, revision);
        note(&self.policy, revision);
        self.forgot();
    }

    /// Roles and bindings.
    pub(crate) fn rbac(&self) -> ApiResult<Arc<Rbac>> {
        current(&self.rbac, self.store.revision(), || self.read_rbac())
    }

    /// All that decides on pods.
    pub(crate) fn policy(&self) -> ApiResult<Arc<Policy>> {
        current(&self.policy, self.store.revision(), || self.read_policy())
    }

    fn read_rbac(&self) -> ApiResult<Rbac> {
        Ok(Rbac::new(RbacObjects {
            cluster_roles: self.read::<Role>("clusterroles")?,
            roles: self.read::<Role>("roles")?,
            cluster_role_bindings: self.read::<RoleBinding>("clusterrolebindings")?,
            role_bindings: self.read::<RoleBinding>("rolebindings")?,
        }))
    }

    fn read<T: DeserializeOwned>(&self, plural: &str) -> ApiResult<Vec<T>> {
        let mut read = Vec::new();
        for object in self.objects(palisade_k8s::rbac::GROUP, plural)? {
            match serde_json::from_value(object) {
                Ok(object) => read.push(object),
                // It grants nothing then; the write that made it was checked, so this is no client's doing.
                Err(error) => tracing::error!("a stored object of {plural} does not fit its type: {error}"),
            }
        }
        Ok(read)
    }

    fn read_policy(&self) -> ApiResult<Policy> {
        let mut builder = PolicyBuilder::default();
        let mut sources: Vec<(&str, &str)> =
            RBAC.iter().map(|plural| (palisade_k8s::rbac::GROUP, *plural)).collect();
        sources.extend([(palisade_k8s::scc::GROUP, palisade_k8s::scc::RESOURCE), ("", "namespaces")]);
        for (group, plural) in sources {
            for object in self.objects(group, plural)? {
                if let Err(error) = builder.add(&object) {
                    tracing::error!("a stored object of {plural} is no policy: {error}");
                }
            }
        }
        Ok(builder.build())
    }

    fn objects(&self, group: &str, plural: &str) -> ApiResult<Vec<serde_json::Value>> {
        let resource = resource::find(group, plural).ok_or_else(ApiError::no_such_path)?;
        Ok(objects::list(&self.store, resource, None, None, None)?.items)
    }
}

fn note<T>(computed: &Mutex<Computed<T>>, revision: Revision) {
    let mut computed = computed.lock().unwrap_or_else(PoisonError::into_inner);
    computed.changed = computed.changed.max(revision);
}

fn current<T>(
    computed: &Mutex<Computed<T>>,
    now: Revision,
    compute: impl FnOnce() -> ApiResult<T>,
) -> ApiResult<Arc<T>> {
    let mut computed = computed.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((at, value)) = &computed.at
        && *at >= computed.changed
    {
        return Ok(Arc::clone(value));
    }
    let value = Arc::new(compute()?);
    computed.at = Some((now, Arc::clone(&value)));
    Ok(value)
}
