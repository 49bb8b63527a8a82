//! Seccomp profiles as pods name them: by annotation and by field, the conversion between the two, and the profile that each
//! kubelet gives to a container (`reference/seccomp.md` 8).

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};

use crate::Text;
use crate::pod::{SeccompProfile, SeccompType};

/// The annotation of a pod.
pub const POD_ANNOTATION: &str = "seccomp.security.alpha.kubernetes.io/pod";

/// The annotation of a container, without its name.
pub const CONTAINER_ANNOTATION: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// The annotations by which CRI-O takes a profile from an image (`POD` or a container's name follows), in their old and
/// their new form: they count where the field is unset or `Unconfined` (cri-o/cri-o, docs/crio.8.md).
pub const RUNTIME_ANNOTATIONS: [&str; 2] = ["seccomp-profile.kubernetes.cri-o.io", "seccomp-profile.crio.io"];

/// The name of a profile that is an artifact in a registry, for `seccompProfiles`: whichever it is.
pub const OCI: &str = "OCI";

const UNCONFINED: &str = "unconfined";
const RUNTIME_DEFAULT: &str = "runtime/default";
const DOCKER_DEFAULT: &str = "docker/default";
const LOCALHOST: &str = "localhost/";

/// Whether an annotation's key names the profile of a pod or of a container.
#[must_use]
pub fn is_annotation(key: &str) -> bool {
    key == POD_ANNOTATION || key.starts_with(CONTAINER_ANNOTATION)
}

/// Whether two annotation values name the same profile: `docker/default` is the older name of `runtime/default`.
#[must_use]
pub fn is_same(a: &str, b: &str) -> bool {
    let modern = |name| if name == DOCKER_DEFAULT { RUNTIME_DEFAULT } else { name };
    modern(a) == modern(b)
}

impl<'a> SeccompProfile<'a> {
    /// The field that says what an annotation's value says; `None` for a value that is not known, `localhost/` without a path
    /// included.
    #[must_use]
    pub fn of_annotation(value: &'a str) -> Option<Self> {
        let (type_, localhost_profile) = match value {
            UNCONFINED => (SeccompType::Unconfined, None),
            RUNTIME_DEFAULT | DOCKER_DEFAULT => (SeccompType::RuntimeDefault, None),
            other => match other.strip_prefix(LOCALHOST) {
                Some(file) if !file.is_empty() => (SeccompType::Localhost, Some(Text::from(file))),
                _ => return None,
            },
        };
        Some(Self { type_, localhost_profile })
    }

    /// The annotation's value that says what the field says; empty where no annotation can say it.
    #[must_use]
    pub fn annotation(&self) -> Cow<'_, str> {
        match (self.type_, &self.localhost_profile) {
            (SeccompType::Unconfined, _) => Cow::Borrowed(UNCONFINED),
            (SeccompType::RuntimeDefault, _) => Cow::Borrowed(RUNTIME_DEFAULT),
            (SeccompType::Localhost, Some(file)) => Cow::Owned(format!("{LOCALHOST}{file}")),
            (SeccompType::Localhost, None) | (SeccompType::Oci | SeccompType::Unknown, _) => {
                Cow::Borrowed("")
            }
        }
    }

    /// The name by which SCCs judge the field: [`Self::annotation`], and [`OCI`] for an artifact, which no annotation can say.
    #[must_use]
    pub fn judged(&self) -> Cow<'_, str> {
        if self.type_ == SeccompType::Oci { Cow::Borrowed(OCI) } else { self.annotation() }
    }
}

/// A profile that a pod names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// No filter.
    Unconfined,
    /// The runtime's own.
    RuntimeDefault,
    /// A file below the kubelet's profile root.
    Localhost(PathBuf),
}

/// The reason why a value does not name a profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// An unknown word.
    #[error(
        "unknown seccomp profile {0:?}; expected unconfined, runtime/default, docker/default or localhost/PATH"
    )]
    Unknown(String),
    /// `localhost/` without a path, or a field of that type without one.
    #[error("localhost/ must be followed by the path of a profile")]
    NoPath,
    /// A path that leaves the root.
    #[error("profile path {0:?} leaves the profile root; expected a relative path without ..")]
    Leaves(String),
}

impl Named {
    /// An annotation's value.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        match SeccompProfile::of_annotation(text) {
            Some(field) => Self::of_field(field.type_.as_str(), field.localhost_profile.as_deref()),
            None if text == LOCALHOST => Err(NameError::NoPath),
            None => Err(NameError::Unknown(text.to_owned())),
        }
    }

    /// A field's `type` and `localhostProfile`.
    pub fn of_field(kind: &str, path: Option<&str>) -> Result<Self, NameError> {
        match (kind, path) {
            ("Unconfined", None) => Ok(Self::Unconfined),
            ("RuntimeDefault", None) => Ok(Self::RuntimeDefault),
            ("Localhost", Some(path)) => Self::localhost(path),
            ("Localhost", None) => Err(NameError::NoPath),
            _ => Err(NameError::Unknown(kind.to_owned())),
        }
    }

    fn localhost(path: &str) -> Result<Self, NameError> {
        let stays = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        match path {
            "" => Err(NameError::NoPath),
            _ if !stays || path.contains('\0') => Err(NameError::Leaves(path.to_owned())),
            _ => Ok(Self::Localhost(PathBuf::from(path))),
        }
    }

    /// The file below the kubelet's root, for a profile that is one.
    #[must_use]
    pub fn file(&self, root: &Path) -> Option<PathBuf> {
        match self {
            Self::Localhost(path) => Some(root.join(path)),
            _ => None,
        }
    }
}

