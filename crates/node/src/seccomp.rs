//! The seccomp profile of a container, and its file.
//!
//! Engines ignore a profile's conditions on capabilities, architectures and kernels (containerd from 1.6 on), so
//! profiles are resolved here: one file for each profile and set of capabilities, named by its content.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Pod, SeccompProfile};
use palisade_k8s::KernelVersion;
use palisade_k8s::capability;
use palisade_k8s::seccomp::{
    Asked, CONTAINER_ANNOTATION, Kubelet, NameError, Named, POD_ANNOTATION, effective,
};
use palisade_seccomp::{Arch, Context, profile, resolve};
use sha2::{Digest, Sha256};

use crate::cri::message::{ProfileType, SecurityProfile};
use crate::slot::Slot;
use crate::within;

/// Maximum size of a profile, in bytes.
const MAX_PROFILE: u64 = 4 * 1024 * 1024;

/// An error of a container's profile.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SeccompError {
    #[error("seccomp: {0}")]
    Name(#[from] NameError),
    #[error("seccomp profile localhost/{0}: {1}")]
    File(String, std::io::Error),
    #[error("seccomp profile {0}: {1}")]
    Profile(String, String),
    #[error("{0}")]
    Write(String, #[source] std::io::Error),
}

/// The profile of pods without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DefaultSeccomp {
    /// The default profile.
    RuntimeDefault,
    /// No filter, as in Kubernetes unless a kubelet is configured otherwise.
    #[default]
    Unconfined,
}

fn field(profile: Option<&SeccompProfile>) -> Result<Option<Named>, NameError> {
    profile.map(|profile| Named::of_field(&profile.type_, profile.localhost_profile.as_deref())).transpose()
}

/// The profile of a container. Annotations count if fields are missing, as on the workshop's page.
pub(crate) fn named(pod: &Pod, slot: &Slot, default: DefaultSeccomp) -> Result<Named, NameError> {
    let annotations = pod.metadata.annotations.as_ref();
    let annotation = |key: &str| {
        let value = annotations.and_then(|all| all.get(key));
        value.map(|value| Named::parse(value)).transpose()
    };
    let context = slot.container.security_context.as_ref();
    let of_pod = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    let asked = Asked {
        container_field: field(context.and_then(|context| context.seccomp_profile.as_ref()))?,
        container_annotation: annotation(&format!("{CONTAINER_ANNOTATION}{}", slot.name()))?,
        pod_field: field(of_pod.and_then(|context| context.seccomp_profile.as_ref()))?,
        pod_annotation: annotation(POD_ANNOTATION)?,
        privileged: context.and_then(|context| context.privileged) == Some(true),
    };
    Ok(effective(&asked, Kubelet::Before1_25, default == DefaultSeccomp::RuntimeDefault))
}

/// A container's bounding set, by the engine's rules: its default, or all, then added and dropped ones.
pub(crate) fn capabilities(slot: &Slot) -> BTreeSet<String> {
    let context = slot.container.security_context.as_ref();
    if context.and_then(|context| context.privileged) == Some(true) {
        return capability::PREFIXED.into_iter().map(str::to_owned).collect();
    }
    let listed = |list: Option<&Vec<String>>| -> (bool, BTreeSet<&'static str>) {
        let list = list.into_iter().flatten();
        let is_all = list.clone().any(|name| name.eq_ignore_ascii_case("ALL"));
        (is_all, list.filter_map(|name| capability::parse_prefixed(name)).collect())
    };
    let own = context.and_then(|context| context.capabilities.as_ref());
    let (adds_all, added) = listed(own.and_then(|own| own.add.as_ref()));
    let (drops_all, dropped) = listed(own.and_then(|own| own.drop.as_ref()));
    let mut set: BTreeSet<&str> = match (adds_all, drops_all) {
        (true, _) => capability::PREFIXED.into_iter().collect(),
        (false, true) => BTreeSet::new(),
        (false, false) => capability::CONTAINER_DEFAULT.into_iter().collect(),
    };
    set.extend(added);
    set.retain(|name| !dropped.contains(name));
    set.into_iter().map(str::to_owned).collect()
}

/// The folders of profiles, and the machine for which they are resolved.
#[derive(Clone, Debug)]
pub(crate) struct Profiles {
    /// The folder of `localhost/` profiles.
    pub(crate) folder: PathBuf,
    /// The folder of resolved profiles.
    pub(crate) resolved: PathBuf,
    /// The text of the default profile.
    pub(crate) default: &'static str,
    /// The machine's kernel.
    pub(crate) kernel: KernelVersion,
}

impl Profiles {
    /// The profile of a container, in the engine's form, and its name if there is a filter.
    pub(crate) fn of(
        &self,
        named: &Named,
        slot: &Slot,
    ) -> Result<(SecurityProfile, Option<String>), SeccompError> {
        let (name, text) = match named {
            Named::Unconfined => {
                let profile_type = ProfileType::Unconfined as i32;
                return Ok((SecurityProfile { profile_type, localhost_ref: String::new() }, None));
            }
            Named::RuntimeDefault => ("runtime/default".to_owned(), self.default.to_owned()),
            Named::Localhost(path) => {
                let found = self.read(path);
                let (path, text) =
                    found.map_err(|error| SeccompError::File(path.display().to_string(), error))?;
                (format!("localhost/{}", path.display()), text)
            }
        };
        let path = self.resolve(&name, &text, capabilities(slot))?;
        let profile_type = ProfileType::Localhost as i32;
        Ok((SecurityProfile { profile_type, localhost_ref: path.display().to_string() }, Some(name)))
    }

