//! Warnings to the author of a pod: deprecated or ignored fields and annotations, and duplicate values
//! (`pkg/api/pod/warnings.go` of Kubernetes).

mod env;
mod ip;
mod label;
mod path;
mod port;

use std::collections::HashSet;

use palisade_k8s::metadata;
use serde_json::Value;

use super::{CONTAINER_LISTS, text};
use crate::kind::at::At;
use crate::kind::warning;

/// Number of warnings at which the search ends: no client is sent as many.
const ENOUGH: usize = 64;

/// The warnings so far.
#[derive(Debug, Default)]
struct Warnings(Vec<String>);

impl Warnings {
    fn add(&mut self, at: &At<'_>, what: impl std::fmt::Display) {
        self.say(format!("{}: {what}", at.path()));
    }

    fn say(&mut self, what: String) {
        if !self.is_full() {
            self.0.push(what);
        }
    }

    fn is_full(&self) -> bool {
        self.0.len() >= ENOUGH
    }
}

/// Updates of pods are made by programs, which do not read warnings.
pub(super) fn warnings(pod: &Value, old: Option<&Value>) -> Vec<String> {
    let mut warnings = Warnings::default();
    if old.is_none() {
        check_name(text(pod, "/metadata/name"), &mut warnings);
        check_app_armor(pod, &mut warnings);
        check(pod, &mut warnings);
    }
    warnings.0
}

fn check(pod: &Value, warnings: &mut Warnings) {
    let (spec, metadata) = (At::root(pod, "spec"), At::root(pod, "metadata"));
    label::check(&spec, warnings);
    check_spread(&spec, warnings);
    for (key, what) in DEAD {
        if annotation(&metadata, key).is_some() {
            warnings.add(&metadata.field("annotations").key(key), what);
        }
    }
    check_volumes(&spec, warnings);
    path::check(&spec, warnings);
    check_lists(&spec, warnings);
    check_bytes(&spec.field("overhead"), &["memory", "ephemeral-storage"], warnings);
    check_seccomp(&spec, &metadata, warnings);
    for container in containers(&spec) {
        let resources = container.field("resources");
        for name in ["memory", "ephemeral-storage"] {
            check_bytes(&resources.field("limits"), &[name], warnings);
            check_bytes(&resources.field("requests"), &[name], warnings);
        }
        env::check(&container, warnings);
    }
    port::check(&spec, warnings);
    let grace = spec.field("terminationGracePeriodSeconds");
    if grace.number().is_some_and(|seconds| seconds < 0) {
        warnings.add(&grace, "must be >= 0; negative values are invalid and will be treated as 1");
    }
    check_affinity(&spec, warnings);
    ip::check(&spec, warnings);
}

/// Containers of all lists, in Kubernetes' order.
fn containers<'v>(spec: &At<'v>) -> impl Iterator<Item = At<'v>> + use<'v> {
    let spec = spec.clone();
    CONTAINER_LISTS.into_iter().flat_map(move |list| spec.field(list).items())
}

fn annotation<'v>(metadata: &At<'v>, key: &str) -> Option<&'v str> {
    let found = metadata.field("annotations").key(key);
    found.is_set().then(|| found.text())
}

fn check_name(name: &str, warnings: &mut Warnings) {
    if metadata::is_label(name) {
        return;
    }
    const RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
    let is_long = name.len() > 63;
    let is_odd =
        !name.split('-').all(|part| part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
            || name.starts_with('-')
            || name.ends_with('-');
    let said = [is_long.then_some("must be no more than 63 bytes"), is_odd.then_some(RULE)];
    let said: Vec<&str> = said.into_iter().flatten().collect();
    warnings.say(format!(
        "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [{}]",
        said.join(" ")
    ));
}

const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// The annotation of a container that has no profile of its own.
fn check_app_armor(pod: &Value, warnings: &mut Warnings) {
    let (spec, metadata) = (At::root(pod, "spec"), At::root(pod, "metadata"));
    if spec.field("os").field("name").text() == "windows" {
        return;
    }
    let of_pod = spec.field("securityContext").field("appArmorProfile");
    for container in containers(&spec) {
        let key = format!("{APPARMOR}{}", container.field("name").text());
        let Some(found) = annotation(&metadata, &key) else { continue };
        let is_own = container.field("securityContext").field("appArmorProfile").is_set();
        if !is_own && !is_same_profile(&of_pod, found) {
            let what = "deprecated since v1.30; use the \"appArmorProfile\" field instead";
            warnings.add(&metadata.field("annotations").key(&key), what);
        }
    }
}

fn is_same_profile(profile: &At<'_>, annotation: &str) -> bool {
    let (kind, name) = match annotation {
        "runtime/default" => ("RuntimeDefault", ""),
        "unconfined" => ("Unconfined", ""),
        other => match other.strip_prefix("localhost/") {
            Some(name) => ("Localhost", name),
            None => return false,
        },
    };
    profile.field("type").text() == kind && profile.field("localhostProfile").text() == name
}

/// Annotations that fields have replaced.
const DEAD: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
];

