//! The changes that an SCC makes on a pod, and the JSON Patch for them.

use std::borrow::Cow;

use palisade_k8s::patch::{Patch, json};
use palisade_k8s::pod::{ContainerList, SeccompProfile};
use palisade_k8s::seccomp::POD_ANNOTATION;
use palisade_k8s::{ContainerPath, FieldPath, Pod};
use smallvec::SmallVec;

use crate::rule::{CapabilityChange, Labels};

/// A seccomp field's new value; `None` removes it.
pub type SeccompField<'x> = Option<SeccompProfile<'x>>;

/// Differences from the requested pod. Values that the pod has already are not repeated.
#[derive(Clone, Debug, Default)]
pub struct Changes<'x> {
    /// The pod's one supplemental group.
    pub supplemental_group: Option<i64>,
    /// The group of its volumes.
    pub fs_group: Option<i64>,
    /// Its SELinux labels.
    pub selinux: Option<Labels<'x>>,
    /// Its seccomp profile as a field.
    pub seccomp_field: Option<SeccompField<'x>>,
    /// Its seccomp profile as an annotation.
    pub seccomp_annotation: Option<Cow<'x, str>>,
    /// Containers of which something changes.
    pub containers: SmallVec<[ContainerChanges<'x>; 2]>,
}

/// Changes of one container.
#[derive(Clone, Debug, Default)]
pub struct ContainerChanges<'x> {
    /// The container; always set if there is a change.
    pub(crate) at: Option<ContainerPath>,
    /// Its user ID.
    pub run_as_user: Option<i64>,
    /// Sets `runAsNonRoot`.
    pub run_as_non_root: bool,
    /// Its capabilities.
    pub capabilities: Option<CapabilityChange<'x>>,
    /// Sets `readOnlyRootFilesystem`.
    pub read_only_root: bool,
    /// Its seccomp profile.
    pub seccomp: Option<SeccompField<'x>>,
    /// Its `allowPrivilegeEscalation`.
    pub escalation: Option<bool>,
}

impl ContainerChanges<'_> {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.run_as_user.is_none()
            && !self.run_as_non_root
            && self.capabilities.is_none()
            && !self.read_only_root
            && self.seccomp.is_none()
            && self.escalation.is_none()
    }

    fn fields(&self) -> Vec<FieldPath> {
        let Some(at) = self.at else { return Vec::new() };
        let fields = [
            (self.run_as_user.is_some(), "runAsUser"),
            (self.run_as_non_root, "runAsNonRoot"),
            (self.capabilities.is_some(), "capabilities"),
            (self.read_only_root, "readOnlyRootFilesystem"),
            (self.seccomp.is_some(), "seccompProfile"),
            (self.escalation.is_some(), "allowPrivilegeEscalation"),
        ];
        fields.into_iter().filter(|(changes, _)| *changes).map(|(_, field)| at.security(field)).collect()
    }
}

impl Changes<'_> {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pod_is_unchanged() && self.containers.is_empty()
    }

    /// Whether nothing changes except in ephemeral containers.
    #[must_use]
    pub fn only_ephemeral(&self) -> bool {
        let ephemeral = |at: ContainerPath| at.list == ContainerList::Ephemeral;
        self.pod_is_unchanged() && self.containers.iter().all(|change| change.at.is_none_or(ephemeral))
    }

    fn pod_is_unchanged(&self) -> bool {
        self.supplemental_group.is_none()
            && self.fs_group.is_none()
            && self.selinux.is_none()
            && self.seccomp_field.is_none()
            && self.seccomp_annotation.is_none()
    }

    /// The fields that change, pod first.
    #[must_use]
    pub fn fields(&self) -> Vec<FieldPath> {
        let pod = [
            (self.seccomp_annotation.is_some(), FieldPath::of("metadata.annotations").key(POD_ANNOTATION)),
            (self.supplemental_group.is_some(), FieldPath::of("spec.securityContext.supplementalGroups")),
            (self.fs_group.is_some(), FieldPath::of("spec.securityContext.fsGroup")),
            (self.selinux.is_some(), FieldPath::of("spec.securityContext.seLinuxOptions")),
            (self.seccomp_field.is_some(), FieldPath::of("spec.securityContext.seccompProfile")),
        ];
        let pod = pod.into_iter().filter(|(changes, _)| *changes).map(|(_, path)| path);
        pod.chain(self.containers.iter().flat_map(ContainerChanges::fields)).collect()
    }

    /// Writes the operations that complete `pod` by the SCC and set the annotations `extra`.
    ///
    /// A service account that the pod names by the older field alone is written to the newer one too.
    pub fn write(&self, pod: &Pod<'_>, extra: &[(&str, &str)], patch: &mut Patch) {
        let absent = [("metadata", pod.metadata.is_absent), ("spec", pod.spec.is_absent)];
        absent.iter().filter(|(_, absent)| *absent).for_each(|(field, _)| patch.has_no(field));
        if pod.spec.uses_old_account_name {
            patch.add(&["spec", "serviceAccountName"], &json::string(&pod.spec.service_account_name));
        }
        self.write_annotations(pod, extra, patch);
        self.write_pod_security(pod, patch);
        for change in &self.containers {
            change.write(pod, patch);
        }
    }

    fn write_annotations(&self, pod: &Pod<'_>, extra: &[(&str, &str)], patch: &mut Patch) {
        let seccomp = self.seccomp_annotation.as_deref().map(|profile| (POD_ANNOTATION, profile));
        let wanted = seccomp.into_iter().chain(extra.iter().copied());
        match &pod.metadata.annotations {
            Some(present) => {
                for (key, value) in wanted {
                    let old = present.get(key);
                    if old != Some(value) {
                        patch.set(old.is_some(), &["metadata", "annotations", key], &json::string(value));
                    }
                }
            }
            None => {
                let mut object = String::from("{");
                wanted.for_each(|(key, value)| json::push_field(&mut object, key, &json::string(value)));
                if object.len() > 1 {
                    object.push('}');
                    patch.add(&["metadata", "annotations"], &object);
                }
            }
        }
    }

    fn write_pod_security(&self, pod: &Pod<'_>, patch: &mut Patch) {
        let security = pod.spec.security_context.as_ref();
        let mut fields = Fields::new(security.is_some());
        if let Some(group) = self.supplemental_group {
            fields.set("supplementalGroups", false, &format!("[{group}]"));
        }
        if let Some(group) = self.fs_group {
            fields.set("fsGroup", false, &group.to_string());
        }
        if let Some(labels) = &self.selinux {
            fields.set("seLinuxOptions", false, &labels_json(labels));
        }
        if let Some(profile) = &self.seccomp_field {
            let present = security.is_some_and(|security| security.seccomp_profile.is_some());
            fields.seccomp(present, profile.as_ref());
        }
        fields.write(&["spec", "securityContext"], patch);
    }
}

