//! The name of a profile's file: a hash of what its author wrote.

use std::fmt::{Display, Formatter};
use std::str::FromStr;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The folder of profiles within the kubelet's `seccomp`.
pub const FOLDER: &str = "palisade";

/// The SHA-256 of a profile as it was written, bases included. Two nodes, and two versions of this program, agree on it,
/// whatever they make of the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of values, whatever the order of their fields.
    pub(crate) fn of(values: &[Value]) -> Self {
        let mut text = String::new();
        for value in values {
            canonical(value, &mut text);
            text.push('\n');
        }
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// The name of the file.
    #[must_use]
    pub fn file(self) -> String {
        format!("{self}.json")
    }

    /// The digest that a file's name is of; `None` for any other name.
    #[must_use]
    pub fn of_file(name: &str) -> Option<Self> {
        name.strip_suffix(".json")?.parse().ok()
    }

    /// The value of `securityContext.seccompProfile.localhostProfile` for pods.
    #[must_use]
    pub fn localhost_profile(self) -> String {
        format!("{FOLDER}/{}", self.file())
    }

    /// The digest that a `localhostProfile` means; `None` for a path that is not of this folder, or no digest's.
    #[must_use]
    pub fn of_localhost_profile(path: &str) -> Option<Self> {
        Self::of_file(path.strip_prefix(FOLDER)?.strip_prefix('/')?)
    }

    /// The beginning of the digest, as long as the key of a label may be.
    #[must_use]
    pub fn short(self) -> String {
        self.to_string().chars().take(40).collect()
    }
}

impl Display for Digest {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text that is not a digest: 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the SHA-256 of a profile")]
pub struct NotADigest;

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let bytes = text.as_bytes();
        if bytes.len() != 64 || !bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(NotADigest);
        }
        let mut digest = [0; 32];
        for (to, pair) in digest.iter_mut().zip(bytes.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| NotADigest)?;
            *to = u8::from_str_radix(pair, 16).map_err(|_| NotADigest)?;
        }
        Ok(Self(digest))
    }
}

/// JSON with sorted keys and without spaces; a field that is null says what one that is missing says.
fn canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<_> = map.iter().filter(|(_, value)| !value.is_null()).collect();
            fields.sort_by_key(|(key, _)| *key);
            text.push('{');
            for (key, value) in fields {
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                canonical(value, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                canonical(item, text);
                text.push(',');
            }
            text.push(']');
        }
        other => text.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_digest_is_of_the_content_alone() {
        let digest = Digest::of(&[json!({"a": 1, "b": [true, "x"]})]);
        assert_eq!(digest, Digest::of(&[json!({"b": [true, "x"], "c": null, "a": 1})]));
        for other in [json!({"a": 1, "b": ["x", true]}), json!({"a": 1}), json!([{"a": 1}])] {
            assert_ne!(digest, Digest::of(&[other]));
        }
        assert_ne!(Digest::of(&[json!("a"), json!("b")]), Digest::of(&[json!("a\nb")]));
        assert_eq!(Digest::of_localhost_profile(&digest.localhost_profile()), Some(digest));
        assert!(digest.short().len() <= 63);
    }

    #[test]
    fn no_other_name_is_a_digest() {
        let good = "0".repeat(64);
        for bad in [
            String::new(),
            "..".to_owned(),
            format!("../{good}"),
            format!("{good}/"),
            "A".repeat(64),
            "é".repeat(32),
            "+0".repeat(32),
            "0".repeat(63),
            "0".repeat(65),
        ] {
            assert_eq!(bad.parse::<Digest>(), Err(NotADigest), "{bad}");
            assert_eq!(Digest::of_localhost_profile(&format!("palisade/{bad}.json")), None, "{bad}");
        }
        for path in ["palisade", "palisade/", "palisade/web.json", "operator/x.json", "/palisade/x.json"] {
            assert_eq!(Digest::of_localhost_profile(path), None);
        }
    }
}
