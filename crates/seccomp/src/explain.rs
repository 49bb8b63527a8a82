//! Why a call gets its answer: the rules for it in the order in which they are tried.

use crate::action::Action;
use crate::arch::{Arch, X32_BIT};
use crate::filter::{Data, FilterError, Rules, Unknown, branches};
use crate::rule::Condition;
use crate::table::Syscall;

/// What decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decider {
    /// A rule: its place in [`Rules::rules`].
    Rule(usize),
    /// No rule fits.
    Default,
    /// The profile's own kernel did not have the call.
    Unknown,
    /// The call is by an architecture that the filter is not for.
    BadArch,
}

/// A rule that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Its place in [`Rules::rules`].
    pub rule: usize,
    /// Its conditions as the architecture sees them, and whether each holds.
    pub conditions: Vec<(Condition, bool)>,
}

/// Why a call gets its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The answer.
    pub action: Action,
    /// What decided it.
    pub decider: Decider,
    /// What was tried, up to the rule that decided.
    pub tried: Vec<Tried>,
}

/// The architecture that makes a call, among those of the rules.
#[must_use]
pub fn arch_of(archs: &[Arch], data: &Data) -> Option<Arch> {
    let is_x32 = |arch: Arch| arch == Arch::X32;
    let found = archs.iter().copied().filter(|arch| arch.audit() == data.arch);
    found.filter(|&arch| data.arch != Arch::X32.audit() || is_x32(arch) == (data.number >= X32_BIT)).max()
}

/// Explains the answer to one call.
pub fn explain(rules: &Rules, data: &Data) -> Result<Explanation, FilterError> {
    let Some(arch) = arch_of(&rules.archs, data) else {
        return Ok(Explanation { action: rules.bad_arch, decider: Decider::BadArch, tried: Vec::new() });
    };
    let mut tried = Vec::new();
    for branch in branches(rules, arch, data.number)? {
        let holds = |condition: &Condition| {
            let argument = data.args.get(usize::from(condition.arg())).copied().unwrap_or_default();
            condition.holds(if arch.is_wide() { argument } else { argument & 0xffff_ffff })
        };
        let conditions: Vec<_> = branch.conditions.iter().map(|c| (*c, holds(c))).collect();
        let fits = conditions.iter().all(|(_, holds)| *holds);
        tried.push(Tried { rule: branch.rule, conditions });
        if fits {
            return Ok(Explanation { action: branch.action, decider: Decider::Rule(branch.rule), tried });
        }
    }
    let has_rule = !tried.is_empty();
    Ok(match rules.unknown {
        Unknown::Enosys { kernel } if !has_rule && is_unknown(arch, data.number, kernel) => {
            Explanation { action: Action::Errno(arch.enosys()), decider: Decider::Unknown, tried }
        }
        _ => Explanation { action: rules.default, decider: Decider::Default, tried },
    })
}

fn is_unknown(arch: Arch, number: u32, kernel: palisade_k8s::KernelVersion) -> bool {
    Syscall::numbered(arch, number).is_none_or(|call| call.introduced() > kernel)
}

/// Parts of the kernel, and the calls that belong to each, for summaries.
pub fn areas() -> impl Iterator<Item = (&'static str, Vec<Syscall>)> {
    const AREAS: [(&str, &[&str]); 13] = [
        ("files", &["@file-system", "@basic-io", "@chown", "@sync"]),
        ("network", &["@network-io"]),
        ("processes", &["@process", "@default", "@signal", "@resources"]),
        ("events and asynchronous I/O", &["@io-event", "@aio"]),
        ("inter-process communication", &["@ipc"]),
        ("time", &["@timer", "@clock"]),
        ("identity", &["@setuid"]),
        ("memory", &["@memlock", "@pkey"]),
        ("keys", &["@keyring"]),
        ("mounts", &["@mount"]),
        ("debugging", &["@debug"]),
        ("the machine", &["@module", "@reboot", "@raw-io", "@swap", "@privileged"]),
        ("obsolete", &["@obsolete", "@cpu-emulation"]),
    ];
    let mut seen = std::collections::BTreeSet::new();
    AREAS.into_iter().map(move |(area, sets)| {
        let names = sets.iter().flat_map(|set| crate::systemd::members(set));
        let calls = names.filter_map(Syscall::named).filter(|call| seen.insert(*call)).collect();
        (area, calls)
    })
}
