//! A profile in a context: the entries that apply to this machine and this container.

use std::collections::BTreeSet;

use palisade_k8s::KernelVersion;

use crate::action::Action;
use crate::arch::{Arch, OTHER_SCMP};
use crate::errno;
use crate::filter::{Rules, Unknown};
use crate::finding::{Finding, Findings, syscall_suggestion};
use crate::profile::{Entry, Gate, Origin, Profile};
use crate::rule::{Condition, Rule};
use crate::table::{self, Syscall};

/// The machine and the container that a profile is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The machine's own architecture.
    pub arch: Arch,
    /// The container's bounding set, with names such as `CAP_SYS_ADMIN`.
    pub caps: BTreeSet<String>,
    /// The machine's kernel.
    pub kernel: KernelVersion,
}

/// A profile's rules in a context.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The rules, ready for a filter. Numbers that the profile does not know get `ENOSYS` unless the default allows
    /// syscalls anyway.
    pub rules: Rules,
    /// Findings, such as unknown names.
    pub findings: Vec<Finding>,
}

/// Maximum number of rules, which bounds the cost of a hostile profile.
const MAX_RULES: usize = 200_000;

/// Resolves a profile.
#[must_use]
pub fn resolve(profile: &Profile, context: &Context) -> Resolved {
    let mut findings = Findings::default();
    let archs = architectures(profile, context, &mut findings);
    let mut rules = Vec::new();
    let mut newest = KernelVersion::new(1, 0);
    for (at, entry) in profile.entries.iter().enumerate() {
        let counts = entry.applies(context);
        let alternatives = alternatives(at, entry, &mut findings);
        for (name, position) in &entry.names {
            let Some(syscall) = Syscall::named(name) else {
                unknown_name(name, &archs, at, *position, &mut findings);
                continue;
            };
            // runc uses the names that remain once conditions are resolved.
            if counts && archs.iter().any(|arch| syscall.number(*arch).is_some()) {
                newest = newest.max(syscall.introduced());
            }
            if counts && rules.len() + alternatives.len() <= MAX_RULES {
                let rule = |conditions: &Vec<Condition>| Rule {
                    syscall,
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
    // As in runc: a profile that allows unknown syscalls, or has ENOSYS for them already, needs no addition.
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
                let message = format!("no table of syscalls for {name}: threads that use it are killed");
                findings.warn(Default::default(), "architectures", message);
            }
            _ => {}
        }
    }
    archs.sort_unstable();
    archs.dedup();
    archs
}

/// An unmet condition of an entry on its context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// The container must have this capability.
    WithCap(String),
    /// The container must not have this capability.
    WithoutCap(String),
    /// The machine must be of one of these architectures, by Docker's names.
    On(Vec<String>),
    /// The machine must not be of this architecture.
    NotOn(String),
    /// The kernel must be this one or newer.
    From(KernelVersion),
    /// The kernel must be older than this one.
    Before(KernelVersion),
}

impl Entry {
    /// Whether the entry applies in a context: it has nothing of `excludes`, and all of `includes`.
    #[must_use]
    pub fn applies(&self, context: &Context) -> bool {
        self.unmet(context).is_empty()
    }

    /// The reasons why the entry does not apply in a context; empty if it does.
    #[must_use]
    pub fn unmet(&self, context: &Context) -> Vec<Unmet> {
        let mut unmet = Vec::new();
        let host = context.arch.docker();
        let Gate { caps, arches, min_kernel } = &self.excludes;
        unmet.extend(caps.iter().filter(|cap| context.caps.contains(*cap)).cloned().map(Unmet::WithoutCap));
        unmet.extend(arches.iter().filter(|arch| *arch == host).cloned().map(Unmet::NotOn));
        unmet.extend(min_kernel.filter(|kernel| context.kernel >= *kernel).map(Unmet::Before));
        let Gate { caps, arches, min_kernel } = &self.includes;
        unmet.extend(caps.iter().filter(|cap| !context.caps.contains(*cap)).cloned().map(Unmet::WithCap));
        if !arches.is_empty() && !arches.iter().any(|arch| arch == host) {
            unmet.push(Unmet::On(arches.clone()));
        }
        unmet.extend(min_kernel.filter(|kernel| context.kernel < *kernel).map(Unmet::From));
        unmet
    }
}

