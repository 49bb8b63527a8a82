//! Paths of the node: the type that a pod requires is checked, and only requested paths are created.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Component, Path};

use k8s_openapi::api::core::v1::HostPathVolumeSource;

use super::{Ready, VolumeError};

/// Checks a path of the node, and creates it if its type requires that.
pub(super) fn check(source: &HostPathVolumeSource) -> Result<Ready, VolumeError> {
    let path = Path::new(&source.path);
    let refuse = |why: &str| VolumeError::HostPath { path: source.path.clone(), why: why.to_owned() };
    if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return Err(refuse("must be absolute, without '..'"));
    }
    let kind = source.type_.as_deref().unwrap_or_default();
    let found = std::fs::metadata(path);
    let is_missing = found.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    let made = match (kind, is_missing) {
        ("DirectoryOrCreate", true) => std::fs::create_dir_all(path)
            .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))),
        ("FileOrCreate", true) => std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .and_then(|file| file.set_permissions(std::fs::Permissions::from_mode(0o644))),
        // The engine would create a folder; without a type Kubernetes permits that.
        ("", true) => std::fs::create_dir_all(path),
        _ => Ok(()),
    };
    made.map_err(|error| refuse(&error.to_string()))?;
    let metadata = std::fs::metadata(path).map_err(|error| refuse(&error.to_string()))?;
    let kind_of = metadata.file_type();
    let (fits, what) = match kind {
        "" => (true, ""),
        "Directory" | "DirectoryOrCreate" => (kind_of.is_dir(), "a directory"),
        "File" | "FileOrCreate" => (kind_of.is_file(), "a file"),
        "Socket" => (kind_of.is_socket(), "a socket"),
        "CharDevice" => (kind_of.is_char_device(), "a character device"),
        "BlockDevice" => (kind_of.is_block_device(), "a block device"),
        other => return Err(refuse(&format!("type {other:?} is not known"))),
    };
    match fits {
        true => Ok(Ready { path: path.to_owned(), is_read_only: false, is_host: true }),
        false => Err(refuse(&format!("is not {what}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_forbids_what_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("file"), "").unwrap();
        std::fs::create_dir(path("folder")).unwrap();
        for (name, kind, fits) in [
            ("file", "File", true),
            ("file", "Directory", false),
            ("file", "", true),
            ("folder", "Directory", true),
            ("folder", "File", false),
            ("folder", "Socket", false),
            ("none", "Directory", false),
            ("none", "File", false),
            ("none", "Socket", false),
            ("none", "Strange", false),
            ("a/b", "DirectoryOrCreate", true),
            ("c", "FileOrCreate", true),
            ("c/../file", "File", false),
        ] {
            let source = HostPathVolumeSource { path: path(name), type_: Some(kind.to_owned()) };
            assert_eq!(check(&source).is_ok(), fits, "{name} {kind}");
        }
        assert!(!folder.path().join("none").exists());
        assert!(folder.path().join("a/b").is_dir() && folder.path().join("c").is_file());
    }
}
