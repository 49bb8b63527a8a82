//! Which profile a container runs under: annotations and fields, and what each kubelet makes of them
//! (`reference/seccomp.md` 3.8).

use std::path::{Component, Path, PathBuf};

/// The annotation of a pod.
pub const POD_ANNOTATION: &str = "seccomp.security.alpha.kubernetes.io/pod";

/// The annotation of a container, without its name.
pub const CONTAINER_ANNOTATION: &str = "container.seccomp.security.alpha.kubernetes.io/";

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

/// A name that names no profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// None of the known words.
    #[error("{0:?} names no profile; unconfined, runtime/default, docker/default and localhost/PATH do")]
    Unknown(String),
    /// `localhost/` without a path, or a field of that type without one.
    #[error("localhost is followed by the path of a profile")]
    NoPath,
    /// A path that leaves the root.
    #[error("{0:?} leaves the profile root; a path below it, without .., is expected")]
    Leaves(String),
}

impl Named {
    /// An annotation's value.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        match text {
            "unconfined" => Ok(Self::Unconfined),
            "runtime/default" | "docker/default" => Ok(Self::RuntimeDefault),
            _ => match text.strip_prefix("localhost/") {
                Some(path) => Self::localhost(path),
                None => Err(NameError::Unknown(text.to_owned())),
            },
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

/// Which kubelet reads the pod.
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

/// What a pod says of one container.
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

/// What a container runs under. `seccomp_default` is the kubelet's `--seccomp-default`.
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
