//! Files below a folder, opened without leaving it, whatever links and `..` there are on the way.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fchmod, mkdirat, openat, openat2};

fn folder(root: &Path) -> std::io::Result<OwnedFd> {
    Ok(openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Opens the file at `path` below `root`. Links are followed as long as they stay below.
pub(crate) fn open(root: &Path, path: &Path, flags: OFlags) -> std::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    Ok(openat2(folder(root)?, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)?)
}

/// The same, without following links.
pub(crate) fn open_without_links(root: &Path, path: &Path, flags: OFlags) -> std::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    Ok(openat2(folder(root)?, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)?)
}

/// Reads a regular file of at most `most` bytes.
pub(crate) fn read(root: &Path, path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    // Without blocking: a pipe of that name would never end.
    let mut file = File::from(open(root, path, OFlags::RDONLY | OFlags::NONBLOCK)?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a regular file"));
    }
    if metadata.len() > most {
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, format!("more than {most} bytes")));
    }
    let mut bytes = Vec::new();
    (&mut file).take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opens the file at `path` below `root` for a mount, creating missing folders with `mode`.
pub(crate) fn open_or_make(root: &Path, path: &Path, mode: u32) -> std::io::Result<OwnedFd> {
    match open(root, path, OFlags::PATH) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        other => return other,
    }
    let mut done = std::path::PathBuf::new();
    for part in path.components() {
        let Component::Normal(name) = part else { continue };
        let parent = open(root, &done, OFlags::PATH | OFlags::DIRECTORY)?;
        done.push(name);
        match mkdirat(&parent, name, Mode::from_raw_mode(mode)) {
            Ok(()) => unmask(&parent, name, mode)?,
            Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    open(root, path, OFlags::PATH)
}

/// Gives a folder that was just made the bits of its mode that the process's umask took.
fn unmask(parent: &OwnedFd, name: &std::ffi::OsStr, mode: u32) -> std::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(fchmod(openat(parent, name, flags, Mode::empty())?, Mode::from_raw_mode(mode))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn nothing_leads_out() {
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("root"), folder.path().join("secret"));
        std::fs::create_dir_all(root.join("a")).unwrap();
        std::fs::write(&outside, "secret").unwrap();
        std::fs::write(root.join("a/file"), "file").unwrap();
        symlink(&outside, root.join("absolute")).unwrap();
        symlink("../secret", root.join("relative")).unwrap();
        symlink("..", root.join("up")).unwrap();
        symlink("a/file", root.join("inner")).unwrap();
        symlink("/proc/self/root", root.join("magic")).unwrap();
        for (path, text) in [
            ("a/file", Some("file")),
            ("inner", Some("file")),
            ("a/../a/file", Some("file")),
            ("../secret", None),
            ("absolute", None),
            ("relative", None),
            ("up/secret", None),
            ("magic/etc/passwd", None),
            ("a", None),
        ] {
            let found = read(&root, Path::new(path), 100).ok();
            assert_eq!(found.as_deref(), text.map(str::as_bytes), "{path}");
        }
        assert!(read(&root, Path::new("a/file"), 3).is_err());
        assert!(open_or_make(&root, Path::new("b/c/d"), 0o2777).is_ok());
        for made in ["b", "b/c", "b/c/d"] {
            let mode = root.join(made).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o2777, "{made}");
        }
        assert!(open_or_make(&root, Path::new("up/made"), 0o750).is_err());
        assert!(!folder.path().join("made").exists());
    }
}
