//! Kinds of volumes.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use smallvec::SmallVec;

use crate::{Text, nullable};

macro_rules! volume_kinds {
    ($($variant:ident, $field:literal, $policy:literal;)*) => {
        /// The kinds of volume that SCC tells apart.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum VolumeKind {
            $(#[doc = concat!("`", $field, "` in a pod, `", $policy, "` in an SCC.")] $variant,)*
            /// A source that this version does not know; only an SCC that allows all kinds takes it.
            Unknown,
        }

        impl VolumeKind {
            /// Every kind that an SCC can name, in the order of their names.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The kind whose source is the field `field` of a pod's volume.
            #[must_use]
            pub fn from_pod_field(field: &str) -> Self {
                match field {
                    $($field => Self::$variant,)*
                    _ => Self::Unknown,
                }
            }

            /// The field of a pod's volume.
            #[must_use]
            pub fn pod_field(self) -> &'static str {
                match self {
                    $(Self::$variant => $field,)*
                    Self::Unknown => "unknown",
                }
            }

            /// The kind that an SCC names so.
            #[must_use]
            pub fn from_policy_name(name: &str) -> Option<Self> {
                match name {
                    $($policy => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The name in an SCC.
            #[must_use]
            pub fn policy_name(self) -> &'static str {
                match self {
                    $(Self::$variant => $policy,)*
                    Self::Unknown => "unknown",
                }
            }
        }
    };
}

volume_kinds! {
    AwsElasticBlockStore, "awsElasticBlockStore", "awsElasticBlockStore";
    AzureDisk, "azureDisk", "azureDisk";
    AzureFile, "azureFile", "azureFile";
    CephFs, "cephfs", "cephFS";
    Cinder, "cinder", "cinder";
    ConfigMap, "configMap", "configMap";
    Csi, "csi", "csi";
    DownwardApi, "downwardAPI", "downwardAPI";
    EmptyDir, "emptyDir", "emptyDir";
    Ephemeral, "ephemeral", "ephemeral";
    Fc, "fc", "fc";
    FlexVolume, "flexVolume", "flexVolume";
    Flocker, "flocker", "flocker";
    GcePersistentDisk, "gcePersistentDisk", "gcePersistentDisk";
    GitRepo, "gitRepo", "gitRepo";
    Glusterfs, "glusterfs", "glusterfs";
    HostPath, "hostPath", "hostPath";
    Image, "image", "image";
    Iscsi, "iscsi", "iscsi";
    Nfs, "nfs", "nfs";
    PersistentVolumeClaim, "persistentVolumeClaim", "persistentVolumeClaim";
    PhotonPersistentDisk, "photonPersistentDisk", "photonPersistentDisk";
    PortworxVolume, "portworxVolume", "portworxVolume";
    Projected, "projected", "projected";
    Quobyte, "quobyte", "quobyte";
    Rbd, "rbd", "rbd";
    ScaleIo, "scaleIO", "scaleIO";
    Secret, "secret", "secret";
    StorageOs, "storageos", "storageOS";
    Vsphere, "vsphereVolume", "vsphere";
}

/// One of a pod's volumes.
#[derive(Clone, Debug, Default)]
pub struct Volume<'a> {
    /// Its name.
    pub name: Text<'a>,
    /// Its sources: one, unless the object would fail Kubernetes' own validation. A volume that
    /// names none is an `emptyDir`, as the API server defaults it.
    pub kinds: SmallVec<[VolumeKind; 1]>,
    /// The driver of a `flexVolume`.
    pub flex_driver: Option<Text<'a>>,
    /// The sources of a `projected` volume.
    pub projections: Vec<Projection<'a>>,
}

/// One source of a projected volume, as far as telling a service account token from the rest needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection<'a> {
    /// The fields of the source that are set.
    pub kinds: Vec<ProjectionKind<'a>>,
}

