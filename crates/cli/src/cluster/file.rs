//! Objects from files, each with its place.

use std::path::PathBuf;

use palisade_k8s::FieldPath;
use serde_json::Value;

use super::session::{ClusterError, Result};
use crate::files;

/// Reads all objects of files; the second is where each is.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<(Value, String)>> {
    let documents = files::read(paths).map_err(|error| ClusterError::Usage(super::session::chain(&error)))?;
    documents
        .into_iter()
        .map(|document| {
            let place = document.place(&FieldPath::root()).to_string();
            for field in ["kind", "apiVersion"] {
                if document.text(field).is_empty() {
                    return Err(ClusterError::Usage(format!("{place}: the object has no {field}")));
                }
            }
            Ok((document.node.to_json(), place))
        })
        .collect()
}
