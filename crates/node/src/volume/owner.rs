//! The group that owns a pod's volumes.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use k8s_openapi::api::core::v1::PodSecurityContext;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, chmodat, chownat, fstat, openat};

/// The mode bits of the group on files, and on folders, where new files belong to the group too.
const FILE: u32 = 0o660;
const FOLDER: u32 = 0o2770;

fn group(security: Option<&PodSecurityContext>) -> Option<Gid> {
    let number = security.and_then(|security| security.fs_group)?;
    u32::try_from(number).ok().map(Gid::from_raw)
}

/// Gives one folder to the pod's group.
pub(super) fn give_top(path: &Path, security: Option<&PodSecurityContext>) -> std::io::Result<()> {
    let Some(group) = group(security) else { return Ok(()) };
    let fd = openat(CWD, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    set(&fd, group, FOLDER)
}

/// Gives a folder and everything in it to the pod's group.
pub(super) fn give(path: &Path, security: Option<&PodSecurityContext>) -> std::io::Result<()> {
    let Some(group) = group(security) else { return Ok(()) };
    let fd = openat(CWD, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let top = fstat(&fd)?;
    let policy = security.and_then(|security| security.fs_group_change_policy.as_deref());
    if policy == Some("OnRootMismatch") && top.st_gid == group.as_raw() && top.st_mode & FOLDER == FOLDER {
        return Ok(());
    }
    walk(&fd, &mut |fd, is_folder| set(fd, group, if is_folder { FOLDER } else { FILE }))
}

/// Changes the file behind a descriptor, so that a link that appears meanwhile cannot redirect it.
fn set(fd: &OwnedFd, group: Gid, bits: u32) -> std::io::Result<()> {
    let stat = fstat(fd)?;
    chownat(fd, "", None, Some(group), AtFlags::EMPTY_PATH)?;
    let mode = Mode::from_raw_mode((stat.st_mode & 0o7777) | bits);
    Ok(chmodat(CWD, format!("/proc/self/fd/{}", fd.as_raw_fd()), mode, AtFlags::empty())?)
}

/// Visits a folder and everything below, children first. Links are not followed, nor changed.
fn walk(
    folder: &OwnedFd,
    visit: &mut impl FnMut(&OwnedFd, bool) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut todo = vec![folder.as_fd().try_clone_to_owned()?];
    let mut folders = Vec::new();
    while let Some(folder) = todo.pop() {
        let opened =
            openat(&folder, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        for entry in Dir::read_from(&opened)? {
            let entry = entry?;
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let child = openat(&opened, entry.file_name(), flags, Mode::empty())?;
            match FileType::from_raw_mode(fstat(&child)?.st_mode) {
                FileType::Directory => todo.push(child),
                FileType::Symlink => {}
                _ => visit(&child, false)?,
            }
        }
        folders.push(folder);
    }
    folders.iter().try_for_each(|folder| visit(folder, true))
}

/// The disk usage of a folder, in bytes.
pub(super) fn size(path: &Path) -> u64 {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(fd) = openat(CWD, path, flags, Mode::empty()) else { return 0 };
    let mut total = 0;
    let counted = walk(&fd, &mut |fd, _| {
        total += fstat(fd)?.st_blocks.unsigned_abs() * 512;
        Ok(())
    });
    // Files that vanish while they are counted are ignored.
    if counted.is_ok() { total } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn all_but_what_links_lead_to_is_given() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: giving files to a group takes root");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let (volume, outside) = (folder.path().join("volume"), folder.path().join("outside"));
        std::fs::create_dir_all(volume.join("a/b")).unwrap();
        std::fs::write(volume.join("a/b/file"), "text").unwrap();
        std::fs::write(&outside, "text").unwrap();
        std::fs::set_permissions(&outside, std::fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&outside, volume.join("link")).unwrap();
        let security = PodSecurityContext { fs_group: Some(4242), ..Default::default() };
        give(&volume, Some(&security)).unwrap();
        for path in ["", "a", "a/b", "a/b/file"] {
            let metadata = volume.join(path).metadata().unwrap();
            assert_eq!(metadata.gid(), 4242, "{path}");
            let bits = if metadata.is_dir() { FOLDER } else { FILE };
            assert_eq!(metadata.mode() & bits, bits, "{path}");
        }
        let metadata = outside.metadata().unwrap();
        assert_eq!((metadata.gid(), metadata.mode() & 0o777), (0, 0o600));
    }
}
