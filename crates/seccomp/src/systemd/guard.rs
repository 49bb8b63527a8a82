//! The directives that are filters of their own: each denies some syscalls, some only with some arguments, and allows
//! the rest. Function names in brackets are those of systemd 262's src/shared/seccomp-util.c.

use palisade_k8s::KernelVersion;

use super::sets;
use crate::arch::{Arch, ArchSet};
use crate::errno::{EAFNOSUPPORT, ENOSYS, EPERM};
use crate::rule::{Condition, Operator};
use crate::table::Syscall;

/// A directive's rule for one syscall: it fails if one of the alternatives holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Guard {
    pub(super) syscall: Syscall,
    /// The ABIs for which systemd loads the filter.
    pub(super) abis: ArchSet,
    /// From this kernel on, systemd uses a feature of the kernel instead.
    pub(super) before: Option<KernelVersion>,
    /// On this machine, by Docker's name, systemd loads nothing for these ABIs.
    pub(super) not_on: Option<&'static str>,
    /// Each alternative's conditions all hold. No conditions: always.
    pub(super) denied: Vec<Vec<Condition>>,
    pub(super) errno: u16,
}

fn guard(name: &str, denied: Vec<Vec<Condition>>) -> Option<Guard> {
    let syscall = Syscall::named(name)?;
    Some(Guard { syscall, abis: ArchSet::ALL, before: None, not_on: None, denied, errno: EPERM })
}

/// A syscall that fails whatever its arguments.
fn always(name: &str) -> Option<Guard> {
    guard(name, vec![Vec::new()])
}

fn on(guard: Option<Guard>, abis: ArchSet) -> Option<Guard> {
    guard.map(|guard| Guard { abis, ..guard })
}

fn compare(arg: u8, operator: Operator, value: u64) -> Vec<Condition> {
    Condition::new(arg, operator, value).into_iter().collect()
}

fn equal(arg: u8, value: u64) -> Vec<Condition> {
    compare(arg, Operator::Equal, value)
}

/// All of these bits are set.
fn has(arg: u8, bits: u64) -> Vec<Condition> {
    compare(arg, Operator::MaskedEqual { mask: bits }, bits)
}

/// All syscalls of a set (`PrivateDevices=`, `ProtectKernelModules=`, `ProtectClock=`).
pub(super) fn set(name: &str) -> Vec<Guard> {
    sets::members(name).into_iter().filter_map(always).collect()
}

/// `ProtectKernelLogs=` [seccomp_protect_syslog].
pub(super) fn kernel_logs() -> Vec<Guard> {
    always("syslog").into_iter().collect()
}

/// `ProtectKernelTunables=` [seccomp_protect_sysctl].
pub(super) fn kernel_tunables() -> Vec<Guard> {
    let abis = ArchSet::of(&[Arch::Aarch64, Arch::Riscv64, Arch::Loongarch64, Arch::X32]).complement();
    on(always("_sysctl"), abis).into_iter().collect()
}

/// `ProtectHostname=yes` [seccomp_protect_hostname].
pub(super) fn hostname() -> Vec<Guard> {
    [always("sethostname"), always("setdomainname")].into_iter().flatten().collect()
}

/// `LockPersonality=` [seccomp_lock_personality]; the persona is Linux, or that of `Personality=`.
pub(super) fn personality(persona: u64) -> Vec<Guard> {
    guard("personality", vec![compare(0, Operator::NotEqual, persona)]).into_iter().collect()
}

/// `RestrictRealtime=` [seccomp_restrict_realtime]: SCHED_OTHER, SCHED_BATCH and SCHED_IDLE stay allowed.
pub(super) fn realtime() -> Vec<Guard> {
    let mut denied: Vec<_> = [1, 2, 4].into_iter().map(|policy| equal(1, policy)).collect();
    denied.push(compare(1, Operator::Greater, 5));
    guard("sched_setscheduler", denied).into_iter().collect()
}

/// Namespaces by the names of `RestrictNamespaces=`, with their flags of clone(2).
pub(super) const NAMESPACES: [(&str, u64); 7] = [
    ("cgroup", 0x0200_0000),
    ("ipc", 0x0800_0000),
    ("net", 0x4000_0000),
    ("mnt", 0x0002_0000),
    ("pid", 0x2000_0000),
    ("user", 0x1000_0000),
    ("uts", 0x0400_0000),
];

