//! The Secrets, ConfigMaps and claims that a pod refers to.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::resource::text;

/// The kind of a referenced object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Reference {
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

/// The kind and the name of each object that a pod refers to.
pub(super) fn all(pod: &Value) -> BTreeSet<(Reference, String)> {
    let mut found = BTreeSet::new();
    let mut add = |reference, name: &str| {
        if !name.is_empty() {
            found.insert((reference, name.to_owned()));
        }
    };
    add(Reference::Account, text(pod, "/spec/serviceAccountName"));
    for secret in items(pod, "/spec/imagePullSecrets") {
        add(Reference::Secret, text(secret, "/name"));
    }
    for volume in items(pod, "/spec/volumes") {
        add(Reference::Claim, text(volume, "/persistentVolumeClaim/claimName"));
        if volume.get("ephemeral").is_some() {
            let own = format!("{}-{}", text(pod, "/metadata/name"), text(volume, "/name"));
            add(Reference::Claim, &own);
        }
        for source in std::iter::once(volume).chain(items(volume, "/projected/sources")) {
            SECRETS.iter().for_each(|place| add(Reference::Secret, text(source, place)));
            add(Reference::ConfigMap, text(source, "/configMap/name"));
        }
    }
    let lists = ["/spec/containers", "/spec/initContainers", "/spec/ephemeralContainers"];
    for container in lists.iter().flat_map(|list| items(pod, list)) {
        for variable in items(container, "/env") {
            add(Reference::Secret, text(variable, "/valueFrom/secretKeyRef/name"));
            add(Reference::ConfigMap, text(variable, "/valueFrom/configMapKeyRef/name"));
        }
        for whole in items(container, "/envFrom") {
            add(Reference::Secret, text(whole, "/secretRef/name"));
            add(Reference::ConfigMap, text(whole, "/configMapRef/name"));
        }
    }
    found
}

fn items<'v>(object: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> {
    object.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
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
        let expected = [
            (Reference::Account, &["sa"][..]),
            (Reference::Secret, &["pull", "mounted", "projected", "published", "early", "all"]),
            (Reference::ConfigMap, &["part", "whole", "from"]),
            (Reference::Claim, &["claim", "p-z"]),
        ];
        let expected = expected
            .iter()
            .flat_map(|(reference, names)| names.iter().map(|name| (*reference, (*name).to_owned())));
        assert_eq!(all(&pod), expected.collect());
    }
}
