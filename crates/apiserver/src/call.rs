//! One request on its way through the API.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::api::Api;
use crate::identity::Identity;
use crate::limits;
use crate::request::{Query, Target};

/// A request for a resource, and what is said about it besides the answer.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) api: &'a Api,
    pub(crate) who: &'a Identity,
    pub(crate) target: &'a Target,
    pub(crate) query: &'a Query,
    /// The client's name for itself.
    pub(crate) agent: &'a str,
    pub(crate) notes: &'a Notes,
}

/// Warnings for the client, and annotations for the audit log.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    warnings: Mutex<Vec<String>>,
    annotations: Mutex<BTreeMap<String, String>>,
}

impl Notes {
    pub(crate) fn warn(&self, warnings: impl IntoIterator<Item = String>) {
        let mut kept = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        for warning in warnings {
            if kept.len() == limits::WARNINGS {
                break;
            }
            if !kept.contains(&warning) {
                kept.push(warning);
            }
        }
        let total: usize = kept.iter().map(|warning| warning.chars().count()).sum();
        if total > limits::WARNINGS_LENGTH {
            // As many as may be kept, each this long, are more than that by little.
            kept.iter_mut().for_each(cut);
        }
    }

    pub(crate) fn annotate(&self, key: impl Into<String>, value: impl Into<String>) {
        self.annotations.lock().unwrap_or_else(PoisonError::into_inner).insert(key.into(), value.into());
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn annotations(&self) -> BTreeMap<String, String> {
        self.annotations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Cuts a long warning, and shows that it is cut.
fn cut(warning: &mut String) {
    if let Some((end, _)) = warning.char_indices().nth(limits::WARNING_LENGTH) {
        warning.truncate(end);
        warning.push_str("...");
    }
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
        Call { api: self.api, who: self.who, target, query: self.query, agent: self.agent, notes: self.notes }
    }
}

/// What a request is answered with.
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
