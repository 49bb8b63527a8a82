//! A part of a volume (`subPath`), which links in the volume cannot redirect.

use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, fstat};

use super::mount::unmount_below;
use crate::within;

/// Binds the file or folder at `path` in a volume to `at`, a path that only the node writes.
pub(crate) fn bind(volume: &Path, path: &str, at: &Path) -> std::io::Result<PathBuf> {
    if Path::new(path).is_absolute() {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "must be a relative path"));
    }
    // As open as the volume, so that the pod's user and group may use what is made for them.
    let mode = std::fs::metadata(volume)?.permissions().mode() & 0o7777;
    let found = within::open_or_make(volume, Path::new(path), mode)?;
    if at.exists() {
        unmount_below(at)?;
    } else if FileType::from_raw_mode(fstat(&found)?.st_mode) == FileType::Directory {
        std::fs::create_dir_all(at)?;
    } else {
        std::fs::create_dir_all(at.parent().unwrap_or(at))?;
        std::fs::write(at, "")?;
    }
    rustix::mount::mount_bind(format!("/proc/self/fd/{}", found.as_raw_fd()), at)?;
    Ok(at.to_owned())
}
