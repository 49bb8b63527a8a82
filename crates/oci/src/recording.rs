//! Profiles from recorded syscalls: by name, with the arguments that select an operation if there are few.

use std::collections::{BTreeMap, BTreeSet};

use palisade_seccomp::minimize::{self, MAX_COMBINATIONS};
use palisade_seccomp::{Arch, X32_BIT, table::Syscall};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The record of one syscall.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    /// The count.
    count: u64,
    /// The selecting arguments, combination by combination; none: there were too many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    selectors: Option<BTreeSet<Vec<u32>>>,
}

/// The syscalls of workloads, in one run or in several.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use palisade_oci::recording::Recording;
/// let mut recording = Recording::default();
/// recording.add(0xc000_003e, 41, &[2, 1, 0, 0, 0, 0]); // socket(AF_INET, SOCK_STREAM, 0) on x86_64
/// let profile = recording.profile();
/// assert_eq!(profile["syscalls"][0]["names"][0], "socket");
/// assert_eq!(profile["syscalls"][0]["args"][0]["valueTwo"], 2);
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    /// The number of its runs.
    pub runs: u64,
    /// ABIs, by name.
    archs: BTreeSet<String>,
    /// By name.
    syscalls: BTreeMap<String, Seen>,
    /// Numbers that no table has, by ABI: no profile can name them.
    unknown: BTreeSet<(u32, u32)>,
}

impl Recording {
    pub(crate) fn of_one_run() -> Self {
        Self { runs: 1, ..Self::default() }
    }

    /// Adds a syscall: the `AUDIT_ARCH_*`, the number, the arguments.
    pub fn add(&mut self, audit_arch: u32, number: u32, args: &[u64; 6]) {
        let is_x32 = audit_arch == Arch::X32.audit() && number >= X32_BIT;
        let arch =
            Arch::ALL.into_iter().find(|arch| arch.audit() == audit_arch && (*arch == Arch::X32) == is_x32);
        let Some((arch, call)) = arch.and_then(|arch| Some((arch, Syscall::numbered(arch, number)?))) else {
            self.unknown.insert((audit_arch, number));
            return;
        };
        if !self.archs.contains(arch.scmp()) {
            self.archs.insert(arch.scmp().to_owned());
        }
        let selected = selectors(call.name(), arch).map(|indexes| combination(indexes, args));
        match self.syscalls.get_mut(call.name()) {
            Some(seen) => seen.add(selected),
            None => {
                let mut seen = Seen { count: 0, selectors: selected.is_some().then(BTreeSet::new) };
                seen.add(selected);
                self.syscalls.insert(call.name().to_owned(), seen);
            }
        }
    }

    /// Adds what another recording holds.
    pub fn merge(&mut self, other: Self) {
        self.runs += other.runs;
        self.archs.extend(other.archs);
        self.unknown.extend(other.unknown);
        for (name, new) in other.syscalls {
            match self.syscalls.get_mut(&name) {
                Some(seen) => seen.merge(new),
                None => drop(self.syscalls.insert(name, new)),
            }
        }
    }

    /// The number of recorded syscalls, by name.
    #[must_use]
    pub fn len(&self) -> usize {
        self.syscalls.len()
    }

    /// Whether nothing was seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.syscalls.is_empty()
    }

    /// Numbers that no table has: `AUDIT_ARCH_*` and number.
    pub fn unknown(&self) -> impl Iterator<Item = (u32, u32)> {
        self.unknown.iter().copied()
    }

    /// The profile that lets through what was seen, in OCI's form.
    #[must_use]
    pub fn profile(&self) -> Value {
        let plain: Vec<_> =
            self.syscalls.iter().filter(|(_, seen)| seen.few().is_none()).map(|(name, _)| name).collect();
        let mut entries = Vec::new();
        if !plain.is_empty() {
            entries.push(json!({"names": plain, "action": "SCMP_ACT_ALLOW"}));
        }
        for (name, seen) in &self.syscalls {
            let indexes = minimize::selectors(name);
            for values in seen.few().into_iter().flatten() {
                let args: Vec<_> =
                    indexes.iter().zip(values).map(|(index, value)| condition(*index, *value)).collect();
                entries.push(json!({"names": [name], "action": "SCMP_ACT_ALLOW", "args": args}));
            }
        }
        json!({
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": self.archs, "syscalls": entries,
        })
    }
}

