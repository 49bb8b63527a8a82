//! The objects of `--filename`, each with its position.

use std::path::PathBuf;

use palisade_client::{Kind, Kinds, Session};
use palisade_console::Exit;
use palisade_console::files;
use palisade_k8s::FieldPath;
use serde_json::Value;

use crate::error::{Error, Failures, Result};
use crate::value::text;

/// An object of a file.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) object: Value,
    /// `FILE:LINE:COLUMN`
    pub(crate) place: String,
}

/// Reads all objects of files.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Placed>> {
    let documents = files::read(paths)?;
    let placed = documents.into_iter().map(|document| {
        let place = document.place(&FieldPath::root()).to_string();
        for field in ["kind", "apiVersion"] {
            if document.text(field).is_empty() {
                return Err(Error::FieldMissing(field).at(&place));
            }
        }
        Ok(Placed { object: document.node.to_json(), place })
    });
    placed.collect()
}

/// Passes each object to a function. A failure does not stop the others.
pub(crate) async fn each(objects: &[Placed], act: impl AsyncFn(&Value) -> Result<()>) -> Exit {
    let mut failures = Failures::default();
    for Placed { object, place } in objects {
        failures.note(act(object).await.map_err(|error| error.at(place)));
    }
    failures.exit()
}

/// The kind of an object, which the server must serve.
pub(crate) fn kind_of<'k>(kinds: &'k Kinds, object: &Value) -> Result<&'k Kind> {
    kinds.of_object(object).ok_or_else(|| Error::UnknownKind {
        kind: text(object, "/kind").to_owned(),
        version: text(object, "/apiVersion").to_owned(),
    })
}

/// The namespace of an object. The object and the command line must not name different ones.
pub(crate) fn namespace_of(session: &Session, kind: &Kind, object: &Value) -> Result<String> {
    let own = text(object, "/metadata/namespace");
    if kind.namespaced && session.has_namespace && !own.is_empty() && own != session.namespace {
        return Err(Error::NamespaceMismatch { object: own.to_owned(), given: session.namespace.clone() });
    }
    Ok(if own.is_empty() { session.namespace.clone() } else { own.to_owned() })
}
