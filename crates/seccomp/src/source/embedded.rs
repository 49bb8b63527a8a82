//! Profiles that are texts in other texts, and their positions there.

use palisade_k8s::manifest::{Entry, Position};

use super::Source;
use crate::finding::Finding;
use crate::profile::{Profile, read_json};

/// The position of an inner text's first character, and the indentation of its further lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A block of YAML, which keeps lines.
    Block { line: usize, indent: usize },
    /// On one line, quoted, so that only the line is known.
    Line(Position),
}

impl Place {
    fn of(self, inner: Position) -> Position {
        match self {
            Self::Block { line, indent } => {
                Position { line: line + inner.line - 1, column: indent + inner.column }
            }
            Self::Line(at) => at,
        }
    }
}

/// The text of a file.
pub(super) struct Text<'t>(pub(super) &'t str);

impl Text<'_> {
    /// The position of an entry's text: below its key if a block follows, else beside it.
    pub(super) fn place(&self, entry: &Entry) -> Place {
        let mut lines = self.0.lines().skip(entry.at.line.saturating_sub(1));
        let head = lines.next().unwrap_or_default();
        let is_block = head.rsplit(':').next().is_some_and(|rest| rest.trim_start().starts_with('|'));
        match (is_block, lines.next()) {
            (true, Some(first)) => {
                Place::Block { line: entry.at.line + 1, indent: first.len() - first.trim_start().len() }
            }
            _ => Place::Line(entry.value.at),
        }
    }
}

/// A profile in JSON inside of another file.
pub(super) fn json(text: &str, place: Place) -> (Option<Profile>, Vec<Finding>) {
    let (mut profile, mut findings) = read_json(text);
    findings.iter_mut().for_each(|finding| finding.at = place.of(finding.at));
    profile.iter_mut().for_each(|profile| profile.move_to(|at| place.of(at)));
    (profile, findings)
}

/// JSON values, each after a line `// name`.
pub(super) fn advice(text: &str) -> Vec<Source> {
    let mut parts: Vec<(String, usize, String)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        match (line.trim_start().strip_prefix("//"), parts.last_mut()) {
            (Some(name), _) => parts.push((name.trim().to_owned(), number + 2, String::new())),
            (None, Some((.., inner))) => {
                inner.push_str(line);
                inner.push('\n');
            }
            (None, None) => {}
        }
    }
    let filled = parts.into_iter().filter(|(.., inner)| !inner.trim().is_empty());
    let source = |(name, line, inner): (String, usize, String)| {
        let at = Position { line, column: 1 };
        Source::new(name, at, json(&inner, Place::Block { line, indent: 0 }))
    };
    filled.map(source).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_k8s::manifest;

    #[test]
    fn places_are_those_of_the_whole_file() {
        let cases = [
            (
                "data:\n  a.json: |\n    {\n      \"x\": 1}\n",
                Place::Block { line: 3, indent: 4 },
                Position { line: 4, column: 11 },
            ),
            (
                "data:\n  a.json: |-\n      {\n      }\n",
                Place::Block { line: 3, indent: 6 },
                Position { line: 4, column: 13 },
            ),
            (
                "data:\n  a.json: '{}'\n",
                Place::Line(Position { line: 2, column: 11 }),
                Position { line: 2, column: 11 },
            ),
        ];
        for (text, place, second_line) in cases {
            let documents = manifest::read(text).unwrap();
            let entry = &documents[0].get("data").unwrap().entries()[0];
            let got = Text(text).place(entry);
            assert_eq!((got, got.of(Position { line: 2, column: 7 })), (place, second_line), "{text}");
        }
    }
}
