//! The path to a value, as a chain to its parents: it is written out only when an error names it.

use palisade_k8s::FieldPath;

/// The path to a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'p> {
    Root,
    Field(&'p Place<'p>, &'p str),
    Item(&'p Place<'p>, usize),
    Key(&'p Place<'p>, &'p str),
}

impl Place<'_> {
    pub(super) fn path(&self) -> FieldPath {
        match self {
            Self::Root => FieldPath::root(),
            Self::Field(holder, name) => holder.path().name(name),
            Self::Item(holder, index) => holder.path().index(*index),
            Self::Key(holder, key) => holder.path().key(*key),
        }
    }
}
