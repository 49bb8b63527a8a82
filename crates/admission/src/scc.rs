//! Writes of SCC objects: defaults, errors, and warnings for the author.

use palisade_k8s::patch::{Edits, Patch};
use palisade_k8s::{FieldError, SecurityContextConstraints};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Maximum number of warnings of one write, and the size of one in bytes.
const WARNINGS: usize = 20;
const WARNING: usize = 512;

/// An SCC to be written.
#[derive(Clone, Debug)]
pub struct SccWrite<'a> {
    raw: &'a Map<String, Value>,
    scc: SecurityContextConstraints,
}

impl<'a> SccWrite<'a> {
    /// Parses an SCC object and completes a copy of it.
    ///
    /// # Errors
    ///
    /// A field does not fit its type.
    pub fn read(raw: &'a Map<String, Value>) -> Result<Self, serde_json::Error> {
        let mut scc = SecurityContextConstraints::deserialize(raw)?;
        if scc.metadata.name.is_empty() {
            // A CREATE may leave the name to the server, which generates it from a prefix.
            scc.metadata.name = generated_name(raw);
        }
        palisade_scc::default(&mut scc);
        Ok(Self { raw, scc })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.scc.metadata.name
    }

    /// Errors: an SCC with any is refused.
    #[must_use]
    pub fn errors(&self) -> Vec<FieldError> {
        palisade_scc::validate(&self.scc)
    }

    /// Warnings for its author.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let found = palisade_scc::lint(&self.scc, Some(self.raw));
        let mut warnings: Vec<String> =
            found.iter().take(WARNINGS).map(|finding| shortened(&finding.to_string())).collect();
        if found.len() > WARNINGS {
            warnings.push(format!("and {} more, which `palisade scc lint` lists", found.len() - WARNINGS));
        }
        warnings
    }

    /// The defaults to set on the object in memory.
    #[must_use]
    pub fn edits(&self) -> Edits {
        Patch::edits(|patch| self.write(patch))
    }

    /// Sets the defaults, down to the strategies' `type`, and nothing else.
    pub(crate) fn write(&self, patch: &mut Patch) {
        let Ok(Value::Object(defaulted)) = serde_json::to_value(&self.scc) else { return };
        for (field, value) in defaulted.iter().filter(|(field, _)| *field != "metadata") {
            match (self.raw.get(field), value) {
                (Some(Value::Object(before)), Value::Object(after)) => {
                    for (inner, value) in
                        after.iter().filter(|(inner, value)| before.get(*inner) != Some(value))
                    {
                        patch.set(before.contains_key(inner), &[field, inner], &value.to_string());
                    }
                }
                (Some(before), after) if before == after => {}
                (before, after) => patch.set(before.is_some(), &[field], &after.to_string()),
            }
        }
    }
}

fn shortened(text: &str) -> String {
    match text.get(..text.floor_char_boundary(WARNING)) {
        Some(start) if start.len() < text.len() => format!("{start}…"),
        _ => text.to_owned(),
    }
}

fn generated_name(raw: &Map<String, Value>) -> String {
    let prefix = raw.get("metadata").and_then(|metadata| metadata.get("generateName"));
    prefix.and_then(Value::as_str).map(|prefix| format!("{prefix}x")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn scc(fields: Value) -> Map<String, Value> {
        let mut object = json!({"metadata": {"name": "s"}, "runAsUser": {"type": "RunAsAny"}, "seLinuxContext": {"type": "RunAsAny"}, "volumes": ["secret"]});
        let map = object.as_object_mut().unwrap();
        map.extend(fields.as_object().unwrap().clone());
        map.clone()
    }

    #[test]
    fn defaults_errors_and_warnings() {
        for (fields, errors, warnings) in [
            (json!({}), &[][..], 0),
            (json!({"priority": -1}), &["priority"], 0),
            (json!({"runAsUser": {"type": "MustRunAs"}}), &[], 1),
            (json!({"runAsUser": {"type": "Sometimes"}}), &["runAsUser.type"], 0),
            (json!({"metadata": {}}), &["metadata.name"], 0),
            (json!({"metadata": {"generateName": "s-"}}), &[], 0),
        ] {
            let mut raw = scc(fields);
            let write = SccWrite::read(&raw).unwrap();
            let found: Vec<String> = write.errors().iter().map(|error| error.path.to_string()).collect();
            assert_eq!(found, errors, "{raw:?}");
            if errors.is_empty() {
                assert_eq!(write.warnings().len(), warnings, "{:?}", write.warnings());
            }
            let (edits, before) = (write.edits(), raw.clone());
            let mut object = Value::Object(raw.clone());
            edits.apply(&mut object).unwrap();
            assert!(
                before.iter().all(|(field, value)| value.is_object() || object.get(field) == Some(value))
            );
            raw = object.as_object().unwrap().clone();
            assert!(SccWrite::read(&raw).unwrap().edits().is_empty(), "defaulting is done once");
        }
        assert!(SccWrite::read(&scc(json!({"priority": "high"}))).is_err());
    }
}
