//! Fair shares of a limited resource, such as bytes of memory or threads.
//!
//! A [`Pool`] grants amounts. The user who has got least comes first, a user has only a part at once, and a part is reserved for
//! the system and its administrators. Waiting is bounded in time and in number.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::error::{ApiError, ApiResult};
use crate::identity::{Identity, MASTERS};
use crate::lane;
use crate::limits::{self, Bounds};

/// A user as shares are counted. All accounts of the namespaces that a user requested count as one, since the user can create any
/// number of both, as do those of a namespace that nobody requested; an anonymous client counts as its address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Party {
    name: Arc<str>,
    is_system: bool,
}

impl Party {
    /// The party of a user who is at an address; `requester` gives the user who requested a namespace.
    pub fn of(identity: &Identity, source: IpAddr, requester: impl FnOnce(&str) -> Option<Arc<str>>) -> Self {
        let is_system = identity.is_master()
            || ["system:node:", "system:kube-"].iter().any(|prefix| identity.name.starts_with(prefix));
        if identity.is_master() {
            return Self { name: MASTERS.into(), is_system };
        }
        if identity.name == crate::identity::ANONYMOUS {
            return Self::at(source);
        }
        let name = match identity.name.strip_prefix("system:serviceaccount:") {
            Some(account) => {
                let namespace = account.split(':').next().unwrap_or_default();
                // No user and no namespace has such a name.
                match requester(namespace) {
                    Some(user) => format!("accounts of {user:?}").into(),
                    None => format!("system:serviceaccount:{namespace}").into(),
                }
            }
            None => identity.name.as_str().into(),
        };
        Self { name, is_system }
    }

    /// The client at an address. An IPv6 network counts as one, since each machine has many addresses in it.
    pub fn at(source: IpAddr) -> Self {
        let name = match source.to_canonical() {
            IpAddr::V4(address) => format!("at {address}"),
            IpAddr::V6(address) => format!("at {:x}", address.to_bits() >> 64),
        };
        Self { name: name.into(), is_system: false }
    }
}

/// A limited resource.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bounds: Bounds,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: usize,
    /// The amount set aside: it counts against its party only.
    aside: usize,
    parties: HashMap<Party, Account>,
    /// The usage of the client that was served last: newcomers start there, so that nobody saves up.
    served: u64,
    turn: u64,
}

#[derive(Debug, Default)]
struct Account {
    held: usize,
    /// The usage so far.
    got: u64,
    waiting: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    amount: usize,
    turn: u64,
    grant: oneshot::Sender<Lease>,
}

/// An amount that is held until this is dropped.
#[derive(Debug)]
pub struct Lease {
    pool: Arc<Inner>,
    party: Party,
    amount: usize,
    is_aside: bool,
}

/// Leases of one request: its place, its turn and its memory.
#[derive(Debug, Default)]
pub struct Places(Mutex<Holds>);

#[derive(Debug, Default)]
struct Holds {
    place: Option<Lease>,
    /// The turn of a slow request.
    turn: Option<Lease>,
    memory: Vec<Lease>,
    /// Whether the memory is counted among that of requests which wait.
    is_apart: bool,
}

impl Places {
    fn holds(&self) -> MutexGuard<'_, Holds> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds a place among the requests.
    pub fn hold(&self, place: Lease) {
        self.holds().place = Some(place);
    }

    /// The name of the party that has the place; empty without one.
    pub fn party(&self) -> Arc<str> {
        self.holds().place.as_ref().map_or_else(|| "".into(), |place| Arc::clone(&place.party.name))
    }

    /// Holds a turn of slow requests.
    pub fn hold_turn(&self, turn: Lease) {
        self.holds().turn = Some(turn);
    }

    /// Holds memory too.
    pub fn hold_memory(&self, memory: Lease) {
        self.holds().memory.push(memory);
    }

    /// Gives back all but the place: the work is done.
    pub fn end_work(&self) {
        let holds = std::mem::take(&mut *self.holds());
        self.holds().place = holds.place;
    }

    /// Gives back everything.
    pub fn give_back(&self) {
        let holds = std::mem::take(&mut *self.holds());
        drop(holds);
    }

    /// Leaves place and turn to others for the rest of the request, which waits for a webhook, but still counts them against its
    /// party. Its memory is counted in one of `parts` from now on, the first that has room. Without any, this changes nothing.
    ///
    /// # Errors
    ///
    /// Requests that wait hold so much memory already that there is none for this one.
    pub fn set_aside(&self, parts: &[&Pool]) -> ApiResult<()> {
        let mut holds = self.holds();
        holds.move_memory(parts)?;
        let Holds { place, turn, .. } = &mut *holds;
        let mut leases = [place, turn].into_iter().flatten().peekable();
        if leases.peek().is_some() && leases.all(Lease::set_aside) {
            lane::leave();
        }
        Ok(())
    }
}

