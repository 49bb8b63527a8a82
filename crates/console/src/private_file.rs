//! Files with secrets in them: readable by their owner alone, and never half written.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The maximum number of symbolic links that Linux follows.
const MAX_LINKS: usize = 40;

/// Replaces a file as a whole. Symbolic links are followed, so that a link stays one. A new file has mode 0600; an old
/// one keeps its own.
///
/// The text goes to a temporary file of an unpredictable name in the same folder, to the disk, and then takes the
/// file's name.
///
/// # Errors
/// The system's errors.
pub fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let path = target(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".palisade-").tempfile_in(folder)?;
    file.write_all(text)?;
    if let Ok(metadata) = std::fs::metadata(&path) {
        let mode = metadata.permissions().mode() & 0o777;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(mode))?;
    }
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    Ok(())
}

/// The end of a chain of symbolic links, which need not exist.
fn target(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match std::fs::read_link(&path) {
            Ok(next) => path = path.parent().unwrap_or(Path::new("/")).join(next),
            // It is not a link, or not there.
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many levels of symbolic links"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_file_is_private_and_an_old_one_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        replace(&path, b"one").unwrap();
        assert_eq!(mode(&path), 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!((mode(&path), std::fs::read(&path).unwrap()), (0o640, b"two".to_vec()));
    }

    #[test]
    fn links_stay_links_and_neighbours_stay() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("real")).unwrap();
        std::fs::write(at("my.new"), "neighbour").unwrap();
        std::os::unix::fs::symlink("real/config", at("my")).unwrap();
        std::os::unix::fs::symlink("my", at("outer")).unwrap();
        for text in ["one", "two"] {
            replace(&at("outer"), text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(at("real/config")).unwrap(), text);
        }
        assert!(std::fs::symlink_metadata(at("outer")).unwrap().is_symlink());
        assert!(std::fs::symlink_metadata(at("my")).unwrap().is_symlink());
        assert_eq!(std::fs::read_to_string(at("my.new")).unwrap(), "neighbour");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4);
        assert_eq!(std::fs::read_dir(at("real")).unwrap().count(), 1);
        std::os::unix::fs::symlink("loop", at("loop")).unwrap();
        assert!(replace(&at("loop"), b"").is_err());
    }
}
