//! Reading objects into their types, with the field where one does not fit.

use serde::{Deserialize, Deserializer};
use serde_path_to_error::Segment;

use crate::field::FieldPath;

/// The place where an object does not fit its type, and the reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Misfit {
    /// The field, or the object itself.
    pub path: FieldPath,
    /// The problem.
    pub why: String,
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.path.segments().is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.why)
    }
}

/// Reads an object into its type.
///
/// ```
/// use palisade_k8s::{SecurityContextConstraints, fit};
///
/// let object = serde_json::json!({"runAsUser": {"type": "MustRunAs", "uid": "many"}});
/// let misfit = fit::<SecurityContextConstraints, _>(&object).unwrap_err();
/// assert_eq!(misfit.path.to_string(), "runAsUser.uid");
/// ```
///
/// # Errors
///
/// A field holds what its type cannot.
pub fn fit<'de, T: Deserialize<'de>, D: Deserializer<'de>>(object: D) -> Result<T, Box<Misfit>>
where
    D::Error: std::fmt::Display,
{
    serde_path_to_error::deserialize(object)
        .map_err(|error| Box::new(Misfit { path: path(error.path()), why: error.inner().to_string() }))
}

fn path(written: &serde_path_to_error::Path) -> FieldPath {
    written.iter().fold(FieldPath::root(), |path, segment| match segment {
        Segment::Seq { index } => path.index(*index),
        Segment::Map { key } => path.name(key),
        Segment::Enum { variant } => path.name(variant),
        Segment::Unknown => path,
    })
}
