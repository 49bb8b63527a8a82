pub(crate) mod diff;
pub(crate) mod generate;
pub(crate) mod impact;
pub(crate) mod lint;
pub(crate) mod order;
pub(crate) mod who_can;
