//! Denials of filters, container by container, from the kernel's audit records.
//!
//! A filter's denials are recorded where the filter has the flag LOG: by the profile, by the handler's settings or
//! by the annotation [`LOG`](crate::annotation::LOG). Reading them needs no auditd.
//!
//! ```no_run
//! # #[cfg(target_os = "linux")] {
//! use palisade_oci::denials::{Denials, Event};
//! let mut denials = Denials::watch("/run/palisade/oci".as_ref())?;
//! while let Event::Denial(denial) = denials.next(None)? {
//!     let of = denial.container.as_ref().map_or("some process", |container| &container.id);
//!     println!("{of}: {} on {}: {}", denial.syscall(), denial.abi(), denial.answer());
//! }
//! # }
//! # Ok::<(), palisade_oci::Error>(())
//! ```

mod history;
mod owner;
mod record;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use palisade_seccomp::{Action, Arch, Data, Decider, X32_BIT, explain, table::Syscall};
use palisade_sys::audit::{self, AuditLog};

use crate::container::{Applied, Container, Containers};
use crate::error::Error;
use owner::Owners;
use record::Record;

/// A syscall that a filter did not simply let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The time, since 1970.
    pub time: Duration,
    /// The container; none: a process of no container of the handler's, or one that ended before its container
    /// could be told.
    pub container: Option<Arc<Container>>,
    /// The `AUDIT_ARCH_*`.
    pub arch: u32,
    /// The number, as the kernel saw it.
    pub number: u32,
    /// The filter's answer, without its data: no record has the error number.
    pub action: Action,
    /// The process.
    pub pid: u32,
    /// The name that the process gives itself.
    pub command: String,
}

/// The result of waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A denied syscall.
    Denial(Denial),
    /// There were too many to read them all: some are missing.
    Lost,
    /// Nothing in time.
    Quiet,
}

impl Denial {
    /// The ABI that made the syscall, if Palisade has a table of it.
    #[must_use]
    pub fn arch(&self) -> Option<Arch> {
        let is_x32 = self.arch == Arch::X32.audit() && self.number >= X32_BIT;
        Arch::ALL.into_iter().find(|arch| arch.audit() == self.arch && (*arch == Arch::X32) == is_x32)
    }

    /// The syscall's name, or its number.
    #[must_use]
    pub fn syscall(&self) -> String {
        let known = self.arch().and_then(|arch| Syscall::numbered(arch, self.number));
        known.map_or_else(|| format!("number {}", self.number), |call| call.name().to_owned())
    }

    /// The ABI's name.
    #[must_use]
    pub fn abi(&self) -> String {
        self.arch().map_or_else(|| format!("{:#x}", self.arch), |arch| arch.name().to_owned())
    }

    /// The answer's name, as `ERRNO`.
    #[must_use]
    pub fn answer(&self) -> &'static str {
        let name = self.action.scmp();
        name.strip_prefix("SCMP_ACT_").unwrap_or(name)
    }

    /// Whether the runtime made the syscall while it started the container, by the name that its process gives itself.
    #[must_use]
    pub fn is_by_runtime(&self) -> bool {
        matches!(self.command.as_str(), "crun" | "runc" | "runc:[2:INIT]")
    }

    /// Whether it is a syscall that C libraries make as a program starts, and go on without: every program of a container
    /// under a profile that lacks it makes this denial.
    #[must_use]
    pub fn is_by_libc(&self) -> bool {
        matches!(self.action, Action::Errno(_))
            && matches!(self.syscall().as_str(), "rseq" | "set_robust_list")
    }

    fn new(record: Record, container: Option<Arc<Container>>) -> Self {
        let Record { time, arch, number, action, pid, command, .. } = record;
        Self { time, container, arch, number, action, pid, command }
    }
}

/// Denials as they happen.
#[derive(Debug)]
pub struct Denials {
    log: AuditLog,
    owners: Owners,
}

impl Denials {
    /// Begins to watch; `state` is that of the handler whose containers are told apart.
    pub fn watch(state: &Path) -> Result<Self, Error> {
        let owners = Owners::new(Containers::of(state)?);
        Ok(Self { log: AuditLog::open().map_err(Error::Audit)?, owners })
    }

