//! Annotations and labels: string maps, looked up by key.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use crate::Text;

/// Kubernetes' limit on all annotations of one object, in bytes
/// (`TotalAnnotationSizeLimitB` of its object metadata validation).
pub const MAX_BYTES: usize = 256 * 1024;

/// A map of strings to strings; a repeated key, or more than [`MAX_BYTES`], does not parse.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations<'a> {
    /// Sorted by key, so that a pod of many annotations and many containers costs little more than
    /// one of few.
    pairs: Vec<(Text<'a>, Text<'a>)>,
}

impl<'a> Annotations<'a> {
    fn new(mut pairs: Vec<(Text<'a>, Text<'a>)>) -> Self {
        pairs.sort();
        Self { pairs }
    }

    /// The value of `key`, if it is there.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.get_prefixed(key, "")
    }

    /// The value of the key `prefix` + `rest`, without building that key.
    #[must_use]
    pub fn get_prefixed(&self, prefix: &str, rest: &str) -> Option<&str> {
        let order = |name: &Text<'_>| name.bytes().cmp(prefix.bytes().chain(rest.bytes()));
        let place = self.pairs.binary_search_by(|(name, _)| order(name)).ok()?;
        self.pairs.get(place).map(|(_, value)| value.as_str())
    }

    /// The pairs whose key begins with `prefix`, without a look at the others.
    pub fn starting_with<'s>(&'s self, prefix: &'s str) -> impl Iterator<Item = (&'s str, &'s str)> {
        let first = self.pairs.partition_point(|(name, _)| name.as_str() < prefix);
        let found = self.pairs.get(first..).unwrap_or_default().iter();
        found.take_while(move |(name, _)| name.starts_with(prefix)).map(|(name, value)| (&**name, &**value))
    }

    /// All pairs, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    fn first_repeated_key(&self) -> Option<&str> {
        self.pairs.windows(2).find_map(|pair| match pair {
            [(a, _), (b, _)] if a == b => Some(a.as_str()),
            _ => None,
        })
    }
}

impl<'a, K: Into<Text<'a>>, V: Into<Text<'a>>> FromIterator<(K, V)> for Annotations<'a> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self::new(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Annotations<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MapVisitor;
        impl<'de> Visitor<'de> for MapVisitor {
            type Value = Annotations<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Annotations<'de>, A::Error> {
                let mut pairs = Vec::new();
                let mut bytes = 0;
                while let Some((key, value)) = map.next_entry::<Text<'de>, Option<Text<'de>>>()? {
                    let value = value.unwrap_or_default();
                    bytes += key.len() + value.len();
                    if bytes > MAX_BYTES {
                        return Err(A::Error::custom(format_args!(
                            "annotations or labels take more than {MAX_BYTES} bytes"
                        )));
                    }
                    pairs.push((key, value));
                }
                let annotations = Annotations::new(pairs);
                match annotations.first_repeated_key() {
                    Some(key) => Err(A::Error::custom(format_args!("key {key:?} is there twice"))),
                    None => Ok(annotations),
                }
            }
        }
        deserializer.deserialize_map(MapVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_values_and_refuses_repeats_and_bulk() {
        let read = |json: &str| serde_json::from_str::<Annotations<'_>>(json).map(|a| a.iter().count());
        assert_eq!(read(r#"{"a": "1", "b": null}"#).unwrap(), 2);
        assert!(
            read(r#"{"a": "1", "b": "2", "a": "3"}"#)
                .unwrap_err()
                .to_string()
                .contains("\"a\" is there twice")
        );
        let bulk = format!(r#"{{"a": "{}"}}"#, "x".repeat(MAX_BYTES));
        assert!(read(&bulk).unwrap_err().to_string().contains("more than 262144 bytes"));
    }

    #[test]
    fn finds_a_prefixed_key() {
        let annotations: Annotations<'_> = [("container.x/c0", "v")].into_iter().collect();
        assert_eq!(annotations.get_prefixed("container.x/", "c0"), Some("v"));
        assert_eq!(annotations.get_prefixed("container.x/", "c"), None);
    }
}
