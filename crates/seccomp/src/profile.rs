//! Profiles as they are written: in Docker's form, which holds OCI's and containers/common's, or as an
//! object of the security-profiles-operator.

use palisade_k8s::KernelVersion;
use palisade_k8s::manifest::Position;

use crate::action::Action;
use crate::arch::ArchSet;
use crate::rule::Condition;

mod json;
mod read;
mod write;

pub(crate) use json::read as json_value;
pub(crate) use read::of_node;
pub use read::{read, read_json};
pub use write::{Written, write_docker, write_oci};

/// A profile, as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The answer to syscalls that no entry fits.
    pub default_action: Action,
    /// OCI's architectures: names that [`Arch::parse`](crate::arch::Arch::parse) may or may not know.
    pub architectures: Vec<String>,
    /// Docker's: by the machine's own architecture, those that run beside it.
    pub arch_map: Vec<ArchMap>,
    /// Flags for seccomp(2), `SECCOMP_FILTER_FLAG_…`. None written: the runtime's own.
    pub flags: Option<Vec<String>>,
    /// The socket of a supervisor.
    pub listener_path: Option<String>,
    /// Data for the supervisor.
    pub listener_metadata: Option<String>,
    /// The entries of `syscalls`.
    pub entries: Vec<Entry>,
    /// The format that the profile was written in.
    pub origin: Origin,
    /// The profile of the security-profiles-operator whose entries count too, by name, where it was not found in the
    /// same file; else its entries are among those here.
    pub base: Option<(String, Position)>,
    /// What the lines of a systemd unit say beyond the entries.
    pub lines: Lines,
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
        }
    }

    /// Gives everything in the profile another place.
    pub(crate) fn move_to(&mut self, place: impl Fn(Position) -> Position) {
        for entry in &mut self.entries {
            entry.at = place(entry.at);
            entry.names.iter_mut().for_each(|(_, at)| *at = place(*at));
        }
    }
}

/// What the lines of a systemd unit say beyond the entries that they come to. Nothing for other profiles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// Syscalls that `SystemCallFilter=` names one by one, not by a set.
    pub named: Vec<(String, Position)>,
    /// Syscalls that a line took out of the list again.
    pub removed: Vec<Removed>,
}

/// A syscall that was in a list, and is no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The syscall.
    pub syscall: String,
    /// The word that took it out, as `~@resources`.
    pub word: String,
    /// The line of that word.
    pub at: Position,
}

/// The format of a profile, which decides on syscalls that it does not name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// A container runtime. The profile holds on the ABIs that it names and the machine's own; the thread
    /// that uses another is killed. Its author knew the syscalls up to the newest that counts.
    #[default]
    Container,
    /// A systemd unit without `SystemCallArchitectures=`: the filters are loaded for every ABI of the machine.
    Unit,
    /// A systemd unit with `SystemCallArchitectures=`: threads that use other ABIs are killed.
    UnitOfArchs,
}

impl Origin {
    /// Whether it is a systemd unit, so that the author knew every syscall that systemd knows.
    #[must_use]
    pub fn is_unit(self) -> bool {
        self != Self::Container
    }
}

/// An architecture and what runs beside it.
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
    /// Names of syscalls, and where each was written.
    pub names: Vec<(String, Position)>,
    /// The answer.
    pub action: Action,
    /// The conditions on arguments. Two on the same argument make all of the entry's alternatives, since
    /// that is what the runtimes do.
    pub args: Vec<Condition>,
    /// Conditions on the context under which the entry counts.
    pub includes: Gate,
    /// Conditions on the context under which it does not.
    pub excludes: Gate,
    /// For people; in an entry of a unit, the directive that it comes from.
    pub comment: String,
    /// The ABIs on which the entry holds: all, but for some of a systemd unit's.
    pub abis: ArchSet,
    /// Where it was written.
    pub at: Position,
}

/// Conditions of an entry on its context; see `reference/seccomp.md` 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// Capabilities of the bounding set, as `CAP_SYS_ADMIN`.
    pub caps: Vec<String>,
    /// The machine's architecture, by Docker's names.
    pub arches: Vec<String>,
    /// The least kernel.
    pub min_kernel: Option<KernelVersion>,
}

impl Gate {
    /// Whether it asks for nothing.
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
