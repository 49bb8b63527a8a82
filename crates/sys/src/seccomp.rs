//! Seccomp features of the kernel, and loading filters.

use std::io;
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

/// Filters and how to load them.
#[derive(Clone, Debug, Default)]
pub struct Loading {
    /// Programs as little-endian instructions; the first is loaded first.
    pub programs: Vec<Vec<u8>>,
    /// Whether the kernel logs what it answers otherwise than by ALLOW.
    pub log: bool,
    /// Whether the Spectre variant 4 mitigation stays off, which seccomp otherwise turns on.
    pub spec_allow: bool,
}

/// An action or a flag of the kernel's, and whether this one knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// The kernel's name of it.
    pub name: &'static str,
    /// Whether it is there.
    pub available: bool,
}

const ACTIONS: [(&str, u32); 8] = [
    ("KILL_PROCESS", 0x8000_0000),
    ("KILL_THREAD", 0),
    ("TRAP", 0x0003_0000),
    ("ERRNO", 0x0005_0000),
    ("NOTIFY", 0x7fc0_0000),
    ("TRACE", 0x7ff0_0000),
    ("LOG", 0x7ffc_0000),
    ("ALLOW", 0x7fff_0000),
];

const FLAGS: [(&str, libc::c_ulong); 6] = [
    ("TSYNC", 1),
    ("LOG", 2),
    ("SPEC_ALLOW", 4),
    ("NEW_LISTENER", 8),
    ("TSYNC_ESRCH", 16),
    ("WAIT_KILLABLE_RECV", 32),
];

/// The instructions as the kernel takes them.
fn decode(program: &[u8]) -> Vec<libc::sock_filter> {
    let (chunks, _) = program.as_chunks::<8>();
    let read = |&[a, b, jt, jf, c, d, e, f]: &[u8; 8]| libc::sock_filter {
        code: u16::from_le_bytes([a, b]),
        jt,
        jf,
        k: u32::from_le_bytes([c, d, e, f]),
    };
    chunks.iter().map(read).collect()
}

/// seccomp(2): its result, or -1 with errno set.
fn seccomp(operation: libc::c_uint, flags: libc::c_ulong, argument: *const libc::c_void) -> libc::c_long {
    // SAFETY: the callers pass what the operation takes: null, or a value that outlives the call.
    unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, argument) }
}

fn prctl(option: libc::c_int, argument: libc::c_ulong) -> libc::c_int {
    // SAFETY: only options that take numbers are passed.
    unsafe { libc::prctl(option, argument, 0 as libc::c_ulong, 0 as libc::c_ulong, 0 as libc::c_ulong) }
}

/// Whether the kernel has seccomp at all, and filters: by prctl(2), as the page's `CONFIG_SECCOMP` asks.
#[must_use]
pub fn is_built_in() -> (bool, bool) {
    let mode = prctl(libc::PR_GET_SECCOMP, 0) >= 0;
    // Loading no program fails with EFAULT where filters are known, with EINVAL where not.
    let filter = prctl(libc::PR_SET_SECCOMP, libc::c_ulong::from(libc::SECCOMP_MODE_FILTER)) == -1
        && io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT);
    (mode, filter)
}

/// The actions that this kernel knows.
#[must_use]
pub fn actions() -> Vec<Feature> {
    let known = |action: u32| seccomp(libc::SECCOMP_GET_ACTION_AVAIL, 0, (&raw const action).cast()) == 0;
    ACTIONS.iter().map(|&(name, code)| Feature { name, available: known(code) }).collect()
}

/// The flags that this kernel knows.
#[must_use]
pub fn flags() -> Vec<Feature> {
    let known = |flag: libc::c_ulong| {
        // One flag counts only beside another.
        let flags = if flag == 32 { flag | 8 } else { flag };
        seccomp(libc::SECCOMP_SET_MODE_FILTER, flags, std::ptr::null()) == -1
            && io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT)
    };
    FLAGS.iter().map(|&(name, flag)| Feature { name, available: known(flag) }).collect()
}

/// Filters in the form that the kernel takes, made before a fork, after which nothing may be allocated.
pub(crate) struct Prepared {
    programs: Vec<Vec<libc::sock_filter>>,
    flags: libc::c_ulong,
}

impl Prepared {
    pub(crate) fn new(loading: &Loading) -> Self {
        let flags = [(loading.log, 2), (loading.spec_allow, 4)];
        Self {
            programs: loading.programs.iter().map(|program| decode(program)).collect(),
            flags: flags.iter().filter(|(on, _)| *on).map(|(_, flag)| flag).sum(),
        }
    }

    /// Loads all filters into this process, for all of its threads, or for this thread with a listener on
    /// the last one. Makes only system calls.
    pub(crate) fn load(&self, listen: bool) -> io::Result<Option<RawFd>> {
        if prctl(libc::PR_SET_NO_NEW_PRIVS, 1) != 0 {
            return Err(io::Error::last_os_error());
        }
        let mut listener = None;
        for (at, program) in self.programs.iter().enumerate() {
            let listens = listen && at + 1 == self.programs.len();
            let flags = self.flags | if listens { 8 } else { 1 };
            let fprog = libc::sock_fprog {
                len: u16::try_from(program.len()).unwrap_or_default(),
                filter: program.as_ptr().cast_mut(),
            };
            let result = seccomp(libc::SECCOMP_SET_MODE_FILTER, flags, (&raw const fprog).cast());
            match RawFd::try_from(result) {
                Ok(fd) if fd >= 0 && listens => listener = Some(fd),
                Ok(0) => {}
                // With TSYNC a positive result is a thread that could not follow.
                Ok(thread) if thread > 0 => return Err(io::Error::other("another thread has other filters")),
                _ => return Err(io::Error::last_os_error()),
            }
        }
        Ok(listener)
    }
}

/// Starts a command under filters: they are loaded after the fork, with `no_new_privs`, just before the
/// program is executed, so they must let execve(2) through.
pub fn spawn(mut command: Command, loading: &Loading) -> io::Result<Child> {
    let prepared = Prepared::new(loading);
    // SAFETY: after the fork only system calls are made; nothing is allocated.
    unsafe {
        command.pre_exec(move || prepared.load(false).map(|_| ()));
    }
    command.spawn()
}