    /// A profile of the folder; the extension may be left out in its name.
    fn read(&self, path: &Path) -> std::io::Result<(PathBuf, String)> {
        let mut path = path.to_owned();
        let found = within::read(&self.folder, &path, MAX_PROFILE);
        let bytes = match found {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && path.extension().is_none() => {
                path.set_extension("json");
                within::read(&self.folder, &path, MAX_PROFILE)?
            }
            other => other?,
        };
        let text = String::from_utf8(bytes)
            .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidData, error))?;
        Ok((path, text))
    }

    fn resolve(&self, name: &str, text: &str, caps: BTreeSet<String>) -> Result<PathBuf, SeccompError> {
        let arch = Arch::native();
        let (read, findings) = profile::read(text);
        let Some(read) = read else {
            let why = findings.first().map(ToString::to_string).unwrap_or_default();
            return Err(SeccompError::Profile(name.to_owned(), why));
        };
        let resolved = resolve(&read, &Context { arch, caps, kernel: self.kernel });
        let text = profile::write_oci(&resolved.rules, &read, arch).to_string();
        let digest = Sha256::digest(text.as_bytes());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = self.resolved.join(format!("{digest}.json"));
        if !path.exists() {
            let wrote = std::fs::create_dir_all(&self.resolved).and_then(|()| {
                let new = path.with_extension(format!("{:?}", std::thread::current().id()));
                std::fs::write(&new, text)?;
                std::fs::rename(&new, &path)
            });
            wrote.map_err(|error| SeccompError::Write(path.display().to_string(), error))?;
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(annotations: serde_json::Value, security: serde_json::Value, own: serde_json::Value) -> Pod {
        let spec =
            json!({"securityContext": security, "containers": [{"name": "c", "securityContext": own}]});
        serde_json::from_value(json!({"metadata": {"annotations": annotations}, "spec": spec})).unwrap()
    }

    #[test]
    fn fields_and_annotations_name_a_profile() {
        let of = |annotations, security, own, default| {
            let pod = pod(annotations, security, own);
            named(&pod, &crate::slot::slots(&pod).remove(0), default).map_err(|error| error.to_string())
        };
        let (open, default) = (DefaultSeccomp::Unconfined, DefaultSeccomp::RuntimeDefault);
        let field = |kind: &str| json!({"seccompProfile": {"type": kind}});
        let none = || json!({});
        assert_eq!(of(none(), none(), none(), open), Ok(Named::Unconfined));
        assert_eq!(of(none(), none(), none(), default), Ok(Named::RuntimeDefault));
        assert_eq!(of(none(), field("RuntimeDefault"), field("Unconfined"), open), Ok(Named::Unconfined));
        let annotated = json!({"container.seccomp.security.alpha.kubernetes.io/c": "localhost/a"});
        assert_eq!(of(annotated, none(), none(), default), Ok(Named::Localhost("a".into())));
        assert_eq!(of(none(), none(), json!({"privileged": true}), default), Ok(Named::Unconfined));
        let outside = json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "../a"}});
        assert!(of(none(), outside, none(), open).is_err());
    }

    #[test]
    fn capabilities_are_added_and_dropped_as_the_engine_does() {
        for (own, count, has) in [
            (json!({}), 14, "CAP_CHOWN"),
            (json!({"capabilities": {"drop": ["ALL"]}}), 0, ""),
            (json!({"capabilities": {"drop": ["all"], "add": ["net_admin"]}}), 1, "CAP_NET_ADMIN"),
            (json!({"capabilities": {"add": ["ALL"], "drop": ["SYS_ADMIN"]}}), 40, "CAP_BPF"),
            (json!({"privileged": true}), 41, "CAP_SYS_ADMIN"),
        ] {
            let pod = pod(json!({}), json!({}), own);
            let got = capabilities(&crate::slot::slots(&pod).remove(0));
            assert_eq!(got.len(), count);
            assert!(has.is_empty() || got.contains(has));
        }
    }

    #[test]
    fn a_profile_is_resolved_for_its_container_and_stays_in_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let profiles = Profiles {
            folder: folder.path().join("profiles"),
            resolved: folder.path().join("resolved"),
            default: palisade_seccomp::builtin::DEFAULT,
            kernel: KernelVersion::LATEST,
        };
        std::fs::create_dir(&profiles.folder).unwrap();
        std::fs::write(profiles.folder.join("own.json"), palisade_seccomp::builtin::EXPLORER).unwrap();
        std::fs::write(profiles.folder.join("broken.json"), "{").unwrap();
        std::os::unix::fs::symlink("/etc/hostname", profiles.folder.join("link.json")).unwrap();
        let slot = |own| crate::slot::slots(&pod(json!({}), json!({}), own)).remove(0);
        let (plain, name) = profiles.of(&Named::RuntimeDefault, &slot(json!({}))).unwrap();
        assert_eq!(name.as_deref(), Some("runtime/default"));
        let admin = json!({"capabilities": {"add": ["SYS_ADMIN"]}});
        let (admin, _) = profiles.of(&Named::RuntimeDefault, &slot(admin)).unwrap();
        assert_ne!(plain.localhost_ref, admin.localhost_ref, "conditions on capabilities are resolved");
        let text = std::fs::read_to_string(&plain.localhost_ref).unwrap();
        assert!(!text.contains("includes"));
        let named = |name: &str| profiles.of(&Named::Localhost(name.into()), &slot(json!({})));
        for name in ["own.json", "own"] {
            // The extension may be left out.
            assert_eq!(named(name).unwrap().1.as_deref(), Some("localhost/own.json"), "{name}");
        }
        for bad in ["none", "broken.json", "link.json"] {
            assert!(named(bad).is_err(), "{bad}");
        }
        let (open, _) = profiles.of(&Named::Unconfined, &slot(json!({}))).unwrap();
        assert_eq!(open.profile_type, ProfileType::Unconfined as i32);
    }
}
