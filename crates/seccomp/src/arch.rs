//! Architectures: the ABIs that a filter distinguishes.

use palisade_k8s::KernelVersion;

/// An ABI that Palisade has a table of syscalls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86.
    X86,
    /// x86_64 with 32-bit pointers. It shares x86_64's `AUDIT_ARCH`; bit 30 of its numbers is set.
    X32,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM, EABI.
    Arm,
    /// 64-bit RISC-V.
    Riscv64,
    /// 64-bit POWER, little-endian.
    Ppc64le,
    /// 64-bit z/Architecture, big-endian.
    S390x,
    /// 31-bit s390, big-endian.
    S390,
    /// 64-bit LoongArch.
    Loongarch64,
    /// 64-bit MIPS, little-endian (n64).
    Mips64el,
    /// MIPS n32, little-endian.
    Mipsel64n32,
    /// 32-bit MIPS (o32), little-endian.
    Mipsel,
}

/// A set of architectures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArchSet(u16);

impl ArchSet {
    /// Every architecture.
    pub const ALL: Self = Self(u16::MAX);

    /// The set of these architectures.
    #[must_use]
    pub fn of(archs: &[Arch]) -> Self {
        Self(archs.iter().fold(0, |bits, arch| bits | 1 << *arch as u16))
    }

    /// Whether an architecture is in the set.
    #[must_use]
    pub fn contains(self, arch: Arch) -> bool {
        self.0 & 1 << arch as u16 != 0
    }

    /// The architectures that are not in the set.
    #[must_use]
    pub fn complement(self) -> Self {
        Self(!self.0)
    }

    /// The set without the architectures of another.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether no architecture is in the set.
    #[must_use]
    pub fn is_empty(self) -> bool {
        !Arch::ALL.iter().any(|arch| self.contains(*arch))
    }
}

/// Bit 30, which distinguishes x32's numbers from x86_64's.
pub const X32_BIT: u32 = 0x4000_0000;

/// Facts about an architecture. `audit` is the kernel's `AUDIT_ARCH_*`.
struct Facts {
    name: &'static str,
    scmp: &'static str,
    /// Its name in Go, and so in Docker's `arches`.
    go: &'static str,
    audit: u32,
    wide: bool,
    base: u32,
    multiplexed: bool,
    since: (u8, u8),
}

const fn facts(
    name: &'static str,
    scmp: &'static str,
    go: &'static str,
    audit: u32,
    wide: bool,
    since: (u8, u8),
) -> Facts {
    Facts { name, scmp, go, audit, wide, base: 0, multiplexed: false, since }
}

const FACTS: [Facts; 13] = [
    facts("x86_64", "SCMP_ARCH_X86_64", "amd64", 0xc000_003e, true, (2, 6)),
    Facts { multiplexed: true, ..facts("x86", "SCMP_ARCH_X86", "x86", 0x4000_0003, false, (1, 0)) },
    Facts { base: X32_BIT, ..facts("x32", "SCMP_ARCH_X32", "x32", 0xc000_003e, false, (3, 4)) },
    facts("aarch64", "SCMP_ARCH_AARCH64", "arm64", 0xc000_00b7, true, (3, 7)),
    facts("arm", "SCMP_ARCH_ARM", "arm", 0x4000_0028, false, (2, 6)),
    facts("riscv64", "SCMP_ARCH_RISCV64", "riscv64", 0xc000_00f3, true, (4, 15)),
    Facts {
        multiplexed: true,
        ..facts("ppc64le", "SCMP_ARCH_PPC64LE", "ppc64le", 0xc000_0015, true, (3, 10))
    },
    Facts { multiplexed: true, ..facts("s390x", "SCMP_ARCH_S390X", "s390x", 0x8000_0016, true, (2, 6)) },
    Facts { multiplexed: true, ..facts("s390", "SCMP_ARCH_S390", "s390", 0x0000_0016, false, (2, 6)) },
    facts("loongarch64", "SCMP_ARCH_LOONGARCH64", "loongarch64", 0xc000_0102, true, (5, 19)),
    Facts { base: 5000, ..facts("mips64el", "SCMP_ARCH_MIPSEL64", "mipsel64", 0xc000_0008, true, (2, 6)) },
    Facts {
        base: 6000,
        ..facts("mipsel64n32", "SCMP_ARCH_MIPSEL64N32", "mipsel64n32", 0xe000_0008, false, (2, 6))
    },
    Facts {
        base: 4000,
        multiplexed: true,
        ..facts("mipsel", "SCMP_ARCH_MIPSEL", "mipsel", 0x4000_0008, false, (2, 6))
    },
];

/// Architectures of OCI without a table here: a profile may name them.
pub(crate) const OTHER_SCMP: [&str; 14] = [
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_SHEB",
    "SCMP_ARCH_RISCV32",
    "SCMP_ARCH_SPARC",
    "SCMP_ARCH_SPARC64",
    "SCMP_ARCH_ALPHA",
];

