//! Environment variables that are set twice.

use std::collections::HashSet;

use super::Warnings;
use crate::kind::at::At;

/// A later definition that does not refer to the earlier one hides it.
pub(super) fn check(container: &At<'_>, warnings: &mut Warnings) {
    let mut seen = HashSet::new();
    for variable in container.field("env").items() {
        let (name, value) = (variable.field("name").text(), variable.field("value").text());
        if seen.insert(name) {
            continue;
        }
        let itself = format!("$({name})");
        let hides = variable.field("valueFrom").is_set() || value == itself || !value.contains(&itself);
        if hides {
            let what =
                format_args!("hides previous definition of {name:?}, which may be dropped when using apply");
            warnings.add(&variable, what);
        }
    }
}
