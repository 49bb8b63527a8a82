//! The least profile that allows the recorded syscalls.
//!
//! ```
//! use palisade_seccomp::Arch;
//! use palisade_seccomp::minimize::{Needs, Recording, minimize};
//!
//! let text = "execve(\"/bin/true\", [\"true\"], 0x7ffd) = 0\nsocket(0x2, 0x80001, 0) = 3\nexit_group(0) = ?\n";
//! let recording = Recording::read("true.strace", text, Arch::X86_64)?;
//! let least = minimize(&[recording], &Needs::default());
//! let entries = least["syscalls"].as_array().unwrap();
//! assert_eq!(entries.len(), 3);
//! assert_eq!(entries[2]["names"][0], "socket");
//! assert_eq!(entries[2]["args"][0]["valueTwo"], 2);
//! assert_eq!(entries[2]["comment"], "true.strace 1");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::arch::Arch;
use crate::lint::needs;
use crate::table::{NEWER_FORMS, Syscall, family};

mod observed;
mod read;
mod strace;

pub use observed::{MAX_COMBINATIONS, Observed, Seen, selectors};
pub use read::ReadError;

pub use crate::lint::Runtime;

/// One recording: a name, and its content.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Its name, for comments.
    pub name: String,
    /// Its syscalls.
    pub observed: Observed,
    /// Lines in no known format: the number of them, and the first, counted from 1.
    pub strange: Option<(usize, usize)>,
}

/// Additions to a profile beside the recorded syscalls.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// Runtimes that start the container.
    pub runtimes: Vec<Runtime>,
    /// Also the older and the newer forms of a syscall, of which libcs and language runtimes choose.
    pub siblings: bool,
    /// Leave out conditions on arguments.
    pub no_arguments: bool,
}

/// Allowed syscalls, with the reason for each.
#[derive(Debug, Default)]
struct Joined {
    archs: BTreeSet<&'static str>,
    seen: BTreeMap<Syscall, Seen>,
    reasons: BTreeMap<Syscall, Vec<String>>,
}

/// The least profile for these recordings and needs, in Docker's form: an entry for each syscall, or for each
/// combination of its selecting arguments. The comment of an entry names the recordings, each with the number of times,
/// or the need.
#[must_use]
pub fn minimize(recordings: &[Recording], needs: &Needs) -> Value {
    let mut joined = Joined::default();
    for recording in recordings {
        joined.archs.extend(recording.observed.archs().map(Arch::scmp));
        for (syscall, seen) in recording.observed.syscalls() {
            match joined.seen.get_mut(&syscall) {
                Some(known) => known.merge(seen),
                None => drop(joined.seen.insert(syscall, seen.clone())),
            }
            joined.reasons.entry(syscall).or_default().push(format!("{} {}", recording.name, seen.count));
        }
    }
    if needs.no_arguments {
        joined.seen.values_mut().for_each(Seen::forget_arguments);
    }
    if needs.siblings {
        joined.add_siblings();
    }
    for runtime in &needs.runtimes {
        for name in needs_of(*runtime) {
            joined.need(name, &format!("{runtime} needs it"));
        }
    }
    joined.profile()
}

fn needs_of(runtime: Runtime) -> impl Iterator<Item = &'static str> {
    needs(runtime).flat_map(|alternatives| alternatives.split('|'))
}

/// Forms of one syscall, among which libcs choose by kernel and architecture. Links are those of the tables of
/// relatives.
fn siblings(name: &str) -> Vec<&'static str> {
    let mut found: Vec<&str> = Vec::new();
    for (older, newer) in NEWER_FORMS {
        let mut all = older.split('|').chain([newer]);
        if all.any(|other| other == name) {
            found.extend(older.split('|').chain([newer]));
        }
    }
    // Of the larger families, those whose members differ only in the form of a path.
    let by_path = family(name).filter(|family| family.iter().any(|other| other.ends_with("at")));
    let is_form = |other: &&&str| other.starts_with(name) || name.starts_with(**other);
    found.extend(by_path.into_iter().flatten().filter(is_form));
    found.retain(|other| *other != name);
    found
}

impl Joined {
    fn add_siblings(&mut self) {
        let names: Vec<&str> = self.seen.keys().map(|syscall| syscall.name()).collect();
        for name in names {
            for sibling in siblings(name) {
                self.need(sibling, &format!("a form of {name}"));
            }
        }
    }

    /// Allows a syscall with any arguments.
    fn need(&mut self, name: &str, reason: &str) {
        let Some(syscall) = Syscall::named(name) else { return };
        let new = !self.seen.contains_key(&syscall);
        // A runtime may use other arguments than the recorded ones.
        self.seen.entry(syscall).or_default().forget_arguments();
        let reasons = self.reasons.entry(syscall).or_default();
        if new || !reason.starts_with("a form") {
            reasons.push(reason.to_owned());
        }
    }

    fn profile(&self) -> Value {
        let mut entries = Vec::new();
        for (syscall, seen) in &self.seen {
            let comment = self.reasons.get(syscall).map(|reasons| reasons.join(", ")).unwrap_or_default();
            let entry = |args: Option<Value>| {
                let mut entry = json!({"names": [syscall.name()], "action": "SCMP_ACT_ALLOW"});
                if let Some(object) = entry.as_object_mut() {
                    object.extend(args.map(|args| ("args".to_owned(), args)));
                    object.insert("comment".to_owned(), comment.clone().into());
                }
                entry
            };
            match seen.few() {
                None => entries.push(entry(None)),
                Some(combinations) => {
                    let indexes = selectors(syscall.name());
                    entries.extend(combinations.iter().map(|values| {
                        let args = indexes.iter().zip(values);
                        entry(Some(args.map(|(index, value)| condition(*index, *value)).collect()))
                    }));
                }
            }
        }
        json!({
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": self.archs, "syscalls": entries,
        })
    }
}

fn condition(index: u8, value: u32) -> Value {
    json!({"index": index, "op": "SCMP_CMP_MASKED_EQ", "value": 0xffff_ffff_u32, "valueTwo": value})
}

/// The number of syscalls that each recording adds to those before it; a syscall with new arguments counts.
#[must_use]
pub fn growth(recordings: &[Recording]) -> Vec<usize> {
    let mut known: BTreeMap<Syscall, Seen> = BTreeMap::new();
    let grow = |recording: &Recording| {
        let mut new = 0;
        for (syscall, seen) in recording.observed.syscalls() {
            match known.get_mut(&syscall) {
                Some(old) => {
                    let before = old.few().map(BTreeSet::len);
                    old.merge(seen);
                    new += usize::from(before.is_some() && before != old.few().map(BTreeSet::len));
                }
                None => {
                    known.insert(syscall, seen.clone());
                    new += 1;
                }
            }
        }
        new
    };
    recordings.iter().map(grow).collect()
}
