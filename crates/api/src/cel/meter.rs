//! Bytes that an expression reads and creates, counted while it is evaluated.
//!
//! The steps of an expression do not depend on the length of its strings: `s.replace("a", t)` is one step. Functions
//! that read whole values or create new ones therefore charge a [`Meter`] first. kube-apiserver charges one unit for
//! ten characters and allows a million units for an expression (`k8s.io/apiserver/pkg/apis/cel/config.go`), which is
//! [`BYTES`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cel::ExecutionError;
use cel::common::types::{CelBytes, CelList, CelMap, CelOptional, CelString};
use cel::common::value::Val;

/// Maximum bytes that one evaluation may read and create.
pub const BYTES: u64 = 10_000_000;

/// The message of kube-apiserver when the cost limit is reached.
pub(super) const EXCEEDED: &str = "operation cancelled: actual cost limit exceeded";

/// Memory of a value in a list or a map, beside its text.
pub(super) const SLOT: u64 = 32;

/// The remaining bytes. Clones share them.
#[derive(Clone, Debug)]
pub struct Meter(Arc<AtomicU64>);

impl Meter {
    /// A meter with a budget of bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Self(Arc::new(AtomicU64::new(bytes)))
    }

    pub(super) fn left(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Charges bytes; returns whether the budget sufficed. If not, it becomes zero.
    pub(super) fn take(&self, bytes: u64) -> bool {
        let left = self.left().checked_sub(bytes);
        self.0.store(left.unwrap_or(0), Ordering::Relaxed);
        left.is_some()
    }

    pub(super) fn charge(&self, bytes: u64) -> Result<(), ExecutionError> {
        // A meter that has reached zero stays there, even for free operations: the evaluation must end.
        if self.left() > 0 && self.take(bytes) { Ok(()) } else { Err(exceeded()) }
    }
}

fn exceeded() -> ExecutionError {
    ExecutionError::InternalError(EXCEEDED.to_owned())
}

/// The size of a value, where each place in a list or map counts `slot` bytes beside its text. The walk stops at
/// `most`. Numbers are counted by their steps.
pub(super) fn size(value: &dyn Val, slot: u64, most: u64) -> u64 {
    let mut walk = Walk { slot, most, total: 0 };
    walk.value(value);
    walk.total
}

struct Walk {
    slot: u64,
    most: u64,
    total: u64,
}

impl Walk {
    fn value(&mut self, value: &dyn Val) {
        if let Some(text) = value.downcast_ref::<CelString<'_>>() {
            self.add(text.inner().len() as u64);
        } else if let Some(bytes) = value.downcast_ref::<CelBytes<'_>>() {
            self.add(bytes.inner().len() as u64);
        } else if let Some(list) = value.downcast_ref::<CelList<'_>>() {
            for item in list.inner() {
                if self.is_over() {
                    return;
                }
                self.add(self.slot);
                self.value(item.as_ref());
            }
        } else if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
            for (key, item) in map.inner() {
                if self.is_over() {
                    return;
                }
                self.add(2 * self.slot);
                self.value(key.inner());
                self.value(item.as_ref());
            }
        } else if let Some(inner) = value.downcast_ref::<CelOptional<'_>>().and_then(|inner| inner.option()) {
            self.value(inner);
        }
    }

    fn is_over(&self) -> bool {
        self.total > self.most
    }

    fn add(&mut self, bytes: u64) {
        self.total = self.total.saturating_add(bytes);
    }
}

/// Names of functions that expressions cannot contain, since no identifier of the language begins with `@`.
pub(super) mod names {
    /// Returns its argument after charging its whole size.
    pub(crate) const READ: &str = "@read";
    /// As [`READ`], for a string only.
    pub(crate) const READ_TEXT: &str = "@read_text";
    /// As [`READ`], for a list only.
    pub(crate) const READ_LIST: &str = "@read_list";
    /// Returns its argument after charging a copy of it in a list or map.
    pub(crate) const KEEP: &str = "@keep";
    /// The sum of all arguments.
    pub(crate) const ADD: &str = "@add";
    /// `replace`, with the string as its first argument.
    pub(crate) const REPLACE: &str = "@replace";
    /// `join`, with the list as its first argument.
    pub(crate) const JOIN: &str = "@join";
    /// `split`, with the string as its first argument.
    pub(crate) const SPLIT: &str = "@split";
    /// `indexOf`, with the string as its first argument.
    pub(crate) const INDEX_OF: &str = "@indexOf";
    /// `lastIndexOf`, with the string as its first argument.
    pub(crate) const LAST_INDEX_OF: &str = "@lastIndexOf";
    /// `matches`, with the string as its first argument.
    pub(crate) const MATCHES: &str = "@matches";
    /// `find`, with the string as its first argument.
    pub(crate) const FIND: &str = "@find";
    /// `findAll`, with the string as its first argument.
    pub(crate) const FIND_ALL: &str = "@findAll";
}
