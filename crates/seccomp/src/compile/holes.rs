//! Numbers without a syscall, as don't-cares.

use crate::action::Action;
use crate::arch::Arch;
use crate::filter::Filter;
use crate::graph::NodeId;
use crate::table::{self, Syscall};

/// The filter with numbers without a syscall allowed wherever that merges two ranges.
///
/// A kernel without a syscall at such a number returns `ENOSYS` by itself, on which programs fall back, so the filter
/// need not return it. But a later kernel may assign the number, as Linux 6.11 did with `uretprobe` among x86_64's old
/// numbers, and this filter then allows it. Numbers above the last syscall stay as they are.
#[must_use]
pub fn open_holes(filter: &Filter) -> Filter {
    let mut open = filter.clone();
    let allow = open.graph.leaf(Action::Allow);
    for &arch in filter.archs() {
        for (first, next) in holes(arch) {
            let at = |number: u32| filter.decision(arch.audit(), number);
            let is_between = first.checked_sub(1).map(at) == Some(allow) || at(next) == allow;
            if is_between {
                let section = open.sections.iter_mut().find(|section| section.audit == arch.audit());
                section.into_iter().for_each(|section| set(&mut section.ranges, first, next, allow));
            }
        }
    }
    open
}

/// Runs of numbers without a syscall, each with the number after its last.
fn holes(arch: Arch) -> impl Iterator<Item = (u32, u32)> {
    let syscalls: Vec<_> = (arch.base()..=table::highest(arch))
        .filter(|&number| Syscall::numbered(arch, number).is_some())
        .collect();
    let pairs: Vec<_> = syscalls.iter().copied().zip(syscalls.iter().copied().skip(1)).collect();
    pairs.into_iter().filter(|(syscall, next)| syscall + 1 < *next).map(|(syscall, next)| (syscall + 1, next))
}

/// Sets the result of the numbers from `first` up to `next`.
fn set(ranges: &mut Vec<(u32, NodeId)>, first: u32, next: u32, id: NodeId) {
    let after = ranges.iter().rev().find(|&&(start, _)| start <= next).copied();
    ranges.retain(|&(start, _)| !(first..=next).contains(&start));
    ranges.extend([(first, id)]);
    ranges.extend(after.map(|(_, after)| (next, after)));
    ranges.sort_by_key(|&(start, _)| start);
    ranges.dedup_by_key(|&mut (_, id)| id);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::filter;
    use crate::filter::Data;

    #[test]
    fn numbers_without_a_syscall_join_allowed_neighbours_only() {
        // 334 is rseq on x86_64 and 424 pidfd_send_signal; between them no number has a syscall but uretprobe's.
        let allowed = filter(&[("rseq", &[], Action::Allow), ("pidfd_send_signal", &[], Action::Allow)]);
        let denied = filter(&[("read", &[], Action::Allow)]);
        for (filter, number, expected) in [
            (&allowed, 400, Action::Allow),
            (&allowed, 334, Action::Allow),
            (&allowed, 333, Action::Errno(1)),
            (&allowed, 5000, Action::Errno(1)),
            (&denied, 400, Action::Errno(1)),
        ] {
            let data = Data { number, arch: Arch::X86_64.audit(), args: [0; 6] };
            assert_eq!(open_holes(filter).decide(&data), expected, "{number}");
        }
        let before = allowed.sections[0].ranges.len();
        assert!(open_holes(&allowed).sections[0].ranges.len() <= before);
    }
}
