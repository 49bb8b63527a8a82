//! The pages of a list, as far as a server gives them: one that gives pages for ever is stopped.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::path::encode;

/// Pages without an object, one after another, after which a list is given up.
const EMPTY: usize = 100;

/// Follows the pages of a list.
#[derive(Debug)]
pub struct Pages {
    first: String,
    token: String,
    empty: usize,
}

impl Pages {
    /// The pages of a list; `first` is the path of the first, with a query.
    #[must_use]
    pub fn of(first: &str) -> Self {
        Self { first: first.to_owned(), token: String::new(), empty: 0 }
    }

    /// The path of the page after one that has so many objects or rows; `None` if that was the last.
    ///
    /// # Errors
    ///
    /// The server would give pages for ever: it says to continue where it has been continued, or a hundred pages are empty.
    pub fn after(&mut self, page: &Value, objects: usize) -> Result<Option<String>> {
        let token = page.pointer("/metadata/continue").and_then(Value::as_str).unwrap_or_default();
        if token.is_empty() {
            return Ok(None);
        }
        self.empty = if objects == 0 { self.empty + 1 } else { 0 };
        let problem = match (token == self.token, self.empty >= EMPTY) {
            (true, _) => "its continue token is that of the page before",
            (_, true) => "a hundred pages in a row are empty, and there are more",
            _ => {
                token.clone_into(&mut self.token);
                return Ok(Some(format!("{}&continue={}", self.first, encode(token))));
            }
        };
        Err(Error::Answer { path: self.first.clone(), problem })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_without_an_end_is_given_up() {
        let page = |token: &str| json!({"metadata": {"continue": token}});
        let mut pages = Pages::of("/api/v1/pods?limit=5");
        assert_eq!(pages.after(&page("a b"), 5).unwrap().unwrap(), "/api/v1/pods?limit=5&continue=a%20b");
        assert!(pages.after(&page("c"), 0).unwrap().is_some());
        let said = pages.after(&page("c"), 5).unwrap_err().to_string();
        assert!(said.contains("/api/v1/pods") && said.contains("continue token"), "{said}");
        assert_eq!(pages.after(&page(""), 0).unwrap(), None);
        assert_eq!(pages.after(&json!({}), 0).unwrap(), None);
        let mut pages = Pages::of("/api/v1/pods?limit=5");
        let given = (0..1000).take_while(|at| pages.after(&page(&at.to_string()), 0).is_ok()).count();
        assert_eq!(given, EMPTY - 1);
    }
}
