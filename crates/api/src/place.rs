//! The place of a value in an object.

/// The path to a value, as a chain from the inside to its parents: written out only for an error.
#[derive(Clone, Copy)]
pub(crate) enum Place<'p> {
    Root,
    Field(&'p Place<'p>, &'p str),
    Item(&'p Place<'p>, usize),
    Key(&'p Place<'p>, &'p str),
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Place::Root, name) => f.write_str(name),
            Self::Field(holder, name) => write!(f, "{holder}.{name}"),
            Self::Item(holder, index) => write!(f, "{holder}[{index}]"),
            Self::Key(holder, key) => write!(f, "{holder}[{key}]"),
        }
    }
}
