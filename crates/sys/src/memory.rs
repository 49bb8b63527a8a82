//! The memory allocator of the C library.

/// Makes the allocator of glibc fit for a server with a bound on its memory: few arenas, so that what one thread has freed
/// serves the next, and large blocks of their own, which go back to the system when they are freed. Elsewhere nothing is
/// changed.
pub fn bound() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt changes parameters of the allocator only, and takes the values that mallopt(3) allows for each.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 * 1024);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 1024 * 1024);
    }
}

/// Gives what is free back to the system, where the C library is glibc. This takes milliseconds where much was in use.
pub fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim takes any padding, and changes nothing that is allocated.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_freed_goes_back() {
        let resident = || {
            let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
            text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or_default()
        };
        bound();
        let many: Vec<Box<[u8; 100]>> = (0..400_000).map(|n| Box::new([n as u8; 100])).collect();
        let kept = many.into_iter().last();
        trim();
        assert!(
            resident() < 20_000_000 / 4096 || cfg!(not(target_env = "gnu")),
            "{kept:?}: {} pages",
            resident()
        );
    }
}
