//! From YAML events to nodes, with bounds on what a hostile file can cost.

use std::collections::{HashMap, HashSet};

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};

use super::{Entry, Node, NodeValue, Position, ReadError, scalar};

/// The largest depth of maps and lists.
pub const MAX_DEPTH: usize = 100;
/// The largest number of values that a file may repeat through aliases.
pub const MAX_ALIASED_NODES: usize = 100_000;

/// Reads all documents of a file; one that holds nothing is left out.
///
/// # Errors
///
/// The first thing that is wrong: syntax, a repeated key, an unknown tag, a bound exceeded.
pub fn read(text: &str) -> Result<Vec<Node>, ReadError> {
    read_some(text, usize::MAX)
}

/// [`read`] of a text that holds no more than so many values, those that aliases repeat included.
///
/// # Errors
///
/// As those of [`read`], or there are more.
pub fn read_some(text: &str, most: usize) -> Result<Vec<Node>, ReadError> {
    let reader = || Reader { most, ..Reader::default() };
    reader().read([(START, text)]).or_else(|error| match json_values(text) {
        values if values.len() > 1 => reader().read(values),
        _ => Err(error),
    })
}

/// Reads a text of JSON. A number with a fraction or an exponent stays a float, as in Go's `encoding/json`.
///
/// # Errors
///
/// As those of [`read`].
pub fn read_json(text: &str) -> Result<Vec<Node>, ReadError> {
    Reader { most: usize::MAX, is_json: true, ..Reader::default() }.read([(START, text)])
}

const START: Position = Position { line: 1, column: 1 };

/// The values of a text of JSON values one after the other, as `jq -c` prints them and kubectl reads them; none if it is
/// something else.
fn json_values(text: &str) -> Vec<(Position, &str)> {
    let mut values = Vec::new();
    if !text.trim_start().starts_with('{') {
        return values;
    }
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
    let (mut begin, mut at) = (0, START);
    while let Some(next) = stream.next() {
        let end = stream.byte_offset();
        let (Ok(_), Some(piece)) = (next, text.get(begin..end)) else { return Vec::new() };
        values.push((at, piece));
        let lines = piece.matches('\n').count();
        let last = piece.rsplit('\n').next().unwrap_or_default().chars().count();
        at = match lines {
            0 => Position { column: at.column + last, ..at },
            _ => Position { line: at.line + lines, column: last + 1 },
        };
        begin = end;
    }
    values
}

fn message_of(error: &granit_parser::ScanError) -> String {
    error.info()
}

fn error_at(position: Position, message: impl Into<String>) -> ReadError {
    ReadError { position, message: message.into() }
}

/// A list or map that is not closed yet.
struct Open {
    at: Position,
    anchor: usize,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        seen: HashSet<String>,
        merges: Vec<Node>,
        key: Option<(String, Position, bool)>,
    },
}

#[derive(Default)]
struct Reader {
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    aliased: usize,
    values: usize,
    most: usize,
    is_json: bool,
    /// The position of the text that is read.
    start: Position,
}

impl Reader {
    /// The documents of texts, each with its position in the file.
    fn read<'t>(
        mut self,
        texts: impl IntoIterator<Item = (Position, &'t str)>,
    ) -> Result<Vec<Node>, ReadError> {
        for (start, text) in texts {
            self.start = start;
            // Comments mean nothing here, and the parser bounds how many of those in a row it passes on.
            let options = granit_parser::options! { emit_comments: false };
            for next in Parser::new_from_str_with_options(text, options) {
                let (event, span) = next.map_err(|error| {
                    let at = self.position(*error.marker());
                    error_at(at, format!("not valid YAML: {}", message_of(&error)))
                })?;
                self.event(event, &span)?;
            }
        }
        Ok(self.documents)
    }

