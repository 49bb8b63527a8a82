//! `SystemCallFilter=` and `SystemCallLog=`: a list that allows or, after `~`, denies.

use std::collections::BTreeMap;

use palisade_k8s::manifest::Position;

use super::sets;
use crate::action::Action;
use crate::errno;
use crate::finding::{Findings, suggestion, syscall_suggestion};
use crate::profile::{Lines, Removed};
use crate::table::Syscall;

/// The state of the directive after some assignments.
#[derive(Debug, Default)]
pub(super) struct List {
    /// Whether the first assignment allowed or, with `~`, denied, and where it stands; `None` before the first.
    kind: Option<(bool, Position)>,
    /// The listed syscalls, each with an action of its own if one was given.
    pub(super) syscalls: BTreeMap<Syscall, (Option<Action>, Position)>,
    /// The syscalls that are named individually.
    pub(super) named: Vec<(Syscall, Position)>,
    /// The removed syscalls, each with the word that removed it.
    pub(super) removed: BTreeMap<Syscall, (String, Position)>,
}

/// A word of an assignment: a syscall or a set, and the error after a colon.
struct Word<'a> {
    name: &'a str,
    action: Option<Action>,
}

impl List {
    /// One assignment. As in systemd: the first determines whether the list allows or denies; a later one of the other
    /// kind removes syscalls; an empty one resets the list; a list that allows includes `@default` from the start.
    pub(super) fn assign(&mut self, key: &str, value: &str, at: Position, findings: &mut Findings) {
        if value.is_empty() {
            *self = Self::default();
            return;
        }
        let (words, inverted) = match value.strip_prefix('~') {
            Some(rest) => (rest, true),
            None => (value, false),
        };
        if self.kind.is_none() {
            self.kind = Some((!inverted, at));
            if !inverted && key == "SystemCallFilter" {
                self.put(&Word { name: "@default", action: None }, false, at);
            }
        }
        let mut idle: Vec<&str> = Vec::new();
        let mut inner: Vec<&str> = Vec::new();
        for word in words.split_whitespace() {
            match parse(word) {
                Ok(word) if word.action.is_some() && !inverted => {
                    let message = format!(
                        "systemd ignores {:?}: a list without ~ allows, and so takes no error",
                        word.name
                    );
                    findings.warn(at, key, message);
                }
                Ok(word) if word.name.starts_with('~') => inner.push(word.name),
                Ok(word) if word.action.is_some() && key == "SystemCallLog" => {
                    let message = format!("systemd ignores {:?}: what is logged takes no error", word.name);
                    findings.warn(at, key, message);
                }
                Ok(word) if unknown(word.name) => {
                    if !findings.is_full() {
                        findings.warn(at, key, unknown_name(word.name));
                    }
                }
                Ok(word) => {
                    let (changed, all) = self.put(&word, inverted, at);
                    if 2 * changed < all {
                        idle.push(word.name);
                    }
                }
                Err(message) => findings.warn(at, key, message),
            }
        }
        if !inner.is_empty() {
            findings.warn(at, key, inner_tilde(key, &inner, inverted));
        }
        if let (Some((false, first)), false, false) = (self.kind, inverted, idle.is_empty()) {
            let message = format!(
                "line {} makes this a list of what is denied, so this line allows nothing: it takes {} out of that list, where little or nothing of it is; for a list of what is allowed put this line before line {}",
                first.line,
                idle.join(" "),
                first.line
            );
            findings.warn(at, key, message);
        }
    }

    /// Puts a word into the list or takes it out; returns of how many syscalls that changed the place, and of how many it
    /// could have.
    fn put(&mut self, word: &Word<'_>, inverted: bool, at: Position) -> (usize, usize) {
        let names = if word.name.starts_with('@') { sets::members(word.name) } else { vec![word.name] };
        let adds = self.allows() == Some(!inverted);
        if let Some(syscall) = Syscall::named(word.name) {
            self.named.push((syscall, at));
        }
        let (mut changed, all) = (0, names.len());
        for syscall in names.into_iter().filter_map(Syscall::named) {
            // In a list that allows, `~read:EPERM` is an entry of its own.
            if adds || word.action.is_some() {
                self.syscalls.insert(syscall, (word.action, at));
                self.removed.remove(&syscall);
                changed += 1;
            } else if self.syscalls.remove(&syscall).is_some() {
                let tilde = if inverted { "~" } else { "" };
                self.removed.insert(syscall, (format!("{tilde}{}", word.name), at));
                changed += 1;
            }
        }
        (changed, all)
    }

    /// Whether it allows what it lists or denies it; none before the first assignment.
    pub(super) fn allows(&self) -> Option<bool> {
        self.kind.map(|(allows, _)| allows)
    }

    pub(super) fn lines(&self) -> Lines {
        let named = self.named.iter().map(|(syscall, at)| (syscall.name().to_owned(), *at));
        let removed = self.removed.iter().map(|(syscall, (word, at))| Removed {
            syscall: syscall.name().to_owned(),
            word: word.clone(),
            at: *at,
        });
        Lines { named: named.collect(), removed: removed.collect() }
    }
}

