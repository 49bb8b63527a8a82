//! The mode of SCC in a namespace: enforce, warn or audit.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use palisade_k8s::review::AdmissionResponse;
use serde_json::{Map, Value};

/// The label that exempts a namespace from SCC; see `docs/cluster.md`.
pub const EXEMPT_LABEL: &str = "security.openshift.io/disable-securitycontextconstraints";
/// The label that OpenShift's own namespaces carry.
const RUN_LEVEL: &str = "openshift.io/run-level";

/// Whether a label of a namespace exempts it from SCC.
pub(crate) fn exempts(label: &str, value: &str) -> bool {
    match label {
        EXEMPT_LABEL => value == "true",
        RUN_LEVEL => value == "0" || value == "1",
        _ => false,
    }
}

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

/// What the labels of a namespace say of SCC in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Labelled {
    mode: Option<Mode>,
    is_exempt: bool,
}

/// The modes of namespaces, as the watch has brought them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Modes {
    default: Mode,
    labelled: Arc<RwLock<HashMap<String, Labelled>>>,
}

impl Modes {
    pub(crate) fn new(default: Mode) -> Self {
        Self { default, labelled: Arc::default() }
    }

    /// Records the labels of a namespace. An invalid mode counts as `enforce`: a typing error must not disable SCC.
    pub(crate) fn note(&self, name: &str, namespace: &Value) {
        let labels = namespace.pointer("/metadata/labels").and_then(Value::as_object);
        let text = |label: &str| labels?.get(label)?.as_str();
        let mode = text(MODE_LABEL).map(|text| {
            text.parse().unwrap_or_else(|error| {
                tracing::warn!("namespace {name}: label {MODE_LABEL}: {error}; it counts as enforce");
                Mode::Enforce
            })
        });
        let is_exempt = labels
            .into_iter()
            .flat_map(Map::iter)
            .any(|(label, value)| value.as_str().is_some_and(|value| exempts(label, value)));
        let mut labelled = self.labelled.write().unwrap_or_else(PoisonError::into_inner);
        match mode.is_some() || is_exempt {
            true => drop(labelled.insert(name.to_owned(), Labelled { mode, is_exempt })),
            false => drop(labelled.remove(name)),
        }
    }

    pub(crate) fn forget(&self, name: &str) {
        self.labelled.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    pub(crate) fn of(&self, name: &str) -> Mode {
        let labelled = self.labelled.read().unwrap_or_else(PoisonError::into_inner);
        labelled.get(name).and_then(|labelled| labelled.mode).unwrap_or(self.default)
    }

    /// The number of namespaces for each way out of SCC by a label.
    pub(crate) fn opt_outs(&self) -> [(&'static str, usize); 3] {
        let labelled = self.labelled.read().unwrap_or_else(PoisonError::into_inner);
        let with = |holds: &dyn Fn(&Labelled) -> bool| labelled.values().filter(|one| holds(one)).count();
        let in_mode = |mode: Mode| with(&|one| !one.is_exempt && one.mode == Some(mode));
        [
            ("exempt", with(&|one| one.is_exempt)),
            (Mode::Warn.as_str(), in_mode(Mode::Warn)),
            (Mode::Audit.as_str(), in_mode(Mode::Audit)),
        ]
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
    fn namespaces_with_a_way_out_are_counted_once() {
        let modes = Modes::default();
        let note = |name: &str, labels: Value| modes.note(name, &json!({"metadata": {"labels": labels}}));
        for (name, labels) in [
            ("plain", json!({"team": "a"})),
            ("off", json!({EXEMPT_LABEL: "true", MODE_LABEL: "warn"})),
            ("not-off", json!({EXEMPT_LABEL: "yes"})),
            ("system", json!({RUN_LEVEL: "1"})),
            ("applications", json!({RUN_LEVEL: "2"})),
            ("warned", json!({MODE_LABEL: "warn"})),
            ("audited", json!({MODE_LABEL: "audit"})),
            ("strict", json!({MODE_LABEL: "enforce"})),
        ] {
            note(name, labels);
        }
        assert_eq!(modes.opt_outs(), [("exempt", 2), ("warn", 1), ("audit", 1)]);
        note("off", json!({}));
        modes.forget("audited");
        assert_eq!(modes.opt_outs(), [("exempt", 1), ("warn", 1), ("audit", 0)]);
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
