//! Open connections by the address of their client, and which of them gives way to that of another address.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Number of connections by which an address may exceed another without losing one that is in use to it: a client that has a
/// few is kept, however many others have one.
const MANY: usize = 6;

/// The open connections of a listener.
#[derive(Debug, Default)]
pub(crate) struct Addresses(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    /// The connections that have had no request, among them those without a finished handshake.
    unused: Group,
    /// The others.
    used: Group,
    /// The number of the next connection.
    next: u64,
}

/// Connections by address.
#[derive(Debug, Default)]
struct Group {
    /// The connections of each address by their number, the newest last.
    of: HashMap<IpAddr, BTreeMap<u64, Arc<Notify>>>,
    /// The addresses in the order of how many connections they have.
    by_count: BTreeSet<(usize, IpAddr)>,
}

/// An open connection of an address.
pub(crate) struct Place {
    all: Arc<Addresses>,
    address: IpAddr,
    number: u64,
    closing: Arc<Notify>,
}

/// Ends a connection from one of its requests.
#[derive(Clone, Debug)]
pub struct Hangup(Arc<Notify>);

impl Hangup {
    /// Ends the connection, with all that is not sent.
    pub fn now(&self) {
        self.0.notify_one();
    }
}

impl Addresses {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more connection of an address, unless it has so many already.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<Place> {
        let address = source(address);
        let mut open = self.open();
        if open.count(address) >= most {
            return None;
        }
        let number = open.next;
        open.next += 1;
        let closing = Arc::new(Notify::new());
        open.unused.change(address, |connections| connections.insert(number, Arc::clone(&closing)));
        Some(Place { all: Arc::clone(self), address, number, closing })
    }

    /// Closes a connection in favour of a new one, or of one that is not accepted yet: the oldest without a request, of the address
    /// with the most of these, if that has as many connections as the new one's; else the newest of the address with the most, if that
    /// has [`MANY`] more. Whether there was one.
    pub(crate) fn make_room(&self, newcomer: Option<&Place>) -> bool {
        let mut open = self.open();
        let own = newcomer.map_or(1, |newcomer| open.count(newcomer.address));
        // The newcomer has had no request either, and does not give way to itself.
        let alone =
            newcomer.map(|newcomer| newcomer.address).filter(|address| open.unused.count(*address) == 1);
        let closed = if let Some(address) = open.unused.largest(own, alone) {
            open.unused.change(address, BTreeMap::pop_first)
        } else if let Some(address) = open.used.largest(own + MANY, None) {
            open.used.change(address, BTreeMap::pop_last)
        } else {
            None
        };
        closed.inspect(|(_, closing)| closing.notify_one()).is_some()
    }
}

/// The client that an address stands for: of IPv6, a network.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => {
            let [a, b, c, d, ..] = six.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        four => four,
    }
}

impl Open {
    fn count(&self, address: IpAddr) -> usize {
        self.unused.count(address) + self.used.count(address)
    }
}

impl Group {
    fn count(&self, address: IpAddr) -> usize {
        self.of.get(&address).map_or(0, BTreeMap::len)
    }

    /// The address with the most connections, one excepted, if these are at least so many.
    fn largest(&self, least: usize, except: Option<IpAddr>) -> Option<IpAddr> {
        let mut others = self.by_count.iter().rev().filter(|(_, address)| Some(*address) != except);
        others.next().filter(|(count, _)| *count >= least).map(|(_, address)| *address)
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
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.all.open().count(self.address)
    }

    /// Notes that a request has come.
    pub(crate) fn note_request(&self) {
        let mut open = self.all.open();
        if let Some(closing) =
            open.unused.change(self.address, |connections| connections.remove(&self.number))
        {
            open.used.change(self.address, |connections| connections.insert(self.number, closing));
        }
    }

    /// What ends the connection.
    pub(crate) fn hangup(&self) -> Hangup {
        Hangup(Arc::clone(&self.closing))
    }

    /// Waits until the connection is to give way to another, or to end otherwise.
    pub(crate) async fn closing(&self) {
        self.closing.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.all.open();
        open.unused.change(self.address, |connections| connections.remove(&self.number));
        open.used.change(self.address, |connections| connections.remove(&self.number));
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
        assert!(open.unused.of.is_empty() && open.unused.by_count.is_empty());
    }

    #[test]
    fn networks_of_ipv6_count_as_one_client() {
        for (text, client) in [
            ("10.0.0.1", "10.0.0.1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ] {
            assert_eq!(source(address(text)), address(client));
        }
    }

    #[tokio::test]
    async fn connections_without_a_request_give_way_first_the_oldest_before() {
        let addresses = Arc::new(Addresses::default());
        let enter = |text| addresses.enter(address(text), 9).unwrap();
        let (many, few) = ([0; 3].map(|_| enter("10.0.0.1")), enter("10.0.0.2"));
        many[0].note_request();
        assert!(addresses.make_room(Some(&few)));
        // It no longer counts, though it is not gone yet.
        assert_eq!(many.each_ref().map(Place::count), [2; 3]);
        many[1].closing().await;
        many[1].note_request();
        assert_eq!(many[1].count(), 2);
        drop(many);
        assert_eq!(few.count(), 1);
        assert_eq!(addresses.open().unused.by_count.len(), 1);
        assert!(addresses.open().used.of.is_empty());
    }

    #[tokio::test]
    async fn of_connections_in_use_the_newest_of_the_address_with_many_gives_way() {
        let addresses = Arc::new(Addresses::default());
        let enter = |text: &str| {
            let place = addresses.enter(address(text), 99).unwrap();
            place.note_request();
            place
        };
        // An API server with a few is kept, however many others have one.
        let few = [0; MANY].map(|_| enter("10.0.0.2"));
        let ones: Vec<Place> = (3..200).map(|last| enter(&format!("10.0.0.{last}"))).collect();
        let newcomer = addresses.enter(address("10.0.1.1"), 99).unwrap();
        assert!(!addresses.make_room(Some(&newcomer)));
        let many = [0; MANY + 1].map(|_| enter("10.0.0.1"));
        assert!(addresses.make_room(Some(&newcomer)) && !addresses.make_room(Some(&newcomer)));
        many[MANY].closing().await;
        // Of two newcomers the one whose address has more gives way.
        let second = addresses.enter(address("10.0.1.1"), 99).unwrap();
        assert!(addresses.make_room(Some(&second)));
        newcomer.closing().await;
        drop((few, ones));
    }
}
