//! Errors with their causes.

use std::error::Error;

/// The text of an error and of its causes, each once, joined by `: `. A cause whose text the error repeats is left out.
///
/// ```
/// let number: Result<u8, _> = "300".parse();
/// assert_eq!(palisade_k8s::error_chain(&number.unwrap_err()), "number too large to fit in target type");
/// ```
#[must_use]
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}

/// The text of the innermost cause of an error, where the others only name the layers that it went through.
#[must_use]
pub fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
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
        assert_eq!(error_chain(&outer), "the server cannot be reached: connect: connection refused");
        assert_eq!(root_cause(&outer), "connection refused");
    }
}
