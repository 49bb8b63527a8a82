//! Syscalls that do the same: families, newer forms, and equivalents on other ABIs.

/// Each can do what the others do, at least in part. The newer forms of a syscall come after it.
const FAMILIES: [&[&str]; 34] = [
    &["chmod", "fchmod", "fchmodat", "fchmodat2"],
    &["chown", "fchown", "lchown", "fchownat", "chown32", "fchown32", "lchown32"],
    &["open", "openat", "openat2", "creat"],
    &["clone", "clone3", "fork", "vfork"],
    &["execve", "execveat"],
    &["rename", "renameat", "renameat2"],
    &["link", "linkat"],
    &["symlink", "symlinkat"],
    &["mkdir", "mkdirat"],
    &["mknod", "mknodat"],
    &["unlink", "unlinkat"],
    &["rmdir", "unlinkat"],
    &["access", "faccessat", "faccessat2"],
    &["stat", "lstat", "fstat", "newfstatat", "statx", "stat64", "lstat64", "fstat64", "fstatat64"],
    // open_tree alone attaches nothing: that takes move_mount.
    &["mount", "fsmount", "move_mount", "mount_setattr"],
    &["umount", "umount2"],
    &["ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd"],
    &["init_module", "finit_module"],
    &["kexec_load", "kexec_file_load"],
    &["setxattr", "lsetxattr", "fsetxattr", "setxattrat"],
    &["removexattr", "lremovexattr", "fremovexattr", "removexattrat"],
    &["kill", "tkill", "tgkill", "pidfd_send_signal", "rt_sigqueueinfo", "rt_tgsigqueueinfo"],
    &["sched_setscheduler", "sched_setattr"],
    &["utime", "utimes", "futimesat", "utimensat", "utimensat_time64"],
    &["settimeofday", "clock_settime", "clock_settime64", "adjtimex", "clock_adjtime", "clock_adjtime64"],
    &["quotactl", "quotactl_fd"],
    &["setrlimit", "prlimit64"],
    &["socket", "socketcall"],
    &["readlink", "readlinkat"],
    &["getdents", "getdents64"],
    &["truncate", "truncate64"],
    &["add_key", "keyctl", "request_key"],
    &["mmap", "mmap2"],
    &["dup", "dup2", "dup3"],
];

/// The family of a syscall, itself included.
pub(crate) fn family(name: &str) -> Option<&'static [&'static str]> {
    FAMILIES.into_iter().find(|family| family.contains(&name))
}

/// Syscalls, of alternatives separated by `|` one, and the newer form that libc or language runtimes try first.
/// Of the last six, current libcs and runtimes know the newer form alone, or fall back on `ENOSYS` (musl `src/linux/epoll.c`,
/// `src/network/accept4.c` and their like).
pub(crate) const NEWER_FORMS: [(&str, &str); 14] = [
    ("openat", "openat2"),
    ("clone", "clone3"),
    ("fchmodat", "fchmodat2"),
    ("faccessat|access", "faccessat2"),
    ("epoll_wait|epoll_pwait", "epoll_pwait2"),
    ("newfstatat|stat", "statx"),
    ("rename|renameat", "renameat2"),
    ("close", "close_range"),
    ("accept", "accept4"),
    ("epoll_create", "epoll_create1"),
    ("eventfd", "eventfd2"),
    ("inotify_init", "inotify_init1"),
    ("pipe", "pipe2"),
    ("signalfd", "signalfd4"),
];

