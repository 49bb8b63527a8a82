//! Volume types, and drivers of `flexVolume`.

use palisade_k8s::pod::{PodSpec, Volume, VolumeKind};
use palisade_k8s::{FieldError, FieldPath, SecurityContextConstraints};

use crate::findings::Findings;
use crate::lookup::Lookup;

/// The permitted volume types.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeRule {
    /// Whether every type may be mounted, unknown ones included.
    pub allow_all: bool,
    kinds: KindSet,
    /// The drivers of `flexVolume` that may be used, if that type may; an empty list permits any.
    pub flex_drivers: Vec<String>,
}

/// A set of types, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct KindSet(u64);

impl KindSet {
    fn insert(&mut self, kind: VolumeKind) {
        self.0 |= 1 << (kind as u32);
    }

    fn contains(self, kind: VolumeKind) -> bool {
        self.0 & (1 << (kind as u32)) != 0
    }
}

impl VolumeRule {
    pub(crate) fn new(scc: &SecurityContextConstraints) -> Self {
        let mut rule = Self::default();
        for name in SecurityContextConstraints::list(scc.volumes.as_ref()) {
            rule.allow_all |= name == "*";
            // A name that is not a type permits nothing; `lint` reports it.
            VolumeKind::from_policy_name(name).into_iter().for_each(|kind| rule.kinds.insert(kind));
        }
        let drivers = scc.allowed_flex_volumes.iter().flatten();
        rule.flex_drivers = drivers.map(|allowed| allowed.driver.clone()).collect();
        rule
    }

    /// Reports each volume that may not be mounted.
    pub(crate) fn check(&self, spec: &PodSpec<'_>, findings: &mut impl Findings) {
        let drivers = Lookup::new(self.flex_drivers.iter().map(String::as_str));
        for (index, volume) in spec.volumes.iter().enumerate() {
            if findings.is_settled() {
                return;
            }
            for &kind in volume.kinds.iter().filter(|kind| !self.allows(**kind, volume)) {
                findings.add(|| {
                    let name = kind.policy_name();
                    let path = FieldPath::of("spec.volumes").index(index);
                    FieldError::invalid(path, name, format!("{name} volumes are not allowed to be used"))
                });
            }
            self.check_driver(index, volume, |driver| drivers.has(driver), findings);
        }
    }

    /// Whether volumes of this type may be mounted, whatever their content.
    #[must_use]
    pub fn allows_kind(&self, kind: VolumeKind) -> bool {
        self.allow_all || self.kinds.contains(kind)
    }

    fn allows(&self, kind: VolumeKind, volume: &Volume<'_>) -> bool {
        self.allow_all
            || self.kinds.contains(kind)
            || (kind == VolumeKind::Projected
                && self.kinds.contains(VolumeKind::Secret)
                && volume.is_service_account_token())
    }

    fn check_driver(
        &self,
        index: usize,
        volume: &Volume<'_>,
        is_known: impl Fn(&str) -> bool,
        findings: &mut impl Findings,
    ) {
        let Some(driver) = &volume.flex_driver else { return };
        let applies = self.allow_all || self.kinds.contains(VolumeKind::FlexVolume);
        if !applies || self.flex_drivers.is_empty() || is_known(driver) {
            return;
        }
        findings.add(|| {
            let path = FieldPath::of("spec.volumes").index(index).field("flexVolume.driver");
            FieldError::invalid(path, driver.as_str(), "Flexvolume driver is not allowed to be used")
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn kinds_and_drivers_are_checked() {
        let token = json!({"projected": {"sources": [
            {"serviceAccountToken": {"path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace",
                "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
        ]}});
        let other = json!({"projected": {"sources": [{"secret": {"name": "s"}}]}});
        let flex = json!({"flexVolume": {"driver": "acme/disk"}});
        // The SCC's types and drivers, a volume, and the fields of the errors.
        let cases: [(Value, Value, &Value, &[&str]); 11] = [
            (json!(["secret"]), json!([]), &json!({"secret": {"secretName": "s"}}), &[]),
            (json!(["secret"]), json!([]), &json!({"hostPath": {"path": "/"}}), &["spec.volumes[0]"]),
            (json!(["*"]), json!([]), &json!({"hostPath": {"path": "/"}}), &[]),
            (json!(["none"]), json!([]), &json!({"emptyDir": {}}), &["spec.volumes[0]"]),
            (json!(["sekret"]), json!([]), &json!({"secret": {}}), &["spec.volumes[0]"]),
            (json!(["secret"]), json!([]), &token, &[]),
            (json!(["secret"]), json!([]), &other, &["spec.volumes[0]"]),
            (json!(["configMap"]), json!([]), &token, &["spec.volumes[0]"]),
            (json!(["flexVolume"]), json!([]), &flex, &[]),
            (json!(["*"]), json!([{"driver": "acme/disk"}]), &flex, &[]),
            (json!(["*"]), json!([{"driver": "other"}]), &flex, &["spec.volumes[0].flexVolume.driver"]),
        ];
        for (volumes, drivers, volume, expected) in cases {
            let scc = json!({"volumes": volumes, "allowedFlexVolumes": drivers});
            let rule = VolumeRule::new(&serde_json::from_value(scc.clone()).unwrap());
            let mut volume = volume.clone();
            volume["name"] = "v".into();
            let spec = json!({"volumes": [volume], "containers": []});
            let mut findings: Vec<FieldError> = Vec::new();
            rule.check(&PodSpec::deserialize(&spec).unwrap(), &mut findings);
            let fields: Vec<String> = findings.iter().map(|error| error.path.to_string()).collect();
            assert_eq!(fields, expected, "{scc} {spec}");
        }
    }
}
