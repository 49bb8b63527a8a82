//! The API server as controllers see it.

use std::sync::Arc;

use palisade_admission::PolicyCache;
use palisade_api::identity::Identity;
use palisade_api::request::Target;
use palisade_registry::definitions::Definitions;
use palisade_registry::follower::Follower;
use palisade_registry::hub::Hub;
use palisade_registry::services::Services;
use palisade_scc::BuiltinSet;
use palisade_store::{Revision, Store};
use serde_json::Value;

use crate::error::ApiResult;
use crate::resource::Resource;

/// The user in whose name a controller sends a request.
#[derive(Clone, Debug)]
pub struct Author {
    /// The user.
    pub identity: Identity,
    /// The user agent, which names the manager of the fields that are written.
    pub agent: &'static str,
}

impl Author {
    /// The server itself.
    #[must_use]
    pub fn server() -> Self {
        Self { identity: Identity::system(), agent: "palisade" }
    }

    /// A service account of kube-controller-manager.
    #[must_use]
    pub fn account(name: &str) -> Self {
        let identity = Identity::service_account("kube-system", name, "");
        Self { identity, agent: "kube-controller-manager" }
    }
}

/// An API server: the state that controllers read, and the requests that they send, which go through its admission.
pub trait ApiServer: std::fmt::Debug + Send + Sync {
    /// The objects.
    fn store(&self) -> &Store;

    /// The events of writes.
    fn hub(&self) -> &Arc<Hub>;

    /// SCCs, roles, bindings and namespaces.
    fn policy(&self) -> &Arc<PolicyCache>;

    /// The resources that are served.
    fn definitions(&self) -> &Definitions;

    /// The addresses and ports of services.
    fn services(&self) -> &Arc<Services>;

    /// Creates an object, as admitted.
    ///
    /// # Errors
    ///
    /// The request is refused, or the store fails.
    fn create(&self, author: &Author, target: &Target, object: Value) -> ApiResult<Value>;

    /// Changes an object by a function of its present state, again after a conflicting write.
    ///
    /// # Errors
    ///
    /// The request is refused, or the store fails.
    fn revise(
        &self,
        author: &Author,
        target: &Target,
        change: &dyn Fn(&Value) -> ApiResult<Value>,
    ) -> ApiResult<Value>;

    /// Deletes an object by `DeleteOptions`.
    ///
    /// # Errors
    ///
    /// The request is refused, or the store fails.
    fn delete(&self, author: &Author, target: &Target, options: &Value) -> ApiResult<()>;

    /// Removes an object from the store without admission, if it is still of a revision.
    ///
    /// # Errors
    ///
    /// The object does not exist or has changed, or the store fails.
    fn remove(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        seen: Option<Revision>,
    ) -> ApiResult<()>;

    /// The objects that every cluster has, with the SCCs of a set.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    fn initial(&self, set: BuiltinSet) -> ApiResult<Vec<Value>>;

    /// Makes one of them if it is missing.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    fn ensure(&self, object: Value) -> ApiResult<()>;

    /// Makes the objects that every namespace has, if they are missing.
    ///
    /// # Errors
    ///
    /// They cannot be written.
    fn furnish(&self, namespace: &str) -> ApiResult<()>;

    /// Gives a namespace its missing ranges of IDs.
    ///
    /// # Errors
    ///
    /// No ranges are left.
    fn repair(&self, namespace: Value) -> ApiResult<()>;

    /// The events after a revision.
    fn follow(&self, seen: Revision) -> Follower {
        Follower::new(self.hub(), self.store(), seen)
    }
}
