//! Files that the command line names, read whole.
//!
//! A named pipe, socket or device is refused: opening one may wait for ever, and reading one may never end. Standard
//! input and the descriptors that a shell passes (`/dev/stdin`, `/dev/fd/N` of `<(helm template .)`) are read, whatever
//! they are, since they are open already.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// The largest file, in bytes.
pub const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// An error of reading one file.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The system refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not a file with an end.
    #[error("it is a {0}, not a file; to read from a pipe, use - or <(command)")]
    Special(&'static str),
    /// It is larger than [`MAX_BYTES`].
    #[error("larger than {MAX_BYTES} bytes")]
    TooLarge,
}

/// Reads a file; `-` is standard input.
///
/// # Errors
/// See [`InputError`].
pub fn read(path: &Path) -> Result<Vec<u8>, InputError> {
    if path.as_os_str() == "-" {
        return read_to_end(io::stdin().lock());
    }
    read_to_end(open(path)?)
}

/// Opens a file for reading, unless it is a named pipe, a socket or a device.
///
/// # Errors
/// [`InputError::Io`] and [`InputError::Special`].
pub fn open(path: &Path) -> Result<File, InputError> {
    if is_inherited(path) {
        return Ok(File::open(path)?);
    }
    // Looked at before it is opened, since opening a device may already do something.
    refuse_special(&std::fs::metadata(path)?)?;
    // And after, since the name may stand for something else by now; non-blocking, so that a pipe is not waited for.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    refuse_special(&file.metadata()?)?;
    Ok(file)
}

fn read_to_end(reader: impl Read) -> Result<Vec<u8>, InputError> {
    let mut bytes = Vec::new();
    reader.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES { Err(InputError::TooLarge) } else { Ok(bytes) }
}

/// Whether a path names a descriptor of this process.
fn is_inherited(path: &Path) -> bool {
    path == Path::new("/dev/stdin") || path.starts_with("/dev/fd") || path.starts_with("/proc/self/fd")
}

fn refuse_special(metadata: &std::fs::Metadata) -> Result<(), InputError> {
    let kind = metadata.file_type();
    let name = match () {
        () if kind.is_fifo() => "named pipe",
        () if kind.is_socket() => "socket",
        () if kind.is_char_device() || kind.is_block_device() => "device",
        () => return Ok(()),
    };
    Err(InputError::Special(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn named_pipes_sockets_and_devices_are_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&fifo, &link).unwrap();
        for (path, kind) in [
            (fifo.as_path(), "named pipe"),
            (&link, "named pipe"),
            (&socket, "socket"),
            (Path::new("/dev/zero"), "device"),
            (Path::new("/dev/tty"), "device"),
        ] {
            let error = read(path).unwrap_err();
            assert!(matches!(error, InputError::Special(found) if found == kind), "{path:?}: {error}");
        }
    }

    #[test]
    fn files_and_inherited_pipes_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "text").unwrap();
        assert_eq!(read(&path).unwrap(), b"text");
        let (reader, mut writer) = io::pipe().unwrap();
        io::Write::write_all(&mut writer, b"piped").unwrap();
        drop(writer);
        for folder in ["/dev/fd", "/proc/self/fd"] {
            let path = format!("{folder}/{}", reader.as_raw_fd());
            let expected: &[u8] = if folder == "/dev/fd" { b"piped" } else { b"" };
            assert_eq!(read(Path::new(&path)).unwrap(), expected);
        }
    }
}
