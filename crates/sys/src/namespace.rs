//! Mount namespaces.

use std::ffi::CStr;
use std::io;

const TREE: &CStr = c"/sys/fs/cgroup";
const UNIFIED: &CStr = c"/sys/fs/cgroup/unified";

/// Whether this machine has cgroup v1 with a v2 hierarchy beside it, which crun refuses.
#[must_use]
pub fn has_hybrid_cgroups() -> bool {
    kind(TREE) == Some(libc::TMPFS_MAGIC) && kind(UNIFIED) == Some(libc::CGROUP2_SUPER_MAGIC)
}

fn kind(path: &CStr) -> Option<libc::__fsword_t> {
    // SAFETY: all-zero is a value of this plain struct.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends in a zero byte, and the kernel fills the struct.
    (unsafe { libc::statfs(path.as_ptr(), &raw mut found) } == 0).then_some(found.f_type)
}

/// Takes the v2 hierarchy of a hybrid machine out of this process's sight, in a mount namespace of its own. All
/// other mounts keep what they share with the host, so that propagation into and out of containers works on.
pub fn hide_unified_cgroups() -> io::Result<()> {
    let checked = |result: libc::c_int| match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    let none = std::ptr::null();
    // SAFETY: unshare takes a number; the calls after it take null or paths that end in a zero byte.
    unsafe {
        checked(libc::unshare(libc::CLONE_NEWNS))?;
        checked(libc::mount(none, TREE.as_ptr(), none, libc::MS_PRIVATE, none.cast()))?;
        checked(libc::umount2(UNIFIED.as_ptr(), libc::MNT_DETACH))
    }
}
