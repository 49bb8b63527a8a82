//! Open connections, and how many of them one client may have.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The part of the free connections that one client may have.
const PART: usize = 8;
/// Connections that a client may have in any case, until there are twice as many as planned.
const FEW: usize = 4;

/// The open connections by the address of their client.
#[derive(Debug)]
pub(crate) struct Open {
    most: usize,
    counts: Mutex<HashMap<IpAddr, usize>>,
}

/// A client's connection, which counts until this is dropped.
pub(crate) struct Ticket {
    open: Arc<Open>,
    client: IpAddr,
}

impl Open {
    /// For about so many connections.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, counts: Mutex::default() })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection, unless the client has its part.
    pub(crate) fn enter(self: &Arc<Self>, client: IpAddr) -> Option<Ticket> {
        let mut counts = self.counts();
        let all: usize = counts.values().sum();
        let own = counts.get(&client).copied().unwrap_or_default();
        let part = (self.most.saturating_sub(all) / PART).max(FEW);
        if own >= part || all >= 2 * self.most {
            return None;
        }
        counts.insert(client, own + 1);
        drop(counts);
        Some(Ticket { open: Arc::clone(self), client })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut counts = self.open.counts();
        let left = counts.get(&self.client).map_or(0, |count| count.saturating_sub(1));
        match left {
            0 => drop(counts.remove(&self.client)),
            left => drop(counts.insert(self.client, left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_connections_to_others() {
        const MOST: usize = 2048;
        let open = Open::new(MOST);
        let enter = |last: u16| open.enter(IpAddr::from([10, 85, 0, 0, 0, 0, 0, last]));
        let mut held: Vec<Ticket> = (0..MOST).map_while(|_| enter(2)).collect();
        assert_eq!((held.len(), enter(2).is_none()), (227, true), "a ninth of all");
        held.pop();
        assert!(enter(2).is_some(), "a connection that has ended does not count");
        for last in 3..256 {
            let own: Vec<Ticket> = (0..MOST).map_while(|_| enter(last)).collect();
            assert!(own.len() >= FEW, "{last}, after {}", held.len());
            held.extend(own);
        }
        for last in 256..4096 {
            held.extend((0..MOST).map_while(|_| enter(last)));
        }
        assert_eq!(held.len(), 2 * MOST, "there is a bound for any number of clients");
        held.clear();
        assert!(open.counts().is_empty());
    }
}
