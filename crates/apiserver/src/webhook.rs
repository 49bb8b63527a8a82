//! This server as the host of admission webhooks: their configurations, and the attributes of a request that they
//! receive.

use std::net::SocketAddr;
use std::sync::Arc;

use palisade_api::cel::{Authorizer, Check, Decision};
use palisade_hooks::{Answers, Attributes, Client, Host, Operation, Webhooks};
use palisade_rbac::Action;
use serde_json::Value;

use crate::authorize::{allowed, allowed_path};
use crate::call::Call;
use crate::endpoint::endpoint;
use crate::error::ApiResult;
use crate::identity::Identity;
use crate::objects;
use crate::resource::{self, Resource};

/// A request as webhooks see it; `old` is the object before the change, if any.
pub(crate) fn attributes<'a>(
    call: &'a Call<'a>,
    operation: Operation,
    old: Option<&'a Value>,
) -> Attributes<'a> {
    Attributes {
        host: call,
        target: call.target,
        query: call.query,
        user: call.identity,
        notes: call.notes,
        operation,
        old,
        is_dry_run: call.is_dry_run(),
    }
}

impl Host for Call<'_> {
    fn webhooks(&self) -> &Webhooks {
        &self.api.webhooks
    }

    fn client(&self) -> &Client {
        &self.api.webhook_client
    }

    fn wait(&self, answers: Answers<'_>) -> ApiResult<()> {
        self.stay.wait(self.api, answers)
    }

    fn namespace(&self, name: &str) -> ApiResult<Value> {
        Ok(objects::get(&self.api.store, &resource::NAMESPACES, "", name)?.object)
    }

    fn versions_of(&self, resource: &Resource) -> Vec<Resource> {
        self.api.definitions.now().versions_of(resource)
    }

    fn shown(&self, form: &Resource, objects: Vec<Value>) -> ApiResult<Vec<Value>> {
        crate::convert::all((self.api, self.stay), form, objects)
    }

    fn authorizer(&self) -> Authorizer {
        let (policy, author) = (Arc::clone(&self.api.policy), self.identity.clone());
        Authorizer::new(move |check: &Check| decide(&policy, &author, check))
    }

    fn endpoint(&self, namespace: &str, name: &str, port: u16) -> Option<SocketAddr> {
        endpoint(&self.api.store, namespace, name, port)
    }
}

/// The `authorizer` of expressions: checks for the requester, or for a service account.
fn decide(policy: &palisade_admission::PolicyCache, author: &Identity, check: &Check) -> Decision {
    let account =
        check.account.as_ref().map(|(namespace, name)| Identity::service_account(namespace, name, ""));
    let identity = account.as_ref().unwrap_or(author);
    if !check.path.is_empty() {
        let allowed = allowed_path(policy, identity, &check.verb, &check.path);
        return Decision { allowed, reason: String::new() };
    }
    let resource = match check.subresource.as_str() {
        "" => check.resource.clone(),
        part => format!("{}/{part}", check.resource),
    };
    let action = Action {
        verb: &check.verb,
        group: &check.group,
        resource: &resource,
        namespace: &check.namespace,
        name: &check.name,
    };
    let reason = allowed(policy, identity, &action);
    Decision { allowed: reason.is_some(), reason: reason.unwrap_or_default() }
}
