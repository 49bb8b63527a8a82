//! Findings about a profile, each with its place.

use palisade_k8s::manifest::Position;

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The profile works, though perhaps not as intended. `--strict` makes it an error.
    Warning,
    /// The profile has no meaning, or only a guessed one.
    Error,
}

/// A problem of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The severity.
    pub severity: Severity,
    /// Its position.
    pub at: Position,
    /// The field, such as `syscalls[3].args[0].op`; empty for the profile as a whole.
    pub field: String,
    /// The problem, and its fix.
    pub message: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{}: {severity}: ", self.at)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

/// A collector of findings.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) list: Vec<Finding>,
}

/// Maximum number of findings for one profile.
const MAX_FINDINGS: usize = 500;

impl Findings {
    /// Whether further findings are left out, so that their messages need not be made.
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() >= MAX_FINDINGS
    }

    pub(crate) fn add(
        &mut self,
        severity: Severity,
        at: Position,
        field: impl Into<String>,
        message: impl Into<String>,
    ) {
        if !self.is_full() {
            self.list.push(Finding { severity, at, field: field.into(), message: message.into() });
        }
    }

    pub(crate) fn error(&mut self, at: Position, field: impl Into<String>, message: impl Into<String>) {
        self.add(Severity::Error, at, field, message);
    }

    pub(crate) fn warn(&mut self, at: Position, field: impl Into<String>, message: impl Into<String>) {
        self.add(Severity::Warning, at, field, message);
    }
}

/// `; did you mean …?`, if a known name is similar.
pub(crate) fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let shown: String = name.chars().take(80).collect();
    match crate::table::nearest(&shown, known) {
        Some(near) => format!("; did you mean {near}?"),
        None => String::new(),
    }
}

/// `; did you mean …?`, for the name of a syscall.
pub(crate) fn syscall_suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let shown: String = name.chars().take(80).collect();
    match crate::table::meant(&shown, known) {
        Some(near) => format!("; did you mean {near}?"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn findings_are_lines_and_bounded() {
        let at = Position { line: 3, column: 7 };
        let mut findings = Findings::default();
        findings.warn(at, "flags", "unknown flag");
        findings.error(at, "", "not JSON");
        let lines: Vec<_> = findings.list.iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["3:7: warning: flags: unknown flag", "3:7: error: not JSON"]);
        (0..2 * MAX_FINDINGS).for_each(|_| findings.warn(at, "", ""));
        assert_eq!(findings.list.len(), MAX_FINDINGS);
    }

    #[test]
    fn a_near_name_is_suggested() {
        let known = || ["read", "readv", "openat"].into_iter();
        for (name, expected) in
            [("raed", "; did you mean read?"), ("opnat", "; did you mean openat?"), ("mount", ""), ("", "")]
        {
            assert_eq!(suggestion(name, known()), expected, "{name}");
        }
        assert_eq!(suggestion(&"x".repeat(1 << 20), known()), "");
    }
}
