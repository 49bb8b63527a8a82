//! Small files: read whole, and written atomically.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A file that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path}", path = .0.display())]
pub struct FileError(PathBuf, #[source] io::Error);

/// The text of a file; `None` if it does not exist.
///
/// # Errors
///
/// It cannot be read, or is not UTF-8.
pub fn read_file(path: &Path) -> Result<Option<String>, FileError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError(path.to_owned(), error)),
    }
}

/// Writes a file so that a crash leaves the old one or the new one, never a half. `mode` is the file's, as for `chmod`.
///
/// # Errors
///
/// The file or its folder cannot be written.
pub fn write_file(path: &Path, text: &str, mode: u32) -> Result<(), FileError> {
    let error = |error| FileError(path.to_owned(), error);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Nobody can guess its name, and nobody else's file is in its place.
    let mut builder = tempfile::Builder::new();
    builder.prefix(".palisade-").rand_bytes(16).permissions(fs::Permissions::from_mode(mode));
    let mut file = builder.tempfile_in(folder).map_err(error)?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(error)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(mode)).map_err(error)?;
    file.persist(path).map(drop).map_err(|failed| error(failed.error))
}

/// Makes a folder and those that it is in.
pub(crate) fn make_folder(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(|error| FileError(path.to_owned(), error))
}