impl ContainerChanges<'_> {
    fn write(&self, pod: &Pod<'_>, patch: &mut Patch) {
        let Some(at) = self.at else { return };
        let list = match at.list {
            ContainerList::Init => &pod.spec.init_containers,
            ContainerList::Main => &pod.spec.containers,
            ContainerList::Ephemeral => &pod.spec.ephemeral_containers,
        };
        let security = list.get(at.index).and_then(|container| container.security());
        let mut fields = Fields::new(security.is_some());
        if let Some(user) = self.run_as_user {
            fields.set("runAsUser", false, &user.to_string());
        }
        if self.run_as_non_root {
            fields.set("runAsNonRoot", false, "true");
        }
        if let Some(change) = &self.capabilities {
            let present = security.is_some_and(|security| security.capabilities.is_some());
            fields.set("capabilities", present, &capabilities_json(change));
        }
        if self.read_only_root {
            fields.set("readOnlyRootFilesystem", false, "true");
        }
        if let Some(profile) = &self.seccomp {
            let present = security.is_some_and(|security| security.seccomp_profile.is_some());
            fields.seccomp(present, profile.as_ref());
        }
        if let Some(escalation) = self.escalation {
            fields.set("allowPrivilegeEscalation", false, if escalation { "true" } else { "false" });
        }
        fields.write(&["spec", at.list.field(), &at.index.to_string(), "securityContext"], patch);
    }
}

/// The changed fields of one security context: single operations if it exists, else one that adds it whole.
struct Fields {
    parent_exists: bool,
    operations: SmallVec<[(&'static str, bool, Option<String>); 6]>,
}

impl Fields {
    fn new(parent_exists: bool) -> Self {
        Self { parent_exists, operations: SmallVec::new() }
    }

    fn set(&mut self, field: &'static str, present: bool, value: &str) {
        self.operations.push((field, present, Some(value.to_owned())));
    }

    fn seccomp(&mut self, present: bool, profile: Option<&SeccompProfile<'_>>) {
        match profile {
            Some(profile) => self.set("seccompProfile", present, &seccomp_json(profile)),
            None if present => self.operations.push(("seccompProfile", true, None)),
            None => {}
        }
    }

    fn write(self, path: &[&str], patch: &mut Patch) {
        if self.parent_exists {
            for (field, present, value) in self.operations {
                let mut path: SmallVec<[&str; 6]> = SmallVec::from_slice(path);
                path.push(field);
                match value {
                    Some(value) => patch.set(present, &path, &value),
                    None => patch.remove(&path),
                }
            }
            return;
        }
        let mut object = String::from("{");
        for (field, _, value) in &self.operations {
            value.iter().for_each(|value| json::push_field(&mut object, field, value));
        }
        if object.len() > 1 {
            object.push('}');
            patch.add(path, &object);
        }
    }
}

fn seccomp_json(profile: &SeccompProfile<'_>) -> String {
    let mut object = String::from("{");
    json::push_field(&mut object, "type", &json::string(profile.type_.as_str()));
    if let Some(file) = &profile.localhost_profile {
        json::push_field(&mut object, "localhostProfile", &json::string(file));
    }
    object + "}"
}

fn labels_json(labels: &Labels<'_>) -> String {
    let mut object = String::from("{");
    let parts =
        [("user", labels.user), ("role", labels.role), ("type", labels.type_), ("level", labels.level)];
    for (field, value) in parts.into_iter().filter(|(_, value)| !value.is_empty()) {
        json::push_field(&mut object, field, &json::string(value));
    }
    object + "}"
}

fn capabilities_json(change: &CapabilityChange<'_>) -> String {
    let mut object = String::from("{");
    for (field, list) in [("add", &change.add), ("drop", &change.drop)] {
        if !list.is_empty() {
            json::push_field(&mut object, field, &json::strings(list.iter().copied()));
        }
    }
    object + "}"
}
