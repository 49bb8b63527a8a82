//! Stored objects as clients see them, with as little parsing as possible: for long lists.

use std::borrow::Cow;

use palisade_store::Revision;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::resource::Resource;

/// The fields of an object, their values unread.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                #[derive(Deserialize)]
                struct Name<'n>(#[serde(borrow)] Cow<'n, str>);
                let mut fields = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    fields.push((name, value));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// Writes an object as [`Resource::show`] shows it to clients, with its version.
pub fn show(
    bytes: &[u8],
    resource: &Resource,
    revision: Revision,
    out: &mut String,
) -> Result<(), serde_json::Error> {
    let Fields(fields) = serde_json::from_slice(bytes)?;
    out.push_str(&format!(
        "{{\"kind\":\"{}\",\"apiVersion\":\"{}\"",
        resource.kind(),
        resource.api_version()
    ));
    for (name, value) in fields {
        match &*name {
            "kind" | "apiVersion" => {}
            "metadata" => {
                out.push_str(",\"metadata\":{");
                let Fields(fields) = serde_json::from_str(value.get())?;
                for (name, value) in fields.iter().filter(|(name, _)| name != "resourceVersion") {
                    write(name, value, out);
                    out.push(',');
                }
                out.push_str(&format!("\"resourceVersion\":\"{revision}\"}}"));
            }
            name => {
                out.push(',');
                write(name, value, out);
            }
        }
    }
    out.push('}');
    Ok(())
}

fn write(name: &str, value: &RawValue, out: &mut String) {
    out.push_str(&serde_json::Value::from(name).to_string());
    out.push(':');
    out.push_str(value.get());
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::objects;

    #[test]
    fn it_shows_what_reading_and_showing_does() {
        let pods = crate::resource::find("", "pods").unwrap();
        let old = crate::resource::find("", "securitycontextconstraints").unwrap();
        for (resource, object) in [
            (
                pods,
                json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a", "labels": {"x": "\u{e9}\"\\"}},
                          "spec": {"containers": [{"name": "]}"}]}, "\"odd\"": [1.5, null, true]}),
            ),
            (old, json!({"metadata": {}, "apiVersion": "security.openshift.io/v1", "priority": 1})),
            (pods, json!({"metadata": {"resourceVersion": "5", "name": "b"}})),
        ] {
            let revision = Revision::new(7).unwrap();
            let bytes = object.to_string().into_bytes();
            let mut out = String::new();
            show(&bytes, resource, revision, &mut out).unwrap();
            let shown = resource.show(objects::parse(&bytes, revision).unwrap());
            let same: Value = serde_json::from_str(&out).unwrap();
            assert_eq!(same, shown);
        }
        assert!(show(b"[]", pods, Revision::default(), &mut String::new()).is_err());
    }
}