/// Equivalent names on different ABIs: of 64 bits, of 32 bits with 64-bit offsets, IDs or times, and of those ABIs that
/// left the older form out.
const NAMES: [&[&str]; 82] = [
    &["newfstatat", "fstatat64"],
    &["mmap", "mmap2"],
    &["stat", "stat64"],
    &["fstat", "fstat64"],
    &["lstat", "lstat64"],
    &["statfs", "statfs64"],
    &["fstatfs", "fstatfs64"],
    &["fcntl", "fcntl64"],
    &["truncate", "truncate64"],
    &["ftruncate", "ftruncate64"],
    &["lseek", "_llseek"],
    &["sendfile", "sendfile64"],
    &["getuid", "getuid32"],
    &["getgid", "getgid32"],
    &["geteuid", "geteuid32"],
    &["getegid", "getegid32"],
    &["setuid", "setuid32"],
    &["setgid", "setgid32"],
    &["setreuid", "setreuid32"],
    &["setregid", "setregid32"],
    &["setresuid", "setresuid32"],
    &["setresgid", "setresgid32"],
    &["getresuid", "getresuid32"],
    &["getresgid", "getresgid32"],
    &["setgroups", "setgroups32"],
    &["getgroups", "getgroups32"],
    &["setfsuid", "setfsuid32"],
    &["setfsgid", "setfsgid32"],
    &["chown", "chown32"],
    &["fchown", "fchown32"],
    &["lchown", "lchown32"],
    &["fadvise64", "fadvise64_64", "arm_fadvise64_64"],
    &["sync_file_range", "sync_file_range2", "arm_sync_file_range"],
    &["select", "_newselect"],
    &["getrlimit", "ugetrlimit"],
    &["clock_gettime", "clock_gettime64"],
    &["clock_settime", "clock_settime64"],
    &["clock_adjtime", "clock_adjtime64"],
    &["clock_getres", "clock_getres_time64"],
    &["clock_nanosleep", "clock_nanosleep_time64"],
    &["timer_gettime", "timer_gettime64"],
    &["timer_settime", "timer_settime64"],
    &["timerfd_gettime", "timerfd_gettime64"],
    &["timerfd_settime", "timerfd_settime64"],
    &["utimensat", "utimensat_time64"],
    &["pselect6", "pselect6_time64"],
    &["ppoll", "ppoll_time64"],
    &["io_pgetevents", "io_pgetevents_time64"],
    &["recvmmsg", "recvmmsg_time64"],
    &["mq_timedsend", "mq_timedsend_time64"],
    &["mq_timedreceive", "mq_timedreceive_time64"],
    &["semtimedop", "semtimedop_time64"],
    &["rt_sigtimedwait", "rt_sigtimedwait_time64"],
    &["futex", "futex_time64"],
    &["sched_rr_get_interval", "sched_rr_get_interval_time64"],
    &["open", "openat"],
    &["chmod", "fchmodat"],
    &["access", "faccessat"],
    &["mkdir", "mkdirat"],
    &["unlink", "unlinkat"],
    &["pipe", "pipe2"],
    &["dup2", "dup3"],
    &["umount", "umount2"],
    &["recv", "recvfrom"],
    &["send", "sendto"],
    &["sigaction", "rt_sigaction"],
    &["sigpending", "rt_sigpending"],
    &["sigprocmask", "rt_sigprocmask"],
    &["sigreturn", "rt_sigreturn"],
    &["sigsuspend", "rt_sigsuspend"],
    &["signal", "rt_sigaction"],
    &["waitpid", "wait4"],
    &["readdir", "getdents", "getdents64"],
    &["creat", "openat"],
    &["rmdir", "unlinkat"],
    &["link", "linkat"],
    &["symlink", "symlinkat"],
    &["readlink", "readlinkat"],
    &["mknod", "mknodat"],
    &["rename", "renameat", "renameat2"],
    &["utime", "utimensat"],
    &["getpgrp", "getpgid"],
];