impl Holds {
    fn move_memory(&mut self, parts: &[&Pool]) -> ApiResult<()> {
        let Some(party) = self.memory.first().map(|lease| lease.party.clone()) else { return Ok(()) };
        if self.is_apart {
            return Ok(());
        }
        let amount: usize = self.memory.iter().map(|lease| lease.amount).sum();
        let lease = parts.iter().find_map(|part| part.get_now(&party, amount));
        let lease = lease.or_else(|| {
            let last = parts.last()?;
            last.get_now(&party, amount.min(last.0.bounds.each))
        });
        let lease = lease
            .ok_or_else(|| ApiError::busy("too many requests wait for webhooks, please try again later."));
        self.memory = vec![lease?];
        self.is_apart = true;
        Ok(())
    }
}

impl Pool {
    /// A pool of which nothing is held.
    pub fn new(bounds: Bounds) -> Self {
        Self(Arc::new(Inner { bounds, state: Mutex::default() }))
    }

    /// Waits for an amount, but not for long. What is more than one party may hold is as much as it may hold.
    ///
    /// # Errors
    ///
    /// There was none in time, or too many of this party wait already.
    pub async fn get(&self, party: &Party, amount: usize) -> ApiResult<Lease> {
        let amount = amount.min(self.0.bounds.each);
        let grant = self.0.wait(party, amount).ok_or_else(busy)?;
        self.0.settle();
        match tokio::time::timeout(limits::QUEUE_TIME, grant).await {
            Ok(Ok(lease)) => Ok(lease),
            _ => Err(busy()),
        }
    }

    /// An amount, if there is enough now. Those that wait need more than what there is.
    pub(crate) fn get_now(&self, party: &Party, amount: usize) -> Option<Lease> {
        let mut state = self.0.state();
        let held = state.parties.get(party).map_or(0, |account| account.held);
        if !state.fits(self.0.bounds, party, held, amount) {
            return None;
        }
        let served = state.served;
        state.held += amount;
        let account = state.parties.entry(party.clone());
        let account = account.or_insert_with(|| Account { got: served, ..Account::default() });
        account.held += amount;
        account.got += amount as u64;
        Some(Lease { pool: Arc::clone(&self.0), party: party.clone(), amount, is_aside: false })
    }

    /// The amount held now.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.0.state().held
    }
}

pub(crate) fn busy() -> Box<ApiError> {
    ApiError::busy("too many requests, please try again later.")
}

impl State {
    /// Whether a party that holds some may have more.
    fn fits(&self, bounds: Bounds, party: &Party, has: usize, amount: usize) -> bool {
        let all = if party.is_system { bounds.all } else { bounds.all.saturating_sub(bounds.kept) };
        has + amount <= bounds.each && self.held + amount <= all
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, party: &Party, amount: usize) -> Option<oneshot::Receiver<Lease>> {
        let mut state = self.state();
        let (served, turn) = (state.served, state.turn);
        state.turn += 1;
        let account = state
            .parties
            .entry(party.clone())
            .or_insert_with(|| Account { got: served, ..Account::default() });
        account.waiting.retain(|waiter| !waiter.grant.is_closed());
        if account.waiting.len() >= self.bounds.waiting {
            return None;
        }
        let (grant, granted) = oneshot::channel();
        account.waiting.push_back(Waiter { amount, turn, grant });
        Some(granted)
    }

    /// Gives what there is to those who wait.
    fn settle(self: &Arc<Self>) {
        loop {
            let Some((party, waiter)) = self.next() else { return };
            // One that no longer waits gives it back by dropping it.
            let lease = Lease { pool: Arc::clone(self), party, amount: waiter.amount, is_aside: false };
            drop(waiter.grant.send(lease));
        }
    }

    /// The next to be served, for whom the amount is counted.
    fn next(&self) -> Option<(Party, Waiter)> {
        let mut guard = self.state();
        let state = &mut *guard;
        state.parties.values_mut().for_each(|account| {
            while account.waiting.front().is_some_and(|waiter| waiter.grant.is_closed()) {
                account.waiting.pop_front();
            }
        });
        state.parties.retain(|_, account| account.held > 0 || !account.waiting.is_empty());
        let waiting = state.parties.iter().filter_map(|(party, account)| {
            let first = account.waiting.front()?;
            let fits = state.fits(self.bounds, party, account.held, first.amount);
            fits.then(|| ((account.got, first.turn), party.clone()))
        });
        let (_, party) = waiting.min_by_key(|(order, _)| *order)?;
        let account = state.parties.get_mut(&party)?;
        let waiter = account.waiting.pop_front()?;
        state.served = state.served.max(account.got);
        account.got += waiter.amount as u64;
        account.held += waiter.amount;
        state.held += waiter.amount;
        Some((party, waiter))
    }
}

impl Lease {
    /// Gives back what is more than an amount.
    pub fn shrink(&mut self, amount: usize) {
        let less = self.amount.saturating_sub(amount);
        self.give_back(less);
    }

    /// Counts it against its party only from now on, unless there is much of that already. Whether it does.
    fn set_aside(&mut self) -> bool {
        if self.is_aside {
            return true;
        }
        let mut state = self.pool.state();
        let has_room = state.aside + self.amount <= self.pool.bounds.all * limits::ASIDE;
        if has_room {
            state.aside += self.amount;
            state.held = state.held.saturating_sub(self.amount);
            self.is_aside = true;
        }
        drop(state);
        self.pool.settle();
        has_room
    }

