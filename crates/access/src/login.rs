//! Logins with passwords: limits on failed tries, and the thread that computes hashes.
//!
//! A hash takes as much processor time as a thousand other requests, and any client may request one. So hashes are computed one
//! after the other on a thread of low priority, in turns among addresses. After too many failures an address has to wait, for any
//! name, and longer for the name that was tried. A name is never locked, so that no user can lock out another: the right
//! password works from other addresses at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use palisade_api::identity::basic;
use palisade_store::Store;

use crate::error::{ApiError, ApiResult};
use crate::failure;
use crate::lane::Lane;
use crate::limits::{self, Bounds};
use crate::password;
use crate::share::{Party, Pool};
use crate::token::User;

/// The logins of a server.
#[derive(Debug)]
pub struct Logins {
    lane: Lane,
    turns: Pool,
    failures: Mutex<HashMap<Place, Failures>>,
}

/// The key that failures are counted by: an address, or an address and the name that it tried.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place(Party, Option<String>);

impl Place {
    /// Number of consecutive failures without a delay, and the seconds after which one is forgotten.
    fn patience(&self) -> (f64, f64) {
        if self.1.is_some() { limits::GUESSES } else { limits::FAILURES }
    }
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: f64,
    at: Instant,
}

impl Failures {
    fn left(self, now: Instant, seconds: f64) -> f64 {
        (self.count - now.saturating_duration_since(self.at).as_secs_f64() / seconds).max(0.0)
    }
}

impl Default for Logins {
    fn default() -> Self {
        let bounds = Bounds { all: 1, each: 1, kept: 0, waiting: limits::LOGINS };
        Self { lane: Lane::start(1), turns: Pool::new(bounds), failures: Mutex::default() }
    }
}

impl Logins {
    /// The user behind a name and a password, of those made with `palisade user`.
    ///
    /// # Errors
    ///
    /// Too many try, or have failed, from this address.
    pub async fn check(&self, store: &Store, source: IpAddr, header: &str) -> ApiResult<Option<User>> {
        let Some((name, password)) = basic(header) else { return Ok(None) };
        self.check_password(store, source, name, password).await
    }

    /// The same, of a name and a password.
    ///
    /// # Errors
    ///
    /// Too many try, or have failed, from this address.
    pub async fn check_password(
        &self,
        store: &Store,
        source: IpAddr,
        name: String,
        password: String,
    ) -> ApiResult<Option<User>> {
        let party = Party::at(source);
        let turn = self.turns.get(&party, 1).await?;
        // A name that nobody can have is counted as any other.
        let tried: String = name.chars().take(limits::NAME).collect();
        let places = [Place(party.clone(), None), Place(party, Some(tried))];
        self.begin(&places, Instant::now())?;
        let store = store.clone();
        let found = self.lane.run(move || password::check(&store, &name, &password)).await;
        drop(turn);
        let found = found.ok_or_else(|| ApiError::internal("the password cannot be checked"))?;
        if found.is_some() {
            self.succeed(&places);
        }
        Ok(found)
    }

    /// Counts a try as a failure until it is known to be none.
    fn begin(&self, places: &[Place], now: Instant) -> ApiResult<()> {
        let mut all = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= limits::PLACES {
            all.retain(|place, failures| failures.left(now, place.patience().1) > 0.0);
            if all.len() >= limits::PLACES {
                all.clear();
            }
        }
        let mut counts = Vec::with_capacity(places.len());
        for place in places {
            let (free, seconds) = place.patience();
            let count = 1.0 + all.get(place).map_or(0.0, |failures| failures.left(now, seconds));
            let wait = (count - free) * seconds;
            if wait > 0.0 {
                return Err(failure::too_often("too many failed logins", wait.ceil() as u64));
            }
            counts.push(count);
        }
        for (place, count) in places.iter().zip(counts) {
            all.insert(place.clone(), Failures { count, at: now });
        }
        Ok(())
    }

    fn succeed(&self, places: &[Place]) {
        let mut all = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        for place in places {
            match all.get_mut(place) {
                // The address keeps what other names have cost it: else one good password would pay for all guesses.
                Some(failures) if place.1.is_none() => failures.count = (failures.count - 1.0).max(0.0),
                _ => drop(all.remove(place)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn failed_logins_delay_only_that_name_at_that_address() {
        let logins = Logins::default();
        let places = |address: &str, name: &str| {
            let party = Party::at(address.parse().unwrap());
            [Place(party.clone(), None), Place(party, Some(name.to_owned()))]
        };
        let now = Instant::now();
        let (guesses, forgotten) = limits::GUESSES;
        let bob = places("10.0.0.1", "bob");
        for _ in 0..guesses as usize {
            logins.begin(&bob, now).unwrap();
        }
        let refused = logins.begin(&bob, now).unwrap_err();
        assert_eq!(
            (refused.reason.code(), refused.details.unwrap()["retryAfterSeconds"].as_u64().is_some()),
            (429, true)
        );
        // From elsewhere, and for another name, it goes on.
        logins.begin(&places("10.0.0.2", "bob"), now).unwrap();
        logins.begin(&places("10.0.0.1", "eve"), now).unwrap();
        // One more after a while.
        let later = now + Duration::from_secs_f64(forgotten + 0.1);
        logins.begin(&bob, later).unwrap();
        logins.begin(&bob, later).unwrap_err();
        logins.succeed(&bob);
        logins.begin(&bob, later).unwrap();
        // Many names do not help.
        let many =
            (0..100).filter(|n| logins.begin(&places("10.0.0.3", &n.to_string()), now).is_ok()).count();
        assert_eq!(many, limits::FAILURES.0 as usize);
    }
}