/// Functions of libc by another name than their syscall, where that is not the nearest name.
const FUNCTIONS: [(&str, &str); 35] = [
    ("_exit", "exit_group"),
    ("arc4random", "getrandom"),
    ("eaccess", "faccessat2"),
    ("fexecve", "execveat"),
    ("fstatat", "newfstatat"),
    ("futimens", "utimensat"),
    ("futimes", "utimensat"),
    ("io_uring", "io_uring_setup"),
    ("killpg", "kill"),
    ("lockf", "fcntl"),
    ("lutimes", "utimensat"),
    ("mkfifo", "mknodat"),
    ("open64", "openat"),
    ("opendir", "openat"),
    ("posix_fadvise", "fadvise64"),
    ("posix_fallocate", "fallocate"),
    ("posix_madvise", "madvise"),
    ("pread", "pread64"),
    ("prlimit", "prlimit64"),
    ("pselect", "pselect6"),
    ("pwrite", "pwrite64"),
    ("raise", "tgkill"),
    ("setegid", "setresgid"),
    ("seteuid", "setresuid"),
    ("shm_open", "openat"),
    ("shm_unlink", "unlinkat"),
    ("sigqueue", "rt_sigqueueinfo"),
    ("sigtimedwait", "rt_sigtimedwait"),
    ("sigwait", "rt_sigtimedwait"),
    ("sigwaitinfo", "rt_sigtimedwait"),
    ("sleep", "clock_nanosleep"),
    ("sysctl", "_sysctl"),
    ("usleep", "clock_nanosleep"),
    ("wait", "wait4"),
    ("wait3", "wait4"),
];

/// The syscall that is meant by a name that none has: that of libc's function of this name, or the nearest of those known.
#[must_use]
pub fn meant<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let known: Vec<_> = known.collect();
    let function = FUNCTIONS.iter().find(|(function, _)| *function == name);
    let of_function = function.and_then(|(_, syscall)| known.iter().find(|other| *other == syscall));
    // On ABIs of 32 bits.
    let there = || {
        let others = function.map(|(_, syscall)| counterparts(syscall)).unwrap_or_default();
        known.iter().find(|other| others.contains(other))
    };
    of_function.or_else(there).copied().or_else(|| super::nearest(name, known.iter().copied()))
}

/// From here on, names of the last kind: an ABI that has both needs only one.
const OLDER_FORMS: usize = 55;

/// The names of a syscall on the ABIs, one of which has it as `name`; empty if all have the same name.
pub(crate) fn counterparts(name: &str) -> &'static [&'static str] {
    NAMES.into_iter().find(|names| names.contains(&name)).unwrap_or_default()
}

/// The names on 32-bit ABIs of the syscall that is `name` on 64-bit ones.
pub(crate) fn wide_forms(name: &str) -> &'static [&'static str] {
    NAMES.into_iter().take(OLDER_FORMS).find(|names| names.contains(&name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Arch;
    use crate::table::Syscall;

    #[test]
    fn relatives_are_syscalls_of_the_table() {
        let newer = NEWER_FORMS.iter().flat_map(|(older, newer)| older.split('|').chain([*newer]));
        let all = FAMILIES.iter().chain(&NAMES).flat_map(|names| names.iter().copied()).chain(newer);
        for name in all {
            assert!(Syscall::named(name).is_some(), "{name}");
        }
        for (function, name) in FUNCTIONS {
            assert!(
                Syscall::named(name).is_some() && Syscall::named(function).is_none(),
                "{function} {name}"
            );
        }
        let known =
            |arch| Syscall::all().filter(move |syscall| syscall.number(arch).is_some()).map(Syscall::name);
        for (name, x86_64, x86) in [
            ("pread", "pread64", "pread64"),
            ("pwrite", "pwrite64", "pwrite64"),
            ("fstatat", "newfstatat", "fstatat64"),
            ("opnat", "openat", "openat"),
        ] {
            let got = (meant(name, known(Arch::X86_64)), meant(name, known(Arch::X86)));
            assert_eq!(got, (Some(x86_64), Some(x86)), "{name}");
        }
        assert_eq!(counterparts("umount"), ["umount", "umount2"]);
        assert_eq!(family("fchmodat2").map(<[_]>::len), Some(4));
        assert_eq!((family("read"), counterparts("read").len()), (None, 0));
        assert_eq!(counterparts("mmap2"), ["mmap", "mmap2"]);
        assert_eq!((wide_forms("open").len(), wide_forms("futex").len()), (0, 2));
        assert!(NAMES.get(OLDER_FORMS).is_some_and(|names| names.contains(&"open")));
    }
}
