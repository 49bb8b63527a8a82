//! Validation errors of an object, up to a limit.

use palisade_k8s::FieldError;

/// Maximum number of errors of one object, or of one definition.
pub(super) const MOST: usize = 100;
/// Maximum bytes of the errors of one object, but for the last: each may repeat a value of the object and its path.
const BYTES: usize = 1 << 20;

/// The errors of an object.
#[derive(Debug, Default)]
pub(super) struct Findings {
    errors: Vec<FieldError>,
    bytes: usize,
}

impl Findings {
    /// Adds an error, unless the limit is reached.
    pub(super) fn push(&mut self, error: FieldError) {
        if !self.is_full() {
            self.bytes += error.to_string().len();
            self.errors.push(error);
        }
    }

    /// Whether the limit is reached.
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
