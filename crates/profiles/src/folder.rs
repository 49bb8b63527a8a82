//! The profile folder of the kubelet: each file is complete or missing, also after a crash.
//!
//! Files are opened by descriptors and by names that are digests: no link is followed, and no name of an object is part of a
//! path.

use std::collections::BTreeSet;
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, fstat, fsync, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;

use crate::digest::{Digest, FOLDER};

/// The beginning of the names of files that are being written.
const UNFINISHED: &str = ".writing-";
/// The largest file that may be one of ours.
const LARGEST: u64 = 16 << 20;

/// The reason why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A folder on the way cannot be opened or made; a link is not followed.
    #[error("{0}: {1}")]
    Open(String, #[source] std::io::Error),
    /// A file cannot be written, read or removed.
    #[error("{0}: {1}")]
    File(String, #[source] std::io::Error),
}

/// The folder `seccomp/palisade` of a kubelet.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

fn open_folder(at: impl AsFd, name: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, name, flags, Mode::empty())
}

/// Opens a folder, which is made where it is missing. Runtimes read it, and they may not be root.
fn open_or_make(at: &OwnedFd, name: &str) -> rustix::io::Result<OwnedFd> {
    match mkdirat(at, name, Mode::from_raw_mode(0o755)) {
        Ok(()) => fsync(at)?,
        Err(Errno::EXIST) => {}
        Err(error) => return Err(error),
    }
    open_folder(at, Path::new(name))
}

