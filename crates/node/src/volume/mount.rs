//! Mounts of the node for pods.

use std::ffi::CString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags};

/// Whether a file system is mounted on a folder.
fn is_mounted(path: &Path) -> std::io::Result<bool> {
    let parent = path.parent().unwrap_or(path);
    Ok(std::fs::metadata(path)?.dev() != std::fs::metadata(parent)?.dev())
}

/// Whether a folder is the root of a mount, including one of a folder of the same file system. `false` for a missing
/// folder.
pub(super) fn is_mount_point(path: &Path) -> std::io::Result<bool> {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    match statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty()) {
        Ok(found) => Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Mounts a tmpfs, unless one is there already.
pub(super) fn tmpfs(path: &Path, options: &str) -> std::io::Result<()> {
    if is_mounted(path)? {
        return Ok(());
    }
    let options = CString::new(options)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    Ok(rustix::mount::mount("tmpfs", path, "tmpfs", flags, options.as_c_str())?)
}

/// Unmounts everything at or below a folder, the innermost first.
pub(crate) fn unmount_below(folder: &Path) -> std::io::Result<()> {
    unmount_all(|at| at.starts_with(folder))
}

/// Unmounts everything below a folder. The folder itself may be a file system of the machine's owner.
pub(crate) fn unmount_inside(folder: &Path) -> std::io::Result<()> {
    unmount_all(|at| at.starts_with(folder) && at != folder)
}

fn unmount_all(is_meant: impl Fn(&Path) -> bool) -> std::io::Result<()> {
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    let mut points: Vec<PathBuf> = table.lines().filter_map(point).filter(|at| is_meant(at)).collect();
    points.sort();
    for at in points.iter().rev() {
        match rustix::mount::unmount(at, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The mount point of a line of `mountinfo`, whose spaces are written as `\040`.
fn point(line: &str) -> Option<PathBuf> {
    let text = line.split(' ').nth(4)?;
    Some(PathBuf::from(
        text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\"),
    ))
}
