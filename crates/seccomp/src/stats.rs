//! The cost of a program.

use crate::action::Action;
use crate::arch::Arch;
use crate::bpf::Program;
use crate::filter::Data;
use crate::simulate::simulate;
use crate::table::{self, Syscall};
use crate::weight::Weights;

/// The cost of syscalls on one architecture, in executed instructions; with several programs all are run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ArchStats {
    /// The architecture.
    pub arch: Arch,
    /// The maximum over all numbers with arguments of 0.
    pub worst: usize,
    /// The mean over all numbers up to the last syscall's, with arguments of 0.
    pub mean: f64,
    /// The mean over syscalls, weighted by frequency.
    pub weighted: f64,
    /// Syscalls that are allowed without a check of their arguments: the kernel caches that and runs nothing for them
    /// (5.11 and later; not on x32).
    pub cacheable: usize,
    /// Syscalls in the table.
    pub syscalls: usize,
}

/// The cost of programs that are loaded together.
#[must_use]
pub fn stats(programs: &[Program], archs: &[Arch], weights: &Weights) -> Vec<ArchStats> {
    archs.iter().map(|&arch| of_arch(programs, arch, weights)).collect()
}

fn of_arch(programs: &[Program], arch: Arch, weights: &Weights) -> ArchStats {
    let mut stats = ArchStats { arch, worst: 0, mean: 0.0, weighted: 0.0, cacheable: 0, syscalls: 0 };
    let (mut total, mut weighted, mut weight_sum) = (0, 0.0, 0.0);
    let numbers = arch.base()..=table::highest(arch);
    let count = numbers.clone().count();
    let mut weights = weights.seen(arch).peekable();
    for number in numbers {
        let data = Data { number, arch: arch.audit(), args: [0; 6] };
        let runs: Vec<_> = programs.iter().map(|program| simulate(program, &data)).collect();
        let executed: usize = runs.iter().map(|run| run.path.len()).sum();
        stats.worst = stats.worst.max(executed);
        total += executed;
        if let Some((_, weight)) = weights.next_if(|&(other, _)| other == number) {
            weighted += weight * as_float(executed);
            weight_sum += weight;
        }
        if Syscall::numbered(arch, number).is_some() {
            stats.syscalls += 1;
            let is_constant =
                runs.iter().all(|run| run.action() == Action::Allow && !run.looked_at_arguments);
            stats.cacheable += usize::from(is_constant && arch != Arch::X32);
        }
    }
    stats.mean = as_float(total) / as_float(count.max(1));
    stats.weighted = if weight_sum > 0.0 { weighted / weight_sum } else { 0.0 };
    stats
}

fn as_float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::compile;
    use crate::example::filter;
    use crate::rule::Operator;

    #[test]
    fn only_answers_without_a_look_at_arguments_are_cacheable() {
        let filter = filter(&[
            ("read", &[], Action::Allow),
            ("write", &[], Action::Allow),
            ("socket", &[(0, Operator::Equal, 1)], Action::Allow),
        ]);
        let programs = compile(&filter, Weights::shipped()).unwrap();
        let stats = stats(&programs, &[Arch::X86_64], Weights::shipped());
        assert_eq!((stats.len(), stats[0].cacheable), (1, 2));
        assert!(stats[0].mean <= as_float(stats[0].worst) && stats[0].weighted > 0.0, "{stats:?}");
        assert!(stats[0].syscalls > 300, "{stats:?}");
    }
}
