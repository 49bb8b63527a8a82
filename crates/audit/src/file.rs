//! The file of an audit log. Strangers make it grow, so it is rotated, as kube-apiserver does, and gives way where the disk is
//! nearly full.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use palisade_store::private::{self, Exposed};
use rustix::fs::statvfs;

/// The size after which a new file is begun, in bytes, and the number of older files that are kept.
const SIZE: u64 = 100 << 20;
const KEPT: usize = 10;
/// Bytes that are written between two looks at the disk.
const LOOK: u64 = 1 << 20;
/// The space of the disk below which older files are deleted, in bytes, or a part of it where it is small: more than what the
/// store leaves free.
const FREE: u64 = 256 << 20;
const PART: u64 = 10;

/// The file.
#[derive(Debug)]
pub(crate) struct LogFile {
    file: File,
    /// Its path; none for standard output and devices, which are not rotated.
    path: Option<PathBuf>,
    size: u64,
    /// Bytes until the next look at the disk.
    look: u64,
    most: u64,
    kept: usize,
}

impl LogFile {
    /// Opens a file for appending, which is made if it is missing; `-` is standard output.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, is a named pipe or the like, or others than this user may write it.
    pub(crate) fn open(path: &Path) -> Result<Self, Exposed> {
        let is_output = path.as_os_str().as_encoded_bytes() == b"-";
        let file = if is_output {
            let output = std::io::stdout().as_fd().try_clone_to_owned();
            File::from(output.map_err(|error| Exposed::Io(path.to_owned(), error))?)
        } else {
            append(path)?
        };
        let found = file.metadata().map_err(|error| Exposed::Io(path.to_owned(), error))?;
        let path = (!is_output && found.is_file()).then(|| path.to_owned());
        Ok(Self { file, path, size: found.len(), look: 0, most: SIZE, kept: KEPT })
    }

    /// Writes a line, at once, so that it is not mixed with another's.
    pub(crate) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let length = line.len() as u64;
        // A log that cannot be rotated goes on as it is.
        if let Some(path) = self.path.clone()
            && let Err(error) = self.make_room(&path, length)
        {
            tracing::warn!("the audit log cannot be rotated: {error}");
        }
        self.size += length;
        self.file.write_all(line)
    }

    fn make_room(&mut self, path: &Path, length: u64) -> io::Result<()> {
        let is_large = self.size > 0 && self.size + length > self.most;
        let is_scarce = self.look == 0 && is_scarce(path);
        self.look = if self.look == 0 { LOOK } else { self.look.saturating_sub(length) };
        if is_large || is_scarce && self.oldest(path).is_none() && self.size > LOOK {
            self.rotate(path)?;
        }
        if is_scarce && let Some(oldest) = self.oldest(path) {
            tracing::warn!("the disk is nearly full: {} is deleted", oldest.display());
            std::fs::remove_file(oldest)?;
        }
        Ok(())
    }

    /// The oldest of the older files.
    fn oldest(&self, path: &Path) -> Option<PathBuf> {
        (1..=self.kept).rev().map(|number| older(path, number)).find(|path| path.exists())
    }

    /// Begins a new file: the present one becomes the first of the older ones, and the last of these is gone.
    fn rotate(&mut self, path: &Path) -> io::Result<()> {
        // Whatever comes of it, it is tried again after as many bytes.
        self.size = 0;
        let leaving = older(path, 0);
        // The older files move only once the present one can; one that somebody has moved away is begun anew.
        if rename(path, &leaving)? {
            for number in (0..self.kept).rev() {
                rename(&older(path, number), &older(path, number + 1))?;
            }
        }
        self.file = append(path).map_err(io::Error::other)?;
        Ok(())
    }
}

/// Renames a file, if it exists; whether it does.
fn rename(from: &Path, to: &Path) -> io::Result<bool> {
    match std::fs::rename(from, to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn append(path: &Path) -> Result<File, Exposed> {
    private::file(path, File::options().append(true))
}

/// The path of an older file: the newest of them is number 1.
fn older(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn is_scarce(path: &Path) -> bool {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(disk) = statvfs(folder) else { return false };
    disk.f_bavail * disk.f_frsize < FREE.min(disk.f_blocks * disk.f_frsize / PART)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_log_is_rotated_and_the_oldest_file_is_gone() {
        let folder = private::temporary().unwrap();
        let path = folder.path().join("audit.log");
        let mut log = LogFile { most: 20, kept: 2, ..LogFile::open(&path).unwrap() };
        for number in 0..9 {
            log.write(format!("line {number}\n").as_bytes()).unwrap();
        }
        let read = |path: PathBuf| std::fs::read_to_string(path).ok();
        let files = [path.clone(), older(&path, 1), older(&path, 2), older(&path, 3)].map(read);
        let wanted = ["line 8\n", "line 6\nline 7\n", "line 4\nline 5\n"].map(|text| Some(text.to_owned()));
        assert_eq!(files[..3], wanted);
        assert_eq!(files[3], None);
        // A line is never divided, and an opened log goes on where it ended.
        let mut log = LogFile { most: 20, kept: 2, ..LogFile::open(&path).unwrap() };
        log.write(&[b'x'; 50]).unwrap();
        assert_eq!(std::fs::read(&path).unwrap().len(), 50);
        assert_eq!(read(older(&path, 1)).as_deref(), Some("line 8\n"));
    }

    #[test]
    fn a_log_that_was_moved_away_is_begun_anew_and_one_that_cannot_be_rotated_goes_on() {
        let folder = private::temporary().unwrap();
        let path = folder.path().join("audit.log");
        let mut log = LogFile { most: 20, ..LogFile::open(&path).unwrap() };
        log.write(b"the first line\n").unwrap();
        std::fs::write(older(&path, 1), "older").unwrap();
        std::fs::rename(&path, folder.path().join("moved")).unwrap();
        log.write(b"the second line\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"the second line\n");
        assert_eq!(std::fs::read(older(&path, 1)).unwrap(), b"older");
        // A folder is in the way.
        std::fs::create_dir_all(older(&path, 0).join("x")).unwrap();
        log.write(b"the third line\n").unwrap();
        log.write(b"4\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"the second line\nthe third line\n4\n");
        assert_eq!(std::fs::read(older(&path, 1)).unwrap(), b"older");
    }

    #[test]
    fn devices_are_not_rotated() {
        let mut log = LogFile { most: 20, ..LogFile::open(Path::new("/dev/null")).unwrap() };
        for _ in 0..9 {
            log.write(b"a line of text\n").unwrap();
        }
        assert!(Path::new("/dev/null").exists() && !Path::new("/dev/null.1").exists());
    }
}
