//! Failures of the server or of its store, as the log and clients see them.

use palisade_store::StoreError;

use crate::error::{ApiError, ApiResult};
use crate::resource::Resource;

/// A failure of the server or the disk, not of the client: the log has more details than the response.
pub fn internal(what: &str, error: &dyn std::error::Error) -> Box<ApiError> {
    let causes = palisade_k8s::error_chain(error);
    tracing::error!("{what}: {causes}");
    ApiError::internal(what)
}

/// Does something whose fault is to stop nothing else: a panic, which the log has heard of, is an error.
pub fn guarded<T>(act: impl FnOnce() -> ApiResult<T>) -> ApiResult<T> {
    // Locks of this server protect no invariants that a panic breaks, so a poisoned one is taken over.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(act))
        .unwrap_or_else(|_| Err(ApiError::internal("the server has a fault, which its log tells")))
}

/// Refuses a request that comes too often, with the seconds until the next try.
pub fn too_often(what: &str, seconds: u64) -> Box<ApiError> {
    let mut error = ApiError::busy(format!("{what}, please try again in {seconds} seconds"));
    error.details = Some(serde_json::json!({"retryAfterSeconds": seconds}));
    error
}

/// The API error for an error of the store.
pub fn store(resource: &Resource, name: &str, error: StoreError) -> Box<ApiError> {
    match error {
        StoreError::Exists(_) => ApiError::exists(resource, name),
        StoreError::Missing(_) => ApiError::not_found(resource, name),
        StoreError::Conflict { .. } => ApiError::modified(resource, name),
        StoreError::Compacted { asked, oldest } => {
            ApiError::expired(format!("too old resource version: {asked} ({oldest})"))
        }
        StoreError::Future { asked, newest } => ApiError::future(asked.number(), newest.number()),
        // Its administrator can help, so the client hears it too.
        StoreError::Full => {
            tracing::error!("the disk is full, or nearly");
            ApiError::no_room("the server's disk is full, so nothing was written")
        }
        error => internal("the store cannot be read or written", &error),
    }
}
