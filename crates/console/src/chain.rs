//! An error with its causes as one line.

use std::error::Error;

/// The message of an error, then those of its causes, separated by `: `. A cause that the text already contains is
/// left out, since many libraries repeat the message of a cause in their own.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |cause| (*cause).source()) {
        let message = cause.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<Layer>>);

    #[test]
    fn causes_are_named_once() {
        let inner = Layer("connection refused", None);
        let middle = Layer("connect: connection refused", Some(Box::new(inner)));
        let outer = Layer("the server cannot be reached", Some(Box::new(middle)));
        assert_eq!(chain(&outer), "the server cannot be reached: connect: connection refused");
    }
}
