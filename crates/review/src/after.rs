//! The checks of a pod after SCC: Kubernetes' own validation, Pod Security admission, and OpenShift's rule for inline
//! CSI volumes.

use palisade_admission::{Decision, Refusal};
use palisade_api::kind::{self, Resource};
use palisade_k8s::{FieldError, FieldPath, Pod};
use palisade_scc::Changes;
use palisade_scc::pod_security::{Level, Standard, Standards, Version, level};
use serde::Deserialize;
use serde_json::Value;

use crate::changed::changed;
use crate::subject::Subject;
use crate::surroundings::{PROFILE, Surroundings};

/// The check that refuses a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// SCC.
    Scc,
    /// Strict decoding, which kubectl asks for and Helm does itself.
    Decoding,
    /// The validation that every API server makes.
    Kubernetes,
    /// The namespace's label `pod-security.kubernetes.io/enforce`.
    PodSecurity,
    /// OpenShift's admission of inline CSI volumes.
    CsiVolumes,
}

/// A refusal after SCC.
#[derive(Debug)]
pub(crate) struct Objection {
    pub by: By,
    pub message: String,
    pub errors: Vec<FieldError>,
    /// The highest level that the namespace could enforce and still admit the pod.
    pub level: Option<Level>,
}

/// The rules for the pods of one namespace.
#[derive(Debug)]
pub(crate) struct After<'a> {
    pub standards: Standards,
    surroundings: &'a Surroundings,
    namespace: &'a str,
}

impl<'a> After<'a> {
    pub(crate) fn new(surroundings: &'a Surroundings, namespace: &'a str) -> Self {
        Self { standards: surroundings.standards(namespace), surroundings, namespace }
    }

    /// The reason why SCC leaves a pod alone, if it does.
    pub(crate) fn without_scc(&self, decision: &Decision<'_>) -> Option<String> {
        match decision {
            Decision::Exempt(why) => Some(format!("not subject to SCC: {why}")),
            Decision::Refused(Refusal::NoScc) if self.surroundings.is_without_scc() => Some(
                "the policy holds no SCC: judged as on a cluster without, by Kubernetes' validation and Pod Security alone (--scc-set 4 adds OpenShift's SCCs)"
                    .to_owned(),
            ),
            _ => None,
        }
    }

    /// The refusal of a pod after SCC's changes, if there is one.
    pub(crate) fn objection(&self, pod: &Value) -> Option<Objection> {
        let errors = invalid(pod);
        if !errors.is_empty() {
            let message = "Kubernetes refuses the pod that comes out".to_owned();
            return Some(Objection { by: By::Kubernetes, message, errors, level: None });
        }
        let parsed = Pod::deserialize(pod).ok()?;
        self.csi_volume(pod).or_else(|| self.level(&parsed))
    }

    /// Whether the pod with these changes has no refusal or warning that it would not have had anyway.
    pub(crate) fn accepts(&self, pod: &Value, parsed: &Pod<'_>, changes: &Changes<'_>) -> bool {
        let outcome = changed(pod, parsed, changes);
        self.objection(&outcome).is_none() && crate::notes::never_starts(&outcome).is_empty()
    }

    fn level(&self, pod: &Pod<'_>) -> Option<Objection> {
        let enforced = self.standards.enforce;
        let broken = enforced.broken_by(pod)?;
        let message = format!(
            "the namespace {} enforces Pod Security level {}: {broken}",
            self.namespace,
            of_version(enforced)
        );
        Some(Objection {
            by: By::PodSecurity,
            message,
            errors: Vec::new(),
            level: Some(level(pod, enforced.version)),
        })
    }

    /// Warnings by the namespace's `warn` and `audit` levels, each list of violations once.
    pub(crate) fn warnings(&self, value: &Value, pod: &Pod<'_>) -> Vec<String> {
        let Standards { warn, audit, .. } = self.standards;
        let modes = match warn == audit {
            true => vec![("warns and audits", warn)],
            false => vec![("warns", warn), ("audits", audit)],
        };
        let refused = self.standards.enforce.broken_by(pod);
        let broken = modes.into_iter().filter_map(|(verb, standard)| {
            let broken = standard.broken_by(pod).filter(|broken| Some(broken) != refused.as_ref())?;
            let level = of_version(standard);
            Some(format!(
                "the namespace {} {verb} of pods that violate the Pod Security level {level}: {broken}",
                self.namespace
            ))
        });
        let wrong = self.surroundings.wrong_labels(self.namespace).iter();
        let wrong = wrong.map(|error| {
            format!("the namespace {} has an invalid Pod Security label: {error}", self.namespace)
        });
        broken.chain(wrong).chain(self.csi_warnings(value)).collect()
    }