    /// A position in the file.
    fn position(&self, marker: Marker) -> Position {
        let (line, column) = (marker.line(), marker.col() + 1);
        match line {
            1 => Position { line: self.start.line, column: column + self.start.column - 1 },
            _ => Position { line: line + self.start.line - 1, column },
        }
    }

    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), ReadError> {
        let at = self.position(span.start);
        match event {
            Event::DocumentStart(..) => self.anchors.clear(),
            Event::Scalar(text, style, anchor, tag) => {
                if self.is_at_key() {
                    return self.key(&text, style, at);
                }
                self.count(1, at)?;
                let value = match scalar_value(&text, style, tag.as_deref(), at)? {
                    NodeValue::Number(number) if !self.is_json => NodeValue::Number(scalar::whole(number)),
                    value => value,
                };
                self.finish(Node { at, value }, anchor)?;
            }
            Event::SequenceStart(_, anchor, _) => self.begin(at, anchor, OpenKind::List(Vec::new()))?,
            Event::MappingStart(_, anchor, _) => {
                let kind = OpenKind::Map {
                    entries: Vec::new(),
                    seen: HashSet::new(),
                    merges: Vec::new(),
                    key: None,
                };
                self.begin(at, anchor, kind)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    let (node, anchor) = close(open)?;
                    self.finish(node, anchor)?;
                }
            }
            Event::Alias(anchor) => self.alias(anchor, at)?,
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, at: Position, anchor: usize, kind: OpenKind) -> Result<(), ReadError> {
        if self.is_at_key() {
            return Err(error_at(at, "a map key must be a string, not a list or a map"));
        }
        self.count(1, at)?;
        if self.open.len() >= MAX_DEPTH {
            return Err(error_at(at, format!("nested more than {MAX_DEPTH} deep")));
        }
        self.open.push(Open { at, anchor, kind });
        Ok(())
    }

    fn count(&mut self, values: usize, at: Position) -> Result<(), ReadError> {
        self.values += values;
        if self.values > self.most {
            return Err(error_at(at, format!("more than {} values", self.most)));
        }
        Ok(())
    }

    fn is_at_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { kind: OpenKind::Map { key: None, .. }, .. }))
    }

    fn key(&mut self, text: &str, style: ScalarStyle, at: Position) -> Result<(), ReadError> {
        let plain = style == ScalarStyle::Plain;
        let merge = plain && text == "<<";
        let name = if plain { scalar::key(text) } else { text.to_owned() };
        if let Some(Open { kind: OpenKind::Map { seen, key, .. }, .. }) = self.open.last_mut() {
            if !merge && !seen.insert(name.clone()) {
                return Err(error_at(at, format!("key {name:?} is there twice in one map")));
            }
            *key = Some((name, at, merge));
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Result<(), ReadError> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return Err(error_at(at, "alias of a value that is not complete yet"));
        };
        self.aliased += count(&node);
        self.count(count(&node), at)?;
        if self.aliased > MAX_ALIASED_NODES {
            return Err(error_at(at, format!("aliases repeat more than {MAX_ALIASED_NODES} values")));
        }
        if self.open.len() + depth(&node) > MAX_DEPTH {
            return Err(error_at(at, format!("nested more than {MAX_DEPTH} deep")));
        }
        if self.is_at_key() {
            return match node.value {
                NodeValue::String(text) => self.key(&text, ScalarStyle::DoubleQuoted, at),
                _ => Err(error_at(at, "a map key must be a string")),
            };
        }
        self.finish(node, 0)
    }

    /// Hands a complete value to whatever it is part of.
    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), ReadError> {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.kind) {
            None if node.value == NodeValue::Null => {}
            None => self.documents.push(node),
            Some(OpenKind::List(items)) => items.push(node),
            Some(OpenKind::Map { entries, merges, key, .. }) => match key.take() {
                Some((_, _, true)) => merges.push(node),
                Some((key, at, false)) => entries.push(Entry { key, at, value: node }),
                None => return Err(error_at(node.at, "a map key must be a string")),
            },
        }
        Ok(())
    }
}

fn close(open: Open) -> Result<(Node, usize), ReadError> {
    let value = match open.kind {
        OpenKind::List(items) => NodeValue::List(items),
        OpenKind::Map { mut entries, mut seen, merges, .. } => {
            for merge in merges {
                merge_into(&mut entries, &mut seen, merge)?;
            }
            NodeValue::Map(entries)
        }
    };
    Ok((Node { at: open.at, value }, open.anchor))
}

/// `<<: *base`: what the map does not say itself.
fn merge_into(entries: &mut Vec<Entry>, seen: &mut HashSet<String>, merge: Node) -> Result<(), ReadError> {
    match merge.value {
        NodeValue::Map(base) => {
            entries.extend(base.into_iter().filter(|entry| seen.insert(entry.key.clone())));
            Ok(())
        }
        NodeValue::List(bases) => bases.into_iter().try_for_each(|base| merge_into(entries, seen, base)),
        _ => Err(error_at(merge.at, "`<<` merges a map or a list of maps")),
    }
}

