//! The profiles that pods name.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Pod, PodSpec, SeccompProfile};
use palisade_k8s::seccomp::is_annotation;

use crate::digest::Digest;

/// The paths below the kubelet's folder that a pod asks for, by field and by annotation.
#[must_use]
pub fn paths(pod: &Pod) -> BTreeSet<String> {
    let annotations = pod.metadata.annotations.iter().flatten();
    let annotated = annotations
        .filter(|(key, _)| is_annotation(key))
        .filter_map(|(_, value)| value.strip_prefix("localhost/").map(str::to_owned));
    let spec = pod.spec.as_ref();
    let fields = spec.into_iter().flat_map(profiles).filter_map(|profile| profile.localhost_profile.clone());
    annotated.chain(fields).collect()
}

fn profiles(spec: &PodSpec) -> Vec<&SeccompProfile> {
    let of_pod = spec.security_context.as_ref().and_then(|context| context.seccomp_profile.as_ref());
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let contexts = containers.map(|container| container.security_context.as_ref());
    let ephemeral = spec.ephemeral_containers.iter().flatten();
    let contexts = contexts.chain(ephemeral.map(|container| container.security_context.as_ref()));
    contexts.flatten().filter_map(|context| context.seccomp_profile.as_ref()).chain(of_pod).collect()
}

/// The digests whose files a pod may still need: none, once it has ended.
#[must_use]
pub fn named(pod: &Pod) -> BTreeSet<Digest> {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return BTreeSet::new();
    }
    paths(pod).iter().filter_map(|path| Digest::of_localhost_profile(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn every_place_of_a_pod_counts() {
        let digest = Digest::of(&[]);
        let path = digest.localhost_profile();
        let context = json!({"seccompProfile": {"type": "Localhost", "localhostProfile": path}});
        let container = json!([{"name": "a", "securityContext": context}]);
        let plain = json!([{"name": "a"}]);
        let of = |annotations: Value, spec: Value, phase: &str| {
            let pod =
                json!({"metadata": {"annotations": annotations}, "spec": spec, "status": {"phase": phase}});
            named(&serde_json::from_value(pod).unwrap()).len()
        };
        for spec in [
            json!({"containers": container}),
            json!({"containers": plain, "initContainers": container}),
            json!({"containers": plain, "ephemeralContainers": container}),
            json!({"containers": plain, "securityContext": context}),
        ] {
            assert_eq!(of(json!({}), spec.clone(), "Running"), 1, "{spec}");
            assert_eq!(of(json!({}), spec, "Failed"), 0);
        }
        let annotated =
            json!({"container.seccomp.security.alpha.kubernetes.io/a": format!("localhost/{path}")});
        assert_eq!(of(annotated, json!({"containers": plain}), "Pending"), 1);
        let foreign = json!({"x": format!("localhost/{path}")});
        assert_eq!(of(foreign, json!({"containers": plain}), "Pending"), 0);
    }
}
