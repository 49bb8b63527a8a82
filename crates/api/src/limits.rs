//! Limits of what a request may ask for.

/// Objects in one page of a list.
pub const PAGE: usize = 2000;

/// Operations in one JSON patch.
pub const PATCH_OPERATIONS: usize = 10_000;

/// Size of all that the copy operations of one JSON patch copy, in bytes: each may double the object.
pub const PATCH_COPIES: usize = 3 * 1024 * 1024;

/// Nesting of messages in protobuf.
pub const PROTOBUF_DEPTH: usize = 64;

/// Length of the name of a field manager, in bytes.
pub const MANAGER: usize = 128;

/// Managers with an entry of their own in `managedFields` for their updates; older ones share one.
pub const UPDATERS: usize = 10;
