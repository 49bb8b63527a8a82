//! How often calls occur, for the search tree's shape. It changes no answer.

use crate::arch::Arch;
use crate::table::{self, Syscall};

/// How often calls occur, by ABI and number.
#[derive(Clone, Debug)]
pub struct Weights {
    by_arch: Vec<Vec<(u32, u64)>>,
}

/// A line of a list of weights that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct WeightError {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// What a call weighs that was never seen, where a call that makes up all of what was seen weighs a million.
pub(crate) const FLOOR: u64 = 1000;

impl Weights {
    /// Reads lines `name count`; what follows `#` is ignored.
    pub fn parse(text: &str) -> Result<Self, WeightError> {
        let mut counts = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let error = |message: String| WeightError { line: at + 1, message };
            let (name, count) = line
                .split_once(char::is_whitespace)
                .ok_or_else(|| error("a call's name and how often it occurs are expected".to_owned()))?;
            let call = Syscall::named(name).ok_or_else(|| error(format!("no call is named {name:?}")))?;
            let count: u32 =
                count.trim().parse().map_err(|_| error(format!("{:?} is no count", count.trim())))?;
            counts.push((call, u64::from(count)));
        }
        Ok(Self::from_counts(&counts))
    }

    /// The shipped counts, of real programs (see `hot.txt`).
    #[must_use]
    pub fn shipped() -> &'static Self {
        static SHIPPED: std::sync::LazyLock<Weights> = std::sync::LazyLock::new(|| {
            Weights::parse(include_str!("hot.txt")).unwrap_or_else(|_| Weights::from_counts(&[]))
        });
        &SHIPPED
    }

    fn from_counts(counts: &[(Syscall, u64)]) -> Self {
        let total = counts.iter().map(|&(_, count)| count).sum::<u64>().max(1);
        let by_arch = Arch::ALL.map(|arch| of_arch(arch, counts, total));
        Self { by_arch: by_arch.to_vec() }
    }

    /// Numbers of calls that were seen, and their shares of all calls, by number.
    pub(crate) fn seen(&self, arch: Arch) -> impl Iterator<Item = (u32, f64)> {
        let seen = self.of(arch).iter().filter(|(_, weight)| *weight > FLOOR);
        seen.map(|&(number, weight)| (number, u32::try_from(weight - FLOOR).map_or(0.0, f64::from)))
    }

    /// Numbers and weights on an ABI, by number.
    pub(crate) fn of(&self, arch: Arch) -> &[(u32, u64)] {
        self.by_arch.get(arch as usize).map_or(&[], Vec::as_slice)
    }
}

fn of_arch(arch: Arch, counts: &[(Syscall, u64)], total: u64) -> Vec<(u32, u64)> {
    let numbers = arch.base()..=table::highest(arch);
    let mut weights: Vec<_> = numbers.map(|number| (number, FLOOR)).collect();
    for &(call, count) in counts {
        let at = call.number(arch).and_then(|number| number.checked_sub(arch.base()));
        if let Some((_, weight)) = at.and_then(|at| weights.get_mut(at as usize)) {
            *weight += count.saturating_mul(1_000_000) / total;
        }
    }
    weights
}
