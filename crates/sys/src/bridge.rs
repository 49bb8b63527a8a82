//! Network bridges.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Takes a bridge down and removes it.
///
/// # Errors
///
/// The name is longer than an interface's can be, the bridge does not exist, or the process may not.
pub fn remove(name: &str) -> io::Result<()> {
    let mut padded = [0; libc::IFNAMSIZ];
    if name.is_empty() || name.len() >= padded.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not the name of an interface"));
    }
    for (to, from) in padded.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    // SAFETY: the call takes no pointers.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: an ifreq of zeros is one without flags.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name = padded;
    // SAFETY: the request is an ifreq with a name that ends, and lives through the call.
    let down = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if down < 0 {
        return Err(io::Error::last_os_error());
    }
    const SIOCBRDELBR: libc::Ioctl = 0x89a1;
    // SAFETY: the argument is a name that ends, and lives through the call.
    let removed = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCBRDELBR, padded.as_ptr()) };
    if removed < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