fn count(node: &Node) -> usize {
    match &node.value {
        NodeValue::List(items) => 1 + items.iter().map(count).sum::<usize>(),
        NodeValue::Map(entries) => 1 + entries.iter().map(|entry| count(&entry.value)).sum::<usize>(),
        _ => 1,
    }
}

fn depth(node: &Node) -> usize {
    match &node.value {
        NodeValue::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        NodeValue::Map(entries) => 1 + entries.iter().map(|entry| depth(&entry.value)).max().unwrap_or(0),
        _ => 0,
    }
}

fn scalar_value(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    at: Position,
) -> Result<NodeValue, ReadError> {
    let core = |suffix: &str| tag.is_some_and(|tag| tag.is_yaml_core_schema_tag(suffix));
    match tag {
        None if style == ScalarStyle::Plain => scalar::resolve(text).map_err(|why| error_at(at, why)),
        None => Ok(NodeValue::String(text.to_owned())),
        Some(_) if core("str") || core("binary") => Ok(NodeValue::String(text.to_owned())),
        Some(_) if core("int") || core("float") || core("bool") || core("null") => {
            scalar::resolve(text).map_err(|why| error_at(at, why))
        }
        Some(tag) => Err(error_at(at, format!("unknown tag {tag}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn values(text: &str) -> Vec<serde_json::Value> {
        read(text).unwrap().iter().map(Node::to_json).collect()
    }

    #[test]
    fn reads_documents_anchors_and_merges() {
        let text = "a: &x {k: 1, l: [2]}\nb: {<<: *x, k: 3}\n---\n# nothing\n---\n- 'yes'\n- !!str 7\n";
        assert_eq!(
            values(text),
            [json!({"a": {"k": 1, "l": [2]}, "b": {"k": 3, "l": [2]}}), json!(["yes", "7"])]
        );
    }

    #[test]
    fn reads_past_any_number_of_comments() {
        let comments = "# one\n  # two\n".repeat(500);
        for text in [
            format!("{comments}a: [1]\n"),
            format!("a:\n{comments}  - 1\n"),
            format!("a: [1,\n{comments}]\n{comments}"),
            format!("a:\n- 1\n{comments}---\n{comments}"),
        ] {
            assert_eq!(values(&text), [json!({"a": [1]})]);
        }
    }

    #[test]
    fn reads_json_with_tabs_and_escapes() {
        let text = "{\n\t\"a\": [\"\\u0041\\n\", 1e2, null, true]\n}\n";
        assert_eq!(values(text), [json!({"a": ["A\n", 100, null, true]})]);
        assert_eq!(read_json(text).unwrap()[0].to_json(), json!({"a": ["A\n", 100.0, null, true]}));
    }

    #[test]
    fn reads_json_values_one_after_the_other() {
        let text = "{\"a\": 1}\n{\n\"b\": 2} {\"c\": {\"d\": 3}}\n";
        assert_eq!(values(text), [json!({"a": 1}), json!({"b": 2}), json!({"c": {"d": 3}})]);
        let last = &read(text).unwrap()[2];
        let at = last.get("c").unwrap().get("d").unwrap().at;
        assert_eq!((at.line, at.column), (3, 21));
        for wrong in ["{\"a\": 1}\n{\"b\": \n", "{\"a\": 1}\n[\n", "{\"a\": 1} x"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn refuses_hostile_files_with_a_place() {
        let error = |text: &str| read(text).unwrap_err().to_string();
        assert_eq!(error("a: 1\nb: 2\na: 3\n"), "3:1: key \"a\" is there twice in one map");
        assert!(error(&"a: [".repeat(150)).contains("nested more than 100 deep"));
        assert!(error(&"[".repeat(100_000)).starts_with("1:"));
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..9 {
            let inner = vec![format!("*a{}", level - 1); 10].join(",");
            bomb.push_str(&format!("a{level}: &a{level} [{inner}]\n"));
        }
        assert!(error(&bomb).contains("aliases repeat more than"));
        assert!(error("a: [1\nb: 2").starts_with("2:"), "{}", error("a: [1\nb: 2"));
        assert!(error("a: &a [*a]").contains("not complete yet"));
        assert!(error("a: !foo 1").contains("unknown tag"));
        assert!(error("{[1]: 2}").contains("map key must be a string"));
    }
}
