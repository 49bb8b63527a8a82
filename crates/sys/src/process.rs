//! Processes: handles that outlive a reused pid, the data of `/proc`, and starting detached processes.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// A process that cannot be mistaken for a later one with the same pid.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    handle: OwnedFd,
}

impl Process {
    /// The process that has this pid now.
    pub fn open(pid: u32) -> io::Result<Self> {
        let number = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
        // SAFETY: pidfd_open takes numbers only.
        let result = unsafe { libc::syscall(libc::SYS_pidfd_open, number, 0) };
        match i32::try_from(result) {
            // SAFETY: the kernel has just made this descriptor for us.
            Ok(fd) if fd >= 0 => Ok(Self { pid, handle: unsafe { OwnedFd::from_raw_fd(fd) } }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it has not ended: a zombie has.
    pub fn is_alive(&self) -> io::Result<bool> {
        let mut poll = libc::pollfd { fd: self.handle.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd is passed.
        match unsafe { libc::poll(&raw mut poll, 1, 0) } {
            -1 => Err(io::Error::last_os_error()),
            ready => Ok(ready == 0),
        }
    }

    /// Ends it at once, with all of its threads, if it has not ended yet.
    pub fn kill(&self) -> io::Result<()> {
        let (fd, info) = (self.handle.as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
        // SAFETY: pidfd_send_signal takes numbers, and null for what a signal carries.
        let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, libc::SIGKILL, info, 0) };
        match io::Error::last_os_error() {
            _ if result == 0 => Ok(()),
            error if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            error => Err(error),
        }
    }
}

/// The confinement of a process, from `/proc/PID/status`; see proc_pid_status(5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    /// `Seccomp`: 0 none, 1 strict, 2 filters.
    pub seccomp: u32,
    /// `Seccomp_filters`: how many; none before Linux 5.9.
    pub filters: Option<u32>,
    /// `NoNewPrivs`.
    pub no_new_privileges: bool,
    /// `CapEff`.
    pub effective: u64,
    /// `CapBnd`.
    pub bounding: u64,
    /// `Speculation_Store_Bypass`, as `thread vulnerable` or `thread force mitigated`.
    pub store_bypass: String,
    /// `Uid`: the effective one.
    pub uid: u32,
    /// `Gid`: the effective one.
    pub gid: u32,
    /// `Groups`.
    pub groups: Vec<u32>,
}

impl Confinement {
    /// The status of a process, or of this one (`self`).
    pub fn read(process: impl std::fmt::Display) -> io::Result<Self> {
        Ok(Self::parse(&std::fs::read_to_string(format!("/proc/{process}/status"))?))
    }

    /// Reads a status file's text. What is not there stays zero.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            let hex = || u64::from_str_radix(value, 16).unwrap_or_default();
            let second = || value.split_whitespace().nth(1).and_then(|id| id.parse().ok());
            match name {
                "Seccomp" => found.seccomp = value.parse().unwrap_or_default(),
                "Seccomp_filters" => found.filters = value.parse().ok(),
                "NoNewPrivs" => found.no_new_privileges = value == "1",
                "CapEff" => found.effective = hex(),
                "CapBnd" => found.bounding = hex(),
                "Speculation_Store_Bypass" => value.clone_into(&mut found.store_bypass),
                "Uid" => found.uid = second().unwrap_or_default(),
                "Gid" => found.gid = second().unwrap_or_default(),
                "Groups" => found.groups = value.split_whitespace().flat_map(str::parse).collect(),
                _ => {}
            }
        }
        found
    }
}

/// Leaves Ctrl-C to the programs that this one has started, which end by it; this one then says what it saw.
pub fn leave_interrupts_to_children() {
    // SAFETY: no handler is installed.
    let _ = unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
}

/// Starts a command that is not a child of this process: a program that this process executes later has no unknown child.
pub fn spawn_detached(mut command: Command) -> io::Result<()> {
    // SAFETY: between fork and exec only fork, setsid and _exit are called, which allocate nothing.
    unsafe {
        command.pre_exec(|| match libc::fork() {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                libc::setsid();
                Ok(())
            }
            _ => libc::_exit(0),
        });
    }
    command.spawn()?.wait().map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read() {
        let text = "Name:\tsleep\nUid:\t0\t1000\t0\t0\nGid:\t1\t2\t3\t4\nGroups:\t5 6 \nCapEff:\t00000000a80425fb\n\
                    CapBnd:\t000001fffeffffff\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n\
                    Speculation_Store_Bypass:\tthread vulnerable\n";
        let read = Confinement::parse(text);
        assert_eq!((read.uid, read.gid, read.groups.as_slice()), (1000, 2, [5, 6].as_slice()));
        assert_eq!((read.seccomp, read.filters, read.no_new_privileges), (2, Some(3), true));
        assert_eq!((read.effective, read.bounding), (0xa804_25fb, 0x1ff_feff_ffff));
        assert_eq!(read.store_bypass, "thread vulnerable");
        assert_eq!(Confinement::parse("Seccomp:\tmany\n\u{fffd}"), Confinement::default());
    }

    #[test]
    fn a_handle_knows_its_process_and_ends_it() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::open(child.id()).unwrap();
        assert!(process.is_alive().unwrap());
        process.kill().unwrap();
        child.wait().unwrap();
        assert!(!process.is_alive().unwrap());
        process.kill().unwrap();
        assert!(Process::open(child.id()).is_err(), "reaped");
    }
}