    /// Notes about a pod as it was written, which Pod Security judges where no SCC completes it: on clusters without SCC, and
    /// in the template of a workload that is applied.
    pub(crate) fn as_written(&self, subject: &Subject, outcome: &Pod<'_>) -> Vec<String> {
        let Ok(written) = Pod::deserialize(&subject.template) else { return Vec::new() };
        let broken = |standard: Standard| {
            let broken = standard.broken_by(&written).filter(|_| standard.broken_by(outcome).is_none())?;
            Some((of_version(standard), broken))
        };
        let alone = broken(self.standards.enforce).map(|(level, broken)| {
            format!(
                "on a cluster without SCC, the namespace {} refuses this pod as it is written, by Pod Security level {level}: {broken}",
                self.namespace
            )
        });
        let is_template = !subject.kind.template.is_empty();
        let template = broken(self.standards.warn).filter(|_| is_template && alone.is_none()).map(|(level, broken)| {
            format!(
                "whoever applies this {} is warned that its template, as it is written, violates the Pod Security level {level} (SCC completes its pods): {broken}",
                subject.kind.kind
            )
        });
        alone.into_iter().chain(template).collect()
    }

    /// Warnings of inline volumes whose driver's profile is below the namespace's `warn` or `audit` level.
    fn csi_warnings(&self, pod: &Value) -> Vec<String> {
        let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array).into_iter().flatten();
        let drivers = volumes.filter_map(|volume| volume.pointer("/csi/driver")?.as_str());
        let profiles = drivers.filter_map(|driver| Some((driver, self.surroundings.driver(driver).ok()?)));
        let modes = [("warns", self.standards.warn.level), ("audits", self.standards.audit.level)];
        profiles
            .flat_map(|(driver, profile)| {
                let above = modes.into_iter().filter(move |(_, level)| *level > profile);
                above.map(move |(verb, level)| {
                    format!(
                        "the namespace {} {verb} of inline volumes of CSIDriver {driver}: its profile {profile} is below {level}",
                        self.namespace
                    )
                })
            })
            .collect()
    }

    /// A driver may be used inline if the namespace enforces no more than the driver's profile (openshift/kubernetes
    /// `openshift-kube-apiserver/admission/storage/csiinlinevolumesecurity/admission.go`). A namespace without labels
    /// is left alone, since OpenShift's syncer labels it.
    fn csi_volume(&self, pod: &Value) -> Option<Objection> {
        let enforced = self.standards.enforce.level;
        let mut allowed = Pod::deserialize(pod).ok().map(|pod| level(&pod, self.standards.enforce.version));
        let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array).into_iter().flatten();
        let errors: Vec<FieldError> = volumes
            .enumerate()
            .filter_map(|(index, volume)| {
                let driver = volume.pointer("/csi/driver")?.as_str()?;
                let path = FieldPath::of("spec.volumes").index(index).field("csi.driver");
                let detail = match self.surroundings.driver(driver) {
                    Ok(profile) if profile >= enforced => return None,
                    Ok(profile) => {
                        allowed = allowed.map(|level| level.min(profile));
                        let known = match self.surroundings.knows_driver(driver) {
                            true => format!("the label {PROFILE} of CSIDriver {driver} says which it is"),
                            false => format!(
                                "CSIDriver {driver} is not among the input: one without the label {PROFILE} has that profile"
                            ),
                        };
                        format!("its profile is {profile}, and the namespace enforces {enforced}; {known}")
                    }
                    Err(label) if enforced > Level::Privileged => {
                        format!("the label {PROFILE} of CSIDriver {driver} is {label:?}, which is not a level")
                    }
                    Err(_) => return None,
                };
                Some(FieldError::forbidden(path, detail))
            })
            .collect();
        let message = "OpenShift refuses the inline CSI volume".to_owned();
        (!errors.is_empty()).then_some(Objection { by: By::CsiVolumes, message, errors, level: allowed })
    }
}

/// `restricted`, or `restricted (v1.24)` by older rules.
fn of_version(standard: Standard) -> String {
    match standard.version {
        Version::Latest => standard.level.to_string(),
        version => format!("{} ({version})", standard.level),
    }
}

/// The errors of Kubernetes' validation of a pod, after the API server's defaults.
fn invalid(pod: &Value) -> Vec<FieldError> {
    let Some(pods): Option<&Resource> = kind::find("", "pods") else { return Vec::new() };
    let mut pod = pod.clone();
    pods.prepare(&mut pod, None);
    // An image is often filled in later; a note reports it.
    let is_image = |error: &FieldError| error.path.to_string().ends_with("].image");
    pods.validate(&pod, None).into_iter().filter(|error| !is_image(error)).collect()
}
