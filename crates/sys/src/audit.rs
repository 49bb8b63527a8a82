//! The kernel's audit records, read from the netlink group that needs no auditd: audit(7), netlink(7).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// `AUDIT_SECCOMP`: a filter's answer was logged.
pub const SECCOMP: u16 = 1326;

/// `AUDIT_NLGRP_READLOG`, as a bit.
const READLOG: u32 = 1;

/// More than any record: the kernel's own limit is 8,970 bytes.
const BUFFER: usize = 16 * 1024;

/// The size of the socket's buffer, in bytes: some thousand records.
const QUEUE: libc::c_int = 4 * 1024 * 1024;

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The record's type, as [`SECCOMP`].
    pub kind: u16,
    /// `audit(SECONDS.MILLISECONDS:SERIAL): …`
    pub text: String,
}

/// The result of waiting for a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A record.
    Record(Record),
    /// Records came faster than they were read, and some are lost.
    Lost,
    /// Nothing came in time.
    Quiet,
}

/// Reads every audit record of this machine from now on. Others who read miss nothing by it.
#[derive(Debug)]
pub struct AuditLog(OwnedFd);

impl AuditLog {
    /// Begins to read. Needs `CAP_AUDIT_READ` in the first user and network namespace.
    pub fn open() -> io::Result<Self> {
        // SAFETY: socket takes numbers only.
        let fd = unsafe {
            libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_AUDIT)
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        set_queue(&socket);
        // SAFETY: all-zero is a value of this plain struct.
        let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        address.nl_family = u16::try_from(libc::AF_NETLINK).unwrap_or_default();
        address.nl_groups = READLOG;
        let length = u32::try_from(size_of::<libc::sockaddr_nl>()).unwrap_or_default();
        // SAFETY: the address lives through the call, and its size is passed.
        match unsafe { libc::bind(fd, (&raw const address).cast(), length) } {
            0 => Ok(Self(socket)),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The next record; waits for it for at most `timeout`, or for ever without one.
    pub fn next(&self, timeout: Option<Duration>) -> io::Result<Event> {
        let milliseconds = timeout.map_or(-1, |time| i32::try_from(time.as_millis()).unwrap_or(i32::MAX));
        let mut poll = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd is passed.
        match unsafe { libc::poll(&raw mut poll, 1, milliseconds) } {
            0 => return Ok(Event::Quiet),
            -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => return Ok(Event::Quiet),
            -1 => return Err(io::Error::last_os_error()),
            _ => {}
        }
        let mut buffer = [0_u8; BUFFER];
        // SAFETY: the kernel writes at most as many bytes as the buffer has.
        let read = unsafe { libc::recv(self.0.as_raw_fd(), buffer.as_mut_ptr().cast(), BUFFER, 0) };
        match usize::try_from(read) {
            Ok(length) => Ok(parse(buffer.get(..length).unwrap_or_default())),
            Err(_) => match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(Event::Lost),
                error if error.kind() == io::ErrorKind::Interrupted => Ok(Event::Quiet),
                error => Err(error),
            },
        }
    }
}

/// Room for a burst; who may not have it reads with less.
fn set_queue(socket: &OwnedFd) {
    let (queue, length) = (QUEUE, u32::try_from(size_of::<libc::c_int>()).unwrap_or_default());
    for option in [libc::SO_RCVBUFFORCE, libc::SO_RCVBUF] {
        let value = (&raw const queue).cast();
        // SAFETY: the number lives through the call, and its size is passed.
        if unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, value, length) } == 0 {
            return;
        }
    }
}

/// A netlink message: a header of 16 bytes, of which the type is at 4, and the text. The length in the header
/// does not count: the kernel leaves itself out of it for these messages.
fn parse(message: &[u8]) -> Event {
    let Some((header, text)) = message.split_at_checked(16) else { return Event::Quiet };
    let kind = header.get(4..6).and_then(|kind| kind.try_into().ok()).map_or(0, u16::from_ne_bytes);
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    Event::Record(Record { kind, text: String::from_utf8_lossy(text).into_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_taken_apart() {
        let mut message = vec![9, 0, 0, 0];
        message.extend(SECCOMP.to_ne_bytes());
        message.extend([0; 10]);
        message.extend(b"audit(1.2:3): syscall=41\0\0");
        let text = "audit(1.2:3): syscall=41".to_owned();
        assert_eq!(parse(&message), Event::Record(Record { kind: SECCOMP, text }));
        assert_eq!(parse(&message[..15]), Event::Quiet);
        assert_eq!(parse(&[]), Event::Quiet);
    }
}
