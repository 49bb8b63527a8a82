//! The evaluation of one SCC on one pod: the few fields that it would set, and its violations.
//!
//! The pod is not copied. Each rule first computes its default, then checks the value that the pod would have: the
//! default, or its own. Rows: reference/scc.md 2.8 to 2.18.

use std::borrow::Cow;

use palisade_k8s::pod::PodSecurityContext;
use palisade_k8s::pod::SeccompProfile;
use palisade_k8s::seccomp::{CONTAINER_ANNOTATION, POD_ANNOTATION, RUNTIME_ANNOTATIONS};
use palisade_k8s::{Container, ContainerPath, FieldError, FieldPath, KernelVersion, Pod};

use crate::changes::{Changes, ContainerChanges, SeccompField};
use crate::findings::Findings;
use crate::namespace::NamespaceRanges;
use crate::plan::{Plan, Resolved};
use crate::rule::group;
use crate::unusable::Unusable;

#[cfg(test)]
mod tests;

/// The inputs of an attempt beside the SCC and the pod.
#[derive(Clone, Copy, Debug)]
pub struct Context<'x> {
    /// The ranges of the pod's namespace.
    pub ranges: &'x NamespaceRanges,
    /// The kernel that determines the safe sysctls.
    pub kernel: KernelVersion,
}

/// Evaluates `plan` on `pod`: returns the changes, and reports violations to `findings`.
///
/// The changes are complete only if there are no findings.
///
/// # Errors
///
/// The namespace lacks an annotation that this SCC needs.
pub fn attempt<'x>(
    plan: &'x Plan,
    context: Context<'x>,
    pod: &'x Pod<'_>,
    findings: &mut impl Findings,
) -> Result<Changes<'x>, Unusable> {
    let rules = plan.resolve(context.ranges)?;
    let empty = PodSecurityContext::default();
    let security = pod.spec.security_context.as_ref();
    let mut changes = Changes::default();

    generate_pod(&rules, pod, &mut changes);
    check_pod(&rules, pod, security.unwrap_or(&empty), &changes, findings);
    if !findings.is_settled() {
        plan.sysctls.check(&security.unwrap_or(&empty).sysctls, context.kernel, findings);
        plan.volumes.check(&pod.spec, findings);
    }
    for (at, container) in pod.spec.all_containers() {
        if findings.is_settled() {
            break;
        }
        let attempt = ContainerAttempt { rules: &rules, pod, at, container };
        let change = attempt.generate();
        attempt.check(&changes, &change, findings);
        if !change.is_empty() {
            changes.containers.push(change);
        }
    }
    Ok(changes)
}

fn generate_pod<'x>(rules: &Resolved<'x>, pod: &'x Pod<'_>, changes: &mut Changes<'x>) {
    let security = pod.spec.security_context.as_ref();
    let first = |ranges: Option<&[palisade_k8s::scc::IdRange]>| Some(ranges?.first()?.min);
    if security.is_none_or(|security| security.supplemental_groups.is_none()) {
        changes.supplemental_group = first(rules.supplemental_groups);
    }
    if security.is_none_or(|security| security.fs_group.is_none()) {
        changes.fs_group = first(rules.fs_group);
    }
    if security.is_none_or(|security| security.se_linux_options.is_none()) {
        changes.selinux = rules.selinux;
    }
    let profile = pod_profile(rules, pod);
    if profile.is_empty() {
        return;
    }
    // The profile is written in both forms, whichever the pod used; an annotation takes precedence.
    let field = field_of_owned(&profile);
    if field.as_ref() != security.and_then(|security| security.seccomp_profile.as_ref()) {
        changes.seccomp_field = Some(field);
    }
    if pod.metadata.annotation(POD_ANNOTATION) != Some(&profile) {
        changes.seccomp_annotation = Some(profile);
    }
}