/// `RestrictNamespaces=` [seccomp_restrict_namespaces]; `retained` are the flags of namespaces that stay allowed.
pub(super) fn namespaces(retained: u64) -> Vec<Guard> {
    let denied: Vec<u64> =
        NAMESPACES.iter().map(|(_, flag)| *flag).filter(|flag| retained & flag == 0).collect();
    if denied.is_empty() {
        return Vec::new();
    }
    let flags = |arg: u8| denied.iter().map(|flag| has(arg, *flag)).collect::<Vec<_>>();
    // On s390 the first two arguments of clone are swapped.
    let swapped = ArchSet::of(&[Arch::S390, Arch::S390x]);
    let setns = match denied.len() == NAMESPACES.len() {
        true => vec![Vec::new()],
        false => std::iter::once(equal(1, 0)).chain(flags(1)).collect(),
    };
    let clone3 = always("clone3").map(|guard| Guard { errno: ENOSYS, ..guard });
    let guards = [
        clone3,
        guard("setns", setns),
        guard("unshare", flags(0)),
        on(guard("clone", flags(0)), swapped.complement()),
        on(guard("clone", flags(1)), swapped),
    ];
    guards.into_iter().flatten().collect()
}

/// The highest address family that systemd 262 knows, AF_MCTP.
pub(super) const LAST_FAMILY: u64 = 45;

/// `RestrictAddressFamilies=` [seccomp_restrict_address_families]. On ABIs with `socketcall` systemd loads nothing.
pub(super) fn families(listed: &std::collections::BTreeSet<u64>, allows: bool) -> Vec<Guard> {
    let supported = [
        Arch::X86_64,
        Arch::X32,
        Arch::Arm,
        Arch::Aarch64,
        Arch::Riscv64,
        Arch::Loongarch64,
        Arch::Mips64el,
        Arch::Mipsel64n32,
    ];
    let inside: Vec<u64> =
        listed.iter().copied().filter(|family| (1..=LAST_FAMILY).contains(family)).collect();
    let denied = match (allows, inside.first(), inside.last()) {
        (false, ..) => listed.iter().map(|family| equal(0, *family)).collect(),
        (true, Some(&first), Some(&last)) => {
            let between =
                (first..last).filter(|family| !listed.contains(family)).map(|family| equal(0, family));
            [compare(0, Operator::Less, first), compare(0, Operator::Greater, last)]
                .into_iter()
                .chain(between)
                .collect()
        }
        (true, ..) => vec![Vec::new()],
    };
    let guard = guard("socket", denied).map(|guard| Guard { errno: EAFNOSUPPORT, ..guard });
    on(guard, ArchSet::of(&supported)).into_iter().collect()
}

/// The kernel from which systemd uses prctl(PR_SET_MDWE) for `MemoryDenyWriteExecute=`, and no filter.
pub(super) const MDWE: KernelVersion = KernelVersion::new(6, 3);

/// `MemoryDenyWriteExecute=` [seccomp_memory_deny_write_execute].
pub(super) fn write_execute() -> Vec<Guard> {
    const WRITE_EXEC: u64 = 6;
    const EXEC: u64 = 4;
    const SHM_EXEC: u64 = 0o100_000;
    let mmap2 = ArchSet::of(&[Arch::X86, Arch::S390, Arch::Arm]);
    let mmap = ArchSet::of(&[
        Arch::Ppc64le,
        Arch::S390x,
        Arch::X86_64,
        Arch::X32,
        Arch::Aarch64,
        Arch::Riscv64,
        Arch::Loongarch64,
    ]);
    let shmat =
        ArchSet::of(&[Arch::Arm, Arch::X86_64, Arch::X32, Arch::Aarch64, Arch::Riscv64, Arch::Loongarch64]);
    let mips = ArchSet::of(&[Arch::Mips64el, Arch::Mipsel64n32, Arch::Mipsel]);
    let guards = [
        on(guard("mmap2", vec![has(2, WRITE_EXEC)]), mmap2),
        on(always("mmap"), ArchSet::of(&[Arch::X86, Arch::S390])),
        on(guard("mmap", vec![has(2, WRITE_EXEC)]), mmap),
        on(guard("mprotect", vec![has(2, EXEC)]), mips.complement()),
        on(guard("pkey_mprotect", vec![has(2, EXEC)]), mips.complement()),
        on(guard("shmat", vec![has(2, SHM_EXEC)]), shmat),
    ];
    guards.into_iter().flatten().map(|guard| Guard { before: Some(MDWE), ..guard }).collect()
}

