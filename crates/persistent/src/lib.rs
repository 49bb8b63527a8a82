//! An ordered map whose copies share what they have in common: a copy costs one reference count, a change of a copy
//! the path to what changes.
//!
//! The policy is read by many requests while writes change it. Each request holds a copy of its own, which no write
//! changes; a write of one object among 50,000 copies some 16 nodes of a tree and leaves the others shared.
//!
//! ```
//! use palisade_persistent::Map;
//!
//! let mut colours = Map::default();
//! colours.insert("sky", "blue");
//! let before = colours.clone();
//! colours.insert("sky", "grey");
//! assert_eq!((before.get("sky"), colours.get("sky")), (Some(&"blue"), Some(&"grey")));
//! ```
//!
//! The tree is balanced by height (AVL), so that no choice of keys makes a look-up slow.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// A map ordered by its keys.
pub struct Map<K, V> {
    root: Link<K, V>,
    len: usize,
}

type Link<K, V> = Option<Arc<Node<K, V>>>;

#[derive(Clone)]
struct Node<K, V> {
    key: K,
    value: V,
    /// Of the longest way down, this node included.
    height: u8,
    left: Link<K, V>,
    right: Link<K, V>,
}

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Self { root: None, len: 0 }
    }
}

impl<K, V> Clone for Map<K, V> {
    fn clone(&self) -> Self {
        Self { root: self.root.clone(), len: self.len }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Map<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for Map<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<K, V> Map<K, V> {
    /// The number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of a key.
    #[must_use]
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let mut link = self.root.as_deref();
        while let Some(node) = link {
            link = match key.cmp(node.key.borrow()) {
                Ordering::Equal => return Some(&node.value),
                Ordering::Less => node.left.as_deref(),
                Ordering::Greater => node.right.as_deref(),
            };
        }
        None
    }

    /// Keys and values, in the order of the keys.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, K, V> {
        let mut iter = Iter { above: Vec::new(), left: self.len };
        iter.descend(self.root.as_deref());
        iter
    }

    /// Gives each value to a function, in the order of their keys; unlike an iterator, this allocates nothing.
    pub fn for_each<'a>(&'a self, mut with: impl FnMut(&'a V)) {
        fn walk<'a, K, V>(link: Option<&'a Node<K, V>>, with: &mut impl FnMut(&'a V)) {
            let Some(node) = link else { return };
            walk(node.left.as_deref(), with);
            with(&node.value);
            walk(node.right.as_deref(), with);
        }
        walk(self.root.as_deref(), &mut with);
    }

    /// The values, in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> + use<'_, K, V> {
        self.iter().map(|(_, value)| value)
    }

    /// The keys in their order.
    pub fn keys(&self) -> impl Iterator<Item = &K> + use<'_, K, V> {
        self.iter().map(|(key, _)| key)
    }
}

impl<K: Ord + Clone, V: Clone> Map<K, V> {
    /// Sets the value of a key; gives the one that it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let old = insert(&mut self.root, key, value);
        self.len += usize::from(old.is_none());
        old
    }

    /// Takes a key away; gives its value.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        // Looked up first, so that a key that is not there copies nothing.
        self.get(key)?;
        let old = remove(&mut self.root, key);
        self.len -= usize::from(old.is_some());
        old.map(|(_, value)| value)
    }

    /// The value of a key, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.get(key)?;
        let mut link = &mut self.root;
        while let Some(node) = link {
            let node = Arc::make_mut(node);
            link = match key.cmp(node.key.borrow()) {
                Ordering::Equal => return Some(&mut node.value),
                Ordering::Less => &mut node.left,
                Ordering::Greater => &mut node.right,
            };
        }
        None
    }
}

