//! Folders and files that belong to one user alone, whatever the umask is.
//!
//! New folders and files have the modes 0700 and 0600. Existing ones are tightened to them, but refused if another
//! user owns it or may write it: a user who could have written the data or the keys could have given themselves all rights.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// The mode of folders, and of files.
const FOLDER: u32 = 0o700;
const FILE: u32 = 0o600;
/// The bits by which others may write.
const WRITABLE: u32 = 0o022;
/// The bits by which others may do anything.
const OTHERS: u32 = 0o077;

/// A flaw of a folder's or a file's owner or mode.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Exposed {
    /// Another user owns it.
    #[error("{}: owned by user {owner}, while this program runs as user {own}: make it yours with chown, or choose another folder", .path.display())]
    Foreign {
        /// The path.
        path: PathBuf,
        /// Its owner's user ID.
        owner: u32,
        /// The user ID of this process.
        own: u32,
    },
    /// Others may write it.
    #[error("{}: other users may write it (mode {mode:04o}): take that from them with chmod go-w, or choose another folder", .path.display())]
    Writable {
        /// The path.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is a named pipe, a socket or the like, which would block this program until another one reads it.
    #[error("{}: neither a regular file nor a terminal or another character device", .0.display())]
    Special(PathBuf),
    /// It cannot be read or written.
    #[error("{}", .0.display())]
    Io(PathBuf, #[source] Error),
}

/// A new folder for temporary files, with an unguessable name.
///
/// # Errors
///
/// The disk is full.
pub fn temporary() -> Result<tempfile::TempDir, Exposed> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("palisade-").rand_bytes(16).permissions(Permissions::from_mode(FOLDER));
    let folder = builder.tempdir().map_err(io(&std::env::temp_dir()))?;
    tighten(folder.path(), FOLDER)?;
    Ok(folder)
}

/// Creates a folder for its owner alone, or tightens an existing one, with the files in it whose names begin with one of
/// `own`. A folder that contains other files too, such as a home directory, stays readable as before.
///
/// # Errors
///
/// Another user owns the folder or a file of that kind in it, or may write it; or the disk says no.
pub fn folder(path: &Path, own: &[&str]) -> Result<(), Exposed> {
    match DirBuilder::new().recursive(true).mode(FOLDER).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(io(path)(error)),
        _ => {}
    }
    trusted(path)?;
    let mut is_ours = true;
    for entry in path.read_dir().map_err(io(path))? {
        let entry = entry.map_err(io(path))?;
        let name = entry.file_name();
        if !own.iter().any(|own| name.to_string_lossy().starts_with(own)) {
            is_ours = false;
            continue;
        }
        let entry = entry.path();
        match std::fs::metadata(&entry) {
            Ok(found) => tighten(&entry, if found.is_dir() { FOLDER } else { FILE })?,
            // It went away meanwhile, or is a link to nothing.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(io(&entry)(error)),
        }
    }
    if is_ours { tighten(path, FOLDER) } else { Ok(()) }
}

/// Opens a file of its owner alone, which is made if it is missing; `options` say what for.
///
/// # Errors
///
/// Another user owns the file, or may write it; it is neither a regular file nor a character device; or the disk says no.
pub fn file(path: &Path, options: &mut OpenOptions) -> Result<File, Exposed> {
    match options.clone().create_new(true).mode(FILE).open(path) {
        Ok(file) => {
            // The umask may have taken more than others' rights.
            file.set_permissions(Permissions::from_mode(FILE)).map_err(io(path))?;
            Ok(file)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            tighten(path, FILE)?;
            written(path, &std::fs::metadata(path).map_err(io(path))?)?;
            // A pipe that has come to its place meanwhile is not waited for either.
            let at_once = OFlags::NONBLOCK.bits().cast_signed();
            let file = options.clone().custom_flags(at_once).open(path).map_err(io(path))?;
            // Of the very file that is open, as another could have come to its place.
            let found = file.metadata().map_err(io(path))?;
            check(path, &found)?;
            written(path, &found)?;
            let flags = rustix::fs::fcntl_getfl(&file).map_err(|error| io(path)(error.into()))?;
            rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK)
                .map_err(|error| io(path)(error.into()))?;
            Ok(file)
        }
        Err(error) => Err(io(path)(error)),
    }
}

/// Refuses what cannot be written at once.
fn written(path: &Path, found: &Metadata) -> Result<(), Exposed> {
    let is_plain = found.is_file() || found.file_type().is_char_device();
    if is_plain { Ok(()) } else { Err(Exposed::Special(path.to_owned())) }
}

