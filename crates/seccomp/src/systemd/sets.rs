//! systemd's sets of syscalls, such as `@system-service`.

use crate::table::Syscall;

/// One set a line: the name, then syscalls and other sets (systemd 262.1, `systemd-analyze syscall-filter`; syscalls
/// that no kernel of the table has are left out).
const SETS: &str = include_str!("sets.txt");

/// Syscalls of the table that `@known` lacks in systemd 262.1.
const UNKNOWN: [&str; 2] = ["arm_sync_file_range", "nfsservctl"];

fn sets() -> impl Iterator<Item = (&'static str, &'static str)> {
    SETS.lines().filter_map(|line| line.split_once(' '))
}

/// The names of all sets.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    sets().map(|(name, _)| name).chain(["@known"])
}

/// The syscalls of a set and of the sets in it; empty for an unknown name.
#[must_use]
pub fn members(set: &str) -> Vec<&'static str> {
    if set == "@known" {
        return Syscall::all().map(Syscall::name).filter(|name| !UNKNOWN.contains(name)).collect();
    }
    let Some((_, list)) = sets().find(|(name, _)| *name == set) else { return Vec::new() };
    let nested = |name: &'static str| if name.starts_with('@') { members(name) } else { vec![name] };
    list.split(' ').flat_map(nested).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_the_sets_in_them_and_only_syscalls() {
        let cases = [
            ("@default", "execve"),
            ("@default", "landlock_add_rule"),
            ("@system-service", "read"),
            ("@known", "clone3"),
        ];
        for (set, syscall) in cases {
            assert!(members(set).contains(&syscall), "{set} {syscall}");
        }
        assert!(members("@nosuchset").is_empty());
        assert!(!members("@known").contains(&"nfsservctl"));
        for name in names().flat_map(members) {
            assert!(Syscall::named(name).is_some(), "{name}");
        }
    }
}
