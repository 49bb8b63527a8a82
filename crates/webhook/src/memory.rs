//! The memory that clients make a replica hold: any client that reaches its port may post a review without
//! authentication.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Total size of the bodies held at once, in KiB.
const ALL: usize = 36 << 10;
/// The same for one address. An API server's requests are a few KiB each.
const EACH: usize = 12 << 10;
/// Time that a request waits for its memory; the API server's timeout is three seconds in all.
const WAIT: Duration = Duration::from_secs(1);
/// Number of remembered addresses from which on those without memory are forgotten.
const ADDRESSES: usize = 1024;

/// The largest object, by the weight of its values in memory, that is parsed: API servers accept lighter ones only.
pub(crate) const WEIGHT: usize = 32 << 20;

/// Memory for bodies, shared by addresses.
#[derive(Debug)]
pub(crate) struct Memory {
    all: Arc<Semaphore>,
    each: Mutex<HashMap<IpAddr, Weak<Semaphore>>>,
    wait: Duration,
}

/// Acquired memory, which is released on drop.
#[derive(Debug)]
pub(crate) struct Held(#[expect(dead_code, reason = "held for its end")] [OwnedSemaphorePermit; 2]);

impl Default for Memory {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(ALL)), each: Mutex::default(), wait: WAIT }
    }
}

impl Memory {
    /// Memory for a body of a number of bytes from an address; `None` if there is none in time.
    pub(crate) async fn take(&self, address: IpAddr, bytes: usize) -> Option<Held> {
        let amount = u32::try_from(bytes.div_ceil(1024).clamp(1, EACH)).ok()?;
        let own = self.of(address);
        let both = async {
            // The address's own part first: a request that waits for it does not block other addresses.
            let own = own.acquire_many_owned(amount).await.ok()?;
            let all = Arc::clone(&self.all).acquire_many_owned(amount).await.ok()?;
            Some(Held([own, all]))
        };
        tokio::time::timeout(self.wait, both).await.ok().flatten()
    }

    fn of(&self, address: IpAddr) -> Arc<Semaphore> {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        if each.len() >= ADDRESSES {
            each.retain(|_, part| part.strong_count() > 0);
        }
        if let Some(part) = each.get(&address).and_then(Weak::upgrade) {
            return part;
        }
        let part = Arc::new(Semaphore::new(EACH));
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
        assert!(memory.take(first, 1).await.is_none(), "its part is held");
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
        for last in 1..=3 {
            held.push(memory.take(IpAddr::from([10, 0, 0, last]), 12 << 20).await.unwrap());
        }
        assert!(memory.take(IpAddr::from([10, 0, 0, 4]), 1).await.is_none());
        drop(held);
        assert!(memory.take(IpAddr::from([10, 0, 0, 4]), 1).await.is_some());
    }
}
