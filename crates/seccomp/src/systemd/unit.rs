//! The lines of a unit file: assignments, each in its section.

use palisade_k8s::manifest::Position;

/// `KEY=VALUE` in a section.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Assignment {
    /// The section without brackets; `None` in a file that has none.
    pub(super) section: Option<String>,
    pub(super) key: String,
    /// Continued lines are joined by a space.
    pub(super) value: String,
    pub(super) at: Position,
}

impl Assignment {
    /// Whether the section is one of those whose processes systemd starts.
    pub(super) fn is_executed(&self) -> bool {
        let sections = ["Service", "Socket", "Mount", "Swap"];
        self.section.as_deref().is_none_or(|section| sections.contains(&section))
    }
}

/// Parses a unit file (systemd.syntax(7)). A line without an assignment is returned as its position.
pub(super) fn assignments(text: &str) -> (Vec<Assignment>, Vec<Position>) {
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    let mut section = None;
    let mut pending: Option<(String, Position)> = None;
    for (number, line) in text.lines().enumerate() {
        let here = Position { line: number + 1, column: 1 };
        let line = line.trim();
        // Comments and empty lines do not end a continued line.
        if line.starts_with(['#', ';']) || (line.is_empty() && pending.is_none()) {
            continue;
        }
        let (mut whole, at) = pending.take().unwrap_or((String::new(), here));
        if let Some(start) = line.strip_suffix('\\') {
            whole.push_str(start);
            whole.push(' ');
            pending = Some((whole, at));
            continue;
        }
        whole.push_str(line);
        add(&whole, at, &mut section, &mut found, &mut wrong);
    }
    if let Some((whole, at)) = pending {
        add(&whole, at, &mut section, &mut found, &mut wrong);
    }
    (found, wrong)
}

fn add(
    line: &str,
    at: Position,
    section: &mut Option<String>,
    found: &mut Vec<Assignment>,
    wrong: &mut Vec<Position>,
) {
    if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        *section = Some(name.to_owned());
        return;
    }
    match line.split_once('=') {
        Some((key, value)) => found.push(Assignment {
            section: section.clone(),
            key: key.trim().to_owned(),
            value: value.trim().to_owned(),
            at,
        }),
        None => wrong.push(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_and_keep_their_place() {
        let text = "# a unit\n[Unit]\nDescription=x\n[Service]\nSystemCallFilter=read \\\n# not this\n  write\nnonsense\nA = b=c \n";
        let (found, wrong) = assignments(text);
        let got: Vec<_> = found
            .iter()
            .map(|a| (a.section.as_deref().unwrap_or(""), a.key.as_str(), a.value.as_str(), a.at.line))
            .collect();
        let expected = [
            ("Unit", "Description", "x", 3),
            ("Service", "SystemCallFilter", "read  write", 5),
            ("Service", "A", "b=c", 9),
        ];
        assert_eq!(got, expected);
        assert_eq!(wrong.iter().map(|at| at.line).collect::<Vec<_>>(), [8]);
        assert_eq!(found.iter().map(Assignment::is_executed).collect::<Vec<_>>(), [false, true, true]);
        assert_eq!(assignments("A=1\\").0.len(), 1, "a file may end in a continued line");
    }
}
