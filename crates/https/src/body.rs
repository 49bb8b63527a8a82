//! Bodies of requests and of responses.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

/// The reason why the body of a request is not there.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is larger than the limit, in bytes.
    #[error("the body of the request is larger than {0} bytes")]
    TooLarge(usize),
    /// It did not come within the time.
    #[error("the body of the request did not come in time")]
    Slow,
    /// The connection broke, or the bytes are not a body.
    #[error("the body of the request cannot be read: {0}")]
    Broken(String),
}

/// Factor of the limit up to which a body that is too large is read and discarded: a client that still writes when the
/// connection is closed would not see the answer.
const THROWN: usize = 8;

/// Time for which a body may come slowly, and the bytes that it must have in each further second: the memory for it is held
/// meanwhile.
const PROGRESS: (Duration, usize) = (Duration::from_secs(10), 64 << 10);

/// The time within which more than these bytes must have come.
fn due(size: usize) -> Duration {
    let (grace, pace) = PROGRESS;
    grace + Duration::from_secs((size / pace) as u64)
}

/// Reads the body of a request of at most `limit` bytes within `time`, which takes progress. Of one that is larger the rest is
/// read too, and thrown away, so that the client gets to the answer.
///
/// # Errors
///
/// See [`ReadError`].
pub async fn read(mut body: Incoming, limit: usize, time: Duration) -> Result<Bytes, ReadError> {
    let length = hyper::body::Body::size_hint(&body).exact().and_then(|length| usize::try_from(length).ok());
    // A body that promises too much is too large also where it comes slowly.
    let is_larger = length.is_some_and(|length| length > limit);
    let reading = async {
        let mut all = BytesMut::with_capacity(length.filter(|length| *length <= limit).unwrap_or_default());
        let mut size = 0_usize;
        let start = Instant::now();
        loop {
            let frame = timeout_at(start + due(size), body.frame()).await;
            let Some(frame) = frame.map_err(|_| ReadError::Slow)? else { break };
            let frame = frame.map_err(|error| ReadError::Broken(error.to_string()))?;
            let Ok(piece) = frame.into_data() else { continue };
            size = size.saturating_add(piece.len());
            if size <= limit {
                all.extend_from_slice(&piece);
            } else {
                all = BytesMut::new();
            }
            if size > limit.saturating_mul(THROWN) {
                break;
            }
        }
        if size > limit { Err(ReadError::TooLarge(limit)) } else { Ok(all.freeze()) }
    };
    match timeout(time, reading).await.unwrap_or(Err(ReadError::Slow)) {
        Err(ReadError::Slow) if is_larger => Err(ReadError::TooLarge(limit)),
        read => read,
    }
}

/// The body of a response.
#[derive(Debug)]
pub enum Body {
    /// All of it; none once it is sent.
    Whole(Option<Bytes>),
    /// Pieces as they come, and how many bytes they are in all if that is known.
    Stream(mpsc::Receiver<Bytes>, Option<u64>),
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(receiver, _) => {
                receiver.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Stream(_, size) => size.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

impl Body {
    /// A response of plain text. A code that HTTP does not have becomes 500.
    #[must_use]
    pub fn text(code: u16, text: impl Into<String>) -> Response<Self> {
        Self::bytes(code, "text/plain; charset=utf-8", text.into().into_bytes())
    }

    /// A response of some media type. A code that HTTP does not have becomes 500.
    #[must_use]
    pub fn bytes(code: u16, media_type: &'static str, bytes: impl Into<Bytes>) -> Response<Self> {
        let mut response = Response::new(Self::Whole(Some(bytes.into())));
        *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        response
    }

    /// A response of 200 whose pieces are sent as they come; `size` in bytes, if it is known.
    #[must_use]
    pub fn stream(
        media_type: &'static str,
        pieces: mpsc::Receiver<Bytes>,
        size: Option<u64>,
    ) -> Response<Self> {
        let mut response = Response::new(Self::Stream(pieces, size));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_makes_progress() {
        for (size, seconds) in [(0, 10), (1, 10), (64 << 10, 11), (3 << 20, 58)] {
            assert_eq!(due(size), Duration::from_secs(seconds), "{size}");
        }
    }
}
