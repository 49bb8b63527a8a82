//! Names as parts of paths and queries.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The characters to be encoded: all but the unreserved ones of RFC 3986. `:` may stand in a path and in a query, and is
/// frequent in the names of Kubernetes.
const RESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// A name as one segment of a path, or as a value in a query.
#[must_use]
pub fn encode(text: &str) -> String {
    match text {
        // As a segment these would lead to another path.
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        text => utf8_percent_encode(text, RESERVED).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_characters_are_encoded() {
        for (text, encoded) in [
            ("system:node-1.a_b~c", "system:node-1.a_b~c"),
            ("a/b?c#d&e=f", "a%2Fb%3Fc%23d%26e%3Df"),
            ("..", "%2E%2E"),
            ("a b%+", "a%20b%25%2B"),
            ("ä\n", "%C3%A4%0A"),
        ] {
            assert_eq!(encode(text), encoded);
        }
    }
}
