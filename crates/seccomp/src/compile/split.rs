//! A filter that is too long, as several that decide the same together.

use super::{CompileError, emit, tree};
use crate::action::Action;
use crate::bpf::{MAX_INSTRUCTIONS, Program};
use crate::filter::{Filter, Section};
use crate::graph::{Graph, Node, NodeId};
use crate::table::Syscall;
use crate::weight::Weights;

/// The kernel walks all filters of a process, and counts four for each beside its instructions.
const MAX_TOTAL: usize = 32_768;

/// Each part decides some ranges and allows all others; ALLOW has the lowest precedence, so together the parts decide
/// as the whole would.
pub(super) fn split(
    filter: &Filter,
    weights: &Weights,
    big_endian: bool,
    length: usize,
) -> Result<Vec<Program>, CompileError> {
    let heavy = heaviest(filter);
    if heavy.first().is_some_and(|&(_, count)| count > MAX_INSTRUCTIONS / 2) {
        return Err(CompileError::TooLong { heavy });
    }
    let mut pieces: Vec<(usize, usize, usize)> =
        filter.sections.iter().enumerate().map(|(at, section)| (at, 0, section.ranges.len())).collect();
    let mut programs = Vec::new();
    let mut notifying = 0;
    while let Some((section, from, to)) = pieces.pop() {
        let (part, has_notify) = part(filter, section, from, to, programs.is_empty());
        let mut graph = part.graph.clone();
        let root = tree::search_tree(&part, &mut graph, weights);
        match emit::lay_out(&graph, root, big_endian) {
            Ok(program) => {
                programs.push(program);
                notifying += usize::from(has_notify);
            }
            Err(_) if to - from < 2 => return Err(CompileError::TooLong { heavy }),
            Err(_) => {
                let middle = from.midpoint(to);
                pieces.extend([(section, from, middle), (section, middle, to)]);
            }
        }
    }
    let total: usize = programs.iter().map(|program| program.instructions().len() + 4).sum();
    match () {
        () if notifying > 1 => Err(CompileError::Notify(length)),
        () if total > MAX_TOTAL => Err(CompileError::TooLong { heavy }),
        () => Ok(programs),
    }
}

/// The filter that decides `from..to` of one section's ranges and allows the rest. Other architectures
/// than the filter's are refused by the first part.
fn part(filter: &Filter, section: usize, from: usize, to: usize, first: bool) -> (Filter, bool) {
    let mut part = filter.clone();
    let allow = part.graph.leaf(Action::Allow);
    let mut has_notify = false;
    for (at, Section { ranges, .. }) in part.sections.iter_mut().enumerate() {
        for (range, (_, id)) in ranges.iter_mut().enumerate() {
            if at != section || !(from..to).contains(&range) {
                *id = allow;
            } else {
                has_notify |= reaches(&filter.graph, *id, Action::Notify);
            }
        }
        ranges.dedup_by_key(|&mut (_, id)| id);
    }
    if !first {
        part.bad_arch = allow;
    }
    (part, has_notify)
}

fn reaches(graph: &Graph, from: NodeId, action: Action) -> bool {
    let mut seen = std::collections::HashSet::new();
    let mut stack = vec![from];
    while let Some(id) = stack.pop() {
        match graph.node(id) {
            Node::Leaf(other) if other == action => return true,
            Node::Test { yes, no, .. } if seen.insert(id) => stack.extend([yes, no]),
            _ => {}
        }
    }
    false
}

/// The syscalls whose decisions take the most instructions.
fn heaviest(filter: &Filter) -> Vec<(String, usize)> {
    let mut heavy = Vec::new();
    for arch in filter.archs() {
        let Some(section) = filter.sections.iter().find(|section| section.audit == arch.audit()) else {
            continue;
        };
        for &(start, id) in &section.ranges {
            if let Some(syscall) = Syscall::numbered(*arch, start) {
                heavy.push((format!("{syscall} on {arch}"), emit::weight(&filter.graph, id)));
            }
        }
    }
    heavy.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    heavy.truncate(5);
    heavy
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Arch;
    use crate::example::{Case, call, filter};
    use crate::rule::Operator;
    use crate::simulate::simulate_stack;

    #[test]
    fn parts_decide_together_as_the_whole() {
        let values: Vec<[(u8, Operator, u64); 1]> =
            (0..4000).map(|value| [(1, Operator::Equal, value * 7)]).collect();
        let names = ["read", "write", "openat", "close", "ioctl", "mmap", "mprotect", "poll", "lseek", "brk"];
        let cases: Vec<Case<'_>> =
            values.iter().enumerate().map(|(at, one)| (names[at % 10], &one[..], Action::Allow)).collect();
        let filter = filter(&cases);
        let programs = super::super::compile(&filter, Weights::shipped()).unwrap();
        assert!(
            programs.len() > 1
                && programs.iter().all(|program| program.instructions().len() <= MAX_INSTRUCTIONS)
        );
        for (name, value) in [("read", 0), ("read", 1), ("brk", 63), ("brk", 64), ("getpid", 0)] {
            let data = call(Arch::X86_64, name, &[0, value]);
            assert_eq!(simulate_stack(&programs, &data), filter.decide(&data), "{name} {value}");
        }
        let other = call(Arch::Aarch64, "read", &[]);
        assert_eq!(simulate_stack(&programs, &other), filter.decide(&other));
        // One syscall alone may be too long, and is named.
        let heavy: Vec<Case<'_>> = values.iter().map(|one| ("ioctl", &one[..], Action::Allow)).collect();
        let error = super::super::compile(&crate::example::filter(&heavy), Weights::shipped()).unwrap_err();
        assert!(error.to_string().contains("ioctl on x86_64"), "{error}");
    }
}