    /// The next one; waits for at most `timeout`, or for ever.
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Event, Error> {
        let deadline = timeout.map(|timeout| std::time::Instant::now() + timeout);
        loop {
            let left = deadline.map(|end| end.saturating_duration_since(std::time::Instant::now()));
            match self.log.next(left).map_err(Error::Audit)? {
                audit::Event::Lost => return Ok(Event::Lost),
                audit::Event::Record(record) if record.kind == audit::SECCOMP => {
                    if let Some(record) = Record::parse(&record.text) {
                        let owner = self.owners.of(&record);
                        return Ok(Event::Denial(Denial::new(record, owner)));
                    }
                }
                audit::Event::Record(_) | audit::Event::Quiet => {}
            }
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(Event::Quiet);
            }
        }
    }
}

/// Denials of the past: from auditd's log where there is one, else from the kernel's own, which holds back more
/// than some ten in five seconds. Those of processes that have ended are attributed by login id alone.
pub fn past(state: &Path) -> Result<Vec<Denial>, Error> {
    let mut owners = Owners::new(Containers::of(state)?);
    let records = history::read()?;
    Ok(records
        .into_iter()
        .map(|record| {
            let owner = owners.of(&record);
            Denial::new(record, owner)
        })
        .collect())
}

/// Equal denials, counted.
#[derive(Clone, Debug, Default)]
pub struct Tally(BTreeMap<(Option<String>, u32, u32, Action), Counted>);

/// Number of equal denials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The last one.
    pub last: Denial,
    /// The count.
    pub count: u64,
}

impl Tally {
    /// Counts one; gives how many of its kind there were.
    pub fn add(&mut self, denial: Denial) -> u64 {
        let container = denial.container.as_ref().map(|container| container.id.clone());
        let key = (container, denial.arch, denial.number, denial.action);
        let counted = self.0.entry(key).or_insert_with(|| Counted { last: denial.clone(), count: 0 });
        counted.count += 1;
        counted.last = denial;
        counted.count
    }

    /// All, by container.
    pub fn iter(&self) -> impl Iterator<Item = &Counted> {
        self.0.values()
    }
}

/// The rule by which a filter denied a syscall, and the edit that lets it through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The profile's name.
    pub profile: String,
    /// The rule that decided, for people.
    pub rule: String,
    /// The entry to add to the profile's `syscalls`.
    pub entry: String,
    /// Whether rules of the profile look at the syscall's arguments, which a record does not have: the entry then
    /// lets more through than was asked for.
    pub looks_at_arguments: bool,
}

/// Explains denials by the profiles of their containers.
#[derive(Clone, Debug)]
pub struct Reasons(Containers);

impl Reasons {
    /// With the profiles of a handler's state.
    pub fn of(state: &Path) -> Result<Self, Error> {
        Containers::of(state).map(Self)
    }

    /// The reason for a denial; none if its container's profile is not at hand.
    #[must_use]
    pub fn reason(&self, denial: &Denial) -> Option<Reason> {
        let applied: &Applied = denial.container.as_ref()?.filter.as_ref()?;
        let (profile, rules) = self.0.cache().get(&applied.key)?.source.rules().ok()?;
        let name = denial.syscall();
        let own = || rules.rules.iter().filter(|rule| rule.syscall.name() == name);
        let looks_at_arguments = own().any(|rule| !rule.conditions.is_empty());
        let data = Data { number: denial.number, arch: denial.arch, args: [0; 6] };
        let rule = match explain(&rules, &data).ok()?.decider {
            _ if looks_at_arguments => "rules that look at the arguments".to_owned(),
            Decider::Rule(at) => {
                let entry = rules.rules.get(at)?.entry;
                let at = profile.entries.get(entry)?.at;
                format!("syscalls[{entry}], line {}", at.line)
            }
            Decider::Default => "no rule: the default".to_owned(),
            Decider::Unknown => "newer than all that the profile names".to_owned(),
            Decider::BadArch => "an ABI that the profile is not for".to_owned(),
        };
        let entry = serde_json::json!({"names": [name], "action": "SCMP_ACT_ALLOW"}).to_string();
        Some(Reason { profile: applied.profile.clone(), rule, entry, looks_at_arguments })
    }
}
