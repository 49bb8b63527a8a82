//! Profiles as they are written: in Docker's form, which includes OCI's and containers/common's, or as an object of the
//! security-profiles-operator.

use std::collections::BTreeSet;

use palisade_k8s::KernelVersion;
use palisade_k8s::manifest::Position;

use crate::action::Action;
use crate::arch::ArchSet;
use crate::rule::Condition;

mod json;
mod meant;
mod read;
mod write;

pub(crate) use json::read as json_value;
pub(crate) use read::of_node;
pub use read::{read, read_json};
pub use write::{Written, write_docker, write_oci};

/// A profile, as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The result for syscalls that no entry matches.
    pub default_action: Action,
    /// OCI's architectures: names, of which [`Arch::parse`](crate::arch::Arch::parse) may not know all.
    pub architectures: Vec<String>,
    /// Docker's: by the machine's own architecture, its other ABIs.
    pub arch_map: Vec<ArchMap>,
    /// Flags for seccomp(2), `SECCOMP_FILTER_FLAG_…`. `None`: the runtime's own.
    pub flags: Option<Vec<String>>,
    /// The socket of a supervisor.
    pub listener_path: Option<String>,
    /// Data for the supervisor.
    pub listener_metadata: Option<String>,
    /// The entries of `syscalls`.
    pub entries: Vec<Entry>,
    /// The format of the profile.
    pub origin: Origin,
    /// The profile of the security-profiles-operator whose entries are added, by name, if it was not found in the same
    /// file; else its entries are among those here.
    pub base: Option<(String, Position)>,
    /// Further content of a systemd unit, beside its entries.
    pub lines: Lines,
    /// The capabilities of the container in whose description it was found, if any.
    pub caps: Option<BTreeSet<String>>,
}

impl Profile {
    /// A profile without entries.
    #[must_use]
    pub fn empty(default_action: Action) -> Self {
        Self {
            default_action,
            architectures: Vec::new(),
            arch_map: Vec::new(),
            flags: None,
            listener_path: None,
            listener_metadata: None,
            entries: Vec::new(),
            origin: Origin::Container,
            base: None,
            lines: Lines::default(),
            caps: None,
        }
    }

    /// Sets the position of everything in the profile.
    pub(crate) fn move_to(&mut self, place: impl Fn(Position) -> Position) {
        for entry in &mut self.entries {
            entry.at = place(entry.at);
            entry.names.iter_mut().for_each(|(_, at)| *at = place(*at));
        }
    }
}

/// Further content of a systemd unit, beside its entries. Empty for other profiles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// Syscalls that `SystemCallFilter=` names individually, not by a set.
    pub named: Vec<(String, Position)>,
    /// Syscalls that a line removed from the list again.
    pub removed: Vec<Removed>,
}

/// A syscall that was removed from a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The syscall.
    pub syscall: String,
    /// The word that removed it, such as `~@resources`.
    pub word: String,
    /// The line of that word.
    pub at: Position,
}

/// The format of a profile, which decides on syscalls that it does not name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// A container runtime. The profile applies to the ABIs that it names and the machine's own; a thread that uses
    /// another is killed. Its author knew the syscalls up to the newest in its entries that count.
    #[default]
    Container,
    /// A systemd unit without `SystemCallArchitectures=`: the filters are loaded for every ABI of the machine.
    Unit,
    /// A systemd unit with `SystemCallArchitectures=`: threads that use other ABIs are killed.
    UnitOfArchs,
}

impl Origin {
    /// Whether it is a systemd unit, whose author is taken to have known every syscall that systemd knows.
    #[must_use]
    pub fn is_unit(self) -> bool {
        self != Self::Container
    }
}

/// An architecture and its other ABIs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchMap {
    /// The machine's.
    pub architecture: String,
    /// The others'.
    pub sub_architectures: Vec<String>,
}

/// An entry of `syscalls`: these syscalls, under these conditions, get this action.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Names of syscalls, and the position of each.
    pub names: Vec<(String, Position)>,
    /// The result.
    pub action: Action,
    /// The conditions on arguments. Two on the same argument make all of the entry's alternatives, as in the runtimes.
    pub args: Vec<Condition>,
    /// Conditions on the context under which the entry counts.
    pub includes: Gate,
    /// Conditions on the context under which it does not.
    pub excludes: Gate,
    /// For people; in an entry of a unit, the directive that it comes from.
    pub comment: String,
    /// The ABIs of the entry: all, except for some of a systemd unit's.
    pub abis: ArchSet,
    /// Its position.
    pub at: Position,
}

/// Conditions of an entry on its context; see `reference/seccomp.md` 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// Capabilities of the bounding set, such as `CAP_SYS_ADMIN`.
    pub caps: Vec<String>,
    /// The machine's architecture, by Docker's names.
    pub arches: Vec<String>,
    /// The minimum kernel.
    pub min_kernel: Option<KernelVersion>,
}

impl Gate {
    /// Whether there is no condition.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// All flags of seccomp(2) that a profile may name.
pub const FLAGS: [&str; 5] = [
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    "SECCOMP_FILTER_FLAG_TSYNC_ESRCH",
];
