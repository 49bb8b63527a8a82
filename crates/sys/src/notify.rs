//! Supervising a process by user notification.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::seccomp::{Loading, Prepared};
use crate::shared::Shared;

/// A syscall that waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Names the syscall in the answer.
    pub id: u64,
    /// The thread that made it.
    pub pid: u32,
    /// The number.
    pub number: u32,
    /// The `AUDIT_ARCH_*`.
    pub arch: u32,
    /// The arguments.
    pub args: [u64; 6],
}

/// The supervisor's end.
#[derive(Debug)]
pub struct Listener(OwnedFd);

/// A command that is being started under supervision.
#[derive(Debug)]
pub struct Supervised {
    /// Gives the child once it runs its program; that takes answers from the listener.
    pub child: JoinHandle<io::Result<Child>>,
    /// The listener at which its syscalls arrive.
    pub listener: Listener,
}

/// Messages between child and parent: the child's process, its listener, and that the parent has it.
const PID: usize = 0;
const FD: usize = 1;
const TAKEN: usize = 2;
const FAILED: usize = 3;

/// Starts a command under filters of which the last notifies. The syscalls that start the program may already
/// be notified, so they are answered while it starts.
pub fn spawn(mut command: Command, loading: &Loading) -> io::Result<Supervised> {
    let prepared = Prepared::new(loading);
    let shared = Arc::new(Shared::new(4)?);
    let childs = Arc::clone(&shared);
    let in_child = move || load_and_wait(&prepared, &childs);
    // SAFETY: after the fork only system calls and loads and stores of shared memory are made.
    unsafe {
        command.pre_exec(in_child);
    }
    let child = std::thread::spawn(move || command.spawn());
    let listener = take_listener(&shared, &child);
    match listener {
        Ok(listener) => Ok(Supervised { child, listener }),
        Err(error) => Err(match child.join() {
            Ok(Err(spawn_error)) => spawn_error,
            // It must not run on without its supervisor.
            Ok(Ok(mut child)) => child.kill().and_then(|()| child.wait()).err().unwrap_or(error),
            Err(_) => error,
        }),
    }
}

/// In the child: loads the filters, then waits, without a system call that might be notified, until the
/// parent has the listener, since the program's start closes it here.
fn load_and_wait(prepared: &Prepared, shared: &Shared) -> io::Result<()> {
    let cell = |at: usize| shared.cells().get(at).ok_or(io::ErrorKind::Other);
    // SAFETY: getpid has no effect.
    let pid = unsafe { libc::getpid() };
    match prepared.load(true) {
        Ok(fd) => {
            cell(FD)?.store(i64::from(fd.unwrap_or(-1)), Ordering::SeqCst);
            cell(PID)?.store(i64::from(pid), Ordering::SeqCst);
            while cell(TAKEN)?.load(Ordering::SeqCst) == 0 {
                std::hint::spin_loop();
            }
            Ok(())
        }
        Err(error) => {
            cell(FAILED)?.store(1, Ordering::SeqCst);
            Err(error)
        }
    }
}

/// In the parent: copies the child's listener.
fn take_listener(shared: &Shared, child: &JoinHandle<io::Result<Child>>) -> io::Result<Listener> {
    let get = |at: usize| shared.cells().get(at).map_or(0, |cell| cell.load(Ordering::SeqCst));
    let deadline = Instant::now() + Duration::from_secs(10);
    while get(PID) == 0 {
        if get(FAILED) != 0 || child.is_finished() || Instant::now() > deadline {
            return Err(io::Error::other("the command could not be started under supervision"));
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    let copied = copy_fd(get(PID), get(FD));
    if let Some(taken) = shared.cells().get(TAKEN) {
        taken.store(1, Ordering::SeqCst);
    }
    copied.map(Listener)
}

fn copy_fd(pid: i64, fd: i64) -> io::Result<OwnedFd> {
    let owned = |result: libc::c_long| match i32::try_from(result) {
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    };
    // SAFETY: both calls take numbers only.
    let pidfd = owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: as above.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0) })
}