/// The pod's profile in the form of annotations: the annotation, else the field, else the default.
fn pod_profile<'x>(rules: &Resolved<'x>, pod: &'x Pod<'_>) -> Cow<'x, str> {
    match pod.metadata.annotation(POD_ANNOTATION) {
        Some(annotation) if !annotation.is_empty() => return Cow::Borrowed(annotation),
        _ => {}
    }
    match pod.spec.security_context.as_ref().and_then(|security| security.seccomp_profile.as_ref()) {
        Some(field) => field.annotation(),
        None => Cow::Borrowed(rules.plan.seccomp.default_profile().unwrap_or_default()),
    }
}

fn field_of_owned<'x>(profile: &Cow<'x, str>) -> SeccompField<'x> {
    match profile {
        Cow::Borrowed(text) => SeccompProfile::of_annotation(text),
        // Only a `localhost/` profile is built; its field is its source.
        Cow::Owned(text) => SeccompProfile::of_annotation(text).map(|field| SeccompProfile {
            type_: field.type_,
            localhost_profile: field.localhost_profile.map(|file| file.as_str().to_owned().into()),
        }),
    }
}

fn check_pod(
    rules: &Resolved<'_>,
    pod: &Pod<'_>,
    security: &PodSecurityContext<'_>,
    changes: &Changes<'_>,
    findings: &mut impl Findings,
) {
    let path = |field| FieldPath::of("spec.securityContext").field(field);
    let spec = &pod.spec;
    // A generated group is checked like any other: a block that ends before it starts is empty.
    let fs_group = changes.fs_group.or(security.fs_group);
    group::check(rules.fs_group, "fsGroup", fs_group.as_slice(), findings);
    let groups = match &changes.supplemental_group {
        Some(generated) => std::slice::from_ref(generated),
        None => security.supplemental_groups.as_deref().unwrap_or_default(),
    };
    group::check(rules.supplemental_groups, "supplementalGroups", groups, findings);
    let profile = match (pod_profile(rules, pod), &security.seccomp_profile) {
        (profile, Some(field)) if profile.is_empty() => field.judged(),
        (profile, _) => profile,
    };
    rules.plan.seccomp.check(&profile, || pod_seccomp_path(pod), findings);
    check_runtime_annotations(rules, pod, findings);
    if let (Some(labels), Some(options)) = (&rules.selinux, &security.se_linux_options) {
        labels.check(options, || path("seLinuxOptions"), findings);
    }
    let plan = rules.plan;
    for (used, allowed, field, what) in [
        (spec.host_network, plan.host_network, "hostNetwork", "Host network is not allowed to be used"),
        (spec.host_pid, plan.host_pid, "hostPID", "Host PID is not allowed to be used"),
        (spec.host_ipc, plan.host_ipc, "hostIPC", "Host IPC is not allowed to be used"),
    ] {
        if used && !allowed {
            findings.add(|| FieldError::invalid(FieldPath::of("spec").field(field), true, what));
        }
    }
    if plan.requires_user_namespace && spec.host_users != Some(false) {
        findings.add(|| {
            let value = spec.host_users.map_or(serde_json::Value::Null, serde_json::Value::Bool);
            FieldError::invalid(FieldPath::of("spec.hostUsers"), value, "Host Users must be set to false")
        });
    }
}

/// A profile that the container runtime takes from an annotation is checked as one in a field.
fn check_runtime_annotations(rules: &Resolved<'_>, pod: &Pod<'_>, findings: &mut impl Findings) {
    let Some(annotations) = &pod.metadata.annotations else { return };
    for (key, profile) in RUNTIME_ANNOTATIONS.iter().flat_map(|prefix| annotations.starting_with(prefix)) {
        if !profile.is_empty() {
            let path = || FieldPath::of("metadata.annotations").key(key);
            rules.plan.seccomp.check(profile, path, findings);
        }
    }
}

