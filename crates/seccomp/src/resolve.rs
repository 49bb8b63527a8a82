//! A profile in a context: which of its entries count on this machine, for this container.

use std::collections::BTreeSet;

use palisade_k8s::KernelVersion;

use crate::action::Action;
use crate::arch::{Arch, OTHER_SCMP};
use crate::errno;
use crate::filter::{Rules, Unknown};
use crate::finding::{Finding, Findings, suggestion};
use crate::profile::{Entry, Gate, Origin, Profile};
use crate::rule::{Condition, Rule};
use crate::table::{self, Syscall};

/// The machine and the container that a profile is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The machine's own architecture.
    pub arch: Arch,
    /// The container's bounding set, as `CAP_SYS_ADMIN`.
    pub caps: BTreeSet<String>,
    /// The machine's kernel.
    pub kernel: KernelVersion,
}

/// A profile's rules in a context.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The rules, ready for a filter. Numbers that the profile does not know get `ENOSYS` unless the
    /// default lets calls through anyway.
    pub rules: Rules,
    /// What became of names that mean nothing.
    pub findings: Vec<Finding>,
}

/// The longest list of rules, and so the most that a hostile profile costs.
const MAX_RULES: usize = 200_000;

/// Resolves a profile.
#[must_use]
pub fn resolve(profile: &Profile, context: &Context) -> Resolved {
    let mut findings = Findings::default();
    let archs = architectures(profile, context, &mut findings);
    let mut rules = Vec::new();
    let mut newest = KernelVersion::new(1, 0);
    for (at, entry) in profile.entries.iter().enumerate() {
        let counts = applies(entry, context);
        let alternatives = alternatives(at, entry, &mut findings);
        for (name, position) in &entry.names {
            let Some(call) = Syscall::named(name) else {
                unknown_name(name, &archs, at, *position, &mut findings);
                continue;
            };
            // runc looks at the names that are left once conditions are resolved.
            if counts && archs.iter().any(|arch| call.number(*arch).is_some()) {
                newest = newest.max(call.introduced());
            }
            if counts && rules.len() + alternatives.len() <= MAX_RULES {
                let rule = |conditions: &Vec<Condition>| Rule {
                    call,
                    conditions: conditions.clone(),
                    action: entry.action,
                    archs: entry.abis,
                    entry: at,
                };
                rules.extend(alternatives.iter().map(rule));
            } else if counts {
                findings.error(
                    *position,
                    format!("syscalls[{at}]"),
                    format!("the profile makes more than {MAX_RULES} rules"),
                );
                return Resolved { rules: assemble(profile, archs, rules, newest), findings: findings.list };
            }
        }
    }
    Resolved { rules: assemble(profile, archs, rules, newest), findings: findings.list }
}

fn assemble(profile: &Profile, archs: Vec<Arch>, rules: Vec<Rule>, newest: KernelVersion) -> Rules {
    // As runc: who lets unknown calls through, or has ENOSYS for them already, needs nothing more.
    let unknown = match profile.default_action {
        Action::Allow | Action::Log | Action::Trace(_) | Action::Errno(errno::ENOSYS) => Unknown::Default,
        _ if profile.origin.is_unit() => Unknown::Enosys { kernel: table::NEWEST },
        _ => Unknown::Enosys { kernel: newest },
    };
    Rules {
        default: profile.default_action,
        archs,
        rules,
        unknown,
        bad_arch: match profile.origin {
            Origin::Container | Origin::UnitOfArchs => Action::KillThread,
            Origin::Unit => Action::Allow,
        },
        open_multiplexers: true,
    }
}

/// The machine's own architecture always counts.
fn architectures(profile: &Profile, context: &Context, findings: &mut Findings) -> Vec<Arch> {
    let mut names: Vec<&str> = profile.architectures.iter().map(String::as_str).collect();
    if let Some(map) = profile.arch_map.iter().find(|map| map.architecture == context.arch.scmp()) {
        names.extend(map.sub_architectures.iter().map(String::as_str));
    }
    let mut archs = vec![context.arch];
    if profile.origin == Origin::Unit {
        archs.extend(context.arch.companions());
    }
    for name in names {
        match Arch::parse(name) {
            Some(arch) if arch.is_big_endian() == context.arch.is_big_endian() => archs.push(arch),
            None if OTHER_SCMP.contains(&name) => {
                let message =
                    format!("there is no table of syscalls for {name}: the threads that use it are killed");
                findings.warn(Default::default(), "architectures", message);
            }
            _ => {}
        }
    }
    archs.sort_unstable();
    archs.dedup();
    archs
}

/// First what it excludes, then what it includes.
#[must_use]
pub fn applies(entry: &Entry, context: &Context) -> bool {
    let Gate { caps, arches, min_kernel } = &entry.excludes;
    let host = context.arch.docker();
    let excluded = caps.iter().any(|cap| context.caps.contains(cap))
        || arches.iter().any(|arch| arch == host)
        || min_kernel.is_some_and(|kernel| context.kernel >= kernel);
    let Gate { caps, arches, min_kernel } = &entry.includes;
    !excluded
        && caps.iter().all(|cap| context.caps.contains(cap))
        && (arches.is_empty() || arches.iter().any(|arch| arch == host))
        && min_kernel.is_none_or(|kernel| context.kernel >= kernel)
}

/// An entry's conditions all hold together, unless two are on the same argument: then each is a rule of its
/// own, as runc, crun and youki have it.
fn alternatives(at: usize, entry: &Entry, findings: &mut Findings) -> Vec<Vec<Condition>> {
    let mut seen = BTreeSet::new();
    if entry.args.iter().all(|condition| seen.insert(condition.arg())) {
        return vec![entry.args.clone()];
    }
    let message = "two conditions are on the same argument, so each condition of this entry lets the syscall match by itself";
    findings.warn(entry.at, format!("syscalls[{at}].args"), message);
    entry.args.iter().map(|condition| vec![*condition]).collect()
}

fn unknown_name(
    name: &str,
    archs: &[Arch],
    at: usize,
    position: palisade_k8s::manifest::Position,
    findings: &mut Findings,
) {
    let known = Syscall::all().filter(|call| archs.iter().any(|arch| call.number(*arch).is_some()));
    let message = format!(
        "unknown syscall {name:?}, which runtimes ignore{}",
        suggestion(name, known.map(Syscall::name))
    );
    findings.warn(position, format!("syscalls[{at}].names"), message);
}