/// A field of a projected source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProjectionKind<'a> {
    /// A service account token.
    ServiceAccountToken {
        /// The path of its file.
        path: Text<'a>,
        /// Its audience; empty for the API server.
        audience: Text<'a>,
    },
    /// A config map; `true` if it is one of certificates that the service account admission mounts, and nothing
    /// else of it.
    ConfigMap(bool),
    /// The pod's own fields; `true` if nothing but its namespace, in the file `namespace`.
    DownwardApi(bool),
    /// Anything else.
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Volume<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct VolumeVisitor;
        impl<'de> Visitor<'de> for VolumeVisitor {
            type Value = Volume<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a volume")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Volume<'de>, A::Error> {
                let mut volume = Volume::default();
                while let Some(field) = map.next_key::<Text<'de>>()? {
                    volume.read_field(&field, &mut map)?;
                }
                if volume.kinds.is_empty() {
                    volume.kinds.push(VolumeKind::EmptyDir);
                }
                Ok(volume)
            }
        }
        deserializer.deserialize_map(VolumeVisitor)
    }
}

impl<'a> Volume<'a> {
    fn read_field<A: MapAccess<'a>>(&mut self, field: &str, map: &mut A) -> Result<(), A::Error> {
        if field == "name" {
            self.name = map.next_value::<Option<Text<'a>>>()?.unwrap_or_default();
            return Ok(());
        }
        let kind = VolumeKind::from_pod_field(field);
        let present = match kind {
            VolumeKind::Projected => {
                let source: Option<ProjectedSource<'a>> = map.next_value()?;
                source.map(|source| self.projections = source.sources).is_some()
            }
            VolumeKind::FlexVolume => {
                let source: Option<FlexSource<'a>> = map.next_value()?;
                source.map(|source| self.flex_driver = Some(source.driver)).is_some()
            }
            _ => map.next_value::<Option<IgnoredAny>>()?.is_some(),
        };
        if self.kinds.contains(&kind) && kind != VolumeKind::Unknown {
            return Err(A::Error::custom(format_args!("duplicate field `{field}`")));
        }
        if present {
            self.kinds.push(kind);
        }
        Ok(())
    }
}

#[derive(serde::Deserialize)]
struct FlexSource<'a> {
    #[serde(borrow, default, deserialize_with = "nullable")]
    driver: Text<'a>,
}

#[derive(serde::Deserialize)]
struct ProjectedSource<'a> {
    #[serde(borrow, default, deserialize_with = "nullable")]
    sources: Vec<Projection<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Projection<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ProjectionFields::deserialize(deserializer).map(ProjectionFields::into_projection)
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProjectionFields<'a> {
    #[serde(borrow, default)]
    service_account_token: Option<TokenSource<'a>>,
    #[serde(borrow, default)]
    config_map: Option<ConfigMapSource<'a>>,
    #[serde(borrow, default, rename = "downwardAPI")]
    downward_api: Option<DownwardSource<'a>>,
}

#[derive(serde::Deserialize)]
struct TokenSource<'a> {
    #[serde(borrow, default, deserialize_with = "nullable")]
    path: Text<'a>,
    #[serde(borrow, default, deserialize_with = "nullable")]
    audience: Text<'a>,
}

#[derive(serde::Deserialize)]
struct ConfigMapSource<'a> {
    #[serde(borrow, default, deserialize_with = "nullable")]
    name: Text<'a>,
    /// Without any, the whole of it is mounted.
    #[serde(borrow, default, deserialize_with = "nullable")]
    items: Vec<KeyItem<'a>>,
}

#[derive(serde::Deserialize)]
struct KeyItem<'a> {
    #[serde(borrow, default, deserialize_with = "nullable")]
    key: Text<'a>,
    #[serde(borrow, default, deserialize_with = "nullable")]
    path: Text<'a>,
}

impl ConfigMapSource<'_> {
    fn is_of_certificates(&self) -> bool {
        let file = match self.name.as_str() {
            "kube-root-ca.crt" => "ca.crt",
            "openshift-service-ca.crt" => "service-ca.crt",
            _ => return false,
        };
        matches!(self.items.as_slice(), [item] if *item.key == *file && *item.path == *file)
    }
}

