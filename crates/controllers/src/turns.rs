//! Turns: the order in which the work of parties runs, so that no party delays the others.
//!
//! Work may wait for admission webhooks for as long as these like. So work that takes long does not count against the threads
//! that others have: further threads take its place, up to a bound. Those who requested namespaces take turns, whatever the
//! number of their namespaces, and none has many threads; those whose work is slow have one.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;
use std::time::Instant;

use palisade_admission::PolicyCache;

use crate::limits::{self, Bounds};

/// The work of a namespace that is due, in its order.
pub(crate) trait Work: Default {
    /// One piece of it.
    type Piece;

    /// The threads for such work.
    const BOUNDS: Bounds;

    /// Takes the first piece.
    fn pop(&mut self) -> Option<Self::Piece>;

    /// Whether nothing is left.
    fn is_empty(&self) -> bool;
}

/// A party to the turns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Party {
    /// A user, for all namespaces that the user requested.
    Requester(Arc<str>),
    /// A namespace that nobody requested.
    Namespace(String),
}

/// How long the work of a party takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// The last took little time.
    Quick,
    /// One took long, which counts until then.
    SlowUntil(Instant),
}

/// The due work of a party, by namespace.
#[derive(Debug)]
struct Due<W> {
    of: BTreeMap<String, W>,
    /// The namespace that had its turn last.
    last: String,
}

/// Work that is going on.
#[derive(Debug)]
struct Going {
    party: Party,
    namespace: String,
    begun: Instant,
}

impl Going {
    fn is_long(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.begun) >= limits::QUICK
    }
}

/// What decides about a turn, counted once for all parties.
struct Count<'t> {
    /// The works of each party that go on, and whether one takes long.
    parties: HashMap<&'t Party, (usize, bool)>,
    long: usize,
    /// Works of parties that are not known to be quick.
    unproven: usize,
}

/// The turns at some threads.
#[derive(Debug, Default)]
pub(crate) struct Turns<W> {
    policy: Arc<PolicyCache>,
    due: BTreeMap<Party, Due<W>>,
    /// The party under which a namespace has due work: its requester may change meanwhile.
    at: HashMap<String, Party>,
    /// The party that had its turn last.
    last: Option<Party>,
    going: BTreeMap<u64, Going>,
    begun: u64,
    /// Threads in the place of works that take long.
    further: usize,
    paces: HashMap<Party, Pace>,
}

impl<W: Work> Turns<W> {
    /// Turns of the requesters that a policy knows.
    pub(crate) fn new(policy: Arc<PolicyCache>) -> Self {
        Self { policy, ..Self::default() }
    }

    /// The due work of a namespace, to which a piece is added.
    pub(crate) fn due(&mut self, namespace: &str) -> &mut W {
        let new = || {
            let policy = self.policy.snapshot();
            let requester = policy.namespace(namespace).and_then(palisade_admission::Namespace::requester);
            requester.map_or_else(
                || Party::Namespace(namespace.to_owned()),
                |name| Party::Requester(Arc::clone(name)),
            )
        };
        let party = self.at.entry(namespace.to_owned()).or_insert_with(new).clone();
        let due = self.due.entry(party).or_insert_with(|| Due { of: BTreeMap::new(), last: String::new() });
        due.of.entry(namespace.to_owned()).or_default()
    }

