//! Actions: the result of a filter for a syscall.

use crate::errno;

/// The result of a filter for a syscall, with the 16 bits of data that some actions carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// The syscall is executed.
    Allow,
    /// The syscall is executed and logged.
    Log,
    /// The syscall fails with this error; the kernel caps it at 4095.
    Errno(u16),
    /// A tracer decides, given this message; without a tracer the syscall fails with ENOSYS.
    Trace(u16),
    /// A supervisor decides (user notification).
    Notify,
    /// The thread gets SIGSYS, with this in `si_errno`.
    Trap(u16),
    /// The thread is killed.
    KillThread,
    /// The process is killed.
    KillProcess,
}

impl Action {
    /// The names in profiles, without data.
    pub const NAMES: [(&'static str, Self); 9] = [
        ("SCMP_ACT_ALLOW", Self::Allow),
        ("SCMP_ACT_ERRNO", Self::Errno(0)),
        ("SCMP_ACT_KILL", Self::KillThread),
        ("SCMP_ACT_KILL_PROCESS", Self::KillProcess),
        ("SCMP_ACT_KILL_THREAD", Self::KillThread),
        ("SCMP_ACT_LOG", Self::Log),
        ("SCMP_ACT_NOTIFY", Self::Notify),
        ("SCMP_ACT_TRACE", Self::Trace(0)),
        ("SCMP_ACT_TRAP", Self::Trap(0)),
    ];

    /// Its return value of a program: `SECCOMP_RET_*` with the data in the lower half.
    #[must_use]
    pub fn code(self) -> u32 {
        match self {
            Self::KillProcess => 0x8000_0000,
            Self::KillThread => 0,
            Self::Trap(data) => 0x0003_0000 | u32::from(data),
            Self::Errno(data) => 0x0005_0000 | u32::from(data),
            Self::Notify => 0x7fc0_0000,
            Self::Trace(data) => 0x7ff0_0000 | u32::from(data),
            Self::Log => 0x7ffc_0000,
            Self::Allow => 0x7fff_0000,
        }
    }

    /// The action of a return value. An unknown value kills the process.
    #[must_use]
    pub fn of_code(code: u32) -> Self {
        let [high, low] = [code & 0xffff_0000, code & 0xffff];
        let data = u16::try_from(low).unwrap_or_default();
        match high {
            0 => Self::KillThread,
            0x0003_0000 => Self::Trap(data),
            0x0005_0000 => Self::Errno(data),
            0x7fc0_0000 => Self::Notify,
            0x7ff0_0000 => Self::Trace(data),
            0x7ffc_0000 => Self::Log,
            0x7fff_0000 => Self::Allow,
            _ => Self::KillProcess,
        }
    }

    /// The precedence of the results of stacked filters in the kernel: the lowest wins.
    #[must_use]
    pub fn rank(self) -> i32 {
        (self.code() & 0xffff_0000).cast_signed()
    }

    /// Its name in OCI's format.
    #[must_use]
    pub fn scmp(self) -> &'static str {
        match self {
            Self::Allow => "SCMP_ACT_ALLOW",
            Self::Log => "SCMP_ACT_LOG",
            Self::Errno(_) => "SCMP_ACT_ERRNO",
            Self::Trace(_) => "SCMP_ACT_TRACE",
            Self::Notify => "SCMP_ACT_NOTIFY",
            Self::Trap(_) => "SCMP_ACT_TRAP",
            Self::KillThread => "SCMP_ACT_KILL_THREAD",
            Self::KillProcess => "SCMP_ACT_KILL_PROCESS",
        }
    }

    /// Whether the action carries data: an error number or a tracer's message.
    #[must_use]
    pub fn takes_errno(self) -> bool {
        matches!(self, Self::Errno(_) | Self::Trace(_))
    }

    /// The same action with other data; the same if it carries none.
    #[must_use]
    pub fn with_data(self, data: u16) -> Self {
        match self {
            Self::Errno(_) => Self::Errno(data),
            Self::Trace(_) => Self::Trace(data),
            Self::Trap(_) => Self::Trap(data),
            other => other,
        }
    }

    /// The likely consequence for a program that gets this result; `None` if the syscall is executed.
    #[must_use]
    pub fn consequence(self) -> Option<&'static str> {
        Some(match self {
            Self::Allow => return None,
            Self::Log => "the syscall is made, and written to the kernel's log",
            Self::Errno(errno::ENOSYS) => {
                "ENOSYS: programs and libc take the kernel for one without this syscall, and fall back to an older one if they know one"
            }
            Self::Errno(errno::EPERM) => {
                "EPERM: programs take it for a denial and give up; they do not fall back to an older syscall, as they do on ENOSYS"
            }
            Self::Errno(0) => "ERRNO(0): the syscall is not made, and programs take it for done",
            Self::Errno(_) => {
                "the syscall is not made, and programs see this error as if the kernel had met it"
            }
            Self::Trace(_) => {
                "without a tracer attached the syscall fails with ENOSYS (kernel/seccomp.c), and programs fall back to an older one if they know one"
            }
            Self::Notify => "a supervisor answers; without one the syscall fails with ENOSYS",
            Self::Trap(_) => "the thread gets SIGSYS; without a handler the process ends",
            Self::KillThread => "the thread ends with SIGSYS, and with it a program of one thread",
            Self::KillProcess => "the process ends with SIGSYS",
        })
    }

    /// Whether the kernel executes the syscall without a tracer or a supervisor.
    #[must_use]
    pub fn lets_through(self) -> bool {
        matches!(self, Self::Allow | Self::Log)
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Allow => f.write_str("ALLOW"),
            Self::Log => f.write_str("LOG"),
            Self::Errno(data) => match errno::name(*data) {
                Some(name) => write!(f, "ERRNO({name})"),
                None => write!(f, "ERRNO({data})"),
            },
            Self::Trace(data) => write!(f, "TRACE({data})"),
            Self::Notify => f.write_str("NOTIFY"),
            Self::Trap(0) => f.write_str("TRAP"),
            Self::Trap(data) => write!(f, "TRAP({data})"),
            Self::KillThread => f.write_str("KILL_THREAD"),
            Self::KillProcess => f.write_str("KILL_PROCESS"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn codes_come_back_and_order_as_the_kernel_does() {
        let order = [
            (Action::KillProcess, 0x8000_0000),
            (Action::KillThread, 0),
            (Action::Trap(7), 0x0003_0007),
            (Action::Errno(38), 0x0005_0026),
            (Action::Notify, 0x7fc0_0000),
            (Action::Trace(1), 0x7ff0_0001),
            (Action::Log, 0x7ffc_0000),
            (Action::Allow, 0x7fff_0000),
        ];
        for (action, code) in order {
            assert_eq!((action.code(), Action::of_code(code)), (code, action));
            assert_eq!(action.consequence().is_none(), action == Action::Allow, "{action}");
        }
        assert!(order.windows(2).all(|pair| pair[0].0.rank() < pair[1].0.rank()));
        // Unknown actions kill the process.
        assert_eq!(Action::of_code(0x1234_0000), Action::KillProcess);
    }
}
