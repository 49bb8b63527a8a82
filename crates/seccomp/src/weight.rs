//! Frequencies of syscalls, for the search tree's shape. They do not change results.

use crate::arch::Arch;
use crate::table::{self, Syscall};

/// Frequencies of syscalls, by ABI and number.
#[derive(Clone, Debug)]
pub struct Weights {
    by_arch: Vec<Vec<(u32, u64)>>,
}

/// An invalid line of a list of weights.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct WeightError {
    /// The line, from 1.
    pub line: usize,
    /// The problem.
    pub message: String,
}

/// The weight of a syscall that was never recorded; a single recorded one would weigh a million.
pub(crate) const FLOOR: u64 = 1000;

impl Weights {
    /// Parses lines `name count`; text after `#` is ignored.
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
                .ok_or_else(|| error("a syscall's name and how often it occurs are expected".to_owned()))?;
            let syscall = Syscall::named(name).ok_or_else(|| error(format!("unknown syscall {name:?}")))?;
            let count: u32 =
                count.trim().parse().map_err(|_| error(format!("{:?} is not a count", count.trim())))?;
            counts.push((syscall, u64::from(count)));
        }
        Ok(Self::from_counts(&counts))
    }

    /// The built-in counts, of real programs (see `hot.txt`).
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

    /// Numbers of recorded syscalls, and their shares of all syscalls, by number.
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
    for &(syscall, count) in counts {
        let at = syscall.number(arch).and_then(|number| number.checked_sub(arch.base()));
        if let Some((_, weight)) = at.and_then(|at| weights.get_mut(at as usize)) {
            *weight += count.saturating_mul(1_000_000) / total;
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn counts_are_read_line_by_line() {
        let cases = [
            ("read 5 # often\n\n# no\nwrite 1", None),
            ("raed 5", Some("line 1: unknown syscall")),
            ("read", Some("line 1: a syscall's name")),
            ("read 1\nread x", Some("line 2: \"x\"")),
        ];
        for (text, error) in cases {
            let got = Weights::parse(text).map_err(|error| error.to_string());
            assert_eq!(got.is_err(), error.is_some(), "{text}");
            assert!(got.err().unwrap_or_default().starts_with(error.unwrap_or_default()), "{text}");
        }
        let weights = Weights::parse("read 3\nwrite 1").unwrap();
        let of = |name: &str| {
            let number = Syscall::named(name).and_then(|s| s.number(Arch::X86_64)).unwrap();
            weights
                .of(Arch::X86_64)
                .iter()
                .find(|(other, _)| *other == number)
                .map_or(0, |(_, weight)| *weight)
        };
        assert!(of("read") > of("write") && of("write") > of("openat"), "{} {}", of("read"), of("write"));
        assert_eq!(of("openat"), FLOOR);
    }
}