fn pod_seccomp_path(pod: &Pod<'_>) -> FieldPath {
    match pod.metadata.annotation(POD_ANNOTATION) {
        Some(annotation) if !annotation.is_empty() => {
            FieldPath::of("metadata.annotations").key(POD_ANNOTATION)
        }
        _ => FieldPath::of("spec.securityContext.seccompProfile"),
    }
}

/// One container of the attempt.
struct ContainerAttempt<'r, 'x, 'p> {
    rules: &'r Resolved<'x>,
    pod: &'x Pod<'p>,
    at: ContainerPath,
    container: &'x Container<'p>,
}

impl<'x> ContainerAttempt<'_, 'x, '_> {
    fn generate(&self) -> ContainerChanges<'x> {
        let plan = self.rules.plan;
        let security = self.container.security();
        let capabilities =
            plan.capabilities.generate(security.and_then(|security| security.capabilities.as_ref()));
        let mut change = ContainerChanges { at: Some(self.at), ..ContainerChanges::default() };
        if self.run_as_user().is_none() {
            change.run_as_user = self.rules.user.generate();
        }
        if self.run_as_non_root().is_none() {
            // `runAsNonRoot` is set explicitly, for Pod Security's `restricted` (2.11).
            change.run_as_non_root = match change.run_as_user.or(self.run_as_user()) {
                Some(user) => user > 0,
                None => self.rules.user == crate::rule::user::UserRule::NonRoot,
            };
        }
        if plan.read_only_root && security.is_none_or(|security| security.read_only_root_filesystem.is_none())
        {
            change.read_only_root = true;
        }
        change.capabilities = capabilities;
        change.seccomp = self.seccomp_of_annotation();
        change.escalation = self.escalation(&change);
        change
    }

    fn run_as_user(&self) -> Option<i64> {
        let pod = self.pod.spec.security_context.as_ref().and_then(|security| security.run_as_user);
        self.container.security().and_then(|security| security.run_as_user).or(pod)
    }

    fn run_as_non_root(&self) -> Option<bool> {
        let pod = self.pod.spec.security_context.as_ref().and_then(|security| security.run_as_non_root);
        self.container.security().and_then(|security| security.run_as_non_root).or(pod)
    }

    fn annotation(&self) -> Option<&'x str> {
        let annotations = self.pod.metadata.annotations.as_ref()?;
        annotations.get_prefixed(CONTAINER_ANNOTATION, &self.container.name)
    }

    /// A container's annotation overwrites its field, with nothing if its value is unknown.
    fn seccomp_of_annotation(&self) -> Option<SeccompField<'x>> {
        let field = SeccompProfile::of_annotation(self.annotation()?);
        let present = self.container.security().and_then(|security| security.seccomp_profile.as_ref());
        (field.as_ref() != present).then_some(field)
    }

    fn escalation(&self, change: &ContainerChanges<'_>) -> Option<bool> {
        let security = self.container.security();
        if security.is_some_and(|security| security.allow_privilege_escalation.is_some()) {
            return None;
        }
        let privileged = security.and_then(|security| security.privileged) == Some(true);
        let exempt = privileged || self.added(change).any(|name| name == "CAP_SYS_ADMIN");
        let default = self.rules.plan.default_escalation.filter(|_| !exempt);
        // If the SCC allows none, even a privileged container is given none (2.14).
        default.or((!self.rules.plan.allow_escalation).then_some(false))
    }

    /// The capabilities that the container adds after `change`.
    fn added<'c>(&self, change: &'c ContainerChanges<'_>) -> impl Iterator<Item = &'c str>
    where
        'x: 'c,
    {
        let asked = self.container.security().and_then(|security| security.capabilities.as_ref());
        let asked = if change.capabilities.is_none() { asked } else { None };
        let asked = asked.into_iter().flat_map(|asked| asked.add.iter().map(|name| &**name));
        let changed = change.capabilities.iter().flat_map(|change| change.add.iter().copied());
        asked.chain(changed)
    }

    fn check(&self, pod: &Changes<'_>, change: &ContainerChanges<'_>, findings: &mut impl Findings) {
        let (plan, at) = (self.rules.plan, self.at);
        let user = change.run_as_user.or(self.run_as_user());
        let non_root = if change.run_as_non_root { Some(true) } else { self.run_as_non_root() };
        self.rules.user.check(at, user, non_root, findings);

        let security = self.container.security();
        let options = security.and_then(|security| security.se_linux_options.as_ref());
        if let (Some(labels), Some(options)) = (&self.rules.selinux, options) {
            labels.check(options, || at.security("seLinuxOptions"), findings);
        }
        let profile = self.profile(pod, change);
        plan.seccomp.check(&profile, || self.seccomp_path(), findings);
        if !plan.privileged && security.and_then(|security| security.privileged) == Some(true) {
            findings.add(|| {
                FieldError::invalid(at.security("privileged"), true, "Privileged containers are not allowed")
            });
        }
        plan.capabilities.check(at, self.added(change), findings);
        self.check_ports(findings);
        if plan.read_only_root
            && security.and_then(|security| security.read_only_root_filesystem) == Some(false)
        {
            findings.add(|| {
                let path = at.security("readOnlyRootFilesystem");
                FieldError::invalid(path, false, "ReadOnlyRootFilesystem must be set to true")
            });
        }
        self.check_escalation(change, findings);
    }

    fn check_escalation(&self, change: &ContainerChanges<'_>, findings: &mut impl Findings) {
        let asked = self.container.security().and_then(|security| security.allow_privilege_escalation);
        let resulting = asked.or(change.escalation);
        if !self.rules.plan.allow_escalation && resulting != Some(false) {
            findings.add(|| {
                let value = resulting.map_or(serde_json::Value::Null, serde_json::Value::Bool);
                let detail = "Allowing privilege escalation for containers is not allowed";
                FieldError::invalid(self.at.security("allowPrivilegeEscalation"), value, detail)
            });
        }
    }

    fn check_ports(&self, findings: &mut impl Findings) {
        if self.rules.plan.host_ports {
            return;
        }
        for (index, port) in self.container.ports.iter().enumerate().filter(|(_, port)| port.host_port > 0) {
            findings.add(|| {
                let path = self.at.path().field("ports").index(index).field("hostPort");
                FieldError::invalid(path, port.host_port, "Host ports are not allowed to be used")
            });
        }
    }

    /// The container's profile in the form of annotations: its field, its annotation, the pod's
    /// field, the pod's annotation (2.12), each as it would be after the changes.
    fn profile<'c>(&'c self, pod: &'c Changes<'_>, change: &'c ContainerChanges<'_>) -> Cow<'c, str> {
        let own = self.container.security().and_then(|security| security.seccomp_profile.as_ref());
        if let Some(field) = change.seccomp.as_ref().map_or(own, Option::as_ref) {
            return field.judged();
        }
        if let Some(annotation) = self.annotation() {
            return Cow::Borrowed(annotation);
        }
        let inherited = self.pod.spec.security_context.as_ref();
        let inherited = inherited.and_then(|security| security.seccomp_profile.as_ref());
        if let Some(field) = pod.seccomp_field.as_ref().map_or(inherited, Option::as_ref) {
            return field.judged();
        }
        let annotation = pod.seccomp_annotation.as_deref().or(self.pod.metadata.annotation(POD_ANNOTATION));
        Cow::Borrowed(annotation.unwrap_or_default())
    }

    fn seccomp_path(&self) -> FieldPath {
        if self.annotation().is_some() {
            let key = format!("{CONTAINER_ANNOTATION}{}", self.container.name);
            return FieldPath::of("metadata.annotations").key(key);
        }
        let own = self.container.security().is_some_and(|security| security.seccomp_profile.is_some());
        if own { self.at.security("seccompProfile") } else { pod_seccomp_path(self.pod) }
    }
}
