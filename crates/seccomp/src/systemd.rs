//! systemd's `SystemCallFilter=`: lists of calls and of sets of calls.

use palisade_k8s::manifest::Position;

use crate::action::Action;
use crate::errno;
use crate::finding::{Finding, Findings, suggestion};
use crate::profile::{Entry, Gate, Profile};
use crate::table::Syscall;

/// systemd's sets, one a line: the name, then calls and other sets (systemd 262; those of calls that no kernel of the table has are left out).
const SETS: &str = include_str!("systemd/sets.txt");

fn sets() -> impl Iterator<Item = (&'static str, &'static str)> {
    SETS.lines().filter_map(|line| line.split_once(' '))
}

/// The calls of a set and of the sets in it.
#[must_use]
pub fn members(set: &str) -> Vec<&'static str> {
    let Some((_, list)) = sets().find(|(name, _)| *name == set) else { return Vec::new() };
    let nested = |name: &'static str| if name.starts_with('@') { members(name) } else { vec![name] };
    list.split(' ').flat_map(nested).collect()
}

/// Calls by name, each with an error of its own if one was given, in the order in which they came.
type Calls = Vec<(String, Option<u16>, Position)>;

#[derive(Default)]
struct Reader {
    findings: Findings,
    /// Whether the first list allowed or, with `~`, denied.
    allows: Option<bool>,
    calls: Calls,
    errno: Option<u16>,
    architectures: Vec<String>,
}

/// Reads lines `SystemCallFilter=`, `SystemCallErrorNumber=` and `SystemCallArchitectures=`, with or without
/// the rest of a unit around them. As systemd does: the first list says whether calls are allowed or, after
/// `~`, denied; a later list of the other kind takes calls out again; an empty one starts anew; a list that
/// allows also allows `@default`.
pub fn read(text: &str) -> (Option<Profile>, Vec<Finding>) {
    let mut reader = Reader::default();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        let at = Position { line: number + 1, column: 1 };
        match line.split_once('=') {
            Some((key, value)) => reader.line(key.trim(), value.trim(), at),
            None if line.is_empty() || line.starts_with(['#', ';', '[']) => {}
            None => reader.findings.error(at, "", "a line KEY=VALUE is expected"),
        }
    }
    reader.finish()
}

impl Reader {
    fn line(&mut self, key: &str, value: &str, at: Position) {
        match key {
            "SystemCallFilter" if value.is_empty() => {
                self.allows = None;
                self.calls.clear();
            }
            "SystemCallFilter" => self.list(value, at),
            "SystemCallErrorNumber" if value.is_empty() || value == "kill" => self.errno = None,
            "SystemCallErrorNumber" => self.errno = self.number(value, at),
            "SystemCallArchitectures" => {
                for name in value.split_whitespace().filter(|name| *name != "native") {
                    match crate::arch::Arch::parse(&name.replace('-', "_")) {
                        Some(arch) => self.architectures.push(arch.scmp().to_owned()),
                        None => self.findings.warn(at, key, format!("no architecture is named {name:?}")),
                    }
                }
            }
            _ => {}
        }
    }

    fn number(&mut self, name: &str, at: Position) -> Option<u16> {
        let number = errno::number(name).or_else(|| name.parse().ok().filter(|&n| n <= errno::MAX));
        if number.is_none() {
            let message = format!("no error is named {name:?}{}", suggestion(name, errno::names()));
            self.findings.error(at, "SystemCallErrorNumber", message);
        }
        number
    }

    fn list(&mut self, value: &str, at: Position) {
        let (list, allows) = match value.strip_prefix('~') {
            Some(rest) => (rest, false),
            None => (value, true),
        };
        let adds = *self.allows.get_or_insert(allows) == allows;
        for word in list.split_whitespace() {
            let (name, error) = match word.split_once(':') {
                Some((name, "kill")) => (name, None),
                Some((name, error)) => (name, self.number(error, at)),
                None => (word, None),
            };
            for call in self.expand(name, at) {
                self.calls.retain(|(other, ..)| *other != call);
                if adds || error.is_some() {
                    self.calls.push((call, error, at));
                }
            }
        }
    }

