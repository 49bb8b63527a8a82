//! The memory that clients make a replica hold: any client that reaches its port may post a review without
//! authentication.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Size of the large bodies that are held at once, in KiB: of all and of one address.
const ALL: [usize; 2] = [24 << 10, 12 << 10];
/// The same of small ones, which large ones cannot take: an API server's requests are a few KiB each.
const ALL_SMALL: [usize; 2] = [16 << 10, 512];
/// Size of a body from which on its review is large, in bytes: what is read of one may weigh many times its text.
const LARGE: usize = 64 << 10;
/// Large reviews that are answered at once, each of another address.
const LARGE_ONES: usize = 2;
/// Time that a request waits for its part; the API server has given it three seconds in all.
const WAIT: Duration = Duration::from_secs(1);
/// Number of remembered addresses from which on those without memory are forgotten.
const ADDRESSES: usize = 1024;

/// The largest object, by what its values weigh in memory, that is read as values: what an API server takes is lighter.
pub(crate) const WEIGHT: usize = 16 << 20;

/// Memory for bodies, shared by addresses.
#[derive(Debug)]
pub(crate) struct Memory {
    all: Arc<Semaphore>,
    small: Arc<Semaphore>,
    each: Mutex<HashMap<IpAddr, Weak<Part>>>,
    large: Arc<Semaphore>,
    wait: Duration,
}

/// The part of one address: bodies, and a large review.
#[derive(Debug)]
struct Part {
    bodies: Arc<Semaphore>,
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

/// A part of it, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    #[expect(dead_code, reason = "held for its end")]
    permits: [OwnedSemaphorePermit; 2],
    part: Arc<Part>,
}

/// The leave to answer a review, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(#[expect(dead_code, reason = "held for its end")] Option<[OwnedSemaphorePermit; 2]>);

impl Default for Memory {
    fn default() -> Self {
        let large = Arc::new(Semaphore::new(LARGE_ONES));
        let [all, small] = [ALL, ALL_SMALL].map(|[all, _]| Arc::new(Semaphore::new(all)));
        Self { all, small, each: Mutex::default(), large, wait: WAIT }
    }
}

impl Memory {
    /// Memory for a body of a number of bytes from an address; `None` if there is none in time.
    pub(crate) async fn take(&self, address: IpAddr, bytes: usize) -> Option<Held> {
        let amount = u32::try_from(bytes.div_ceil(1024).clamp(1, ALL[1])).ok()?;
        let part = self.of(address);
        let (own, all) = match bytes < LARGE {
            true => (Arc::clone(&part.small), Arc::clone(&self.small)),
            false => (Arc::clone(&part.bodies), Arc::clone(&self.all)),
        };
        let both = async {
            // The address's own part first: a request that waits for it does not delay other addresses.
            let own = own.acquire_many_owned(amount).await.ok()?;
            let all = all.acquire_many_owned(amount).await.ok()?;
            Some(Held { permits: [own, all], part })
        };
        tokio::time::timeout(self.wait, both).await.ok().flatten()
    }

    /// The leave to answer a review of a number of bytes that are held; none if there is none in time.
    pub(crate) async fn turn(&self, held: &Held, bytes: usize) -> Option<Turn> {
        if bytes < LARGE {
            return Some(Turn(None));
        }
        let both = async {
            let own = Arc::clone(&held.part.large).acquire_owned().await.ok()?;
            let all = Arc::clone(&self.large).acquire_owned().await.ok()?;
            Some(Turn(Some([own, all])))
        };
        tokio::time::timeout(self.wait, both).await.ok().flatten()
    }

    fn of(&self, address: IpAddr) -> Arc<Part> {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        if each.len() >= ADDRESSES {
            each.retain(|_, part| part.strong_count() > 0);
        }
        if let Some(part) = each.get(&address).and_then(Weak::upgrade) {
            return part;
        }
        let [bodies, small, large] = [ALL[1], ALL_SMALL[1], 1].map(|count| Arc::new(Semaphore::new(count)));
        let part = Arc::new(Part { bodies, small, large });
        each.insert(address, Arc::downgrade(&part));
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_holds_no_more_than_its_part() {
        let memory = Memory { wait: Duration::from_millis(20), ..Memory::default() };
        let [first, second]: [IpAddr; 2] = ["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
        let held = memory.take(first, 12 << 20).await.unwrap();
        assert!(memory.take(first, LARGE).await.is_none(), "its part is held");
        assert!(memory.take(second, 8 << 20).await.is_some(), "another's is not");
        drop(held);
        assert!(memory.take(first, 12 << 20).await.is_some());
        // A request for more than the whole part gets the whole part.
        assert!(memory.take(first, usize::MAX).await.is_some());
    }

    #[tokio::test]
    async fn all_addresses_hold_no_more_than_there_is() {
        let memory = Memory { wait: Duration::from_millis(20), ..Memory::default() };
        let mut held = Vec::new();
        for last in 1..=2 {
            held.push(memory.take(IpAddr::from([10, 0, 0, last]), 12 << 20).await.unwrap());
        }
        assert!(memory.take(IpAddr::from([10, 0, 0, 4]), LARGE).await.is_none());
        drop(held);
        assert!(memory.take(IpAddr::from([10, 0, 0, 4]), LARGE).await.is_some());
    }

    #[tokio::test]
    async fn small_bodies_have_memory_of_their_own() {
        let memory = Memory { wait: Duration::from_millis(20), ..Memory::default() };
        let mut held = Vec::new();
        // 25 addresses hold all that they get, of large bodies and of small ones.
        for last in 1..=25 {
            let address = IpAddr::from([10, 0, 0, last]);
            held.extend(memory.take(address, 12 << 20).await);
            for _ in 0..20 {
                held.extend(memory.take(address, LARGE - 1).await);
            }
        }
        assert!(memory.take(IpAddr::from([10, 0, 0, 1]), LARGE - 1).await.is_none(), "it has its part");
        assert!(memory.take(IpAddr::from([10, 0, 0, 26]), LARGE - 1).await.is_some());
    }

    #[tokio::test]
    async fn large_reviews_are_answered_one_at_a_time_of_an_address() {
        let memory = Memory { wait: Duration::from_millis(20), ..Memory::default() };
        let mut held = Vec::new();
        for last in [1, 1, 2, 3] {
            held.push(memory.take(IpAddr::from([10, 0, 0, last]), 2 << 20).await.unwrap());
        }
        let first = memory.turn(&held[0], 2 << 20).await.unwrap();
        assert!(memory.turn(&held[1], 2 << 20).await.is_none(), "its address has its turn");
        assert!(memory.turn(&held[1], 1000).await.is_some(), "small ones wait for nobody");
        let _second = memory.turn(&held[2], 2 << 20).await.unwrap();
        assert!(memory.turn(&held[3], 2 << 20).await.is_none());
        drop(first);
        assert!(memory.turn(&held[3], 2 << 20).await.is_some());
    }
}