/// `RestrictSUIDSGID=` [seccomp_restrict_suid_sgid]: modes with the set-user-ID or the set-group-ID bit.
pub(super) fn suid_sgid() -> Vec<Guard> {
    const BITS: [u64; 2] = [0o4000, 0o2000];
    const CREATE: u64 = 0o100;
    let mode = |arg: u8| BITS.iter().map(|bit| has(arg, *bit)).collect::<Vec<_>>();
    let created = |flags: u8, mode: u8| {
        BITS.iter().map(|bit| [has(flags, CREATE), has(mode, *bit)].concat()).collect::<Vec<_>>()
    };
    // Its flags and mode are in memory, where no filter sees them.
    let openat2 = always("openat2").map(|guard| Guard { errno: ENOSYS, ..guard });
    let arm = ArchSet::of(&[Arch::Arm]);
    let open = |abis| on(guard("open", created(1, 2)), abis);
    // Whether there is open(2) at all, systemd asks of the machine, not of the ABI.
    let open_of_arm = open(arm).map(|guard| Guard { not_on: Some("arm64"), ..guard });
    let guards = [
        guard("chmod", mode(1)),
        guard("fchmod", mode(1)),
        guard("fchmodat", mode(2)),
        guard("fchmodat2", mode(2)),
        guard("mkdir", mode(1)),
        guard("mkdirat", mode(2)),
        guard("mknod", mode(1)),
        guard("mknodat", mode(2)),
        open(arm.complement()),
        open_of_arm,
        guard("openat", created(2, 3)),
        guard("creat", mode(1)),
        openat2,
    ];
    guards.into_iter().flatten().collect()
}

