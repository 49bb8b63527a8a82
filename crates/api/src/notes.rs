//! Notes on a request: warnings for the client, annotations for the audit log.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::limits;

/// Warnings for the client, and annotations for the audit log.
#[derive(Debug, Default)]
pub struct Notes {
    warnings: Mutex<Vec<String>>,
    annotations: Mutex<BTreeMap<String, String>>,
}

impl Notes {
    /// Adds warnings, each once, up to [`limits::WARNINGS`].
    pub fn warn(&self, warnings: impl IntoIterator<Item = String>) {
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
            // The maximum number of warnings of this length is only slightly more than that.
            kept.iter_mut().for_each(cut);
        }
    }

    /// Sets an annotation.
    pub fn annotate(&self, key: impl Into<String>, value: impl Into<String>) {
        self.annotations.lock().unwrap_or_else(PoisonError::into_inner).insert(key.into(), value.into());
    }

    /// The warnings so far, in their order.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The annotations so far.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        self.annotations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Cuts a long warning, and marks the cut.
fn cut(warning: &mut String) {
    if let Some((end, _)) = warning.char_indices().nth(limits::WARNING_LENGTH) {
        warning.truncate(end);
        warning.push_str("...");
    }
}
