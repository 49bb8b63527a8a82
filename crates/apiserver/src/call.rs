//! A request while the API handles it.

use std::sync::Arc;

use serde_json::Value;

use crate::api::Api;
use crate::error::ApiResult;
use crate::gate::Pass;
use crate::identity::Identity;
use crate::notes::Notes;
use crate::objects;
use crate::request::{Query, Target};
use crate::share::Places;

/// A request for a resource, with the warnings and annotations that it collects.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) api: &'a Api,
    pub(crate) identity: &'a Identity,
    pub(crate) target: &'a Target,
    pub(crate) query: &'a Query,
    /// The client's user agent.
    pub(crate) agent: &'a str,
    pub(crate) notes: &'a Notes,
    pub(crate) stay: Stay<'a>,
}

/// Leases and pass of a request, which it gives up while it waits for a webhook; the server's own requests have none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stay<'a> {
    pub(crate) places: Option<&'a Places>,
    pub(crate) pass: Option<&'a Pass<'a>>,
}

impl Stay<'_> {
    /// The name of the party that the request counts against.
    pub(crate) fn party(self) -> Arc<str> {
        self.places.map_or_else(|| objects::SERVER.into(), Places::party)
    }

    /// Leaves it to others for the rest of the request.
    pub(crate) fn set_aside(self, api: &Api) -> ApiResult<()> {
        self.places.map_or(Ok(()), |places| api.shares.set_aside(places))
    }

    /// Waits for a webhook.
    ///
    /// # Errors
    ///
    /// Too much is held by requests that wait, or a backup was restored meanwhile.
    pub(crate) fn wait<T>(self, api: &Api, answer: impl Future<Output = T>) -> ApiResult<T> {
        self.set_aside(api)?;
        let wait = || api.runtime.block_on(answer);
        match self.pass {
            Some(pass) => pass.outside(wait),
            None => Ok(wait()),
        }
    }

    /// Refuses to write what was read before a restore.
    pub(crate) fn check(self) -> ApiResult<()> {
        self.pass.map_or(Ok(()), Pass::check)
    }
}

impl Call<'_> {
    /// The request as it waits for webhooks that convert objects.
    pub(crate) fn asker(&self) -> (&Api, Stay<'_>) {
        (self.api, self.stay)
    }

    pub(crate) fn is_dry_run(&self) -> bool {
        self.query.is_dry_run()
    }

    /// The name under which a client's fields are recorded.
    pub(crate) fn manager(&self) -> &str {
        match self.query.get("fieldManager") {
            Some(manager) if !manager.is_empty() => manager,
            _ => self.agent.split(['/', ' ']).next().filter(|name| !name.is_empty()).unwrap_or("unknown"),
        }
    }

    /// The same request for another target, by the same user.
    pub(crate) fn at<'b>(&'b self, target: &'b Target) -> Call<'b> {
        Call {
            api: self.api,
            identity: self.identity,
            target,
            query: self.query,
            agent: self.agent,
            notes: self.notes,
            stay: self.stay,
        }
    }
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) object: Value,
}

impl Answer {
    pub(crate) fn ok(object: Value) -> Self {
        Self { code: 200, object }
    }

    pub(crate) fn created(object: Value) -> Self {
        Self { code: 201, object }
    }
}
