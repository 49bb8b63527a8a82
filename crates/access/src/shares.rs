//! Resources that the server's clients share: memory for bodies, for objects and for answers, threads, lists and
//! watches.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use palisade_https::{Body, Hangup};
use tokio::sync::oneshot;

use crate::error::ApiResult;
use crate::lane::Lane;
use crate::limits;
use crate::share::{self, Lease, Party, Places, Pool};

/// All of them.
#[derive(Debug)]
pub struct Shares {
    /// Requests that are worked on.
    pub requests: Pool,
    /// Of these, the slow ones.
    pub long: Pool,
    bodies: Pool,
    small_bodies: Pool,
    /// Bytes of objects as values.
    pub trees: Pool,
    apart: Pool,
    small_apart: Pool,
    streams: Pool,
    answers: Pool,
    /// Lists that are sent part by part.
    pub lists: Pool,
    /// Open watches.
    pub watches: Pool,
    /// Pages of the console that are computed.
    pages: Pool,
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
            small_bodies: Pool::new(limits::SMALL_BODIES),
            trees: Pool::new(limits::TREES),
            apart: Pool::new(limits::APART),
            small_apart: Pool::new(limits::SMALL_APART),
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
    /// Waits for the memory of a body of at most this size.
    ///
    /// # Errors
    ///
    /// There was none in time.
    pub async fn body(&self, party: &Party, size: usize) -> ApiResult<Lease> {
        let pool = if size <= limits::SMALL_BODY { &self.small_bodies } else { &self.bodies };
        pool.get(party, size).await
    }

    /// Waits for the turns that a page of the console needs: that of pages, and that of slow requests. A page that waits for one
    /// holds none that others wait for.
    ///
    /// # Errors
    ///
    /// They did not come in time.
    pub async fn page(&self, party: &Party) -> ApiResult<[Lease; 2]> {
        let turns = async {
            loop {
                let page = self.pages.get(party, 1).await?;
                if let Some(turn) = self.long.get_now(party, 1) {
                    return Ok([page, turn]);
                }
                drop(page);
                drop(self.long.get(party, 1).await?);
            }
        };
        let turns = tokio::time::timeout(limits::QUEUE_TIME, turns).await;
        turns.unwrap_or_else(|_| Err(share::busy()))
    }

    /// Leaves what a request holds to others while it waits for a webhook.
    ///
    /// # Errors
    ///
    /// Requests that wait hold too much memory already.
    pub fn set_aside(&self, places: &Places) -> ApiResult<()> {
        places.set_aside(&[&self.small_apart, &self.apart])
    }

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

    /// Counts an answer for as long as it is not sent; if that takes too long, the connection ends.
    pub async fn hold_answer(
        &self,
        party: &Party,
        hangup: Option<Hangup>,
        answer: Response<Body>,
    ) -> ApiResult<Response<Body>> {
        let (head, body) = answer.into_parts();
        let body = match body {
            Body::Whole(Some(bytes)) if bytes.len() > limits::SMALL => {
                let lease = self.answers.get(party, bytes.len()).await?;
                let time = time_to_read(bytes.len());
                let _lease = (lease, hangup.map(|hangup| until_sent(time, move || hangup.now())));
                Body::Whole(Some(Bytes::from_owner(Held { bytes, _lease })))
            }
            body => body,
        };
        Ok(Response::from_parts(head, body))
    }
}

/// The time that a client has for an answer of a size: one behind a slow link gets it.
fn time_to_read(size: usize) -> Duration {
    let (grace, pace) = limits::ANSWER_TIME;
    grace + Duration::from_secs((size / pace) as u64)
}

/// Gives up after a time, unless what this gives is dropped before.
fn until_sent(time: Duration, give_up: impl FnOnce() + Send + 'static) -> oneshot::Sender<()> {
    let (sent, is_sent) = oneshot::channel();
    tokio::spawn(async move {
        if tokio::time::timeout(time, is_sent).await.is_err() {
            give_up();
        }
    });
    sent
}

async fn held(pool: &Pool, party: &Party, bytes: Bytes) -> ApiResult<Bytes> {
    if bytes.len() <= limits::SMALL {
        return Ok(bytes);
    }
    let _lease = pool.get(party, bytes.len()).await?;
    Ok(Bytes::from_owner(Held { bytes, _lease }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_not_read_in_time_ends_its_connection() {
        let ends = |time| {
            let (end, ended) = oneshot::channel();
            (until_sent(time, move || assert!(end.send("ended").is_ok())), ended)
        };
        let (_unread, ended) = ends(Duration::ZERO);
        assert_eq!(ended.await, Ok("ended"));
        assert_eq!(time_to_read(6 << 20), Duration::from_secs(126));
        let (read, ended) = ends(Duration::from_secs(3600));
        drop(read);
        assert!(ended.await.is_err(), "it was read");
    }

    #[tokio::test]
    async fn a_page_of_a_user_whose_slow_request_runs_delays_no_others() {
        let shares = Shares::default();
        let [busy, other] = [1, 2].map(|at| Party::at([192, 0, 2, at].into()));
        let slow = shares.long.get(&busy, 1).await.unwrap();
        let mut waits = std::pin::pin!(shares.page(&busy));
        assert!(futures_now(waits.as_mut()).await.is_none());
        let page = futures_now(std::pin::pin!(shares.page(&other))).await;
        assert!(page.unwrap().is_ok(), "the other's page is first");
        drop(slow);
        assert!(waits.await.is_ok());
    }

    /// Output of a future that is ready at once; `None` if it has to wait.
    async fn futures_now<T>(mut future: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(match future.as_mut().poll(context) {
                std::task::Poll::Ready(done) => Some(done),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }

    #[tokio::test]
    async fn large_bodies_leave_room_for_small_ones() {
        let shares = Shares::default();
        let party = |at: u8| Party::at([192, 0, 2, at].into());
        let mut held = Vec::new();
        let mut left = limits::BODIES.all - limits::BODIES.kept;
        for at in 0.. {
            let amount = left.min(limits::BODIES.each);
            if amount <= limits::SMALL_BODY {
                break;
            }
            held.push(shares.body(&party(at), amount).await.unwrap());
            left -= amount;
        }
        assert!(shares.body(&party(100), 20).await.is_ok(), "{} clients hold the rest", held.len());
    }
}
