//! A request while the API handles it.

use serde_json::Value;

use crate::api::Api;
use crate::identity::Identity;
use crate::notes::Notes;
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
    /// Its places among the requests, if it is one.
    pub(crate) places: Option<&'a Places>,
}

impl Call<'_> {
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
            places: self.places,
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
