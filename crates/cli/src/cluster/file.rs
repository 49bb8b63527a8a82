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

/// Does something with each object. One that fails does not keep the others from it: all failures are said, each with
/// its place, the last as the result.
pub(crate) fn each(objects: &[(Value, String)], mut act: impl FnMut(&Value) -> Result<()>) -> Result<()> {
    let mut failed: Option<ClusterError> = None;
    for (object, place) in objects {
        if let Err(error) = act(object)
            && let Some(earlier) = failed.replace(ClusterError::Usage(format!("{place}: {error}")))
        {
            crate::exit::report(&earlier);
        }
    }
    failed.map_or(Ok(()), Err)
}