impl Seen {
    fn add(&mut self, selected: Option<Vec<u32>>) {
        self.count += 1;
        match (&mut self.selectors, selected) {
            (Some(all), Some(new)) if all.len() <= MAX_COMBINATIONS => drop(all.insert(new)),
            (_, None) => self.selectors = None,
            _ => {}
        }
    }

    fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.selectors = match (self.selectors.take(), other.selectors) {
            (Some(mut all), Some(new)) => {
                all.extend(new);
                Some(all)
            }
            _ => None,
        };
    }

    /// The combinations, if they are few.
    fn few(&self) -> Option<&BTreeSet<Vec<u32>>> {
        self.selectors.as_ref().filter(|all| all.len() <= MAX_COMBINATIONS)
    }
}

/// On s390 clone's first two arguments are the other way round, which one rule for all ABIs cannot say.
fn selectors(name: &str, arch: Arch) -> Option<&'static [u8]> {
    let swapped = name == "clone" && arch.is_big_endian();
    Some(minimize::selectors(name)).filter(|indexes| !indexes.is_empty() && !swapped)
}

#[expect(clippy::cast_possible_truncation, reason = "the lower 32 bits are what counts")]
fn combination(indexes: &[u8], args: &[u64; 6]) -> Vec<u32> {
    indexes.iter().filter_map(|index| args.get(usize::from(*index))).map(|arg| *arg as u32).collect()
}

fn condition(index: u8, value: u32) -> Value {
    json!({"index": index, "op": "SCMP_CMP_MASKED_EQ", "value": 0xffff_ffff_u32, "valueTwo": value})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::source;

    const X86_64: u32 = 0xc000_003e;

    fn recording(calls: &[(&str, [u64; 6])]) -> Recording {
        let mut recording = Recording::of_one_run();
        for (name, args) in calls {
            let number = Syscall::named(name).unwrap().number(Arch::X86_64).unwrap();
            recording.add(X86_64, number, args);
        }
        recording
    }

    #[test]
    fn few_selectors_are_conditions_and_many_are_none() {
        let few = recording(&[
            ("socket", [2, 1, 0, 9, 9, 9]),
            ("socket", [0xffff_ffff_0000_0002, 1, 0, 0, 0, 0]),
            ("read", [3, 4, 5, 0, 0, 0]),
        ]);
        let profile = few.profile();
        assert_eq!(profile["syscalls"][0], json!({"names": ["read"], "action": "SCMP_ACT_ALLOW"}));
        assert_eq!(profile["syscalls"].as_array().unwrap().len(), 2, "the upper half does not count");
        assert_eq!(profile["syscalls"][1]["args"][0], condition(0, 2));
        let calls: Vec<_> = (0..9).map(|at| ("prctl", [at, 0, 0, 0, 0, 0])).collect();
        assert_eq!(recording(&calls[..8]).profile()["syscalls"].as_array().unwrap().len(), 8);
        assert_eq!(
            recording(&calls).profile()["syscalls"],
            json!([{"names": ["prctl"], "action": "SCMP_ACT_ALLOW"}])
        );
    }

    #[test]
    fn runs_merge_in_any_order() {
        let (a, b) = (
            recording(&[("prctl", [1, 0, 0, 0, 0, 0]), ("read", [0; 6])]),
            recording(&[("prctl", [2, 0, 0, 0, 0, 0]), ("write", [0; 6])]),
        );
        let (mut ab, mut ba) = (a.clone(), b.clone());
        ab.merge(b);
        ba.merge(a);
        assert_eq!(ab, ba);
        assert_eq!(ab.runs, 2);
        assert_eq!(ab.profile()["syscalls"].as_array().unwrap().len(), 3);
        let text = serde_json::to_string(&ab).unwrap();
        assert_eq!(serde_json::from_str::<Recording>(&text).unwrap(), ab);
    }

    #[test]
    fn what_no_table_has_is_told() {
        let mut recording = Recording::default();
        recording.add(X86_64, 5000, &[0; 6]);
        recording.add(7, 1, &[0; 6]);
        recording.add(X86_64, X32_BIT, &[0; 6]);
        assert_eq!(recording.unknown().collect::<Vec<_>>(), [(7, 1), (X86_64, 5000)]);
        assert_eq!(recording.profile()["architectures"], json!(["SCMP_ARCH_X32"]));
    }

    #[test]
    fn the_profile_is_one() {
        let recorded = recording(&[("socket", [2, 1, 0, 0, 0, 0]), ("read", [0; 6]), ("clone", [0x11; 6])]);
        source(&recorded.profile().to_string()).compile().unwrap();
        source(&Recording::default().profile().to_string()).compile().unwrap();
    }
}
