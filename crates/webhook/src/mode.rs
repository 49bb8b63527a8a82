//! The mode of SCC in a namespace: enforce, warn or audit.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use palisade_k8s::review::AdmissionResponse;
use serde_json::Value;

/// The label of a namespace with the mode of SCC in it: `enforce`, `warn` or `audit`.
pub const MODE_LABEL: &str = "palisade.openshift.io/mode";

/// The key of the audit annotation with the decision that enforcement would have made.
const WOULD: &str = "would-be";

/// The mode of SCC in a namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Pods are changed or refused.
    #[default]
    Enforce,
    /// Pods pass unchanged; the author of one that would be refused is warned.
    Warn,
    /// Pods pass unchanged; the audit log has the decision.
    Audit,
}

/// An unknown mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a mode: enforce, warn or audit")]
pub struct UnknownMode(String);

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        match text {
            "enforce" => Ok(Self::Enforce),
            "warn" => Ok(Self::Warn),
            "audit" => Ok(Self::Audit),
            _ => Err(UnknownMode(text.to_owned())),
        }
    }
}

impl Mode {
    /// Its name on the command line and in the label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Warn => "warn",
            Self::Audit => "audit",
        }
    }

    /// The answer in this mode: unless SCC is enforced, nothing is changed and nothing refused.
    pub(crate) fn soften(self, mut response: AdmissionResponse) -> AdmissionResponse {
        if self == Self::Enforce {
            return response;
        }
        let would = match &response.status {
            Some(status) if !response.allowed => format!("refused: {}", status.message),
            _ => format!(
                "admitted by {}",
                response.audit_annotations.get("chosen").map_or("no SCC", String::as_str)
            ),
        };
        if !response.allowed && self == Self::Warn {
            response.warnings.push(crate::warning::shortened(&format!("SCC would have {would}")));
        }
        response.audit_annotations.insert(WOULD.to_owned(), would);
        AdmissionResponse { allowed: true, status: None, patch: None, patch_type: None, ..response }
    }
}

/// The modes of namespaces, as the watch has brought them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Modes {
    default: Mode,
    labelled: Arc<RwLock<HashMap<String, Mode>>>,
}

impl Modes {
    pub(crate) fn new(default: Mode) -> Self {
        Self { default, labelled: Arc::default() }
    }

    /// Records the mode of a namespace. An invalid label counts as `enforce`: a typing error must not disable SCC.
    pub(crate) fn note(&self, name: &str, namespace: &Value) {
        let label = namespace.get("metadata").and_then(|metadata| metadata.get("labels")?.get(MODE_LABEL));
        let mode = label.and_then(Value::as_str).map(|text| {
            text.parse().unwrap_or_else(|error| {
                tracing::warn!("namespace {name}: label {MODE_LABEL}: {error}; it counts as enforce");
                Mode::Enforce
            })
        });
        let mut labelled = self.labelled.write().unwrap_or_else(PoisonError::into_inner);
        match mode {
            Some(mode) => drop(labelled.insert(name.to_owned(), mode)),
            None => drop(labelled.remove(name)),
        }
    }

    pub(crate) fn forget(&self, name: &str) {
        self.labelled.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    pub(crate) fn of(&self, name: &str) -> Mode {
        let labelled = self.labelled.read().unwrap_or_else(PoisonError::into_inner);
        labelled.get(name).copied().unwrap_or(self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_k8s::review::Status;
    use serde_json::json;

    #[test]
    fn labels_override_the_default_and_wrong_ones_enforce() {
        let modes = Modes::new(Mode::Audit);
        for (label, expected) in [
            (Some("enforce"), Mode::Enforce),
            (Some("warn"), Mode::Warn),
            (Some("audit"), Mode::Audit),
            (Some("wran"), Mode::Enforce),
            (None, Mode::Audit),
        ] {
            let labels = label.map_or(json!({}), |label| json!({MODE_LABEL: label}));
            modes.note("shop", &json!({"metadata": {"labels": labels}}));
            assert_eq!(modes.of("shop"), expected, "{label:?}");
        }
        modes.note("shop", &json!({"metadata": {"labels": {MODE_LABEL: "warn"}}}));
        modes.forget("shop");
        assert_eq!(modes.of("shop"), Mode::Audit);
    }

    #[test]
    fn softened_answers_change_and_refuse_nothing() {
        let admitted = AdmissionResponse {
            allowed: true,
            patch: Some("W10=".to_owned()),
            patch_type: Some("JSONPatch"),
            audit_annotations: [("chosen".to_owned(), "restricted-v2".to_owned())].into(),
            ..Default::default()
        };
        let refused =
            AdmissionResponse { status: Some(Status::forbidden("no".to_owned())), ..Default::default() };
        for (mode, response, warnings, would) in [
            (Mode::Warn, &admitted, 0, "admitted by restricted-v2"),
            (Mode::Audit, &admitted, 0, "admitted by restricted-v2"),
            (Mode::Warn, &refused, 1, "refused: no"),
            (Mode::Audit, &refused, 0, "refused: no"),
        ] {
            let softened = mode.soften(response.clone());
            assert!(softened.allowed && softened.patch.is_none() && softened.status.is_none());
            assert_eq!(softened.warnings.len(), warnings);
            assert_eq!(softened.audit_annotations[WOULD], would);
        }
        assert_eq!(Mode::Enforce.soften(refused.clone()), refused);
    }
}