impl<K: Ord + Clone, V: Clone> Map<K, V> {
    /// The value of a key, to be changed; made first if it is missing.
    pub fn get_or_insert_with<Q: Ord + ?Sized>(
        &mut self,
        key: &Q,
        owned: impl FnOnce() -> K,
        value: impl FnOnce() -> V,
    ) -> &mut V
    where
        K: Borrow<Q>,
    {
        if self.get(key).is_none() {
            self.len += 1;
            insert(&mut self.root, owned(), value());
        }
        let mut node = self.root.as_mut().map(Arc::make_mut);
        loop {
            #[expect(clippy::expect_used, reason = "the key was looked up or inserted above")]
            let here = node.expect("a key of the map");
            node = match key.cmp(here.key.borrow()) {
                Ordering::Equal => return &mut here.value,
                Ordering::Less => here.left.as_mut().map(Arc::make_mut),
                Ordering::Greater => here.right.as_mut().map(Arc::make_mut),
            };
        }
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for Map<K, V> {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(pairs: T) -> Self {
        let mut map = Self::default();
        pairs.into_iter().for_each(|(key, value)| drop(map.insert(key, value)));
        map
    }
}

impl<'a, K, V> IntoIterator for &'a Map<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Iterator over a [`Map`].
pub struct Iter<'a, K, V> {
    /// Nodes whose left side has been given, the next one last.
    above: Vec<&'a Node<K, V>>,
    left: usize,
}

impl<K, V> fmt::Debug for Iter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("left", &self.left).finish_non_exhaustive()
    }
}

