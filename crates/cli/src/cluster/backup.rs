//! `palisade backup` and `palisade restore`: all objects of a Palisade server as a file, and back.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use http::Method;
use serde_json::json;

use super::access;
use super::args::BackupArgs;
use super::output;
use super::session::{ClusterError, Result, Session};
use crate::exit::Exit;

const PATH: &str = "/palisade/v1/backup";

fn said(path: &Path, error: &std::io::Error) -> ClusterError {
    ClusterError::Usage(format!("{}: {error}", path.display()))
}

/// Writes next to the file first, so that under its name there is never half of a backup.
pub(crate) fn save(args: &BackupArgs) -> crate::Outcome {
    let file = &args.file;
    if file.exists() {
        return Err(ClusterError::Usage(format!("{}: already exists", file.display())).into());
    }
    let session = Session::open(&args.connect)?;
    let partial = PathBuf::from(format!("{}.partial", file.display()));
    let written = download(&session, &partial)
        .and_then(|size| std::fs::rename(&partial, file).map(|()| size).map_err(|error| said(file, &error)));
    if written.is_err() {
        drop(std::fs::remove_file(&partial));
    }
    output::write(&format!("{}: {} bytes\n", file.display(), written?))?;
    Ok(Exit::Fine)
}

fn download(session: &Session, path: &Path) -> Result<u64> {
    let mut options = File::options();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file =
        options.write(true).create(true).truncate(true).open(path).map_err(|error| said(path, &error))?;
    let mut size = 0;
    session.download(PATH, |bytes| {
        size += bytes.len() as u64;
        file.write_all(bytes).map_err(|error| said(path, &error))
    })?;
    file.sync_all().map_err(|error| said(path, &error))?;
    Ok(size)
}

pub(crate) fn restore(args: &BackupArgs) -> crate::Outcome {
    let bytes = std::fs::read(&args.file).map_err(|error| said(&args.file, &error))?;
    let session = Session::open(&args.connect)?;
    // A server that refuses before it has read everything can only hang up; so it is asked first.
    if !access::may(&session, &json!({"nonResourceAttributes": {"verb": "post", "path": PATH}}))? {
        return Err(ClusterError::Usage(format!(
            "you may not restore: that takes the right to post to {PATH}"
        ))
        .into());
    }
    let answer = session.send(Method::POST, PATH, Some(("application/vnd.sqlite3", bytes)))?;
    output::write(&format!("{}: {}\n", args.file.display(), output::text(&answer, "/message")))?;
    Ok(Exit::Fine)
}
