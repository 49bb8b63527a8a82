//! The expressions of one object that is validated: compiled once each, and bounded in all.

use std::collections::HashMap;

use cel::common::ast::IdedExpr;

use super::checked;

/// Maximum size of the different expressions of one object in all, in bytes. Parsing one takes some milliseconds a kilobyte,
/// and its tree a hundred times its text.
pub(super) const ALL: usize = 128 << 10;
/// Added to the size of each, for what its parser costs however short it is.
const EACH: usize = 64;

/// The expressions of one object, over the same variables.
pub struct Batch {
    variables: &'static [&'static str],
    trees: HashMap<String, Result<IdedExpr, String>>,
    left: usize,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("left", &self.left).finish_non_exhaustive()
    }
}

impl Batch {
    /// No expressions yet.
    #[must_use]
    pub fn new(variables: &'static [&'static str]) -> Self {
        Self { variables, trees: HashMap::new(), left: ALL }
    }

    /// The tree of an expression that can be compiled.
    ///
    /// # Errors
    ///
    /// It cannot be compiled, or the expressions of the object are too much in all.
    pub(crate) fn tree(&mut self, text: &str) -> Result<&IdedExpr, String> {
        if !self.trees.contains_key(text) {
            let cost = text.len().saturating_add(EACH);
            let left = self.left.checked_sub(cost).ok_or_else(|| {
                format!("the expressions of an object may have {ALL} bytes in all, and {EACH} count for each")
            })?;
            self.left = left;
            self.trees.insert(text.to_owned(), checked(text, self.variables).map(|(tree, _)| tree));
        }
        match self.trees.get(text) {
            Some(tree) => tree.as_ref().map_err(Clone::clone),
            None => Err("compilation failed".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_bounded_in_all() {
        let mut batch = Batch::new(&["self"]);
        let compiled = (0..4000).filter(|number| batch.tree(&format!("self > {number}")).is_ok()).count();
        assert!((1500..2000).contains(&compiled), "{compiled}");
        assert!(batch.tree("self > 7").is_ok(), "what is there costs nothing");
        assert!(batch.tree("self < 7").is_err_and(|why| why.contains("131072 bytes in all")));
    }

    #[test]
    fn what_cannot_be_compiled_counts_too() {
        let mut batch = Batch::new(&["self"]);
        let broken = |number: usize| format!("{}(", "(".repeat(number % 60) + &"1+".repeat(500));
        let refused = (0..1000)
            .map(|number| batch.tree(&format!("{number}{}", broken(number))).unwrap_err().contains("in all"));
        assert!(refused.filter(|it| *it).count() > 800);
    }
}