/// The version of the kubelet that reads the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kubelet {
    /// Up to 1.18: annotations only.
    Before1_19,
    /// 1.19 to 1.24: fields, and annotations where they are missing. A container's annotation goes before
    /// the pod's field.
    Before1_25,
    /// From 1.25: fields only.
    Today,
}

/// The profiles that a pod asks for, for one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The container's field.
    pub container_field: Option<Named>,
    /// The container's annotation.
    pub container_annotation: Option<Named>,
    /// The pod's field.
    pub pod_field: Option<Named>,
    /// The pod's annotation.
    pub pod_annotation: Option<Named>,
    /// Whether the container is privileged: containerd and CRI-O then use no filter, whatever is asked.
    pub privileged: bool,
}

/// The profile that a container runs under. `seccomp_default` is the kubelet's `--seccomp-default`.
#[must_use]
pub fn effective(asked: &Asked, kubelet: Kubelet, seccomp_default: bool) -> Named {
    if asked.privileged {
        return Named::Unconfined;
    }
    let Asked { container_field, container_annotation, pod_field, pod_annotation, .. } = asked;
    let order = match kubelet {
        Kubelet::Before1_19 => [container_annotation, pod_annotation, &None, &None],
        Kubelet::Before1_25 => [container_field, container_annotation, pod_field, pod_annotation],
        Kubelet::Today => [container_field, pod_field, &None, &None],
    };
    let fallback = if seccomp_default && kubelet != Kubelet::Before1_19 {
        Named::RuntimeDefault
    } else {
        Named::Unconfined
    };
    order.into_iter().flatten().next().cloned().unwrap_or(fallback)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Option<Named> {
        (!text.is_empty()).then(|| Named::parse(text).unwrap())
    }

    #[test]
    fn each_kubelet_has_its_precedence() {
        // Container's field, its annotation, pod's field, its annotation; then what each kubelet runs.
        let (u, r, l) = ("unconfined", "runtime/default", "localhost/a");
        let cases = [
            ([u, r, l, r], [r, u, u]),
            (["", r, l, u], [r, r, l]),
            (["", "", l, u], [u, l, l]),
            (["", "", "", r], [r, r, u]),
            (["", "", "", ""], [u, u, u]),
            ([l, "", "", ""], [u, l, l]),
        ];
        for (asked, expected) in cases {
            let [container_field, container_annotation, pod_field, pod_annotation] = asked.map(named);
            let asked =
                Asked { container_field, container_annotation, pod_field, pod_annotation, privileged: false };
            let all = [Kubelet::Before1_19, Kubelet::Before1_25, Kubelet::Today];
            let got = all.map(|kubelet| effective(&asked, kubelet, false));
            assert_eq!(got.map(Some), expected.map(named), "{asked:?}");
            assert_eq!(
                effective(&Asked { privileged: true, ..asked }, Kubelet::Today, true),
                Named::Unconfined
            );
        }
        assert_eq!(effective(&Asked::default(), Kubelet::Today, true), Named::RuntimeDefault);
    }

    #[test]
    fn annotations_and_fields_say_the_same() {
        let file = |name: &'static str| Some(Text::from(name));
        let cases = [
            ("unconfined", Some((SeccompType::Unconfined, None)), "unconfined"),
            ("runtime/default", Some((SeccompType::RuntimeDefault, None)), "runtime/default"),
            ("docker/default", Some((SeccompType::RuntimeDefault, None)), "runtime/default"),
            ("localhost/a/b.json", Some((SeccompType::Localhost, file("a/b.json"))), "localhost/a/b.json"),
            ("localhost/../a", Some((SeccompType::Localhost, file("../a"))), "localhost/../a"),
            ("localhost/", None, ""),
            ("Unconfined", None, ""),
            ("", None, ""),
        ];
        for (value, expected, back) in cases {
            let expected =
                expected.map(|(type_, localhost_profile)| SeccompProfile { type_, localhost_profile });
            let field = SeccompProfile::of_annotation(value);
            assert_eq!(field, expected, "{value:?}");
            assert_eq!(field.unwrap_or_default().annotation(), back, "{value:?}");
        }
        let no_file = SeccompProfile { type_: SeccompType::Localhost, localhost_profile: None };
        assert_eq!(no_file.annotation(), "");
        for (a, b, same) in [
            ("docker/default", "runtime/default", true),
            ("localhost/a", "localhost/a", true),
            ("localhost/a", "localhost/b", false),
            ("", "runtime/default", false),
        ] {
            assert_eq!((is_same(a, b), is_same(b, a)), (same, same), "{a:?} {b:?}");
        }
        assert!(is_annotation(POD_ANNOTATION) && is_annotation(&format!("{CONTAINER_ANNOTATION}web")));
        assert!(!is_annotation("container.apparmor.security.beta.kubernetes.io/web"));
    }

    #[test]
    fn paths_stay_below_the_root() {
        let root = Path::new("/var/lib/kubelet/seccomp");
        for (text, file) in [
            ("localhost/example-explorer-profile", Some("/var/lib/kubelet/seccomp/example-explorer-profile")),
            ("localhost/profiles/a.json", Some("/var/lib/kubelet/seccomp/profiles/a.json")),
            ("localhost/../../etc/passwd", None),
            ("localhost//etc/passwd", None),
            ("localhost/a/../../b", None),
            ("localhost/", None),
            ("localhost/./a", None),
            ("Unconfined", None),
        ] {
            let got = Named::parse(text).ok().and_then(|named| named.file(root));
            assert_eq!(got.as_deref(), file.map(Path::new), "{text}");
        }
    }
}
