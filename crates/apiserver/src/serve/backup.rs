//! Backup and restore of the whole store over HTTP, while the server runs. Only for users with every right.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use palisade_https::Body;
use palisade_store::StoreError;
use serde_json::json;
use tokio::sync::mpsc;

use super::{Head, other};
use crate::api::Api;
use crate::authorize;
use crate::bootstrap;
use crate::error::{ApiError, ApiResult};
use crate::failure;
use crate::identity::Identity;
use crate::limits;
use crate::objects;
use crate::respond;

/// The path of backups: GET creates one, POST restores one.
pub(super) const PATH: &str = "/palisade/v1/backup";

/// The size of the chunks that are sent, in bytes.
const PIECE: usize = 64 * 1024;

pub(super) async fn answer(
    api: &Arc<Api>,
    head: &Head,
    identity: &Identity,
    body: Incoming,
) -> ApiResult<Response<Body>> {
    let verb = if head.method == Method::POST { "post" } else { "get" };
    if !authorize::allowed_path(&api.policy, identity, verb, PATH) {
        return Err(other::forbidden(head, identity));
    }
    match head.method {
        Method::GET => download(api).await,
        Method::POST => upload(api, body).await,
        _ => Err(ApiError::no_such_path()),
    }
}

/// Runs work that waits for the disk on a blocking thread.
async fn wait<T: Send + 'static>(work: impl FnOnce() -> ApiResult<T> + Send + 'static) -> ApiResult<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| failure::internal("the request could not be answered", &error))?
}

fn broken(error: std::io::Error) -> Box<ApiError> {
    failure::internal("the backup cannot be read or written", &error)
}

async fn download(api: &Arc<Api>) -> ApiResult<Response<Body>> {
    let api = Arc::clone(api);
    let (mut file, size) = wait(move || {
        let path = Transfer(api.store.transfer_file().map_err(refused)?);
        api.store.backup(&path.0).map_err(refused)?;
        let file = std::fs::File::open(&path.0).map_err(broken)?;
        let size = file.metadata().map_err(broken)?.len();
        Ok((file, size))
    })
    .await?;
    let (sender, receiver) = mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        let mut piece = vec![0; PIECE];
        // A client that sees neither end nor error notices by the length that something is missing.
        while let Ok(count @ 1..) = file.read(&mut piece) {
            let bytes = Bytes::copy_from_slice(piece.get(..count).unwrap_or_default());
            if sender.blocking_send(bytes).is_err() {
                return;
            }
        }
    });
    Ok(Body::stream("application/vnd.sqlite3", receiver, Some(size)))
}

async fn upload(api: &Arc<Api>, body: Incoming) -> ApiResult<Response<Body>> {
    let path = Transfer(api.store.transfer_file().map_err(refused)?);
    receive(body, &path.0).await?;
    let api = Arc::clone(api);
    let revision = wait(move || {
        // No request that has read the old state may write meanwhile.
        api.gate.alone(|| {
            let revision = api.store.restore(&path.0, &objects::check_stored).map_err(refused)?;
            bootstrap::settle(&api)?;
            Ok(revision)
        })
    })
    .await?;
    Ok(respond::json(
        200,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "message": format!("restored as of revision {revision}")}),
    ))
}

/// Writes the received body to a file.
async fn receive(mut body: Incoming, path: &Path) -> ApiResult<()> {
    let mut file = palisade_store::private::file(path, std::fs::File::options().write(true))
        .map_err(|error| refused(error.into()))?;
    let mut size = 0;
    loop {
        let frame = tokio::time::timeout(limits::BACKUP_TIME, body.frame()).await;
        let frame = frame.map_err(|_| ApiError::timeout("the backup did not come in time"))?;
        let Some(frame) = frame else { return file.sync_all().map_err(broken) };
        let frame =
            frame.map_err(|error| ApiError::bad_request(format!("the backup cannot be read: {error}")))?;
        let bytes = frame.into_data().unwrap_or_default();
        size += bytes.len() as u64;
        if size > limits::BACKUP {
            return Err(ApiError::bad_request(format!(
                "a backup of more than {} bytes is not taken",
                limits::BACKUP
            )));
        }
        tokio::task::block_in_place(|| file.write_all(&bytes)).map_err(broken)?;
    }
}

/// A temporary file, which is removed when it is dropped.
struct Transfer(PathBuf);

impl Drop for Transfer {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// The API error for an error of the store, without the server's own paths.
fn refused(error: StoreError) -> Box<ApiError> {
    match error {
        StoreError::Foreign(_) => ApiError::bad_request("the file is not a backup of a Palisade store"),
        StoreError::Unfit { why, .. } => {
            ApiError::bad_request(format!("the backup cannot be restored: {why}"))
        }
        StoreError::Newer { found, known, .. } => ApiError::bad_request(format!(
            "the backup is in format {found}, and this server knows formats up to {known}: a newer Palisade wrote it"
        )),
        error => failure::internal("the store refuses", &error),
    }
}