/// Refuses what another user owns or may write.
fn trusted(path: &Path) -> Result<Metadata, Exposed> {
    let link = std::fs::symlink_metadata(path).map_err(io(path))?;
    if link.is_symlink() {
        // The owner of a link decides where it leads.
        owned(path, &link)?;
    }
    let found = std::fs::metadata(path).map_err(io(path))?;
    check(path, &found)?;
    Ok(found)
}

/// Takes all rights from others, of what they neither own nor may write.
fn tighten(path: &Path, mode: u32) -> Result<(), Exposed> {
    let found = trusted(path)?;
    let is_plain = found.is_file() || found.is_dir();
    if is_plain && found.mode() & OTHERS != 0 {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(io(path))?;
    }
    Ok(())
}

fn check(path: &Path, found: &Metadata) -> Result<(), Exposed> {
    if !(found.is_file() || found.is_dir()) && found.uid() == 0 {
        // A terminal, or /dev/null.
        return Ok(());
    }
    owned(path, found)?;
    match found.mode() & 0o7777 {
        mode if mode & WRITABLE != 0 => Err(Exposed::Writable { path: path.to_owned(), mode }),
        _ => Ok(()),
    }
}

fn owned(path: &Path, found: &Metadata) -> Result<(), Exposed> {
    let (owner, own) = (found.uid(), rustix::process::geteuid().as_raw());
    if owner == own { Ok(()) } else { Err(Exposed::Foreign { path: path.to_owned(), owner, own }) }
}

fn io(path: &Path) -> impl FnOnce(Error) -> Exposed + '_ {
    move |error| Exposed::Io(path.to_owned(), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [&str; 2] = ["made", "link"];

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn new_and_existing_files_are_made_private() {
        let top = temporary().unwrap();
        assert_eq!(mode(top.path()), 0o700);
        let (inner, made) = (top.path().join("a/b"), top.path().join("a/b/made"));
        folder(&inner, &OWN).unwrap();
        drop(file(&made, File::options().append(true)).unwrap());
        assert_eq!((mode(&inner), mode(&made)), (0o700, 0o600));
        // Before there was this rule, all could read.
        let set = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        set(&made, 0o644);
        set(&inner, 0o755);
        folder(&inner, &OWN).unwrap();
        assert_eq!((mode(&inner), mode(&made)), (0o700, 0o600));
        // Files of other owners are left as they are, and so is a folder with such files.
        let other = inner.join("program");
        std::fs::write(&other, "#!/bin/sh").unwrap();
        set(&other, 0o755);
        set(&inner, 0o755);
        set(&made, 0o644);
        folder(&inner, &OWN).unwrap();
        assert_eq!((mode(&inner), mode(&made), mode(&other)), (0o755, 0o600, 0o755));
        std::fs::remove_file(&other).unwrap();
        // Files that others could have written are not trusted.
        for (path, bad) in [(&made, 0o620), (&made, 0o602), (&inner, 0o770), (&inner, 0o703)] {
            set(path, bad);
            assert!(
                matches!(folder(&inner, &OWN), Err(Exposed::Writable { .. })),
                "{} {bad:o}",
                path.display()
            );
            set(path, 0o700);
        }
        set(&made, 0o602);
        assert!(matches!(file(&made, File::options().append(true)), Err(Exposed::Writable { .. })));
    }

    #[test]
    fn files_of_other_users_are_refused() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root can give files away");
            return;
        }
        let top = temporary().unwrap();
        let made = top.path().join("made");
        drop(file(&made, File::options().write(true)).unwrap());
        for path in [&made, &top.path().to_owned()] {
            std::os::unix::fs::chown(path, Some(12345), None).unwrap();
            assert!(matches!(folder(top.path(), &OWN), Err(Exposed::Foreign { owner: 12345, own: 0, .. })));
            std::os::unix::fs::chown(path, Some(0), None).unwrap();
        }
        // A link of another user may lead to any file.
        let link = top.path().join("link");
        std::os::unix::fs::symlink(&made, &link).unwrap();
        std::os::unix::fs::lchown(&link, Some(12345), None).unwrap();
        assert!(matches!(file(&link, File::options().write(true)), Err(Exposed::Foreign { .. })));
        drop(file(Path::new("/dev/null"), File::options().append(true)).unwrap());
    }

    /// Opening a pipe for writing waits for a reader.
    #[test]
    fn blocking_special_files_are_refused() {
        let top = temporary().unwrap();
        let (pipe, socket) = (top.path().join("pipe"), top.path().join("socket"));
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(FILE),
            0,
        )
        .unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        std::fs::set_permissions(&socket, Permissions::from_mode(FILE)).unwrap();
        for path in [&pipe, &socket, &top.path().to_owned()] {
            let opened = file(path, File::options().append(true));
            assert!(matches!(opened, Err(Exposed::Special(_))), "{}: {opened:?}", path.display());
        }
    }
}
