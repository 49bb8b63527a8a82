//! The release of libseccomp that brought the name of a syscall.

use super::Syscall;

/// A release a line, with the names that no release before it has: from the tables of syscalls at the tags v2.3.2 to v2.6.1 of
/// seccomp/libseccomp, src/arch-*-syscalls.c and later src/syscalls.csv.
const RELEASES: &str = include_str!("libseccomp.txt");

impl Syscall {
    /// The first release of libseccomp that knows its name; none for names that 2.3.1 knew or that 2.6.1 does not know.
    #[must_use]
    pub fn libseccomp(self) -> Option<&'static str> {
        let brings = |line: &&str| line.split(' ').skip(1).any(|name| name == self.name());
        RELEASES.lines().find(brings)?.split(' ').next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_have_the_names_that_they_brought() {
        let cases = [
            ("read", None),
            ("seccomp", None),
            ("statx", Some("2.3.3")),
            ("clock_gettime64", Some("2.4.2")),
            ("clone3", Some("2.4.2")),
            ("faccessat2", Some("2.4.4")),
            ("close_range", Some("2.5.2")),
            ("fchmodat2", Some("2.5.5")),
            ("file_getattr", Some("2.6.1")),
        ];
        for (name, release) in cases {
            assert_eq!(Syscall::named(name).unwrap().libseccomp(), release, "{name}");
        }
        for name in RELEASES.lines().flat_map(|line| line.split(' ').skip(1)) {
            assert!(Syscall::named(name).is_some(), "{name}");
        }
    }
}