/// Volume types whose drivers were removed, or will be.
const OLD_VOLUMES: [(&str, &str); 9] = [
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

fn check_volumes(spec: &At<'_>, warnings: &mut Warnings) {
    for volume in spec.field("volumes").items() {
        for (kind, what) in OLD_VOLUMES {
            let old = volume.field(kind);
            if old.is_set() {
                // Kubernetes' message has the path of its internal type.
                let said = if kind == "storageos" { volume.field("storageOS") } else { old };
                warnings.add(&said, what);
            }
        }
        let claim = volume.field("ephemeral").field("volumeClaimTemplate").field("spec");
        warning::claim_bytes(&claim).into_iter().for_each(|what| warnings.say(what));
    }
}

/// Host aliases of one address, and pull secrets of one name or an empty one.
fn check_lists(spec: &At<'_>, warnings: &mut Warnings) {
    for (list, field) in [("hostAliases", "ip"), ("imagePullSecrets", "name")] {
        let mut seen = HashSet::new();
        for item in spec.field(list).items().map(|item| item.field(field)) {
            if !seen.insert(item.text()) {
                warnings.add(&item, format_args!("duplicate {field} {:?}", item.text()));
            }
        }
    }
    for name in spec.field("imagePullSecrets").items().map(|item| item.field("name")) {
        if name.text().is_empty() {
            warnings.add(&name, "invalid empty name \"\"");
        }
    }
}

/// Fractional amounts of bytes.
fn check_bytes(amounts: &At<'_>, names: &[&str], warnings: &mut Warnings) {
    for name in names {
        if let Some(what) = warning::fraction(&amounts.key(name)) {
            warnings.say(what);
        }
    }
}

/// Warnings of seccomp annotations that are set without the corresponding field.
fn check_seccomp(spec: &At<'_>, metadata: &At<'_>, warnings: &mut Warnings) {
    let mut check = |of: &At<'_>, key: &str| {
        let has_field = of.field("securityContext").field("seccompProfile").is_set();
        if !has_field && annotation(metadata, key).is_some() {
            let what = "non-functional in v1.27+; use the \"seccompProfile\" field instead";
            warnings.add(&metadata.field("annotations").key(key), what);
        }
    };
    check(spec, "seccomp.security.alpha.kubernetes.io/pod");
    for container in containers(spec) {
        let name = container.field("name").text();
        check(&container, &format!("container.seccomp.security.alpha.kubernetes.io/{name}"));
    }
}

const NO_SELECTOR: &str = "a null labelSelector results in matching no pod";

fn check_spread(spec: &At<'_>, warnings: &mut Warnings) {
    for constraint in spec.field("topologySpreadConstraints").items() {
        label::check_key(&constraint.field("topologyKey"), warnings);
        let selector = constraint.field("labelSelector");
        if !selector.is_set() {
            warnings.add(&selector, NO_SELECTOR);
        }
    }
}

fn check_affinity(spec: &At<'_>, warnings: &mut Warnings) {
    for kind in ["podAffinity", "podAntiAffinity"] {
        let affinity = spec.field("affinity").field(kind);
        let required = affinity.field("requiredDuringSchedulingIgnoredDuringExecution").items();
        let preferred = affinity.field("preferredDuringSchedulingIgnoredDuringExecution").items();
        for term in required.chain(preferred.map(|term| term.field("podAffinityTerm"))) {
            let selector = term.field("labelSelector");
            if !selector.is_set() {
                warnings.add(&selector, NO_SELECTOR);
            }
        }
    }
}

#[cfg(test)]
mod tests;