    fn give_back(&mut self, amount: usize) {
        if amount == 0 {
            return;
        }
        self.amount -= amount;
        let mut state = self.pool.state();
        let counted = if self.is_aside { &mut state.aside } else { &mut state.held };
        *counted = counted.saturating_sub(amount);
        if let Some(account) = state.parties.get_mut(&self.party) {
            account.held = account.held.saturating_sub(amount);
        }
        drop(state);
        self.pool.settle();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.give_back(self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party(name: &str) -> Party {
        Party { name: name.into(), is_system: name == "system" }
    }

    const BOUNDS: Bounds = Bounds { all: 10, each: 4, kept: 2, waiting: 3 };

    #[tokio::test]
    async fn no_user_holds_more_than_their_share() {
        let pool = Pool::new(BOUNDS);
        let first = pool.get(&party("a"), 3).await.unwrap();
        let try_get = async |name: &str, amount| {
            tokio::time::timeout(std::time::Duration::from_millis(20), pool.get(&party(name), amount)).await
        };
        assert!(try_get("a", 2).await.is_err(), "a has its part");
        let second = try_get("b", 9).await.unwrap().unwrap();
        assert_eq!(pool.held(), 7, "what is more than a part is a part");
        assert!(try_get("c", 2).await.is_err(), "the rest is the system's");
        let third = try_get("system", 3).await.unwrap().unwrap();
        assert_eq!(pool.held(), 10);
        drop((first, second, third));
        assert_eq!(pool.held(), 0);
        let mut all = pool.get(&party("a"), 4).await.unwrap();
        all.shrink(1);
        assert_eq!(pool.held(), 1);
    }

    #[tokio::test]
    async fn requests_that_wait_leave_their_places_to_others_but_not_to_their_party() {
        let pool = Pool::new(Bounds { all: 5, each: 2, kept: 1, waiting: 3 });
        let try_get = async |name: &str| {
            tokio::time::timeout(std::time::Duration::from_millis(20), pool.get(&party(name), 1)).await
        };
        // Many users fill the pool again and again with requests that wait.
        let mut waiting = Vec::new();
        for name in ["a", "b", "c", "d", "e"] {
            for _ in 0..2 {
                let places = Places::default();
                places.hold(try_get(name).await.unwrap().unwrap());
                places.set_aside(&[]).unwrap();
                waiting.push(places);
            }
            assert!(try_get(name).await.is_err(), "{name} has its share");
        }
        assert_eq!(pool.held(), 0);
        let other = try_get("other").await.unwrap().unwrap();
        assert_eq!(pool.held(), 1);
        drop((waiting, other));
        assert_eq!((pool.held(), pool.0.state().aside), (0, 0));
        // There is an end to it.
        let mut all = Vec::new();
        for at in 0.. {
            let Ok(lease) = try_get(&format!("{at}")).await else { break };
            let places = Places::default();
            places.hold(lease.unwrap());
            places.set_aside(&[]).unwrap();
            all.push(places);
        }
        assert_eq!(all.len(), 5 * limits::ASIDE + 4);
    }

    #[tokio::test]
    async fn the_user_with_the_smallest_share_comes_first() {
        let pool = Pool::new(Bounds { all: 1, each: 1, kept: 0, waiting: 3 });
        let held = pool.get(&party("a"), 1).await.unwrap();
        let wait = |name: &str| pool.0.wait(&party(name), 1);
        let mut flood: Vec<_> = (0..3).map(|_| wait("a").unwrap()).collect();
        assert!(wait("a").is_none(), "no more of one wait");
        let mut other = wait("b").unwrap();
        drop(held);
        assert!(flood[0].try_recv().is_err());
        drop(other.try_recv().unwrap());
        drop(flood.remove(1));
        drop(flood[0].try_recv().unwrap());
        drop(flood[1].try_recv().unwrap());
        assert_eq!(pool.held(), 0);
    }

    #[test]
    fn accounts_of_a_namespace_and_addresses_of_a_net_are_one_party() {
        let here: IpAddr = "127.0.0.1".parse().unwrap();
        let requester = |namespace: &str| namespace.starts_with("of-alice").then(|| "alice".into());
        let of = |identity: &Identity| Party::of(identity, here, requester);
        let account = |namespace: &str, name: &str| of(&Identity::service_account(namespace, name, ""));
        assert_eq!(account("a", "x"), account("a", "y"));
        assert_ne!(account("a", "x"), account("b", "x"));
        assert_eq!(account("of-alice-1", "x"), account("of-alice-2", "y"), "one user's projects");
        let alice = Identity { name: "alice".to_owned(), ..Identity::service_account("a", "x", "") };
        assert_ne!(account("of-alice-1", "x"), of(&alice), "not the user, who is served beside them");
        let at = |address: &str| Party::at(address.parse().unwrap());
        assert_eq!(at("2001:db8::1"), at("2001:db8::2"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:1::1"));
        assert_eq!(at("::ffff:127.0.0.1"), at("127.0.0.1"));
        assert!(of(&Identity::system()).is_system);
    }
}
