//! `seccompProfiles`, and the two forms in which a pod names a profile.

use palisade_scc::SeccompRule;

use crate::cel;

use super::Demand;

const RUNTIME_DEFAULT: &str = "runtime/default";
const DOCKER_DEFAULT: &str = "docker/default";

/// The name, in the form of annotations, of the profile in the field `field`; empty for one that annotations cannot
/// express.
pub(crate) fn name_of(field: &str) -> String {
    format!(
        "({field}.type == 'RuntimeDefault' ? 'runtime/default' : {field}.type == 'Unconfined' ? 'unconfined' : \
         {field}.type == 'Localhost' && 'localhostProfile' in {field} ? 'localhost/' + {field}.localhostProfile : '')"
    )
}

/// The name by which SCCs check the field: that of an artifact in a registry cannot be expressed in annotations.
pub(crate) fn judged(field: &str) -> String {
    format!("({field}.type == 'OCI' ? 'OCI' : {})", name_of(field))
}

/// The field equivalent to the annotation `name`; an empty map for an unknown one.
pub(crate) fn field_of(name: &str) -> String {
    format!(
        "({name} == 'runtime/default' || {name} == 'docker/default' ? {{'type': 'RuntimeDefault'}} : \
         {name} == 'unconfined' ? {{'type': 'Unconfined'}} : \
         {name}.startsWith('localhost/') && {name} != 'localhost/' ? \
         {{'type': 'Localhost', 'localhostProfile': {name}.substring(10)}} : {{}})"
    )
}

pub(crate) fn demands(rule: &SeccompRule) -> Vec<Demand> {
    if rule.allow_any {
        return Vec::new();
    }
    let because = format!("seccompProfiles: {}", rule.allowed.join(", "));
    if rule.allowed.is_empty() {
        let holds = "variables.profiles.all(p, p == '')";
        return vec![Demand::new("profiles", "seccompProfiles: none", holds, "seccomp may not be set")];
    }
    let mut allowed: Vec<&str> = rule.allowed.iter().map(String::as_str).collect();
    for (name, other) in [(RUNTIME_DEFAULT, DOCKER_DEFAULT), (DOCKER_DEFAULT, RUNTIME_DEFAULT)] {
        if rule.allowed.iter().any(|profile| profile == name) && !allowed.contains(&other) {
            allowed.push(other);
        }
    }
    let holds = format!("variables.profiles.all(p, p in {})", cel::texts(&allowed));
    vec![Demand::new(
        "profiles",
        because,
        holds,
        format!("seccompProfile must be one of {}", rule.allowed.join(", ")),
    )]
}

pub(crate) fn settled(rule: &SeccompRule) -> Option<String> {
    Some(match rule.default_profile() {
        None | Some("") => "variables.profilesAreSettled".to_owned(),
        Some(_) => "variables.namesProfile && variables.profilesAreSettled".to_owned(),
    })
}

pub(crate) fn gift(rule: &SeccompRule) -> String {
    cel::text(rule.default_profile().unwrap_or_default())
}