/// An entry's conditions all hold together, unless two are on the same argument: then each is a rule of its own, as in
/// runc, crun and youki.
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
    if findings.is_full() {
        return;
    }
    let known = Syscall::all().filter(|syscall| archs.iter().any(|arch| syscall.number(*arch).is_some()));
    let message = format!(
        "unknown syscall {name:?}, which runtimes ignore{}",
        syscall_suggestion(name, known.map(Syscall::name))
    );
    findings.warn(position, format!("syscalls[{at}].names"), message);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::read_json;

    fn context(caps: &[&str], kernel: (u32, u32)) -> Context {
        let caps = caps.iter().map(|cap| (*cap).to_owned()).collect();
        Context { arch: Arch::X86_64, caps, kernel: KernelVersion::new(kernel.0, kernel.1) }
    }

    fn profile(text: &str) -> Profile {
        read_json(text).0.unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    #[expect(clippy::type_complexity, reason = "a table of cases")]
    fn gates_are_dockers() {
        let cases: &[(&str, &[&str], (u32, u32), bool)] = &[
            ("", &[], (4, 0), true),
            (r#","includes":{"caps":["CAP_SYS_ADMIN"]}"#, &[], (4, 0), false),
            (r#","includes":{"caps":["CAP_SYS_ADMIN"]}"#, &["CAP_SYS_ADMIN"], (4, 0), true),
            // All included capabilities must be held; one excluded capability suffices.
            (r#","includes":{"caps":["CAP_BPF","CAP_SYS_ADMIN"]}"#, &["CAP_BPF"], (4, 0), false),
            (r#","excludes":{"caps":["CAP_BPF","CAP_SYS_ADMIN"]}"#, &["CAP_BPF"], (4, 0), false),
            (r#","includes":{"arches":["arm64"]}"#, &[], (4, 0), false),
            (r#","includes":{"arches":["amd64"]}"#, &[], (4, 0), true),
            // x32 and x86 are never the machine's own architecture.
            (r#","includes":{"arches":["x32"]}"#, &[], (4, 0), false),
            (r#","includes":{"minKernel":"4.8"}"#, &[], (4, 7), false),
            (r#","includes":{"minKernel":"4.8"}"#, &[], (4, 8), true),
            (r#","excludes":{"minKernel":"4.8"}"#, &[], (4, 8), false),
            (r#","excludes":{"minKernel":""}"#, &[], (4, 8), false),
        ];
        for (gate, caps, kernel, expected) in cases {
            let text = format!(
                r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{"names":["read"],"action":"SCMP_ACT_ALLOW"{gate}}}]}}"#
            );
            let profile = profile(&text);
            let context = context(caps, *kernel);
            assert_eq!(profile.entries[0].applies(&context), *expected, "{gate} {caps:?} {kernel:?}");
            assert_eq!(resolve(&profile, &context).rules.rules.len(), usize::from(*expected), "{gate}");
        }
    }

    #[test]
    fn unknown_follows_from_the_entries_that_count() {
        let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read","cachestat"],"action":"SCMP_ACT_ALLOW"},
            {"names":["futex_wake"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"6.7","caps":["CAP_BPF"]}}]}"#;
        for (caps, kernel, newest) in
            [(&["CAP_BPF"][..], (6, 8), (6, 7)), (&["CAP_BPF"], (5, 4), (6, 5)), (&[], (6, 8), (6, 5))]
        {
            let unknown = resolve(&profile(text), &context(caps, kernel)).rules.unknown;
            assert_eq!(
                unknown,
                Unknown::Enosys { kernel: KernelVersion::new(newest.0, newest.1) },
                "{caps:?} {kernel:?}"
            );
        }
        for default in ["ALLOW", "LOG", "TRACE", "ERRNO\",\"defaultErrnoRet\":38,\"x\":\""] {
            let text = format!(r#"{{"defaultAction":"SCMP_ACT_{default}"}}"#);
            assert_eq!(
                resolve(&profile(&text), &context(&[], (6, 8))).rules.unknown,
                Unknown::Default,
                "{default}"
            );
        }
    }

    #[test]
    fn architectures_and_alternatives_are_the_runtimes() {
        let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]},
            {"architecture":"SCMP_ARCH_AARCH64","subArchitectures":["SCMP_ARCH_ARM"]}],"syscalls":[{"names":["socket","nosuch"],"action":"SCMP_ACT_ALLOW",
            "args":[{"index":0,"value":1,"op":"SCMP_CMP_GT"},{"index":0,"value":9,"op":"SCMP_CMP_LT"},{"index":1,"value":2,"op":"SCMP_CMP_EQ"}]}]}"#;
        let resolved = resolve(&profile(text), &context(&[], (6, 8)));
        assert_eq!(resolved.rules.archs, [Arch::X86_64, Arch::X86]);
        // Two conditions on one argument make all of the entry's conditions alternatives.
        assert_eq!(
            resolved.rules.rules.iter().map(|rule| rule.conditions.len()).collect::<Vec<_>>(),
            [1, 1, 1]
        );
        assert_eq!(resolved.findings.len(), 2, "{:?}", resolved.findings);
    }
}
