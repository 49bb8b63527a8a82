//! Capabilities as seccomp profiles write them: with the prefix `CAP_`.

use palisade_k8s::capability::{self, PREFIXED};

pub use palisade_k8s::capability::CONTAINER_DEFAULT;

/// All names.
pub fn names() -> impl Iterator<Item = &'static str> {
    PREFIXED.into_iter()
}

/// Whether a profile's word is a capability, spelt as runtimes compare it.
#[must_use]
pub fn is_known(word: &str) -> bool {
    PREFIXED.contains(&word)
}

/// The capability that a word names in any spelling, as `CAP_SYS_ADMIN`.
#[must_use]
pub fn parse(word: &str) -> Option<&'static str> {
    let bare = capability::parse(word)?;
    names().find(|name| name.strip_prefix("CAP_") == Some(bare))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_write_the_prefix() {
        assert_eq!(parse("net_raw"), Some("CAP_NET_RAW"));
        assert_eq!(parse("NET_RW"), None);
        for (word, known) in
            [("CAP_NET_RAW", true), ("NET_RAW", false), ("CAP_CAP_NET_RAW", false), ("cap_net_raw", false)]
        {
            assert_eq!(is_known(word), known, "{word}");
        }
    }
}
