//! The audit log: one line of Kubernetes' `audit.k8s.io/v1` a request.

use palisade_k8s::put;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::identity::Identity;

/// The file that lines go to, or nowhere.
#[derive(Debug, Default)]
pub(crate) struct Audit(Option<Mutex<File>>);

/// One request.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) id: &'a str,
    pub(crate) user: &'a Identity,
    pub(crate) verb: &'a str,
    pub(crate) uri: &'a str,
    pub(crate) source: &'a str,
    pub(crate) agent: &'a str,
    pub(crate) object: Option<Value>,
    pub(crate) code: u16,
    pub(crate) annotations: &'a BTreeMap<String, String>,
    pub(crate) received: &'a str,
}

impl Audit {
    pub(crate) fn to_file(path: &Path) -> std::io::Result<Self> {
        Ok(Self(Some(Mutex::new(File::options().create(true).append(true).open(path)?))))
    }

    pub(crate) fn write(&self, entry: &Entry<'_>) {
        let Some(file) = &self.0 else { return };
        let mut line = json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": entry.id,
            "stage": "ResponseComplete", "requestURI": entry.uri, "verb": entry.verb,
            "user": entry.user.to_json(), "sourceIPs": [entry.source], "userAgent": entry.agent,
        });
        if let Some(object) = &entry.object {
            put(&mut line, &["objectRef"], object.clone());
        }
        put(&mut line, &["responseStatus"], json!({"metadata": {}, "code": entry.code}));
        put(&mut line, &["requestReceivedTimestamp"], entry.received.into());
        put(&mut line, &["stageTimestamp"], crate::time::now().into());
        put(&mut line, &["annotations"], json!(entry.annotations));
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = writeln!(file, "{line}") {
            tracing::error!("the audit log cannot be written: {error}");
        }
    }
}