/// Address families by name (address_families(7)), `AF_UNIX` and the like. `AF_UNSPEC` is none: systemd's list leaves it out
/// (src/basic/generate-af-list.sh).
pub(super) fn family(name: &str) -> Option<u64> {
    const NAMES: &str = "UNSPEC UNIX INET AX25 IPX APPLETALK NETROM BRIDGE ATMPVC X25 INET6 ROSE DECnet NETBEUI SECURITY \
        KEY NETLINK PACKET ASH ECONET ATMSVC RDS SNA IRDA PPPOX WANPIPE LLC IB MPLS CAN TIPC BLUETOOTH IUCV RXRPC ISDN \
        PHONET IEEE802154 CAIF ALG NFC VSOCK KCM QIPCRTR SMC XDP MCTP";
    let bare = name.strip_prefix("AF_")?;
    let bare = match bare {
        "LOCAL" | "FILE" => "UNIX",
        "ROUTE" => "NETLINK",
        other => other,
    };
    let mut known = NAMES.split_whitespace().zip(0..).filter(|(_, number)| *number > 0);
    known.find(|(name, _)| *name == bare).map(|(_, number)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A guard's denial of a syscall by its arguments.
    fn denies(guards: &[Guard], name: &str, arch: Arch, args: [u64; 4]) -> Option<u16> {
        let holds = |all: &Vec<Condition>| {
            all.iter().all(|c| c.holds(args.get(usize::from(c.arg())).copied().unwrap_or_default()))
        };
        guards
            .iter()
            .find(|g| g.syscall.name() == name && g.abis.contains(arch) && g.denied.iter().any(holds))
            .map(|g| g.errno)
    }

    #[test]
    #[expect(clippy::type_complexity, reason = "a table of cases")]
    fn each_directive_denies_what_systemd_does() {
        let unix = [1].into_iter().collect();
        let some = [2, 10].into_iter().collect();
        let cases: &[(&str, Vec<Guard>, &str, Arch, [u64; 4], Option<u16>)] = &[
            ("families", families(&unix, true), "socket", Arch::X86_64, [1, 1, 0, 0], None),
            ("families", families(&unix, true), "socket", Arch::X86_64, [2, 1, 0, 0], Some(97)),
            ("families", families(&unix, true), "socket", Arch::X86_64, [0, 1, 0, 0], Some(97)),
            ("families", families(&unix, true), "socket", Arch::X86, [2, 1, 0, 0], None),
            ("families", families(&some, true), "socket", Arch::Aarch64, [5, 1, 0, 0], Some(97)),
            ("families", families(&some, false), "socket", Arch::Aarch64, [10, 1, 0, 0], Some(97)),
            ("families", families(&some, false), "socket", Arch::Aarch64, [1, 1, 0, 0], None),
            (
                "families none",
                families(&[].into_iter().collect(), true),
                "socket",
                Arch::X86_64,
                [1, 0, 0, 0],
                Some(97),
            ),
            ("namespaces", namespaces(0), "clone", Arch::X86_64, [0x1000_0011, 0, 0, 0], Some(1)),
            ("namespaces", namespaces(0), "clone", Arch::X86_64, [0x3d0f00, 0x1000_0000, 0, 0], None),
            ("namespaces", namespaces(0), "clone", Arch::S390x, [0, 0x1000_0000, 0, 0], Some(1)),
            ("namespaces", namespaces(0), "clone3", Arch::X86_64, [0; 4], Some(38)),
            ("namespaces", namespaces(0), "setns", Arch::X86_64, [3, 0x4000_0000, 0, 0], Some(1)),
            ("namespaces", namespaces(0x4000_0000), "setns", Arch::X86_64, [3, 0x4000_0000, 0, 0], None),
            ("namespaces", namespaces(0x4000_0000), "setns", Arch::X86_64, [3, 0, 0, 0], Some(1)),
            (
                "namespaces all",
                namespaces(0x7e02_0000),
                "unshare",
                Arch::X86_64,
                [0x1000_0000, 0, 0, 0],
                None,
            ),
            ("write execute", write_execute(), "mmap", Arch::X86_64, [0, 0, 6, 0], Some(1)),
            ("write execute", write_execute(), "mmap", Arch::X86_64, [0, 0, 5, 0], None),
            ("write execute", write_execute(), "mmap", Arch::X86, [0, 0, 0, 0], Some(1)),
            ("write execute", write_execute(), "mprotect", Arch::X86_64, [0, 0, 4, 0], Some(1)),
            ("write execute", write_execute(), "shmat", Arch::X86_64, [0, 0, 0o100_000, 0], Some(1)),
            ("realtime", realtime(), "sched_setscheduler", Arch::X86_64, [0, 1, 0, 0], Some(1)),
            ("realtime", realtime(), "sched_setscheduler", Arch::X86_64, [0, 3, 0, 0], None),
            ("realtime", realtime(), "sched_setscheduler", Arch::X86_64, [0, 6, 0, 0], Some(1)),
            ("suid", suid_sgid(), "fchmodat2", Arch::X86_64, [0, 0, 0o4755, 0], Some(1)),
            ("suid", suid_sgid(), "openat", Arch::X86_64, [0, 0, 0o100, 0o2644], Some(1)),
            ("suid", suid_sgid(), "openat", Arch::X86_64, [0, 0, 0, 0o2644], None),
            ("suid", suid_sgid(), "openat2", Arch::X86_64, [0; 4], Some(38)),
            ("personality", personality(0), "personality", Arch::X86_64, [8, 0, 0, 0], Some(1)),
            ("personality", personality(0), "personality", Arch::X86_64, [0; 4], None),
            ("hostname", hostname(), "sethostname", Arch::X86_64, [0; 4], Some(1)),
            ("logs", kernel_logs(), "syslog", Arch::X86_64, [0; 4], Some(1)),
            ("tunables", kernel_tunables(), "_sysctl", Arch::X86, [0; 4], Some(1)),
            ("modules", set("@module"), "finit_module", Arch::X86_64, [0; 4], Some(1)),
            ("clock", set("@clock"), "clock_settime", Arch::X86_64, [0; 4], Some(1)),
            ("devices", set("@raw-io"), "iopl", Arch::X86_64, [0; 4], Some(1)),
        ];
        for (directive, guards, name, arch, args, expected) in cases {
            assert_eq!(
                denies(guards, name, *arch, *args),
                *expected,
                "{directive}: {name}({args:?}) on {arch}"
            );
        }
    }

    #[test]
    fn families_have_the_kernels_numbers() {
        for (name, number) in [
            ("AF_UNIX", Some(1)),
            ("AF_LOCAL", Some(1)),
            ("AF_INET6", Some(10)),
            ("AF_NETLINK", Some(16)),
            ("AF_ALG", Some(38)),
            ("AF_VSOCK", Some(40)),
            ("AF_MCTP", Some(45)),
            ("AF_NOSUCH", None),
            ("AF_UNSPEC", None),
            ("UNIX", None),
        ] {
            assert_eq!(family(name), number, "{name}");
        }
    }
}