impl<'a, K, V> Iter<'a, K, V> {
    fn descend(&mut self, mut link: Option<&'a Node<K, V>>) {
        while let Some(node) = link {
            self.above.push(node);
            link = node.left.as_deref();
        }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        let node = self.above.pop()?;
        self.left = self.left.saturating_sub(1);
        self.descend(node.right.as_deref());
        Some((&node.key, &node.value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        Self { above: self.above.clone(), left: self.left }
    }
}

impl<K, V> ExactSizeIterator for Iter<'_, K, V> {}

fn height<K, V>(link: &Link<K, V>) -> u8 {
    link.as_ref().map_or(0, |node| node.height)
}

fn insert<K: Ord + Clone, V: Clone>(link: &mut Link<K, V>, key: K, value: V) -> Option<V> {
    let Some(node) = link else {
        *link = Some(Arc::new(Node { key, value, height: 1, left: None, right: None }));
        return None;
    };
    let node = Arc::make_mut(node);
    let old = match key.cmp(&node.key) {
        Ordering::Equal => return Some(std::mem::replace(&mut node.value, value)),
        Ordering::Less => insert(&mut node.left, key, value),
        Ordering::Greater => insert(&mut node.right, key, value),
    };
    node.balance();
    old
}

fn remove<K: Ord + Clone + Borrow<Q>, V: Clone, Q: Ord + ?Sized>(
    link: &mut Link<K, V>,
    key: &Q,
) -> Option<(K, V)> {
    let node = Arc::make_mut(link.as_mut()?);
    let old = match key.cmp(node.key.borrow()) {
        Ordering::Less => remove(&mut node.left, key),
        Ordering::Greater => remove(&mut node.right, key),
        Ordering::Equal => return take(link),
    };
    node.balance();
    old
}

/// Takes the node of a link away; what was below it stays.
fn take<K: Ord + Clone, V: Clone>(link: &mut Link<K, V>) -> Option<(K, V)> {
    let mut node = Arc::unwrap_or_clone(link.take()?);
    *link = match (node.left.take(), node.right.take()) {
        (None, other) | (other, None) => other,
        (left, mut right) => {
            // The next key takes its place.
            let (key, value) = take_first(&mut right)?;
            let mut next = Node { key, value, height: 1, left, right };
            next.balance();
            Some(Arc::new(next))
        }
    };
    Some((node.key, node.value))
}

fn take_first<K: Ord + Clone, V: Clone>(link: &mut Link<K, V>) -> Option<(K, V)> {
    let node = Arc::make_mut(link.as_mut()?);
    if node.left.is_none() {
        return take(link);
    }
    let first = take_first(&mut node.left);
    node.balance();
    first
}

impl<K: Ord + Clone, V: Clone> Node<K, V> {
    fn measure(&mut self) {
        self.height = 1 + height(&self.left).max(height(&self.right));
    }

    /// By how much the left side is higher.
    fn lean(&self) -> i16 {
        i16::from(height(&self.left)) - i16::from(height(&self.right))
    }

    /// Makes the heights of both sides differ by at most one, where they differed by at most two.
    fn balance(&mut self) {
        match self.lean() {
            2.. => {
                if let Some(left) = self.left.as_mut().filter(|left| left.lean() < 0) {
                    Arc::make_mut(left).rotate_left();
                }
                self.rotate_right();
            }
            ..=-2 => {
                if let Some(right) = self.right.as_mut().filter(|right| right.lean() > 0) {
                    Arc::make_mut(right).rotate_right();
                }
                self.rotate_left();
            }
            _ => self.measure(),
        }
    }

    /// Puts the left child in this place, and this below it.
    fn rotate_right(&mut self) {
        let Some(left) = self.left.take() else { return };
        let mut left = Arc::unwrap_or_clone(left);
        self.left = left.right.take();
        self.measure();
        std::mem::swap(self, &mut left);
        self.right = Some(Arc::new(left));
        self.measure();
    }

    /// Puts the right child in this place, and this below it.
    fn rotate_left(&mut self) {
        let Some(right) = self.right.take() else { return };
        let mut right = Arc::unwrap_or_clone(right);
        self.right = right.left.take();
        self.measure();
        std::mem::swap(self, &mut right);
        self.left = Some(Arc::new(right));
        self.measure();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// The height of a link, with the tree's rules checked on the way.
    fn check<K: Ord + Clone, V: Clone>(link: &Link<K, V>) -> u8 {
        let Some(node) = link else { return 0 };
        let (left, right) = (check(&node.left), check(&node.right));
        assert!(left.abs_diff(right) <= 1, "heights {left} and {right}");
        assert_eq!(node.height, 1 + left.max(right));
        node.height
    }

    proptest! {
        #[test]
        fn is_a_btree_map_whose_copies_stay(changes in prop::collection::vec((any::<bool>(), 0u8..40, any::<u8>()), 0..200)) {
            let (mut map, mut model) = (Map::default(), BTreeMap::new());
            let mut copies = Vec::new();
            for (inserts, key, value) in changes {
                copies.push((map.clone(), model.clone()));
                if inserts {
                    prop_assert_eq!(map.insert(key, value), model.insert(key, value));
                } else {
                    prop_assert_eq!(map.remove(&key), model.remove(&key));
                }
                if let (Some(ours), Some(theirs)) = (map.get_mut(&(value % 40)), model.get_mut(&(value % 40))) {
                    *ours = ours.wrapping_add(1);
                    *theirs = theirs.wrapping_add(1);
                }
                check(&map.root);
                prop_assert_eq!(map.len(), model.len());
            }
            copies.push((map, model));
            for (map, model) in copies {
                prop_assert!(map.iter().eq(model.iter()));
                prop_assert!((0..40).all(|key| map.get(&key) == model.get(&key)));
            }
        }
    }

    #[test]
    fn rising_keys_make_no_list() {
        let map: Map<u32, ()> = (0..100_000).map(|key| (key, ())).collect();
        assert!(check(&map.root) <= 20, "height {}", height(&map.root));
        assert_eq!(map.iter().len(), 100_000);
    }

    #[test]
    fn a_change_copies_only_its_path() {
        let mut map: Map<u32, Arc<()>> = (0..10_000).map(|key| (key, Arc::new(()))).collect();
        let before = map.clone();
        map.insert(5_000, Arc::new(()));
        let copied = before.values().filter(|value| Arc::strong_count(value) > 1).count();
        assert!(copied <= 20, "{copied} nodes were copied");
    }
}
