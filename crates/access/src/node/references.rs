//! The Secrets, ConfigMaps and claims that a pod refers to.

use serde_json::Value;

use crate::resource::text;

/// The kind of a referenced object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A Secret.
    Secret,
    /// A ConfigMap.
    ConfigMap,
    /// A PersistentVolumeClaim.
    Claim,
    /// The pod's ServiceAccount.
    Account,
}

/// The fields in which a volume names a secret (`pkg/api/v1/pod.VisitPodSecretNames`).
const SECRETS: [&str; 11] = [
    "/secret/secretName",
    "/azureFile/secretName",
    "/cephfs/secretRef/name",
    "/cinder/secretRef/name",
    "/csi/nodePublishSecretRef/name",
    "/flexVolume/secretRef/name",
    "/iscsi/secretRef/name",
    "/rbd/secretRef/name",
    "/scaleIO/secretRef/name",
    "/storageos/secretRef/name",
    // Of a projection.
    "/secret/name",
];
const CONFIG_MAPS: [&str; 1] = ["/configMap/name"];

/// Whether a pod refers to an object of a name.
pub fn refers(pod: &Value, reference: Reference, name: &str) -> bool {
    let is = |object: &Value, pointer: &str| text(object, pointer) == name;
    match reference {
        Reference::Account => is(pod, "/spec/serviceAccountName"),
        Reference::Claim => items(pod, "/spec/volumes").any(|volume| {
            let own = format!("{}-{}", text(pod, "/metadata/name"), text(volume, "/name"));
            is(volume, "/persistentVolumeClaim/claimName") || volume.get("ephemeral").is_some() && own == name
        }),
        Reference::Secret => {
            items(pod, "/spec/imagePullSecrets").any(|secret| is(secret, "/name"))
                || in_volumes(pod, &SECRETS, name)
                || in_environment(pod, "/valueFrom/secretKeyRef/name", "/secretRef/name", name)
        }
        Reference::ConfigMap => {
            in_volumes(pod, &CONFIG_MAPS, name)
                || in_environment(pod, "/valueFrom/configMapKeyRef/name", "/configMapRef/name", name)
        }
    }
}

fn items<'v>(object: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> {
    object.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn in_volumes(pod: &Value, places: &[&str], name: &str) -> bool {
    items(pod, "/spec/volumes").any(|volume| {
        let mut sources = std::iter::once(volume).chain(items(volume, "/projected/sources"));
        sources.any(|source| places.iter().any(|place| text(source, place) == name))
    })
}

fn in_environment(pod: &Value, variable: &str, whole: &str, name: &str) -> bool {
    let lists = ["/spec/containers", "/spec/initContainers", "/spec/ephemeralContainers"];
    lists.iter().flat_map(|list| items(pod, list)).any(|container| {
        items(container, "/env").any(|env| text(env, variable) == name)
            || items(container, "/envFrom").any(|env| text(env, whole) == name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_that_a_pod_needs_is_found() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {
            "serviceAccountName": "sa", "imagePullSecrets": [{"name": "pull"}],
            "volumes": [
                {"name": "v", "secret": {"secretName": "mounted"}},
                {"name": "w", "projected": {"sources": [{"secret": {"name": "projected"}}, {"configMap": {"name": "part"}}]}},
                {"name": "x", "configMap": {"name": "whole"}},
                {"name": "y", "persistentVolumeClaim": {"claimName": "claim"}},
                {"name": "z", "ephemeral": {}},
                {"name": "c", "csi": {"nodePublishSecretRef": {"name": "published"}}}],
            "initContainers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "early"}}}]}],
            "containers": [{"envFrom": [{"configMapRef": {"name": "from"}}, {"secretRef": {"name": "all"}}]}]}});
        for (reference, names) in [
            (Reference::Account, &["sa"][..]),
            (Reference::Secret, &["pull", "mounted", "projected", "published", "early", "all"]),
            (Reference::ConfigMap, &["part", "whole", "from"]),
            (Reference::Claim, &["claim", "p-z"]),
        ] {
            for name in names {
                assert!(refers(&pod, reference, name), "{reference:?} {name}");
            }
            assert!(!refers(&pod, reference, "other") && !refers(&pod, reference, "p-y"));
        }
        assert!(!refers(&pod, Reference::Secret, "whole") && !refers(&pod, Reference::ConfigMap, "mounted"));
    }
}
