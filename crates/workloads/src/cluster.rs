//! The cluster that workloads are in, as their controllers see it.

use jiff::Timestamp;
use palisade_api::error::ApiResult;
use palisade_api::kind::Resource;
use serde_json::Value;

/// The author of what a controller writes.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    /// The controller's service account in `kube-system`.
    pub account: &'static str,
    /// The namespace that is written in.
    pub namespace: &'a str,
}

/// The cluster that workloads are in.
pub trait Cluster: std::fmt::Debug {
    /// The time.
    fn now(&self) -> Timestamp;

    /// Gives the objects of a namespace that a workload there controls, by its UID, one by one to a function, which keeps
    /// of each what it needs; `storage` is the place of their kind, as of [`Resource::storage`].
    ///
    /// # Errors
    ///
    /// The objects cannot be read.
    fn owned(&self, namespace: &str, uid: &str, storage: &str, with: &mut dyn FnMut(Value)) -> ApiResult<()>;

    /// The nodes.
    ///
    /// # Errors
    ///
    /// The nodes cannot be read.
    fn nodes(&self) -> ApiResult<Vec<Value>>;

    /// The resource of a kind, a custom one too.
    fn resource(&self, group: &str, kind: &str) -> Option<Resource>;

    /// An object.
    ///
    /// # Errors
    ///
    /// There is none of this name.
    fn get(&self, resource: &Resource, namespace: &str, name: &str) -> ApiResult<Value>;

    /// Creates an object.
    ///
    /// # Errors
    ///
    /// It is refused.
    fn create(&self, author: Author<'_>, resource: &Resource, object: Value) -> ApiResult<Value>;

    /// Deletes an object, by its name and its UID; one that is gone is deleted.
    ///
    /// # Errors
    ///
    /// It is refused.
    fn delete(&self, author: Author<'_>, resource: &Resource, object: (&str, &str)) -> ApiResult<()>;

    /// Changes an object, by its resource, its name, and the subresource that is written.
    ///
    /// # Errors
    ///
    /// It is refused, or others keep writing into it.
    fn change(
        &self,
        author: Author<'_>,
        object: (&Resource, &str, &str),
        change: &dyn Fn(&Value) -> Value,
    ) -> ApiResult<Value>;
}
