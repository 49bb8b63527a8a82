//! Limits on the content of requests.

/// Conditions of one selector: each object of a list, and each event of a watch, is held against all of them.
pub const CONDITIONS: usize = 200;

/// Objects in one page of a list.
pub const PAGE: usize = 2000;

/// Operations in one JSON patch.
pub const PATCH_OPERATIONS: usize = 10_000;

/// Total memory of values that the copy operations of one JSON patch copy, in bytes: each may double the object.
pub const PATCH_COPIES: usize = 4 << 20;

/// Nesting of lists and maps in an object, its managed fields included: whatever reads JSON stops at 128.
pub const NESTING: usize = 120;

/// Nesting of messages in protobuf.
pub const PROTOBUF_DEPTH: usize = 64;

/// Length of the name of a field manager, in bytes.
pub const MANAGER: usize = 128;

/// Managers with an entry of their own in `managedFields` for their updates; older ones share one.
pub const UPDATERS: usize = 10;

/// The largest weight of one object's values in memory, in bytes ([`crate::weight`]): some ten times that of the
/// largest objects in practice.
pub const WEIGHT: usize = 16 << 20;

/// Values of one object in YAML, which are kept with their places while they are parsed.
pub const YAML_VALUES: usize = 60_000;

/// Broken rules that one refusal lists.
pub const CAUSES: usize = 100;

/// Managers with an entry of their own in `managedFields`.
pub const MANAGERS: usize = 100;

/// Elements that one JSON patch moves to other places of their lists, and values that it puts somewhere: an insertion at the
/// beginning of a list moves all of it.
pub const PATCH_MOVES: usize = 20_000_000;

/// Warnings in one response: clients limit the size of headers.
pub const WARNINGS: usize = 20;

/// Length of all warnings of one response, in characters, from which each is cut to [`WARNING_LENGTH`].
pub const WARNINGS_LENGTH: usize = 4096;

/// Length of one warning, in characters, where all are too long.
pub const WARNING_LENGTH: usize = 256;

/// Defaults that ranges of limits give to the containers of one pod.
pub const DEFAULTS: usize = 20_000;
