//! Opening files by untrusted paths.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `O_NOFOLLOW`: opening a link fails.
pub const NO_FOLLOW: i32 = libc::O_NOFOLLOW;

/// Opens a file below a folder for reading: neither `..` nor a link, nor a folder that is moved meanwhile, leads
/// out of it (openat2(2) with `RESOLVE_BENEATH`; Linux 5.6). Links that stay below are followed.
pub fn open_beneath(folder: &File, path: &Path) -> io::Result<File> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)?;
    // SAFETY: all-zero is a value of this plain struct, and what the kernel asks of fields that it may get.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY).cast_unsigned().into();
    how.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS;
    // SAFETY: path and struct live through the call, and the struct's size is passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            folder.as_raw_fd(),
            path.as_ptr(),
            &raw const how,
            size_of::<libc::open_how>(),
        )
    };
    match i32::try_from(result) {
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(fd) if fd >= 0 => Ok(unsafe { File::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Opens a file for reading that has no more to say for now, as a device of messages: reading it then is an error
/// of the kind `WouldBlock`.
pub fn open_without_waiting(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_leads_out() {
        let base = std::env::temp_dir().join(format!("palisade-beneath-{}", std::process::id()));
        let root = base.join("root");
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::write(base.join("secret"), "secret").unwrap();
        std::fs::write(root.join("sub/a"), "a").unwrap();
        symlink("sub/a", root.join("inside")).unwrap();
        symlink("../secret", root.join("up")).unwrap();
        symlink(base.join("secret"), root.join("absolute")).unwrap();
        symlink("/proc/self/root", root.join("magic")).unwrap();
        let folder = File::open(&root).unwrap();
        for (path, text) in [
            ("sub/a", Some("a")),
            ("inside", Some("a")),
            ("sub/../sub/a", Some("a")),
            ("up", None),
            ("absolute", None),
            ("magic/etc/passwd", None),
            ("../secret", None),
            ("/etc/passwd", None),
            ("a\0b", None),
        ] {
            let read = open_beneath(&folder, Path::new(path)).and_then(|mut file| {
                let mut text = String::new();
                file.read_to_string(&mut text).map(|_| text)
            });
            assert_eq!(read.ok().as_deref(), text, "{path}");
        }
        std::fs::remove_dir_all(&base).unwrap();
    }
}