    fn count(&self, now: Instant) -> Count<'_> {
        let mut count = Count { parties: HashMap::new(), long: 0, unproven: 0 };
        for going in self.going.values() {
            let (works, has_long) = count.parties.entry(&going.party).or_default();
            *works += 1;
            *has_long |= going.is_long(now);
            count.long += usize::from(going.is_long(now));
        }
        let unproven =
            count.parties.iter().filter(|(party, (_, has_long))| *has_long || !self.is_quick(party));
        count.unproven = unproven.map(|(_, (works, _))| works).sum();
        count
    }

    fn is_quick(&self, party: &Party) -> bool {
        self.paces.get(party) == Some(&Pace::Quick)
    }

    /// Whether a party may have one more thread: several at once only if its work is quick, and never the last few threads
    /// otherwise.
    fn may(&self, party: &Party, count: &Count<'_>) -> bool {
        let (works, has_long) = count.parties.get(party).copied().unwrap_or_default();
        let is_quick = self.is_quick(party) && !has_long;
        let share = if is_quick && count.long < W::BOUNDS.threads { W::BOUNDS.party } else { 1 };
        let is_left = count.unproven < W::BOUNDS.most - W::BOUNDS.threads.div_ceil(4);
        works < share && (is_quick || is_left)
    }

    /// The next party and namespace, after those that had their turn last.
    fn next(&self, now: Instant) -> Option<(Party, String)> {
        let count = self.count(now);
        let is_full = self.going.len() - count.long >= W::BOUNDS.threads;
        if is_full || self.going.len() >= W::BOUNDS.most {
            return None;
        }
        let after = self.last.as_ref().map(|last| self.due.range((Excluded(last), Unbounded)));
        let ring = after.into_iter().flatten().chain(&self.due);
        let mut may = ring.filter(|(party, _)| self.may(party, &count));
        may.find_map(|(party, due)| Some((party.clone(), self.next_of(due)?)))
    }

    fn next_of(&self, due: &Due<W>) -> Option<String> {
        let works =
            |namespace: &str| self.going.values().filter(|going| going.namespace == namespace).count();
        let after = due.of.range::<str, _>((Excluded(&*due.last), Unbounded)).chain(&due.of);
        after.map(|(name, _)| name).find(|name| works(name) < W::BOUNDS.namespace).cloned()
    }

    /// Begins the next piece of work, which [`end`](Self::end) is told of by its number.
    pub(crate) fn take(&mut self, now: Instant) -> Option<(u64, W::Piece)> {
        let (party, namespace) = self.next(now)?;
        let due = self.due.get_mut(&party)?;
        let work = due.of.get_mut(&namespace)?;
        let piece = work.pop();
        if work.is_empty() {
            due.of.remove(&namespace);
            self.at.remove(&namespace);
        }
        due.last.clone_from(&namespace);
        if due.of.is_empty() {
            self.due.remove(&party);
        }
        self.last = Some(party.clone());
        let piece = piece?;
        self.begun += 1;
        self.going.insert(self.begun, Going { party, namespace, begun: now });
        Some((self.begun, piece))
    }

    /// Work has ended.
    pub(crate) fn end(&mut self, number: u64, now: Instant) {
        let Some(going) = self.going.remove(&number) else { return };
        // Parties come and go: all are forgotten now and then.
        if self.paces.len() >= limits::PACES {
            self.paces.clear();
        }
        let pace = self.paces.get(&going.party).copied();
        let pace = match pace {
            _ if going.is_long(now) => Pace::SlowUntil(now + limits::SLOW),
            Some(Pace::SlowUntil(until)) if until > now => Pace::SlowUntil(until),
            _ => Pace::Quick,
        };
        self.paces.insert(going.party, pace);
    }

    /// The number of threads to start in the place of works that take long; they count as started.
    pub(crate) fn reinforce(&mut self, now: Instant) -> usize {
        let threads = W::BOUNDS.threads + self.further;
        let has_idle = threads > self.going.len();
        if has_idle || self.next(now).is_none() {
            return 0;
        }
        let more = self.due.len().min(W::BOUNDS.most - threads).min(self.count(now).long);
        self.further += more;
        more
    }

    /// One of those threads ends, or could not be started.
    pub(crate) fn dismiss(&mut self) {
        self.further -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use palisade_admission::{PolicyObject, REQUESTER};
    use serde_json::json;

    use super::*;

    type Line = VecDeque<&'static str>;

    impl Work for Line {
        type Piece = &'static str;
        const BOUNDS: Bounds = Bounds { threads: 4, most: 12, party: 2, namespace: 2 };

        fn pop(&mut self) -> Option<&'static str> {
            self.pop_front()
        }

        fn is_empty(&self) -> bool {
            VecDeque::is_empty(self)
        }
    }

    /// Works that go on until a time, on as many threads as there are.
    struct Trial {
        turns: Turns<Line>,
        start: Instant,
        going: Vec<(u64, Duration)>,
    }

    impl Trial {
        /// Namespaces with their requesters, of whom `quick` are known to be quick.
        fn new(namespaces: &[(&str, &str)], quick: &[&str]) -> Self {
            let policy = PolicyCache::default();
            for (name, requester) in namespaces {
                let object = json!({"apiVersion": "v1", "kind": "Namespace",
                    "metadata": {"name": name, "annotations": {REQUESTER: requester}}});
                policy.apply(PolicyObject::read(&object).unwrap().unwrap());
            }
            let mut trial =
                Self { turns: Turns::new(Arc::new(policy)), start: Instant::now(), going: Vec::new() };
            for name in quick {
                trial.turns.due(name).push_back("first");
                let (number, _) = trial.turns.take(trial.start).unwrap();
                trial.turns.end(number, trial.start);
            }
            trial
        }

        /// Half a second: what is over ends, and threads without work take some, which lasts for `lasts`.
        fn pass(&mut self, at: Duration, lasts: impl Fn(&str) -> Duration) -> Vec<&'static str> {
            let now = self.start + at;
            let (over, going) = std::mem::take(&mut self.going).into_iter().partition(|(_, end)| *end <= at);
            self.going = going;
            let over: Vec<(u64, Duration)> = over;
            over.iter().for_each(|(number, _)| self.turns.end(*number, now));
            let mut taken = Vec::new();
            self.turns.reinforce(now);
            while self.going.len() < Line::BOUNDS.threads + self.turns.further
                && let Some((number, piece)) = self.turns.take(now)
            {
                taken.push(piece);
                self.going.push((number, at + lasts(piece)));
            }
            while self.turns.further > 0 && self.going.len() < Line::BOUNDS.threads + self.turns.further {
                self.turns.dismiss();
            }
            taken
        }
    }

    fn names(prefix: &str, count: usize) -> Vec<String> {
        (0..count).map(|at| format!("{prefix}{at:02}")).collect()
    }

    #[test]
    fn parties_take_turns_and_their_namespaces_among_themselves() {
        let owners = [("a1", "ann"), ("a2", "ann"), ("b1", "bob")];
        let mut trial = Trial::new(&owners, &["a1", "b1", "nobody"]);
        for (namespace, pieces) in
            [("a1", &["a1/1", "a1/2"][..]), ("a2", &["a2/1"]), ("b1", &["b1/1"]), ("nobody", &["n/1"])]
        {
            trial.turns.due(namespace).extend(pieces);
        }
        let mut order = Vec::new();
        while let Some((number, piece)) = trial.turns.take(trial.start) {
            trial.turns.end(number, trial.start);
            order.push(piece);
        }
        assert_eq!(order, ["a1/1", "b1/1", "n/1", "a2/1", "a1/2"]);
        assert!(trial.turns.due.is_empty() && trial.turns.at.is_empty() && trial.turns.going.is_empty());
    }

    #[test]
    fn a_webhook_that_does_not_answer_delays_others_by_two_seconds_at_most() {
        let many = names("m", 100);
        // Namespaces of one user, of three, or of nobody, whose work was quick before or that are new; and more come all the time.
        for (requesters, are_known) in [(1, false), (1, true), (3, false), (3, true)] {
            let requester = |at: usize| ["mallory", "mona", "mike"][at % requesters];
            let mut owners: Vec<(&str, &str)> =
                many.iter().enumerate().map(|(at, name)| (&**name, requester(at))).collect();
            owners.push(("b", "bob"));
            let known: Vec<&str> = many.iter().map(|name| &**name).filter(|_| are_known).collect();
            let mut trial = Trial::new(&owners, &known);
            for name in &many[..24] {
                trial.turns.due(name).extend(["slow"; 50]);
            }
            let lasts = |piece: &str| Duration::from_secs(if piece == "slow" { 30 } else { 0 });
            let (mut fresh, mut waits_since) = (24..many.len(), None);
            for at in (0..600).map(|half| Duration::from_millis(500 * half)) {
                if at.as_millis() % 2500 == 0
                    && let Some(name) = fresh.next()
                {
                    trial.turns.due(&many[name]).extend(["slow"; 50]);
                }
                if at.as_millis() % 3000 == 1500 {
                    trial.turns.due("b").push_back("bob's");
                    waits_since = Some(at);
                }
                if trial.pass(at, lasts).contains(&"bob's") {
                    waits_since = None;
                }
                let waited = waits_since.map_or(Duration::ZERO, |since| at - since);
                assert!(waited < Duration::from_secs(2), "{waited:?} at {at:?}: {requesters} {are_known}");
            }
        }
    }

    #[test]
    fn slow_parties_have_one_thread_and_never_the_last_ones() {
        let many = names("m", 24);
        let owners: Vec<(&str, &str)> = many.iter().map(|name| (&**name, &**name)).collect();
        let mut trial = Trial::new(&owners, &["b"]);
        many.iter().for_each(|name| trial.turns.due(name).extend(["slow"; 3]));
        let mut taken = 0;
        for at in (0..40).map(|half| Duration::from_millis(500 * half)) {
            taken += trial.pass(at, |_| Duration::from_secs(30)).len();
        }
        assert_eq!(taken, Line::BOUNDS.most - 1, "one is left to those that are known to be quick");
        trial.turns.due("b").push_back("quick");
        assert_eq!(trial.pass(Duration::from_secs(20), |_| Duration::ZERO), ["quick"]);
        // When the webhook answers again, they have several threads again after a while.
        for at in (60..400).map(|half| Duration::from_millis(500 * half)) {
            trial.pass(at, |_| Duration::ZERO);
        }
        assert_eq!(trial.turns.further, 0, "threads that nobody needs end");
        trial.turns.due("m00").extend(["quick"; 4]);
        trial.pass(Duration::from_secs(201), |_| Duration::ZERO);
        trial.turns.due("m00").extend(["quick"; 4]);
        assert_eq!(trial.pass(Duration::from_millis(201_500), |_| Duration::ZERO), ["quick"; 2]);
    }
}
