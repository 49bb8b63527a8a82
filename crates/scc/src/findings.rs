//! The findings of an evaluation: one code path serves both the fast decision and the full explanation.

use palisade_k8s::FieldError;

/// A sink for the findings of one evaluation.
pub trait Findings {
    /// Adds one; the error is built only by a sink that keeps it.
    fn add(&mut self, error: impl FnOnce() -> FieldError);
    /// Whether further findings would change nothing, so that the evaluation can stop.
    fn is_settled(&self) -> bool;
}

/// Only records whether there was any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    refused: bool,
}

impl Verdict {
    /// Whether something was found.
    #[must_use]
    pub fn is_refused(self) -> bool {
        self.refused
    }
}

impl Findings for Verdict {
    fn add(&mut self, _error: impl FnOnce() -> FieldError) {
        self.refused = true;
    }
    fn is_settled(&self) -> bool {
        self.refused
    }
}

/// The number of findings that [`Few`] keeps.
const FEW: usize = 4;

/// Keeps the first few distinct findings: enough to report the violations, at a bounded cost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Few(pub Vec<FieldError>);

impl Findings for Few {
    fn add(&mut self, error: impl FnOnce() -> FieldError) {
        if !self.is_settled() {
            self.0.add(error);
        }
    }
    fn is_settled(&self) -> bool {
        self.0.len() >= FEW
    }
}

/// Maximum number of findings of one evaluation; a hostile pod could have millions.
const MAX_FINDINGS: usize = 200;

/// Keeps each finding once: one about the whole pod is found again at every container.
impl Findings for Vec<FieldError> {
    fn add(&mut self, error: impl FnOnce() -> FieldError) {
        if self.is_settled() {
            return;
        }
        let error = error();
        if !self.contains(&error) {
            self.push(error);
        }
    }
    fn is_settled(&self) -> bool {
        self.len() >= MAX_FINDINGS
    }
}
