//! Resources that the server's clients share: memory for bodies, for objects and for answers, threads, lists and
//! watches.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use palisade_https::Body;

use crate::error::ApiResult;
use crate::lane::Lane;
use crate::limits;
use crate::share::{Party, Pool};

/// All of them.
#[derive(Debug)]
pub struct Shares {
    /// Requests that are worked on.
    pub requests: Pool,
    /// Of these, the slow ones.
    pub long: Pool,
    /// Bytes of bodies.
    pub bodies: Pool,
    /// Bytes of objects as values.
    pub trees: Pool,
    streams: Pool,
    answers: Pool,
    /// Lists that are sent part by part.
    pub lists: Pool,
    /// Open watches.
    pub watches: Pool,
    /// Pages of the console that are computed.
    pub pages: Pool,
    /// Open logs and streams of containers.
    pub tunnels: Pool,
    /// The threads for slow requests.
    pub lane: Lane,
}

impl Default for Shares {
    fn default() -> Self {
        Self {
            requests: Pool::new(limits::REQUESTS),
            long: Pool::new(limits::LONG_REQUESTS),
            bodies: Pool::new(limits::BODIES),
            trees: Pool::new(limits::TREES),
            streams: Pool::new(limits::STREAMS),
            answers: Pool::new(limits::ANSWERS),
            lists: Pool::new(limits::LISTS),
            watches: Pool::new(limits::WATCHES),
            pages: Pool::new(limits::PAGES),
            tunnels: Pool::new(limits::TUNNELS),
            lane: Lane::start(limits::LONG_REQUESTS.all),
        }
    }
}

/// Bytes with the lease of their memory: it ends when the last of them are sent, or thrown away.
struct Held<L> {
    bytes: Bytes,
    _lease: L,
}

impl<L> AsRef<[u8]> for Held<L> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

impl Shares {
    /// Counts a part of a list, or an event, for as long as it is not sent.
    ///
    /// # Errors
    ///
    /// This party does not read what it has got already.
    pub async fn hold(&self, party: &Party, bytes: Bytes) -> ApiResult<Bytes> {
        held(&self.streams, party, bytes).await
    }

    /// [`Self::hold`] of several pieces that are sent one after the other.
    pub async fn hold_all(&self, party: &Party, pieces: Vec<Bytes>) -> ApiResult<Vec<Bytes>> {
        let size: usize = pieces.iter().map(Bytes::len).sum();
        if size <= limits::SMALL {
            return Ok(pieces);
        }
        let lease = Arc::new(self.streams.get(party, size).await?);
        let held = |bytes| Bytes::from_owner(Held { bytes, _lease: Arc::clone(&lease) });
        Ok(pieces.into_iter().map(held).collect())
    }

    /// Counts an answer for as long as it is not sent.
    pub async fn hold_answer(&self, party: &Party, answer: Response<Body>) -> ApiResult<Response<Body>> {
        let (head, body) = answer.into_parts();
        let body = match body {
            Body::Whole(Some(bytes)) => Body::Whole(Some(held(&self.answers, party, bytes).await?)),
            body => body,
        };
        Ok(Response::from_parts(head, body))
    }
}

async fn held(pool: &Pool, party: &Party, bytes: Bytes) -> ApiResult<Bytes> {
    if bytes.len() <= limits::SMALL {
        return Ok(bytes);
    }
    let _lease = pool.get(party, bytes.len()).await?;
    Ok(Bytes::from_owner(Held { bytes, _lease }))
}
