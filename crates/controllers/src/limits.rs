//! Limits and durations of controllers.

use std::time::Duration;

/// Life of an event after it was last written.
pub(crate) const EVENT: Duration = Duration::from_secs(3600);
/// Time between two looks of the controllers of workloads, at most.
pub(crate) const WORKLOAD_WAIT: Duration = Duration::from_millis(500);
/// Maximum time before a workload whose pods are refused is looked at again.
pub(crate) const WORKLOAD_BACKOFF: Duration = Duration::from_secs(120);
/// Maximum time before a workload is looked at again; a longer timer is checked in between.
pub(crate) const WORKLOAD_LONGEST: Duration = Duration::from_secs(3600);
/// Maximum time between two counts of a namespace's quotas or budgets.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Added to the niceness of the threads that look at workloads.
pub(crate) const WORKLOAD_NICE: i32 = 5;
/// Pods of a namespace's workloads that wait for a node, and claims that wait for a volume, in number and in bytes as stored,
/// from which on no further ones are made: a set may want 2,000,000,000.
pub(crate) const WAITING: (usize, usize) = (5000, 128 << 20);
/// Threads that delete what controllers want deleted.
pub(crate) const ERRAND_THREADS: Bounds = Bounds { threads: 4, most: 20, party: 2, namespace: 1 };
/// Time before a failed deletion is tried again.
pub(crate) const ERRAND_WAIT: Duration = Duration::from_secs(15);
/// Minimum time before a namespace or a definition with remaining objects is looked at again.
pub(crate) const LEAVING_WAIT: Duration = Duration::from_secs(10);
/// Minimum time before the deletion of its objects is asked for again.
pub(crate) const LEAVING_AGAIN: Duration = Duration::from_secs(60);
/// Time from which on work of controllers takes long, as it does where it waits for webhooks.
pub(crate) const QUICK: Duration = Duration::from_secs(1);
/// Time for which such work counts against its party.
pub(crate) const SLOW: Duration = Duration::from_secs(60);
/// Parties of which it is remembered.
pub(crate) const PACES: usize = 10_000;
/// Threads that look at workloads. Most of their time they wait for the disk, which takes the writes of all of them together.
pub(crate) const WORKLOAD_THREADS: Bounds = Bounds { threads: 10, most: 34, party: 7, namespace: 7 };
/// Time for which old versions are kept for watches and for lists in pages.
pub(crate) const HISTORY: Duration = Duration::from_secs(300);

/// The number of threads that works have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Those that always exist, for works that do not take long.
    pub(crate) threads: usize,
    /// With those in the place of works that take long.
    pub(crate) most: usize,
    /// Those of one party, as long as its work is quick.
    pub(crate) party: usize,
    /// Those of one namespace.
    pub(crate) namespace: usize,
}
