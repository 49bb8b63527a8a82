//! Memory that a process shares with the ones it forks.

use std::io;
use std::sync::atomic::AtomicI64;

/// A row of numbers in shared memory.
pub(crate) struct Shared {
    start: *mut AtomicI64,
    count: usize,
}

// SAFETY: the memory holds nothing but atomics.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// `count` zeros.
    pub(crate) fn new(count: usize) -> io::Result<Self> {
        let bytes = count * size_of::<AtomicI64>();
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping touches no other memory.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes.max(1), protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { start: start.cast(), count })
    }

    pub(crate) fn cells(&self) -> &[AtomicI64] {
        // SAFETY: the mapping holds `count` atomics, starts zeroed and aligned to a page, and lives as long as
        // this value.
        unsafe { std::slice::from_raw_parts(self.start, self.count) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let bytes = self.count * size_of::<AtomicI64>();
        // SAFETY: it was mapped with this length, and no slice of it outlives this value.
        unsafe { libc::munmap(self.start.cast(), bytes.max(1)) };
    }
}
