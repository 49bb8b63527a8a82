//! JSON objects of which a few fields are changed and all else stays byte for byte.

use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// An object's fields as they were written, in order. Each name occurs once: of two, this reader and the
/// runtime's might take different ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object(Vec<(String, Box<RawValue>)>);

impl Object {
    pub(crate) fn get(&self, name: &str) -> Option<&RawValue> {
        let found = self.0.iter().find(|(other, _)| other == name).map(|(_, value)| &**value);
        found.filter(|value| value.get() != "null")
    }

    /// A field as a type; none if it is missing or null.
    pub(crate) fn read<'a, T: Deserialize<'a>>(&'a self, name: &str) -> Result<Option<T>, serde_json::Error> {
        self.get(name).map(|value| serde_json::from_str(value.get())).transpose()
    }

    pub(crate) fn set(&mut self, name: &str, value: &impl Serialize) -> Result<(), serde_json::Error> {
        let value = to_raw_value(value)?;
        match self.0.iter_mut().find(|(other, _)| other == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
        Ok(())
    }

    /// Keeps the fields whose names fit.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.0.retain(|(name, _)| keep(name));
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut fields = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
            if !seen.insert(name.clone()) {
                return Err(A::Error::custom(format_args!("field {name:?} is there twice")));
            }
            // C reads a name up to its first zero byte, and so another one.
            if name.contains('\0') {
                return Err(A::Error::custom(format_args!("field {name:?} has a zero byte in its name")));
            }
            fields.push((name, value));
        }
        Ok(Object(fields))
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_changed_stays() {
        let text = r#"{"a": [1,  2.50, 18446744073709551615], "b": {"x":1e400}, "c": null}"#;
        let mut object: Object = serde_json::from_str(text).unwrap();
        assert!(object.get("c").is_none());
        object.set("c", &"new").unwrap();
        object.set("d", &1).unwrap();
        object.retain(|name| name != "zzz");
        let written = serde_json::to_string(&object).unwrap();
        assert_eq!(written, r#"{"a":[1,  2.50, 18446744073709551615],"b":{"x":1e400},"c":"new","d":1}"#);
    }

    #[test]
    fn two_readings_are_refused() {
        for (text, message) in [
            (r#"{"a":1,"b":2,"a":3}"#, "field \"a\" is there twice"),
            (r#"{"a":1,"\u0061":3}"#, "field \"a\" is there twice"),
            (r#"{"a\u0000b":1}"#, "has a zero byte"),
            ("[]", "an object"),
            ("{", "EOF"),
            (r#"{"a":1} x"#, "trailing"),
        ] {
            let error = serde_json::from_str::<Object>(text).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