impl Arch {
    /// All architectures.
    pub const ALL: [Self; 13] = [
        Self::X86_64,
        Self::X86,
        Self::X32,
        Self::Aarch64,
        Self::Arm,
        Self::Riscv64,
        Self::Ppc64le,
        Self::S390x,
        Self::S390,
        Self::Loongarch64,
        Self::Mips64el,
        Self::Mipsel64n32,
        Self::Mipsel,
    ];

    #[expect(clippy::indexing_slicing, reason = "the table has a row for every variant")]
    fn facts(self) -> &'static Facts {
        &FACTS[self as usize]
    }

    /// Its name in the kernel.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// Its name in OCI's format.
    #[must_use]
    pub fn scmp(self) -> &'static str {
        self.facts().scmp
    }

    /// Its name in Docker's `arches`.
    #[must_use]
    pub fn docker(self) -> &'static str {
        self.facts().go
    }

    /// The value of `seccomp_data.arch`.
    #[must_use]
    pub fn audit(self) -> u32 {
        self.facts().audit
    }

    /// Whether its arguments are 64 bits wide. On the others the upper halves are ignored, as in libseccomp: a 32-bit
    /// process cannot be relied on to clear them.
    #[must_use]
    pub fn is_wide(self) -> bool {
        self.facts().wide
    }

    /// Whether its words in `seccomp_data` are big-endian.
    #[must_use]
    pub fn is_big_endian(self) -> bool {
        matches!(self, Self::S390 | Self::S390x)
    }

    /// The number of its first syscall.
    #[must_use]
    pub fn base(self) -> u32 {
        self.facts().base
    }

    /// Whether `socketcall` and `ipc` carry other syscalls.
    #[must_use]
    pub fn is_multiplexed(self) -> bool {
        self.facts().multiplexed
    }

    /// The error of an unknown syscall: `ENOSYS`, which MIPS numbers differently.
    #[must_use]
    pub fn enosys(self) -> u16 {
        match self {
            Self::Mips64el | Self::Mipsel64n32 | Self::Mipsel => 89,
            _ => crate::errno::ENOSYS,
        }
    }

    /// The kernel version that added it.
    #[must_use]
    pub fn since(self) -> KernelVersion {
        let (major, minor) = self.facts().since;
        KernelVersion::new(major.into(), minor.into())
    }

    /// The architectures that its kernel supports in addition.
    #[must_use]
    pub fn companions(self) -> &'static [Self] {
        match self {
            Self::X86_64 => &[Self::X86, Self::X32],
            Self::Aarch64 => &[Self::Arm],
            Self::S390x => &[Self::S390],
            Self::Mips64el => &[Self::Mipsel, Self::Mipsel64n32],
            _ => &[],
        }
    }

    /// By any name: the kernel's, Docker's, or OCI's.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let alias = match name {
            "i386" | "i686" | "386" => "x86",
            "loong64" => "loongarch64",
            "mips64le" => "mips64el",
            other => other,
        };
        Self::ALL.into_iter().find(|arch| [arch.name(), arch.docker(), arch.scmp()].contains(&alias))
    }

    /// By a name in another program, such as `SCMP_ARCH_ARM64` or `x64`.
    pub(crate) fn meant(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase().replace('-', "_");
        let alias = match name.strip_prefix("scmp_arch_").unwrap_or(&name) {
            "x64" | "x8664" => "x86_64",
            "i486" | "i586" | "ia32" => "x86",
            "armhf" | "armel" | "armv6l" | "armv7" | "armv7l" => "arm",
            "arm64v8" | "armv8" => "aarch64",
            "ppc64el" | "powerpc64le" => "ppc64le",
            "riscv" => "riscv64",
            other => other,
        };
        Self::parse(alias)
    }

    /// The architecture that this program was built for.
    #[must_use]
    pub fn native() -> Self {
        Self::parse(std::env::consts::ARCH).unwrap_or(Self::X86_64)
    }
}

impl std::fmt::Display for Arch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for Arch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|arch| arch.name()).collect();
            format!("no such architecture; known are {}", known.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn architectures_have_every_name() {
        for arch in Arch::ALL {
            for name in [arch.name(), arch.scmp(), arch.docker()] {
                assert_eq!(Arch::parse(name), Some(arch), "{name}");
            }
            assert!(!arch.companions().contains(&arch), "{arch}");
        }
        assert_eq!(Arch::parse("pdp11"), None);
    }

    #[test]
    fn sets_are_sets() {
        let set = ArchSet::of(&[Arch::X86, Arch::Mipsel]);
        for arch in Arch::ALL {
            let is_in = [Arch::X86, Arch::Mipsel].contains(&arch);
            assert_eq!((set.contains(arch), set.complement().contains(arch)), (is_in, !is_in), "{arch}");
            assert!(ArchSet::ALL.contains(arch) && !set.minus(set).contains(arch));
        }
        assert!(set.minus(set).is_empty() && !set.is_empty() && !set.complement().is_empty());
    }
}