#[derive(serde::Deserialize)]
struct DownwardSource<'a> {
    #[serde(borrow, default, deserialize_with = "nullable")]
    items: Vec<DownwardItem<'a>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct DownwardItem<'a> {
    #[serde(borrow, default, deserialize_with = "nullable")]
    path: Text<'a>,
    #[serde(borrow, default)]
    field_ref: Option<FieldRef<'a>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct FieldRef<'a> {
    #[serde(borrow, default, deserialize_with = "nullable")]
    api_version: Text<'a>,
    #[serde(borrow, default, deserialize_with = "nullable")]
    field_path: Text<'a>,
}

impl DownwardItem<'_> {
    fn is_the_namespace(&self) -> bool {
        // An absent version is `v1`: the API server defaults it so.
        *self.path == *"namespace"
            && self.field_ref.as_ref().is_some_and(|field| {
                matches!(&*field.api_version, "v1" | "") && *field.field_path == *"metadata.namespace"
            })
    }
}

impl<'a> ProjectionFields<'a> {
    fn into_projection(self) -> Projection<'a> {
        let mut kinds = Vec::new();
        if let Some(token) = self.service_account_token {
            let TokenSource { path, audience } = token;
            kinds.push(ProjectionKind::ServiceAccountToken { path, audience });
        }
        if let Some(config_map) = self.config_map {
            kinds.push(ProjectionKind::ConfigMap(config_map.is_of_certificates()));
        }
        if let Some(downward) = self.downward_api {
            let only_namespace = downward.items.iter().all(DownwardItem::is_the_namespace);
            kinds.push(ProjectionKind::DownwardApi(only_namespace));
        }
        if kinds.is_empty() {
            kinds.push(ProjectionKind::Other);
        }
        Projection { kinds }
    }
}

impl Volume<'_> {
    /// Whether this projects nothing but what the service account admission plugin mounts: the
    /// token, the certificates of the cluster and the namespace's name (reference/scc.md 2.15).
    #[must_use]
    pub fn is_service_account_token(&self) -> bool {
        self.projections.iter().all(|projection| {
            projection.kinds.iter().all(|kind| match kind {
                ProjectionKind::ServiceAccountToken { path, audience } => {
                    **path == *"token" && audience.is_empty()
                }
                ProjectionKind::ConfigMap(known) | ProjectionKind::DownwardApi(known) => *known,
                ProjectionKind::Other => false,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shapes that the reference tells apart (`IsOnlyServiceAccountTokenSources` of its `util`).
    #[test]
    fn only_what_the_service_account_admission_mounts_is_its_own() {
        let is_own = |sources: &str| {
            let text = format!(r#"{{"name": "v", "projected": {{"sources": [{sources}]}}}}"#);
            serde_json::from_str::<Volume<'_>>(&text).unwrap().is_service_account_token()
        };
        let map = |name: &str, items: &str| format!(r#"{{"configMap": {{"name": "{name}"{items}}}}}"#);
        let one = |key: &str, path: &str| format!(r#", "items": [{{"key": "{key}", "path": "{path}"}}]"#);
        for (name, items, expected) in [
            ("kube-root-ca.crt", one("ca.crt", "ca.crt"), true),
            ("openshift-service-ca.crt", one("service-ca.crt", "service-ca.crt"), true),
            ("kube-root-ca.crt", String::new(), false),
            ("kube-root-ca.crt", r#", "items": []"#.to_owned(), false),
            ("kube-root-ca.crt", r#", "items": null"#.to_owned(), false),
            ("kube-root-ca.crt", one("service-ca.crt", "service-ca.crt"), false),
            ("kube-root-ca.crt", one("ca.crt", "other"), false),
            ("openshift-service-ca.crt", one("anything", "x"), false),
            ("mine", one("ca.crt", "ca.crt"), false),
        ] {
            assert_eq!(is_own(&map(name, &items)), expected, "{name} {items}");
        }
        let twice =
            r#", "items": [{"key": "ca.crt", "path": "ca.crt"}, {"key": "ca.crt", "path": "ca.crt"}]"#;
        assert!(!is_own(&map("kube-root-ca.crt", twice)));
        assert!(is_own(r#"{"serviceAccountToken": {"path": "token"}}"#));
        assert!(!is_own(r#"{"serviceAccountToken": {"path": "token", "audience": "a"}}"#));
        assert!(!is_own(r#"{"secret": {"name": "s"}}"#));
    }
}
