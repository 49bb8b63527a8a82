//! Parts of the kernel, each some of systemd's sets.

use super::sets::members;
use crate::table::Syscall;

/// Parts of the kernel, and the syscalls of each, for summaries.
pub fn areas() -> impl Iterator<Item = (&'static str, Vec<Syscall>)> {
    const AREAS: [(&str, &[&str]); 13] = [
        ("files", &["@file-system", "@basic-io", "@chown", "@sync"]),
        ("network", &["@network-io"]),
        ("processes", &["@process", "@default", "@signal", "@resources"]),
        ("events and asynchronous I/O", &["@io-event", "@aio"]),
        ("inter-process communication", &["@ipc"]),
        ("time", &["@timer", "@clock"]),
        ("identity", &["@setuid"]),
        ("memory", &["@memlock", "@pkey"]),
        ("keys", &["@keyring"]),
        ("mounts", &["@mount"]),
        ("debugging", &["@debug"]),
        ("the machine", &["@module", "@reboot", "@raw-io", "@swap", "@privileged"]),
        ("obsolete", &["@obsolete", "@cpu-emulation"]),
    ];
    let mut seen = std::collections::BTreeSet::new();
    AREAS.into_iter().map(move |(area, sets)| {
        let names = sets.iter().flat_map(|set| members(set));
        let syscalls = names.filter_map(Syscall::named).filter(|syscall| seen.insert(*syscall)).collect();
        (area, syscalls)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_syscall_is_in_one_area() {
        let mut seen = std::collections::BTreeSet::new();
        for (area, syscalls) in areas() {
            assert!(!syscalls.is_empty(), "{area}");
            assert!(syscalls.iter().all(|syscall| seen.insert(*syscall)), "{area}");
        }
    }
}
