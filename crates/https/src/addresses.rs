//! Open connections by the address of their client, and which of them gives way to that of another address.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The open connections of a listener.
#[derive(Debug, Default)]
pub(crate) struct Addresses(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    /// The connections of each address by their number, the newest last.
    of: HashMap<IpAddr, BTreeMap<u64, Arc<Notify>>>,
    /// The addresses in the order of how many connections they have.
    by_count: BTreeSet<(usize, IpAddr)>,
    /// The number of the next connection.
    next: u64,
}

/// An open connection of an address.
pub(crate) struct Place {
    all: Arc<Addresses>,
    address: IpAddr,
    number: u64,
    closing: Arc<Notify>,
}

impl Addresses {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more connection of an address, unless it has so many already.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<Place> {
        let address = address.to_canonical();
        let mut open = self.open();
        if open.count(address) >= most {
            return None;
        }
        let number = open.next;
        open.next += 1;
        let closing = Arc::new(Notify::new());
        open.change(address, |connections| connections.insert(number, Arc::clone(&closing)));
        Some(Place { all: Arc::clone(self), address, number, closing })
    }

    /// Closes the newest connection of the address that has the most, if these are more than `own`: whoever opens many
    /// loses one, and those that it opened before go on. Whether there was one.
    pub(crate) fn make_room(&self, own: usize) -> bool {
        let mut open = self.open();
        let Some((_, address)) = open.by_count.last().copied().filter(|(count, _)| *count > own) else {
            return false;
        };
        let newest = open.change(address, BTreeMap::pop_last);
        newest.inspect(|(_, closing)| closing.notify_one()).is_some()
    }
}

impl Open {
    fn count(&self, address: IpAddr) -> usize {
        self.of.get(&address).map_or(0, BTreeMap::len)
    }

    /// Changes the connections of an address, and its position by their number.
    fn change<T>(&mut self, address: IpAddr, change: impl FnOnce(&mut BTreeMap<u64, Arc<Notify>>) -> T) -> T {
        self.by_count.remove(&(self.count(address), address));
        let connections = self.of.entry(address).or_default();
        let changed = change(connections);
        match connections.len() {
            0 => drop(self.of.remove(&address)),
            count => drop(self.by_count.insert((count, address))),
        }
        changed
    }
}

impl Place {
    /// The number of connections of its address, this one included.
    pub(crate) fn count(&self) -> usize {
        self.all.open().count(self.address)
    }

    /// Waits until the connection is to give way to another.
    pub(crate) async fn closing(&self) {
        self.closing.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.open().change(self.address, |connections| connections.remove(&self.number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_no_more_connections_than_its_part() {
        let addresses = Arc::new(Addresses::default());
        let [one, other] = ["10.0.0.1", "::1"].map(address);
        let first = addresses.enter(one, 2);
        let second = addresses.enter(address("::ffff:10.0.0.1"), 2);
        assert!(first.is_some() && second.is_some());
        assert!(addresses.enter(one, 2).is_none() && addresses.enter(other, 2).is_some());
        drop(first);
        assert!(addresses.enter(one, 2).is_some());
        drop(second);
        let open = addresses.open();
        assert!(open.of.is_empty() && open.by_count.is_empty());
    }

    #[tokio::test]
    async fn the_newest_of_the_address_with_the_most_gives_way() {
        let addresses = Arc::new(Addresses::default());
        let enter = |text| addresses.enter(address(text), 9).unwrap();
        let (many, few) = ([0; 3].map(|_| enter("10.0.0.1")), enter("10.0.0.2"));
        assert!(!addresses.make_room(3) && addresses.make_room(few.count()));
        // It no longer counts, though it is not gone yet.
        assert_eq!(many.each_ref().map(Place::count), [2; 3]);
        many[2].closing().await;
        assert!(addresses.make_room(few.count()) && !addresses.make_room(few.count()));
        many[1].closing().await;
        drop(many);
        assert_eq!(few.count(), 1);
        assert_eq!(addresses.open().by_count.len(), 1);
    }
}
