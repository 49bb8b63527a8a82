//! Objects and their changes.

/// Counts the writes of a store, from 1; 0 is before all of them. No revision is used twice, also not after a
/// crash or a compaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub(crate) i64);

impl Revision {
    /// From a client's number; none if it is larger than any store counts.
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        i64::try_from(number).ok().map(Self)
    }

    /// As a number.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0.unsigned_abs()
    }
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The key of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The kind of object, as `pods`.
    pub resource: String,
    /// Its namespace; empty for objects of none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Key {
    /// A key of its parts.
    pub fn new(resource: impl Into<String>, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { resource: resource.into(), namespace: namespace.into(), name: name.into() }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.namespace.as_str() {
            "" => write!(f, "{} {}", self.resource, self.name),
            namespace => write!(f, "{} {namespace}/{}", self.resource, self.name),
        }
    }
}

/// An object at some revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: Key,
    /// The write that made it as it is.
    pub revision: Revision,
    /// The write that created it.
    pub created: Revision,
    /// Its value.
    pub value: Vec<u8>,
}

/// The effect of a write on an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// The object was not there.
    Created,
    /// It was there.
    Updated,
    /// It is gone.
    Deleted,
}

/// A write, as a watch sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The revision of the write.
    pub revision: Revision,
    /// The effect.
    pub change: Change,
    /// To which object.
    pub key: Key,
    /// The object's value; if it is deleted, its last one.
    pub value: Vec<u8>,
    /// Its value before, if it was there: a selector may have matched that and no longer match.
    pub previous: Option<Vec<u8>>,
}
