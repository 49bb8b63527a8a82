//! Reservations: a block of IDs between its choice and the write of its namespace.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::cache::PolicyCache;
use crate::ranges::Block;

/// Blocks that are chosen and whose namespaces are not yet written.
#[derive(Clone, Debug, Default)]
pub struct Reservations(Arc<Mutex<BTreeSet<Block>>>);

impl Reservations {
    /// Chooses the lowest free block, which is not given to others while the reservation is held. The writer of the
    /// namespace holds it until the policy has the namespace.
    #[must_use]
    pub fn reserve(&self, policy: &PolicyCache) -> Option<Reservation> {
        let mut reserved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock: a reservation that has been dropped by then belongs to a namespace that the policy has.
        let policy = policy.snapshot();
        let block = policy.blocks().lowest_free(|block| reserved.contains(&block))?;
        reserved.insert(block);
        Some(Reservation { block, of: Self(Arc::clone(&self.0)) })
    }
}

/// A reserved block; released on drop.
#[derive(Debug)]
pub struct Reservation {
    block: Block,
    of: Reservations,
}

impl Reservation {
    /// The block.
    #[must_use]
    pub fn block(&self) -> Block {
        self.block
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.of.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ranges::Blocks;
    use crate::source::{ObjectKey, PolicyKind, PolicyObject};
    use palisade_k8s::scc::annotation::UID_RANGE;
    use proptest::prelude::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    const FIRST: u64 = 1_000_000_000;
    const SIZE: u64 = 10_000;

    fn namespace(name: &str, range: &str) -> PolicyObject {
        let object = json!({"metadata": {"name": name, "annotations": {UID_RANGE: range}}});
        PolicyObject::of(PolicyKind::Namespace, &object).unwrap()
    }

    fn key(name: &str) -> ObjectKey {
        ObjectKey { kind: PolicyKind::Namespace, namespace: String::new(), name: name.to_owned() }
    }

    proptest! {
        /// Whatever the order of writes, the held blocks are those of the existing namespaces.
        #[test]
        fn blocks_follow_namespaces(changes in prop::collection::vec((0u8..6, prop::option::of(0u64..5), 0u64..3), 0..60)) {
            let cache = PolicyCache::default();
            let mut model: BTreeMap<u8, String> = BTreeMap::new();
            for (name, block, shift) in changes {
                let id = name.to_string();
                match block {
                    Some(block) => {
                        let range = format!("{}/{SIZE}", FIRST + block * SIZE + shift);
                        cache.apply(namespace(&id, &range));
                        model.insert(name, range);
                    }
                    None => {
                        cache.delete(&key(&id));
                        model.remove(&name);
                    }
                }
            }
            let mut rebuilt = Blocks::default();
            let blocks = |range: &str| Block::held_by(|key| (key == UID_RANGE).then_some(range));
            model.values().for_each(|range| rebuilt.hold(&blocks(range)));
            let policy = cache.snapshot();
            prop_assert_eq!(policy.blocks(), &rebuilt);
            let taken: BTreeSet<Block> = model.values().flat_map(|range| blocks(range)).collect();
            let block = |index: u64| Block::of_range(&format!("{}/{SIZE}", FIRST + index * SIZE)).unwrap();
            let lowest = (0..).map(block).find(|block| !taken.contains(block));
            prop_assert_eq!(rebuilt.lowest_free(|_| false), lowest);
        }
    }

    #[test]
    fn a_hundred_thousand_requests_that_write_nothing_spend_nothing() {
        let (cache, reservations) = (PolicyCache::default(), Reservations::default());
        for _ in 0..100_000 {
            assert_eq!(reservations.reserve(&cache).unwrap().block(), Block::FIRST);
        }
        // One namespace after the other, each deleted before the next.
        for _ in 0..1_000 {
            let reserved = reservations.reserve(&cache).unwrap();
            cache.apply(namespace("a", &reserved.block().ids()));
            drop(reserved);
            cache.delete(&key("a"));
        }
        assert_eq!(reservations.reserve(&cache).unwrap().block(), Block::FIRST);
    }

    #[test]
    fn concurrent_reservations_get_different_blocks() {
        let (cache, reservations) = (PolicyCache::default(), Reservations::default());
        let held: Vec<Reservation> = (0..70).map(|_| reservations.reserve(&cache).unwrap()).collect();
        let blocks: BTreeSet<Block> = held.iter().map(Reservation::block).collect();
        assert_eq!(blocks.len(), 70);
    }
}
