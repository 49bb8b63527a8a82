pub(crate) mod diff;
pub(crate) mod impact;
pub(crate) mod lint;
pub(crate) mod order;
