//! What is wrong with an object, as much of it as is told.

use palisade_k8s::FieldError;

/// Broken rules that are told of one object, or of one definition.
pub(super) const MOST: usize = 100;
/// Bytes of what is told of one object, but for the last error: each may repeat a value of the object and where it is.
const BYTES: usize = 1 << 20;

/// The errors of an object.
#[derive(Debug, Default)]
pub(super) struct Findings {
    errors: Vec<FieldError>,
    bytes: usize,
}

impl Findings {
    /// Adds an error, unless enough is said.
    pub(super) fn push(&mut self, error: FieldError) {
        if !self.is_full() {
            self.bytes += error.to_string().len();
            self.errors.push(error);
        }
    }

    /// Whether enough is said.
    pub(super) fn is_full(&self) -> bool {
        self.errors.len() >= MOST || self.bytes >= BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    pub(super) fn into_errors(self) -> Vec<FieldError> {
        self.errors
    }
}
