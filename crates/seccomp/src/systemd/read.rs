//! Conversion of a unit's directives to one profile that decides as all its filters together do.

mod whole;

use std::collections::{BTreeMap, BTreeSet};

use palisade_k8s::manifest::Position;

use super::guard::{self, Guard};
use super::list::{self, List};
use super::unit::{Assignment, assignments};
use crate::action::Action;
use crate::arch::Arch;
use crate::finding::{Finding, Findings, suggestion};
use crate::profile::{Origin, Profile};
use whole::Whole;

/// A boolean directive, with its filter.
type Switch = (&'static str, fn() -> Vec<Guard>);

/// Boolean directives.
const SWITCHES: [Switch; 9] = [
    ("MemoryDenyWriteExecute", guard::write_execute),
    ("RestrictRealtime", guard::realtime),
    ("RestrictSUIDSGID", guard::suid_sgid),
    ("ProtectKernelTunables", guard::kernel_tunables),
    ("ProtectKernelModules", || guard::set("@module")),
    ("ProtectKernelLogs", guard::kernel_logs),
    ("ProtectClock", || guard::set("@clock")),
    ("PrivateDevices", || guard::set("@raw-io")),
    ("ProtectHostname", guard::hostname),
];

/// Directives that are parsed here.
const READ: [&str; 9] = [
    "SystemCallFilter",
    "SystemCallErrorNumber",
    "SystemCallArchitectures",
    "SystemCallLog",
    "RestrictAddressFamilies",
    "RestrictNamespaces",
    "LockPersonality",
    "Personality",
    "DynamicUser",
];

/// Parses a unit, or lines of one without a section. Assignments that systemd ignores are warnings; a unit without a
/// filter is an error.
pub fn read(text: &str) -> (Option<Profile>, Vec<Finding>) {
    let (found, wrong) = assignments(text);
    let mut unit = Unit::default();
    for at in wrong {
        unit.findings.error(at, "", "a line KEY=VALUE is expected");
    }
    for assignment in &found {
        unit.assign(assignment);
    }
    unit.finish()
}

/// The state of a unit's directives after some assignments.
#[derive(Default)]
struct Unit {
    findings: Findings,
    filter: List,
    log: List,
    /// The error of denied syscalls; `None` kills the process.
    errno: Option<u16>,
    /// `SystemCallArchitectures=`; `None` leaves every ABI of the machine.
    archs: Option<Vec<String>>,
    /// The listed address families, and whether the list allows.
    families: Option<(BTreeSet<u64>, bool, Position)>,
    /// The namespaces that stay allowed.
    namespaces: Option<(u64, Position)>,
    /// The switches that are on, by name; with their positions.
    switches: BTreeMap<&'static str, Position>,
    locks_personality: Option<Position>,
    persona: u64,
    dynamic_user: Option<Position>,
}

impl Unit {
    fn assign(&mut self, assignment: &Assignment) {
        let Assignment { key, value, at, section } = assignment;
        let (key, value, at) = (key.as_str(), value.as_str(), *at);
        let is_read = READ.contains(&key) || SWITCHES.iter().any(|(name, _)| *name == key);
        if !assignment.is_executed() {
            if is_read {
                let section = section.as_deref().unwrap_or_default();
                self.findings.warn(
                    at,
                    key,
                    format!("systemd ignores it in [{section}]; it belongs to [Service]"),
                );
            }
            return;
        }
        match key {
            "SystemCallFilter" => self.filter.assign(key, value, at, &mut self.findings),
            "SystemCallLog" => self.log.assign(key, value, at, &mut self.findings),
            "SystemCallErrorNumber" => self.error_number(value, at),
            "SystemCallArchitectures" => self.architectures(value, at),
            "RestrictAddressFamilies" => self.address_families(value, at),
            "RestrictNamespaces" => self.restrict_namespaces(value, at),
            "LockPersonality" => {
                if let Some(is_on) = self.truth(key, value, at) {
                    self.locks_personality = is_on.then_some(at);
                }
            }
            "Personality" => {
                self.persona =
                    u64::from(matches!(value, "x86" | "arm" | "ppc" | "s390" | "mips" | "mips-le")) * 8
            }
            "DynamicUser" => {
                if let Some(is_on) = self.truth(key, value, at) {
                    self.dynamic_user = is_on.then_some(at);
                }
            }
            "RestrictFileSystems" => {
                self.findings.warn(at, key, "is not read: a BPF LSM program enforces it, not seccomp");
            }
            _ => self.switch(key, value, at),
        }
    }

    fn switch(&mut self, key: &str, value: &str, at: Position) {
        let Some((name, _)) = SWITCHES.iter().find(|(name, _)| *name == key) else { return };
        let word = if key == "ProtectHostname" { value.split(':').next().unwrap_or_default() } else { value };
        // `private` gives the unit a hostname of its own, which it may set.
        if key == "ProtectHostname" && word == "private" {
            self.switches.remove(name);
            return;
        }
        match self.truth(key, word, at) {
            Some(true) => drop(self.switches.insert(name, at)),
            Some(false) => drop(self.switches.remove(name)),
            None => {}
        }
    }

    /// A boolean; another word, and none, is ignored, which keeps the old value (`config_parse_bool`).
    fn truth(&mut self, key: &str, value: &str, at: Position) -> Option<bool> {
        let known = truth(value);
        if known.is_none() {
            self.findings.warn(at, key, format!("systemd ignores {value:?}: yes or no is expected"));
        }
        known
    }

    /// `config_parse_syscall_errno`: 0 and unknown words are ignored, which keeps the old value.
    fn error_number(&mut self, value: &str, at: Position) {
        const KEY: &str = "SystemCallErrorNumber";
        match (value, list::number(value)) {
            ("" | "kill", _) => self.errno = None,
            (_, Some(0)) => {
                self.findings.warn(at, KEY, format!("systemd ignores 0, so that {}", self.denial()))
            }
            (_, Some(number)) => self.errno = Some(number),
            (_, None) => {
                let message =
                    format!("{}; systemd ignores it, so that {}", list::unknown_error(value), self.denial());
                self.findings.warn(at, KEY, message);
            }
        }
    }

    fn denial(&self) -> String {
        match self.errno {
            None => "denied syscalls kill the process".to_owned(),
            Some(number) => format!("denied syscalls fail with {}", Action::Errno(number)),
        }
    }

    fn architectures(&mut self, value: &str, at: Position) {
        if value.is_empty() {
            self.archs = None;
            return;
        }
        let known = || Arch::ALL.iter().map(|arch| arch.name());
        for word in value.split_whitespace() {
            let name = word.replace('-', "_");
            let archs = self.archs.get_or_insert_default();
            match (word, Arch::parse(&name)) {
                ("native", _) => {}
                (_, Some(arch)) => {
                    archs.push(arch.scmp().to_owned());
                    // The vDSO of x32 makes syscalls of x86_64.
                    archs.extend((arch == Arch::X32).then(|| Arch::X86_64.scmp().to_owned()));
                }
                (_, None) => {
                    let message = format!(
                        "unknown architecture {word:?}, which systemd ignores{}",
                        suggestion(&name, known())
                    );
                    self.findings.warn(at, "SystemCallArchitectures", message);
                }
            }
        }
    }

    /// `config_parse_address_families`.
    fn address_families(&mut self, value: &str, at: Position) {
        match value {
            "" => return self.families = None,
            "none" => return self.families = Some((BTreeSet::new(), true, at)),
            _ => {}
        }
        let (words, inverted) = match value.strip_prefix('~') {
            Some(rest) => (rest, true),
            None => (value, false),
        };
        let (listed, allows, place) = self.families.get_or_insert_with(|| (BTreeSet::new(), !inverted, at));
        *place = at;
        for word in words.split_whitespace() {
            match guard::family(word) {
                Some(family) if *allows != inverted => drop(listed.insert(family)),
                Some(family) => drop(listed.remove(&family)),
                None => self.findings.warn(
                    at,
                    "RestrictAddressFamilies",
                    format!("unknown address family {word:?}, which systemd ignores"),
                ),
            }
        }
    }

    /// `config_parse_restrict_namespaces`.
    fn restrict_namespaces(&mut self, value: &str, at: Position) {
        let all = guard::NAMESPACES.iter().fold(0, |flags, (_, flag)| flags | flag);
        let before = self.namespaces.map(|(retained, _)| retained);
        let retained = match (value, truth(value)) {
            ("", _) => return self.namespaces = None,
            (_, Some(true)) => 0,
            (_, Some(false)) => all,
            (_, None) => {
                let (words, inverted) = match value.strip_prefix('~') {
                    Some(rest) => (rest, true),
                    None => (value, false),
                };
                let mut flags = 0;
                for word in words.split_whitespace() {
                    match guard::NAMESPACES.iter().find(|(name, _)| *name == word) {
                        Some((_, flag)) => flags |= flag,
                        None => {
                            let names = guard::NAMESPACES.iter().map(|(name, _)| *name);
                            let message = format!(
                                "unknown namespace {word:?}, so that systemd ignores the line{}",
                                suggestion(word, names)
                            );
                            self.findings.warn(at, "RestrictNamespaces", message);
                            return;
                        }
                    }
                }
                match (before, inverted) {
                    (None, true) => all & !flags,
                    (None, false) => flags,
                    (Some(before), true) => before & !flags,
                    (Some(before), false) => before | flags,
                }
            }
        };
        self.namespaces = Some((retained, at));
    }

    /// The guards of all directives, each with the directive and its position.
    fn guards(&mut self) -> Vec<(String, Position, Guard)> {
        let mut guards = Vec::new();
        let mut add = |name: &str, at: Position, list: Vec<Guard>| {
            guards.extend(list.into_iter().map(|guard| (format!("{name}="), at, guard)));
        };
        if let Some((listed, allows, at)) = &self.families {
            add("RestrictAddressFamilies", *at, guard::families(listed, *allows));
        }
        if let Some((retained, at)) = self.namespaces {
            add("RestrictNamespaces", at, guard::namespaces(retained));
        }
        // DynamicUser= implies RestrictSUIDSGID=, which cannot be turned off then.
        if let (Some(at), false) = (self.dynamic_user, self.switches.contains_key("RestrictSUIDSGID")) {
            add("DynamicUser", at, guard::suid_sgid());
        }
        for (name, filter) in SWITCHES {
            if let Some(at) = self.switches.get(name) {
                add(name, *at, filter());
            }
        }
        if let Some(at) = self.locks_personality {
            add("LockPersonality", at, guard::personality(self.persona));
        }
        guards
    }

    fn finish(mut self) -> (Option<Profile>, Vec<Finding>) {
        let start = Position { line: 1, column: 1 };
        let guards = self.guards();
        if self.filter.allows().is_none()
            && self.log.allows().is_none()
            && guards.is_empty()
            && self.archs.is_none()
        {
            self.findings.error(
                start,
                "SystemCallFilter",
                "is missing, and no other directive is a filter, so nothing is filtered",
            );
        }
        if self.findings.list.iter().any(|finding| finding.severity == crate::finding::Severity::Error) {
            return (None, self.findings.list);
        }
        let whole = Whole::new(&self, &guards, start);
        let profile = Profile {
            architectures: self.archs.clone().unwrap_or_default(),
            entries: whole.entries(),
            origin: if self.archs.is_some() { Origin::UnitOfArchs } else { Origin::Unit },
            lines: self.filter.lines(),
            ..Profile::empty(whole.default)
        };
        (Some(profile), self.findings.list)
    }
}

/// A boolean in any case (`parse_boolean`).
fn truth(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{Data, Filter};
    use crate::resolve::{Context, resolve};
    use crate::table::{self, Syscall};

    fn filter(text: &str, kernel: palisade_k8s::KernelVersion) -> Filter {
        let (profile, findings) = read(text);
        let profile = profile.unwrap_or_else(|| panic!("{text}: {findings:?}"));
        let context = Context { arch: Arch::X86_64, caps: BTreeSet::new(), kernel };
        Filter::new(&resolve(&profile, &context).rules).unwrap()
    }

    fn answer(filter: &Filter, arch: Arch, name: &str, args: &[u64]) -> String {
        let number = Syscall::named(name).and_then(|syscall| syscall.number(arch)).unwrap();
        let mut data = Data { number, arch: arch.audit(), args: [0; 6] };
        data.args.iter_mut().zip(args).for_each(|(slot, arg)| *slot = *arg);
        filter.decide(&data).to_string()
    }

    const X64: Arch = Arch::X86_64;
    const X86: Arch = Arch::X86;

    /// A syscall of an ABI with its arguments, and the result.
    type Call = (Arch, &'static str, &'static [u64], &'static str);

    /// Lines of a unit, and what they decide together.
    const TOGETHER: &[(&str, &[Call])] = &[
        (
            "SystemCallFilter=read",
            &[
                (X64, "read", &[], "ALLOW"),
                (X86, "read", &[], "ALLOW"),
                (X64, "write", &[], "ALLOW"),
                (X64, "statx", &[], "KILL_PROCESS"),
                (X64, "execve", &[], "ALLOW"),
                (X64, "openat2", &[], "KILL_PROCESS"),
            ],
        ),
        (
            "SystemCallFilter=read\nSystemCallArchitectures=native",
            &[(X64, "read", &[], "ALLOW"), (X86, "read", &[], "KILL_THREAD")],
        ),
        (
            "SystemCallFilter=~fsync\nSystemCallErrorNumber=0",
            &[
                (X64, "fsync", &[], "KILL_PROCESS"),
                (X86, "fsync", &[], "KILL_PROCESS"),
                (X86, "read", &[], "ALLOW"),
            ],
        ),
        (
            "SystemCallFilter=~fsync write\nSystemCallErrorNumber=EPERM\nSystemCallErrorNumber=EPREM",
            &[(X64, "fsync", &[], "ERRNO(EPERM)"), (X64, "write", &[], "ALLOW")],
        ),
        // The list's denial takes precedence over the directive's; the directive narrows what the list allows.
        (
            "SystemCallFilter=@system-service\nRestrictAddressFamilies=AF_UNIX",
            &[
                (X64, "socket", &[1], "ALLOW"),
                (X64, "socket", &[2], "ERRNO(EAFNOSUPPORT)"),
                (X64, "socket", &[0], "ERRNO(EAFNOSUPPORT)"),
                (X64, "socket", &[1 << 32 | 1], "ERRNO(EAFNOSUPPORT)"),
                (X86, "socket", &[2], "ALLOW"),
            ],
        ),
        ("SystemCallFilter=read\nRestrictAddressFamilies=AF_UNIX", &[(X64, "socket", &[1], "KILL_PROCESS")]),
        (
            "RestrictAddressFamilies=~AF_INET AF_INET6",
            &[
                (X64, "socket", &[2], "ERRNO(EAFNOSUPPORT)"),
                (X64, "socket", &[1], "ALLOW"),
                (X64, "reboot", &[], "ALLOW"),
            ],
        ),
        (
            "SystemCallFilter=@system-service clone setns unshare\nRestrictNamespaces=net",
            &[
                (X64, "clone", &[0x1000_0011], "ERRNO(EPERM)"),
                (X64, "clone", &[0x4000_0011], "ALLOW"),
                (X64, "clone", &[0x3d0f00], "ALLOW"),
                (X64, "clone3", &[], "ERRNO(ENOSYS)"),
                (X64, "setns", &[3, 0], "ERRNO(EPERM)"),
                (X64, "setns", &[3, 0x4000_0000], "ALLOW"),
            ],
        ),
        ("RestrictNamespaces=YES", &[(X64, "unshare", &[0x1000_0000], "ERRNO(EPERM)")]),
        // An invalid boolean keeps the earlier value.
        ("LockPersonality=on\nLockPersonality=maybe", &[(X64, "personality", &[8], "ERRNO(EPERM)")]),
        ("RestrictRealtime=yes\nRestrictRealtime=", &[(X64, "sched_setscheduler", &[0, 1], "ERRNO(EPERM)")]),
        (
            "RestrictRealtime=yes\nRestrictRealtime=No\nProtectClock=1",
            &[(X64, "sched_setscheduler", &[0, 1], "ALLOW")],
        ),
        ("DynamicUser=yes\nDynamicUser=perhaps", &[(X64, "fchmod", &[3, 0o4755], "ERRNO(EPERM)")]),
        // systemd's list of address families does not contain it.
        ("RestrictAddressFamilies=~AF_UNSPEC AF_INET", &[(X64, "socket", &[0], "ALLOW")]),
        // The list of what is logged takes no errors.
        ("SystemCallLog=~openat:EPERM", &[(X64, "openat", &[], "LOG"), (X64, "read", &[], "LOG")]),
        (
            "RestrictNamespaces=~user\nRestrictNamespaces=user\nLockPersonality=yes",
            &[(X64, "unshare", &[0x1000_0000], "ALLOW")],
        ),
        ("MemoryDenyWriteExecute=yes", &[(X64, "mmap", &[0, 0, 6], "ALLOW")]),
        (
            "LockPersonality=yes\nSystemCallFilter=personality",
            &[(X64, "personality", &[8], "ERRNO(EPERM)"), (X64, "personality", &[0], "ALLOW")],
        ),
        (
            "SystemCallFilter=@system-service\nSystemCallLog=openat",
            &[(X64, "openat", &[], "LOG"), (X64, "read", &[], "ALLOW")],
        ),
        ("SystemCallLog=~openat", &[(X64, "openat", &[], "ALLOW"), (X64, "read", &[], "LOG")]),
        (
            "DynamicUser=yes\nRestrictSUIDSGID=no",
            &[(X64, "fchmod", &[3, 0o4755], "ERRNO(EPERM)"), (X64, "fchmod", &[3, 0o755], "ALLOW")],
        ),
        ("ProtectHostname=private", &[]),
    ];

    #[test]
    fn directives_decide_together() {
        for (text, syscalls) in TOGETHER.iter().filter(|(_, syscalls)| !syscalls.is_empty()) {
            let filter = filter(text, table::NEWEST);
            for (arch, name, args, expected) in *syscalls {
                assert_eq!(answer(&filter, *arch, name, args), *expected, "{text}: {arch} {name}({args:x?})");
            }
        }
    }

    #[test]
    fn the_kernel_enforces_write_xor_execute_itself_from_6_3() {
        for text in
            ["MemoryDenyWriteExecute=yes", "MemoryDenyWriteExecute=yes\nSystemCallFilter=@system-service"]
        {
            for (kernel, expected) in [((6, 2), "ERRNO(EPERM)"), ((6, 3), "ALLOW")] {
                let filter = filter(text, palisade_k8s::KernelVersion::new(kernel.0, kernel.1));
                assert_eq!(
                    answer(&filter, Arch::X86_64, "mprotect", &[0, 0, 4]),
                    expected,
                    "{text} {kernel:?}"
                );
                assert_eq!(
                    answer(&filter, Arch::X86_64, "mprotect", &[0, 0, 3]),
                    "ALLOW",
                    "{text} {kernel:?}"
                );
            }
        }
    }

    /// `seccomp_restrict_sxid`: `#if SCMP_SYS(open) > 0` is of the machine that systemd was built for.
    #[test]
    fn open_of_32_bit_programs_is_free_on_arm64() {
        let (profile, _) = read("RestrictSUIDSGID=yes");
        for (machine, expected) in [(Arch::Arm, "ERRNO(EPERM)"), (Arch::Aarch64, "ALLOW")] {
            let context = Context { arch: machine, caps: BTreeSet::new(), kernel: table::NEWEST };
            let filter = Filter::new(&resolve(profile.as_ref().unwrap(), &context).rules).unwrap();
            assert_eq!(answer(&filter, Arch::Arm, "open", &[0, 0o100, 0o4755]), expected, "{machine}");
            assert_eq!(answer(&filter, Arch::Arm, "chmod", &[0, 0o4755]), "ERRNO(EPERM)", "{machine}");
        }
    }

    #[test]
    fn what_systemd_ignores_is_a_warning_and_nothing_to_filter_an_error() {
        let cases = [
            ("SystemCallFilter=~@clock @nosuchgroup", Some("unknown set \"@nosuchgroup\"")),
            ("SystemCallFilter=~fsnc", Some("did you mean fsync?")),
            ("SystemCallFilter=~@clock ~@module", Some("write @module without it")),
            (
                "SystemCallFilter=@system-service ~@resources ~@ipc",
                Some("deny by a line of its own after it: SystemCallFilter=~@resources @ipc"),
            ),
            (
                "SystemCallFilter=~@mount @debug\nSystemCallFilter=@system-service",
                Some("it takes @system-service out of that list"),
            ),
            ("SystemCallFilter=openat:ENOENT", Some("takes no error")),
            ("SystemCallFilter=read\nSystemCallErrorNumber=EPREM", Some("denied syscalls kill the process")),
            ("SystemCallFilter=read\nRestrictAddressFamilies=AF_UNX", Some("unknown address family")),
            ("SystemCallFilter=read\nRestrictNamespaces=usr", Some("unknown namespace")),
            ("SystemCallFilter=read\nLockPersonality=maybe", Some("yes or no")),
            ("SystemCallFilter=read\nSystemCallLog=openat:EPERM", Some("takes no error")),
            ("SystemCallFilter=read\nRestrictAddressFamilies=AF_UNSPEC", Some("unknown address family")),
            ("SystemCallFilter=read\nSystemCallArchitectures=x86-46", Some("unknown architecture")),
            ("[Unit]\nSystemCallFilter=read\n[Service]\nSystemCallFilter=read", Some("belongs to [Service]")),
            ("SystemCallFilter=read\nRestrictFileSystems=ext4", Some("BPF LSM")),
            ("SystemCallFilter=read", None),
        ];
        for (text, expected) in cases {
            let (profile, findings) = read(text);
            assert!(profile.is_some(), "{text}");
            assert_eq!(findings.len(), usize::from(expected.is_some()), "{text}: {findings:?}");
            assert!(
                findings.iter().all(|f| f.message.contains(expected.unwrap_or_default())),
                "{text}: {findings:?}"
            );
        }
        for text in ["[Service]\nExecStart=/bin/true", "ProtectHostname=private", "nonsense"] {
            assert!(read(text).0.is_none(), "{text}");
        }
    }
}