    fn expand(&mut self, name: &str, at: Position) -> Vec<String> {
        if name == "@known" {
            return Syscall::all().map(|call| call.name().to_owned()).collect();
        }
        if !name.starts_with('@') {
            return vec![name.to_owned()];
        }
        let members = members(name);
        if members.is_empty() {
            let message = format!("no set is named {name:?}{}", suggestion(name, sets().map(|(set, _)| set)));
            self.findings.error(at, "SystemCallFilter", message);
        }
        members.into_iter().map(str::to_owned).collect()
    }

    fn finish(mut self) -> (Option<Profile>, Vec<Finding>) {
        let start = Position { line: 1, column: 1 };
        let Some(allows) = self.allows else {
            self.findings.error(start, "SystemCallFilter", "is missing, so nothing is filtered");
            return (None, self.findings.list);
        };
        if self.findings.list.iter().any(|finding| finding.severity == crate::finding::Severity::Error) {
            return (None, self.findings.list);
        }
        if allows {
            let missing = |name: &&str| !self.calls.iter().any(|(other, ..)| other == name);
            let always: Vec<_> = members("@default").into_iter().filter(missing).collect();
            self.calls.extend(always.into_iter().map(|name| (name.to_owned(), None, start)));
        }
        let deny = self.errno.map_or(Action::KillProcess, Action::Errno);
        let (default_action, listed) = if allows { (deny, Action::Allow) } else { (Action::Allow, deny) };
        let entries = entries(self.calls, listed);
        let profile = Profile {
            default_action,
            architectures: self.architectures,
            arch_map: Vec::new(),
            flags: None,
            listener_path: None,
            listener_metadata: None,
            entries,
        };
        (Some(profile), self.findings.list)
    }
}

/// One entry for each action.
fn entries(calls: Calls, listed: Action) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for (name, error, at) in calls {
        let action = error.map_or(listed, Action::Errno);
        match entries.iter_mut().find(|entry| entry.action == action) {
            Some(entry) => entry.names.push((name, at)),
            None => entries.push(Entry {
                names: vec![(name, at)],
                action,
                args: Vec::new(),
                includes: Gate::default(),
                excludes: Gate::default(),
                comment: String::new(),
                at,
            }),
        }
    }
    entries
}

/// Why rules cannot be written for systemd.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SystemdError {
    /// An action that systemd has no word for.
    #[error("systemd has no word for {0}; it allows, denies with an error, and kills the process")]
    Action(Action),
    /// Conditions on arguments.
    #[error(
        "systemd cannot look at arguments, as the rules for {0} do; those calls would be allowed or denied whatever their arguments"
    )]
    Arguments(String),
}

/// Writes rules as systemd's lines. What it cannot say is an error, never left out.
pub fn write(rules: &crate::filter::Rules) -> Result<String, SystemdError> {
    let mut conditional: Vec<_> =
        rules.rules.iter().filter(|rule| !rule.conditions.is_empty()).map(|rule| rule.call.name()).collect();
    conditional.dedup();
    if !conditional.is_empty() {
        return Err(SystemdError::Arguments(conditional.join(", ")));
    }
    let mut lines = String::from("[Service]\n");
    match rules.default {
        Action::Errno(number) => {
            let name = errno::name(number).map_or_else(|| number.to_string(), str::to_owned);
            lines.push_str(&format!("SystemCallErrorNumber={name}\n"));
        }
        Action::KillProcess | Action::Allow => {}
        other => return Err(SystemdError::Action(other)),
    }
    let names: Vec<_> = rules.archs.iter().map(|arch| arch.name().replace('_', "-")).collect();
    lines.push_str(&format!("SystemCallArchitectures={}\n", names.join(" ")));
    let mut words = Vec::new();
    for rule in &rules.rules {
        let error = |number: u16| errno::name(number).map_or_else(|| number.to_string(), str::to_owned);
        words.push(match (rules.default, rule.action) {
            (Action::Allow, Action::Errno(number)) => format!("{}:{}", rule.call, error(number)),
            (Action::Allow, Action::KillProcess) | (_, Action::Allow) => rule.call.name().to_owned(),
            (_, Action::Errno(number)) => format!("{}:{}", rule.call, error(number)),
            (_, other) => return Err(SystemdError::Action(other)),
        });
    }
    words.sort_unstable();
    words.dedup();
    let sign = if rules.default == Action::Allow { "~" } else { "" };
    for chunk in words.chunks(12) {
        lines.push_str(&format!("SystemCallFilter={sign}{}\n", chunk.join(" ")));
    }
    Ok(lines)
}
