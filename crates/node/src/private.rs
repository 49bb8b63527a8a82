//! Folders that are their owner's alone.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

/// Makes a folder private to its owner, whatever the umask and its old mode were: below it are the tokens and Secrets
/// of pods.
pub(crate) fn private(folder: &Path) -> std::io::Result<()> {
    let refused = |why: String| std::io::Error::new(std::io::ErrorKind::PermissionDenied, why);
    let own = rustix::process::geteuid().as_raw();
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let found = std::fs::symlink_metadata(folder)?;
    if !found.is_dir() || found.uid() != own {
        let (path, owner) = (folder.display(), found.uid());
        return Err(refused(format!(
            "{path}: not a folder of user {own}, but of user {owner}: choose another"
        )));
    }
    if found.mode() & 0o022 != 0 {
        return Err(refused(format!(
            "{}: other users may write it (mode {:04o}): take that from them with chmod go-w",
            folder.display(),
            found.mode() & 0o7777
        )));
    }
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_its_owners_alone() {
        let top = tempfile::tempdir().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        let set =
            |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        let folder = top.path().join("a/b");
        private(&folder).unwrap();
        assert_eq!(mode(&folder), 0o700);
        set(&folder, 0o755);
        private(&folder).unwrap();
        assert_eq!(mode(&folder), 0o700, "one that others could read is closed");
        set(&folder, 0o777);
        assert!(private(&folder).unwrap_err().to_string().contains("other users may write it"));
        let link = top.path().join("link");
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        assert!(private(&link).is_err());
    }
}
