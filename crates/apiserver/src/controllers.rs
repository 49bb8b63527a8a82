//! The server as its controllers see it: their requests go the way of all others.

use std::sync::Arc;

use palisade_admission::PolicyCache;
use palisade_controllers::{ApiServer, Author};
use palisade_registry::services::Services;
use palisade_scc::BuiltinSet;
use palisade_store::{Revision, Store};
use serde_json::Value;

use crate::api::Api;
use crate::call::{Call, Stay};
use crate::definitions::Definitions;
use crate::error::ApiResult;
use crate::hub::Hub;
use crate::notes::Notes;
use crate::request::{Query, Target};
use crate::resource::Resource;
use crate::{admit, bootstrap, remove, verb};

/// Handles a request of a controller.
fn call<T>(
    api: &Api,
    author: &Author,
    target: &Target,
    act: impl FnOnce(&Call<'_>) -> ApiResult<T>,
) -> ApiResult<T> {
    let Author { identity, agent } = author;
    let (query, notes, stay) = (Query::default(), Notes::default(), Stay::default());
    act(&Call { api, identity, target, query: &query, agent, notes: &notes, stay })
}

impl ApiServer for Api {
    fn store(&self) -> &Store {
        &self.store
    }

    fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    fn policy(&self) -> &Arc<PolicyCache> {
        &self.policy
    }

    fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    fn services(&self) -> &Arc<Services> {
        &self.services
    }

    fn create(&self, author: &Author, target: &Target, object: Value) -> ApiResult<Value> {
        call(self, author, target, |call| verb::create_object(call, object))
    }

    fn revise(
        &self,
        author: &Author,
        target: &Target,
        change: &dyn Fn(&Value) -> ApiResult<Value>,
    ) -> ApiResult<Value> {
        call(self, author, target, |call| verb::revise(call, change))
    }

    fn delete(&self, author: &Author, target: &Target, options: &Value) -> ApiResult<()> {
        let options = options.to_string();
        call(self, author, target, |call| {
            verb::delete(call, options.as_bytes(), "application/json").map(drop)
        })
    }

    fn remove(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        seen: Option<Revision>,
    ) -> ApiResult<()> {
        remove::remove(self, resource, namespace, name, seen)
    }

    fn initial(&self, set: BuiltinSet) -> ApiResult<Vec<Value>> {
        bootstrap::objects(self, set)
    }

    fn ensure(&self, object: Value) -> ApiResult<()> {
        bootstrap::ensure(self, object)
    }

    fn furnish(&self, namespace: &str) -> ApiResult<()> {
        admit::furnish(self, namespace)
    }

    fn repair(&self, namespace: Value) -> ApiResult<()> {
        bootstrap::repair(self, namespace)
    }
}
