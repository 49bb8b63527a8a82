//! Limits on the size of objects, of reads, and of cached events.

/// Size of an object, in bytes: what etcd takes by default.
pub const OBJECT: usize = 1_572_864;
/// Objects that are read at once where all are asked for.
pub const PART: usize = 500;
/// The largest weight of the events that are kept for watches, in bytes: in all, of one resource, and one of them. A watch that is
/// further behind reads the store.
pub(crate) const EVENTS: [usize; 3] = [16 << 20, 4 << 20, 512 << 10];
/// Events that a watch reads at once.
pub(crate) const BACKLOG: usize = 64;
/// The largest weight of the events that are kept for controllers, in bytes.
pub(crate) const ALL_EVENTS: usize = 4 << 20;
/// Events that a controller reads at once.
pub(crate) const FOLLOWED: usize = 500;
