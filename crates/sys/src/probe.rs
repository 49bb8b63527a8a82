//! Syscalls made under filters, in a process of their own, to observe the kernel's answers.

use std::io;
use std::sync::atomic::Ordering;

use crate::seccomp::{Loading, Prepared};
use crate::shared::Shared;

/// The instruction by which a syscall enters the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The machine's own.
    Native,
    /// `int 0x80`, which 32-bit x86 programs use; x86_64 only.
    Int80,
}

/// A syscall to make.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// The instruction.
    pub entry: Entry,
    /// The number.
    pub number: u32,
    /// The arguments.
    pub args: [u64; 6],
}

/// The result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The return values of the syscalls, an error as its negative number, up to one that did not return.
    pub returned: Vec<i64>,
    /// The signal that ended the process.
    pub signal: Option<i32>,
}

/// Whether programs for 32-bit x86 run here: `int 0x80` works.
#[must_use]
pub fn has_int80() -> bool {
    let getpid = Probe { entry: Entry::Int80, number: 20, args: [0; 6] };
    let outcome =
        if cfg!(target_arch = "x86_64") { probe(&Loading::default(), &[getpid]) } else { return false };
    outcome.is_ok_and(|outcome| outcome.returned.first().is_some_and(|pid| *pid > 0))
}

/// Forks, loads the filters, makes the probes one after the other and leaves. What the filters let through is
/// really done, so only what is harmless belongs here. They must allow exit_group(2).
pub fn probe(loading: &Loading, probes: &[Probe]) -> io::Result<Outcome> {
    let prepared = Prepared::new(loading);
    let shared = Shared::new(probes.len() + 1)?;
    // SAFETY: the child makes only system calls and stores to shared memory, then leaves.
    let child = unsafe { libc::fork() };
    match child {
        -1 => Err(io::Error::last_os_error()),
        0 => in_child(&prepared, probes, &shared),
        child => {
            let mut status = 0;
            // SAFETY: the status is ours.
            while unsafe { libc::waitpid(child, &raw mut status, 0) } == -1 {
                if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                    return Err(io::Error::last_os_error());
                }
            }
            outcome(&shared, status)
        }
    }
}

/// The first cell counts the probes that returned.
fn in_child(prepared: &Prepared, probes: &[Probe], shared: &Shared) -> ! {
    let code = match prepared.load(false) {
        Ok(_) => {
            let cells = shared.cells();
            for (probe, cell) in probes.iter().zip(cells.iter().skip(1)) {
                cell.store(make(probe), Ordering::SeqCst);
                if let Some(count) = cells.first() {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }
            0
        }
        Err(error) => error.raw_os_error().unwrap_or(255),
    };
    // SAFETY: leaves without running anything of the parent's.
    unsafe {
        libc::syscall(libc::SYS_exit_group, code);
        libc::_exit(code)
    }
}

fn outcome(shared: &Shared, status: i32) -> io::Result<Outcome> {
    let numbers = shared.cells().iter().map(|cell| cell.load(Ordering::SeqCst));
    let mut numbers = numbers.collect::<Vec<_>>().into_iter();
    let count = numbers.next().and_then(|count| usize::try_from(count).ok()).unwrap_or_default();
    let signal = libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status));
    match libc::WEXITSTATUS(status) {
        code if signal.is_none() && code != 0 => Err(io::Error::from_raw_os_error(code)),
        _ => Ok(Outcome { returned: numbers.take(count).collect(), signal }),
    }
}

fn make(probe: &Probe) -> i64 {
    match probe.entry {
        Entry::Native => native(probe),
        Entry::Int80 => int80(probe),
    }
}

fn native(probe: &Probe) -> i64 {
    let [a, b, c, d, e, f] = probe.args;
    // SAFETY: the caller guarantees that the probed syscalls are harmless.
    let result = unsafe { libc::syscall(libc::c_long::from(probe.number), a, b, c, d, e, f) };
    if result == -1 {
        // SAFETY: errno is this thread's.
        -i64::from(unsafe { *libc::__errno_location() })
    } else {
        result
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(clippy::cast_possible_truncation, reason = "a 32-bit syscall has 32-bit arguments")]
fn int80(probe: &Probe) -> i64 {
    let [a, b, c, d, e, f] = probe.args.map(|arg| u64::from(arg as u32));
    let mut result = u64::from(probe.number);
    // SAFETY: the caller guarantees that the probed syscalls are harmless. The registers that hold the first and the last
    // argument belong to the compiler and are put back.
    unsafe {
        std::arch::asm!(
            "push rbx",
            "push rbp",
            "mov rbx, {a}",
            "mov rbp, r9",
            "int 0x80",
            "pop rbp",
            "pop rbx",
            a = in(reg) a,
            inlateout("rax") result,
            in("rcx") b,
            in("rdx") c,
            in("rsi") d,
            in("rdi") e,
            inlateout("r9") f => _,
            lateout("r8") _,
            lateout("r10") _,
            lateout("r11") _,
        );
    }
    i64::from(result as i32)
}

#[cfg(not(target_arch = "x86_64"))]
fn int80(_: &Probe) -> i64 {
    -i64::from(libc::ENOSYS)
}

/// Time that the kernel takes to load filters, in a process of its own. They must allow exit_group(2).
pub fn load_time(loading: &Loading) -> io::Result<std::time::Duration> {
    let prepared = Prepared::new(loading);
    let shared = Shared::new(2)?;
    // SAFETY: the child makes only system calls and stores to shared memory, then leaves.
    match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {
            let start = std::time::Instant::now();
            let loaded = prepared.load(false).is_ok();
            let nanoseconds = i64::try_from(start.elapsed().as_nanos()).unwrap_or(i64::MAX);
            if let [time, done] = shared.cells() {
                time.store(nanoseconds, Ordering::SeqCst);
                done.store(i64::from(loaded), Ordering::SeqCst);
            }
            // SAFETY: leaves without running anything of the parent's.
            unsafe {
                libc::syscall(libc::SYS_exit_group, 0);
                libc::_exit(0)
            }
        }
        child => {
            let mut status = 0;
            // SAFETY: the status is ours.
            unsafe { libc::waitpid(child, &raw mut status, 0) };
        }
    }
    match shared.cells() {
        [time, done] if done.load(Ordering::SeqCst) == 1 => {
            Ok(std::time::Duration::from_nanos(time.load(Ordering::SeqCst).unsigned_abs()))
        }
        _ => Err(io::Error::other("the kernel does not take the filters")),
    }
}