/// Writes a new file, to the disk.
fn fill(mut file: File, mode: Mode, text: &str) -> std::io::Result<()> {
    // Whatever the umask of the process: runtimes read the file.
    rustix::fs::fchmod(&file, mode)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

impl Folder {
    /// Opens the folder of the kubelet whose root directory is `kubelet`, and takes away what a crash left half written.
    ///
    /// # Errors
    ///
    /// See [`FolderError`].
    pub fn open(kubelet: &Path) -> Result<Self, FolderError> {
        let path = kubelet.join("seccomp").join(FOLDER);
        let failed = |error: Errno| FolderError::Open(path.display().to_string(), error.into());
        // The root itself may be a link: the administrator names it.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, kubelet, flags, Mode::empty()).map_err(failed)?;
        let seccomp = open_or_make(&root, "seccomp").map_err(failed)?;
        let fd = open_or_make(&seccomp, FOLDER).map_err(failed)?;
        let folder = Self { fd, path };
        for name in folder.names()?.iter().filter(|name| name.starts_with(UNFINISHED)) {
            folder.unlink(name)?;
        }
        Ok(folder)
    }

    /// Its path, for people.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a profile, unless its file is there already and holds just that. Says whether it was written.
    ///
    /// # Errors
    ///
    /// See [`FolderError`].
    pub fn put(&self, digest: Digest, text: &str) -> Result<bool, FolderError> {
        let name = digest.file();
        if self.holds(&name, text) {
            return Ok(false);
        }
        self.replace(&name, text).map_err(|error| self.failed(&name, error))?;
        Ok(true)
    }

    /// Whether a file is a regular one of ours that no other user may write, and holds this text.
    fn holds(&self, name: &str, text: &str) -> bool {
        // Not waiting: a pipe of that name would never end.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(fd) = openat(&self.fd, name, flags, Mode::empty()) else { return false };
        let Ok(stat) = fstat(&fd) else { return false };
        let is_plain = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file();
        let is_ours = stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & 0o7777 == 0o644;
        if !is_plain || !is_ours || u64::try_from(stat.st_size).ok() != u64::try_from(text.len()).ok() {
            return false;
        }
        let mut bytes = Vec::new();
        let read = File::from(fd).take(LARGEST).read_to_end(&mut bytes);
        read.is_ok() && bytes == text.as_bytes()
    }

    /// The text is on disk before it has its name, and the name is before this returns: after a crash there is the whole
    /// file or none.
    fn replace(&self, name: &str, text: &str) -> std::io::Result<()> {
        // A name that no other agent has: one that is about to end may write the same profile.
        let unfinished = format!("{UNFINISHED}{:016x}-{name}", RandomState::new().build_hasher().finish());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let file = File::from(openat(&self.fd, &unfinished, flags, mode)?);
        let named =
            fill(file, mode, text).and_then(|()| Ok(renameat(&self.fd, &unfinished, &self.fd, name)?));
        if let Err(error) = named {
            // It is tried again and again, for instance while the disk is full. A crash's is taken away at the next start.
            let _ = unlinkat(&self.fd, &unfinished, AtFlags::empty());
            return Err(error);
        }
        fsync(&self.fd)?;
        Ok(())
    }

    /// The digests that have a file. What else lies in the folder is not ours.
    ///
    /// # Errors
    ///
    /// See [`FolderError`].
    pub fn digests(&self) -> Result<BTreeSet<Digest>, FolderError> {
        Ok(self.names()?.iter().filter_map(|name| Digest::of_file(name)).collect())
    }

    /// Removes the file of a digest.
    ///
    /// # Errors
    ///
    /// See [`FolderError`].
    pub fn remove(&self, digest: Digest) -> Result<(), FolderError> {
        self.unlink(&digest.file())
    }

    fn unlink(&self, name: &str) -> Result<(), FolderError> {
        match unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.failed(name, error.into())),
        }
    }

    fn names(&self) -> Result<Vec<String>, FolderError> {
        let failed = |error: Errno| FolderError::Open(self.path.display().to_string(), error.into());
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            names.extend(entry.file_name().to_str().ok().map(str::to_owned));
        }
        Ok(names)
    }

    fn failed(&self, name: &str, error: std::io::Error) -> FolderError {
        FolderError::File(self.path.join(name).display().to_string(), error)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use serde_json::json;

    fn digest(n: u32) -> Digest {
        Digest::of(&[json!(n)])
    }

    fn kubelet() -> (tempfile::TempDir, PathBuf) {
        let kubelet = tempfile::tempdir().unwrap();
        let ours = kubelet.path().join("seccomp/palisade");
        (kubelet, ours)
    }

    #[test]
    fn a_file_is_written_once_and_mended() {
        let (kubelet, ours) = kubelet();
        let folder = Folder::open(kubelet.path()).unwrap();
        assert!(folder.put(digest(1), "text").unwrap());
        assert!(!folder.put(digest(1), "text").unwrap());
        let file = ours.join(digest(1).file());
        let spoil: [&dyn Fn(); 6] = [
            &|| std::fs::write(&file, "tex").unwrap(),
            &|| std::fs::write(&file, "texT").unwrap(),
            &|| std::fs::remove_file(&file).unwrap(),
            &|| std::fs::set_permissions(&file, PermissionsExt::from_mode(0o666)).unwrap(),
            &|| {
                std::fs::remove_file(&file).unwrap();
                symlink("/etc/passwd", &file).unwrap();
            },
            &|| {
                std::fs::remove_file(&file).unwrap();
                rustix::fs::mknodat(CWD, &file, rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o644), 0)
                    .unwrap();
            },
        ];
        for (at, spoil) in spoil.iter().enumerate() {
            spoil();
            assert!(folder.put(digest(1), "text").unwrap(), "{at}");
            assert!(file.symlink_metadata().unwrap().is_file(), "{at}");
            assert_eq!(std::fs::read_to_string(&file).unwrap(), "text", "{at}");
        }
        assert!(!std::fs::read_to_string("/etc/passwd").unwrap().starts_with("text"));
        folder.remove(digest(1)).unwrap();
        folder.remove(digest(1)).unwrap();
        assert!(folder.digests().unwrap().is_empty());
    }

    #[test]
    fn a_link_leads_nowhere() {
        for link in ["seccomp", "seccomp/palisade"] {
            let (kubelet, _) = kubelet();
            let elsewhere = tempfile::tempdir().unwrap();
            let link = kubelet.path().join(link);
            std::fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(elsewhere.path(), &link).unwrap();
            assert!(Folder::open(kubelet.path()).is_err());
            assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
        }
        // Nor is one that looks like a file that is being written.
        let (kubelet, ours) = kubelet();
        let folder = Folder::open(kubelet.path()).unwrap();
        let victim = kubelet.path().join("victim");
        std::fs::write(&victim, "kept").unwrap();
        symlink(&victim, ours.join(format!("{UNFINISHED}{}", digest(1).file()))).unwrap();
        folder.put(digest(1), "text").unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "kept");
        assert_eq!(folder.digests().unwrap(), [digest(1)].into());
    }

    #[test]
    fn what_a_crash_left_is_taken_away_and_nothing_else() {
        let (kubelet, ours) = kubelet();
        Folder::open(kubelet.path()).unwrap().put(digest(1), "text").unwrap();
        std::fs::write(ours.join(format!("{UNFINISHED}{}", digest(2).file())), "half").unwrap();
        std::fs::write(ours.join("somebody.json"), "{}").unwrap();
        let folder = Folder::open(kubelet.path()).unwrap();
        assert_eq!(folder.digests().unwrap(), [digest(1)].into());
        let mut names: Vec<_> =
            std::fs::read_dir(&ours).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [digest(1).file().as_str(), "somebody.json"].map(std::ffi::OsString::from));
        // A folder in the way is an error, and is left.
        std::fs::create_dir(ours.join(digest(3).file())).unwrap();
        for _ in 0..3 {
            assert!(folder.put(digest(3), "text").is_err());
        }
        let unfinished = |name: &String| name.starts_with(UNFINISHED);
        assert_eq!(folder.names().unwrap().iter().filter(|name| unfinished(name)).count(), 0);
    }
}