impl Listener {
    /// Takes a listener that a container runtime sends to a socket, as the OCI runtime specification has it
    /// (`listenerPath`): in the first message, beside what it says of the container.
    pub fn receive_from(socket: &std::os::unix::net::UnixStream) -> io::Result<Self> {
        let mut text = [0_u8; 64 * 1024];
        let mut part = libc::iovec { iov_base: text.as_mut_ptr().cast(), iov_len: text.len() };
        // Room for one descriptor with its header, aligned as the kernel has it.
        let mut control = [0_u64; 8];
        // SAFETY: all-zero is a value of this plain struct.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        // SAFETY: the buffers live through the call, and their sizes are passed.
        let read = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
        if read < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has filled the message in; the header is read only if there is one of this type,
        // whose data is a descriptor that the kernel has just made for us.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            if !header.is_null() && (*header).cmsg_type == libc::SCM_RIGHTS {
                let fd = libc::CMSG_DATA(header).cast::<libc::c_int>().read_unaligned();
                return Ok(Self(OwnedFd::from_raw_fd(fd)));
            }
        }
        Err(io::Error::other("the runtime sent no listener"))
    }

    /// Has the kernel go from the caller to the supervisor and back on one processor, where it can (Linux 6.6):
    /// several times as fast.
    pub fn stay_on_one_processor(&self) {
        // SAFETY: the request takes a number.
        let _ = unsafe { libc::ioctl(self.0.as_raw_fd(), SECCOMP_IOCTL_NOTIF_SET_FLAGS, 1_u64) };
    }

    /// Waits for the next syscall; `None` once no process is left that could make one.
    pub fn receive(&self) -> io::Result<Option<Notification>> {
        loop {
            let mut poll = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one pollfd is passed.
            let ready = unsafe { libc::poll(&raw mut poll, 1, -1) };
            if ready < 0 && io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                return Err(io::Error::last_os_error());
            }
            if poll.revents & libc::POLLIN != 0 {
                match self.read()? {
                    Some(notification) => return Ok(Some(notification)),
                    None => continue,
                }
            }
            if poll.revents & (libc::POLLHUP | libc::POLLERR) != 0 {
                return Ok(None);
            }
        }
    }

    /// `None` if the caller has ended meanwhile.
    fn read(&self) -> io::Result<Option<Notification>> {
        // SAFETY: all-zero is a value of this plain struct, and what the kernel asks for.
        let mut request: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel fills the struct, whose size is part of the request's number.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), SECCOMP_IOCTL_NOTIF_RECV, &raw mut request) };
        if result == 0 {
            let data = request.data;
            return Ok(Some(Notification {
                id: request.id,
                pid: request.pid,
                number: data.nr.cast_unsigned(),
                arch: data.arch,
                args: data.args,
            }));
        }
        match io::Error::last_os_error() {
            error if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => Ok(None),
            error => Err(error),
        }
    }

    /// Lets a syscall go on as if there were no filter.
    pub fn allow(&self, id: u64) -> io::Result<()> {
        self.answer(libc::seccomp_notif_resp { id, val: 0, error: 0, flags: 1 })
    }

    /// Makes a syscall fail.
    pub fn fail(&self, id: u64, errno: u16) -> io::Result<()> {
        self.answer(libc::seccomp_notif_resp { id, val: 0, error: -i32::from(errno), flags: 0 })
    }

    fn answer(&self, mut answer: libc::seccomp_notif_resp) -> io::Result<()> {
        // SAFETY: the kernel reads the struct, whose size is part of the request's number.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), SECCOMP_IOCTL_NOTIF_SEND, &raw mut answer) };
        match io::Error::last_os_error() {
            _ if result == 0 => Ok(()),
            // The caller was killed meanwhile.
            error if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            error => Err(error),
        }
    }
}

/// Sends a signal to a thread's process.
pub fn kill(pid: u32, signal: i32) -> io::Result<()> {
    let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    // SAFETY: kill takes numbers only.
    match unsafe { libc::kill(pid, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `_IOWR('!', 0, struct seccomp_notif)`
const SECCOMP_IOCTL_NOTIF_RECV: libc::Ioctl = 0xc050_2100 as libc::Ioctl;
/// `_IOW('!', 4, __u64)`
const SECCOMP_IOCTL_NOTIF_SET_FLAGS: libc::Ioctl = 0x4008_2104 as libc::Ioctl;
/// `_IOWR('!', 1, struct seccomp_notif_resp)`
const SECCOMP_IOCTL_NOTIF_SEND: libc::Ioctl = 0xc018_2101 as libc::Ioctl;
