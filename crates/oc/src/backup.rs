//! `backup` and `restore`: all objects of a Palisade server as a file, and back.

use std::io::Write;
use std::path::Path;

use http::Method;
use palisade_client::{Body, Session};
use palisade_console::{Exit, input};
use serde_json::json;
use tempfile::NamedTempFile;

use crate::args::BackupArgs;
use crate::can_i;
use crate::error::{Error, Outcome, Result};
use crate::output;

const PATH: &str = "/palisade/v1/backup";

/// Writes a temporary file first, so that a file of the backup's name is always a complete backup.
pub(crate) async fn save(args: &BackupArgs) -> Outcome {
    let path = &args.file;
    if path.exists() {
        return Err(Error::FileExists(path.clone()));
    }
    let session = args.connect.open().await?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = tempfile::Builder::new().prefix(".palisade-").tempfile_in(folder);
    let mut file = file.map_err(|error| Error::file(path, error))?;
    let size = download(&session, &mut file, path).await?;
    file.persist_noclobber(path).map_err(|error| Error::file(path, error.error))?;
    output::message(&format!("{}: {size} bytes\n", path.display()))?;
    Ok(Exit::Fine)
}

async fn download(session: &Session, file: &mut NamedTempFile, path: &Path) -> Result<u64> {
    let mut size = 0;
    let mut pieces = session.pieces(PATH).await?;
    while let Some(piece) = pieces.next().await? {
        size += piece.len() as u64;
        file.write_all(&piece).map_err(|error| Error::file(path, error))?;
    }
    file.as_file().sync_all().map_err(|error| Error::file(path, error))?;
    Ok(size)
}

pub(crate) async fn restore(args: &BackupArgs) -> Outcome {
    let bytes = input::read(&args.file).map_err(|error| Error::file(&args.file, error))?;
    let session = args.connect.open().await?;
    // A server that refuses before it has read the whole body can only close the connection; so its permission is
    // requested first.
    let spec = json!({"nonResourceAttributes": {"verb": "post", "path": PATH}});
    if !can_i::is_allowed(&session, &spec).await? {
        return Err(Error::MayNotRestore(PATH));
    }
    let body = Body::new("application/vnd.sqlite3", bytes);
    let answer = session.send(Method::POST, PATH, Some(body)).await?;
    output::message(&format!("{}: {}\n", args.file.display(), crate::value::text(&answer, "/message")))?;
    Ok(Exit::Fine)
}