fn parse(word: &str) -> Result<Word<'_>, String> {
    let Some((name, error)) = word.split_once(':') else { return Ok(Word { name: word, action: None }) };
    let action = match error {
        "kill" => Action::KillProcess,
        _ => Action::Errno(
            number(error).ok_or_else(|| format!("systemd ignores {word:?}: {}", unknown_error(error)))?,
        ),
    };
    Ok(Word { name, action: Some(action) })
}

/// An error by name, or by number up to 4095.
pub(super) fn number(word: &str) -> Option<u16> {
    errno::number(word).or_else(|| word.parse().ok().filter(|&number| number <= errno::MAX))
}

pub(super) fn unknown_error(word: &str) -> String {
    format!("unknown error {word:?}{}", suggestion(word, errno::names()))
}

fn unknown(name: &str) -> bool {
    if name.starts_with('@') { !sets::names().any(|set| set == name) } else { Syscall::named(name).is_none() }
}

/// A `~` before a word that is not the first.
fn inner_tilde(key: &str, words: &[&str], inverted: bool) -> String {
    let list = words.join(" ");
    let bare: Vec<_> = words.iter().map(|word| word.trim_start_matches('~')).collect();
    let bare = bare.join(" ");
    let remedy = match inverted {
        true => format!("write {bare} without it, on this line"),
        false => format!("this line allows, so deny by a line of its own after it: {key}=~{bare}"),
    };
    format!(
        "systemd ignores {list}: one ~ stands before the first word and holds for the whole line; {remedy}"
    )
}

fn unknown_name(name: &str) -> String {
    if name.starts_with('@') {
        return format!("unknown set {name:?}, which systemd ignores{}", suggestion(name, sets::names()));
    }
    format!(
        "unknown syscall {name:?}, which systemd ignores{}",
        syscall_suggestion(name, Syscall::all().map(Syscall::name))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Assignments, then syscalls with their state in the list: "-" for not listed.
    type Case<'a> = (&'a [&'a str], bool, &'a [(&'a str, &'a str)], usize);

    #[test]
    fn assignments_add_and_take_away() {
        let cases: &[Case<'_>] = &[
            (&["read"], true, &[("read", "listed"), ("execve", "listed"), ("open", "-")], 0),
            (&["~read"], false, &[("read", "listed"), ("execve", "-")], 0),
            (&["read write", "~write"], true, &[("read", "listed"), ("write", "-")], 0),
            (&["~read write", "write"], false, &[("read", "listed"), ("write", "-")], 0),
            (&["read", "", "~open"], false, &[("read", "-"), ("open", "listed")], 0),
            (
                &["~open:ENOENT read:kill write:5"],
                false,
                &[("open", "ERRNO(ENOENT)"), ("read", "KILL_PROCESS"), ("write", "ERRNO(EIO)")],
                0,
            ),
            // An error in a list that allows: ignored without ~, an entry with it.
            (&["read open:ENOENT"], true, &[("open", "-")], 1),
            (&["read open", "~open:ENOENT"], true, &[("open", "ERRNO(ENOENT)")], 0),
            (&["~@clock", "clock_settime"], false, &[("clock_settime", "-"), ("settimeofday", "listed")], 0),
            (&["~@nosuchset fsnc read:EPREM"], false, &[("read", "-")], 3),
            (&["@known"], true, &[("reboot", "listed")], 0),
            (&["~@clock ~@module"], false, &[("init_module", "-"), ("settimeofday", "listed")], 1),
            // NixOS/nixpkgs#123258: the words after the first are not denied, and to write them without ~ would allow them.
            (
                &["@system-service ~@resources ~@keyring"],
                true,
                &[("setpriority", "listed"), ("read", "listed")],
                1,
            ),
            (
                &["@system-service", "~@resources @keyring"],
                true,
                &[("setpriority", "-"), ("keyctl", "-"), ("read", "listed")],
                0,
            ),
            // fwupd/fwupd#7118: a list that denies, with lines after it that were to allow.
            (&["~@mount @debug", "@system-service"], false, &[("kexec_load", "-"), ("mount", "listed")], 1),
            (&["@system-service", "~@mount @debug"], true, &[("kexec_load", "-"), ("read", "listed")], 0),
            (&["~@clock", "clock_settime read"], false, &[("clock_settime", "-")], 1),
        ];
        for (values, allows, expected, warned) in cases {
            let (mut list, mut findings) = (List::default(), Findings::default());
            for value in *values {
                list.assign("SystemCallFilter", value, Position::default(), &mut findings);
            }
            assert_eq!(list.allows(), Some(*allows), "{values:?}");
            for (name, said) in *expected {
                let got = match list.syscalls.get(&Syscall::named(name).unwrap()) {
                    None => "-".to_owned(),
                    Some((None, _)) => "listed".to_owned(),
                    Some((Some(action), _)) => action.to_string(),
                };
                assert_eq!(got, *said, "{values:?} {name}");
            }
            assert_eq!(findings.list.len(), *warned, "{values:?}: {:?}", findings.list);
        }
    }
}
