//! Writing YAML exactly as kubectl and oc do, so that two files differ only where the objects do.
//!
//! The rules are those of the Go library that both use (`sigs.k8s.io/yaml` over `go.yaml.in/yaml/v2`, `emitterc.go` and
//! `encode.go`): block style, keys sorted, lists indented as their key, strings plain where they are read back as strings,
//! folded after 80 columns. A test of `palisade-cli` compares the output with kubectl's.

mod order;
mod scalar;

use std::iter::Peekable;
use std::str::Chars;

use order::order;
use scalar::is_other;

use serde_json::Value;

/// The column after which a string is folded at the next space.
const WIDTH: usize = 80;
/// Longer keys are written on a line of their own.
const MAX_KEY: usize = 128;

/// A value as a YAML document.
///
/// ```
/// let object = serde_json::json!({"kind": "Pod", "spec": {"args": ["on", "-v"]}});
/// assert_eq!(palisade_k8s::yaml::write(&object), "kind: Pod\nspec:\n  args:\n  - \"on\"\n  - -v\n");
/// ```
#[must_use]
pub fn write(value: &Value) -> String {
    let mut writer = Writer::default();
    writer.root(value);
    writer.out
}

#[derive(Default)]
struct Writer {
    out: String,
    /// The number of characters in the current line.
    column: usize,
}

impl Writer {
    fn put(&mut self, text: &str) {
        text.chars().for_each(|letter| self.letter(letter));
    }

    fn letter(&mut self, letter: char) {
        self.out.push(letter);
        self.column = if letter == '\n' { 0 } else { self.column + 1 };
    }

    fn line(&mut self, indent: usize) {
        self.put("\n");
        self.put(&" ".repeat(indent));
    }

    fn root(&mut self, value: &Value) {
        match value {
            Value::Object(map) if !map.is_empty() => self.map(map, 0),
            Value::Array(items) if !items.is_empty() => self.list(items, 0),
            other => self.leaf(other, 0),
        }
        if !self.out.ends_with('\n') {
            self.put("\n");
        }
    }

    /// The entries of a map. The first one continues the current line.
    fn map(&mut self, map: &serde_json::Map<String, Value>, indent: usize) {
        let mut entries: Vec<_> = map.iter().collect();
        entries.sort_by(|(a, _), (b, _)| order(a, b));
        for (at, (key, value)) in entries.into_iter().enumerate() {
            if at > 0 {
                self.next(indent);
            }
            if key.len() > MAX_KEY || key.contains('\n') {
                self.put("? ");
                self.text(key, indent + 2, false);
                self.next(indent);
            } else {
                self.text(key, indent, true);
            }
            self.put(":");
            self.value(value, indent);
        }
    }

    /// Begins a line, unless a block string has just ended one.
    fn next(&mut self, indent: usize) {
        if self.column == 0 { self.put(&" ".repeat(indent)) } else { self.line(indent) }
    }

    fn value(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                self.line(indent + 2);
                self.map(map, indent + 2);
            }
            Value::Array(items) if !items.is_empty() => {
                self.line(indent);
                self.list(items, indent);
            }
            other => {
                self.put(" ");
                self.leaf(other, indent + 2);
            }
        }
    }

    /// The items of a list. The first one continues the current line.
    fn list(&mut self, items: &[Value], indent: usize) {
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                self.next(indent);
            }
            self.put("- ");
            match item {
                Value::Object(map) if !map.is_empty() => self.map(map, indent + 2),
                Value::Array(items) if !items.is_empty() => self.list(items, indent + 2),
                other => self.leaf(other, indent + 2),
            }
        }
    }

    fn leaf(&mut self, value: &Value, indent: usize) {
        match value {
            Value::String(text) => self.text(text, indent, false),
            other => self.put(&other.to_string()),
        }
    }

    fn text(&mut self, text: &str, indent: usize, is_key: bool) {
        let shape = Shape::of(text);
        let is_text = !is_other(text);
        match () {
            () if text.contains('\n') && shape.block && !is_key => self.block(text, indent),
            () if !text.contains('\n') && is_text && shape.plain => self.folded(text, indent, is_key, '\0'),
            () if is_text && !text.contains('\n') && shape.single => self.folded(text, indent, is_key, '\''),
            () => self.double(text, indent, is_key),
        }
    }

    /// A plain string, or one in single quotes, which are doubled inside; folded at single spaces.
    fn folded(&mut self, text: &str, indent: usize, is_key: bool, quote: char) {
        let is_quoted = quote != '\0';
        if is_quoted {
            self.letter(quote);
        }
        let mut letters = text.chars().peekable();
        let (mut was_space, mut at) = (false, 0);
        while let Some(letter) = letters.next() {
            let next = letters.peek().copied();
            let may_fold = !is_quoted || (at > 0 && next.is_some());
            if letter == ' ' && !is_key && !was_space && self.column > WIDTH && may_fold && next != Some(' ')
            {
                self.line(indent);
            } else {
                if letter == quote {
                    self.letter(quote);
                }
                self.letter(letter);
            }
            was_space = letter == ' ';
            at += 1;
        }
        if is_quoted {
            self.letter(quote);
        }
    }

    /// A string in double quotes, with escapes; folded at spaces. A space that begins a line is escaped.
    fn double(&mut self, text: &str, indent: usize, is_key: bool) {
        self.letter('"');
        // The Go library escapes every character after a byte order mark.
        let is_marked = text.starts_with('\u{feff}');
        let mut letters = text.chars().peekable();
        let (mut was_space, mut at) = (false, 0);
        while let Some(letter) = letters.next() {
            if is_marked || !is_printable(letter) || is_break(letter) || matches!(letter, '"' | '\\') {
                self.put(&escape(letter));
                was_space = false;
            } else if letter == ' ' {
                let may_fold = !is_key && !was_space && at > 0 && letters.peek().is_some();
                if may_fold && self.column > WIDTH {
                    self.line(indent);
                    if letters.peek() == Some(&' ') {
                        self.letter('\\');
                    }
                } else {
                    self.letter(' ');
                }
                was_space = true;
            } else {
                self.letter(letter);
                was_space = false;
            }
            at += 1;
        }
        self.letter('"');
    }

    /// A block string (`|`): its lines as they are. The header gives the indentation, if the text begins with a space, and
    /// what becomes of the last line break.
    fn block(&mut self, text: &str, indent: usize) {
        self.letter('|');
        if text.starts_with([' ', '\n']) {
            self.letter('2');
        }
        let body = text.strip_suffix('\n');
        match body {
            None => self.letter('-'),
            Some(body) if body.is_empty() || body.ends_with('\n') => self.letter('+'),
            Some(_) => {}
        }
        for line in body.unwrap_or(text).split('\n') {
            self.put("\n");
            if !line.is_empty() {
                self.put(&" ".repeat(indent));
                self.put(line);
            }
        }
        if body.is_some_and(|body| body.ends_with('\n') || body.is_empty()) {
            self.put("\n");
        }
    }
}

/// The styles that a string can be written in.
struct Shape {
    plain: bool,
    single: bool,
    block: bool,
}

impl Shape {
    fn of(text: &str) -> Self {
        let is_special = text.chars().any(|letter| !is_printable(letter));
        let (is_space, is_end) = (|letter: char| letter == ' ', |letter: char| letter == '\n');
        let mut pairs = text.chars().zip(text.chars().skip(1));
        let space_before_break = pairs.clone().any(|(a, b)| is_space(a) && is_end(b));
        let space_after_break = pairs.any(|(a, b)| is_end(a) && is_space(b));
        let is_bare = text.starts_with(is_space) || text.ends_with(is_space);
        // A reader would change line breaks other than \n.
        let is_hopeless = is_special || space_before_break || text.chars().any(|c| c != '\n' && is_break(c));
        Self {
            plain: !(is_hopeless || is_bare || has_indicator(text)),
            single: !(is_hopeless || space_after_break),
            block: !(is_hopeless || text.ends_with(is_space)),
        }
    }
}

/// Whether a plain string would contain YAML syntax.
fn has_indicator(text: &str) -> bool {
    if text.starts_with("---") || text.starts_with("...") {
        return true;
    }
    let is_blank = |letter: Option<&char>| letter.is_none_or(|letter| matches!(letter, ' ' | '\n' | '\t'));
    let mut letters = text.chars().peekable();
    let first = letters.next();
    let next = letters.peek().copied();
    let starts = match first {
        Some(letter) if "#,[]{}&*!|>'\"%@`".contains(letter) => true,
        Some('-' | '?' | ':') => is_blank(next.as_ref()),
        _ => false,
    };
    starts || has_inner_indicator(first, letters, is_blank)
}

fn has_inner_indicator(
    first: Option<char>,
    mut letters: Peekable<Chars<'_>>,
    is_blank: impl Fn(Option<&char>) -> bool,
) -> bool {
    let mut before = first;
    while let Some(letter) = letters.next() {
        match letter {
            ':' if is_blank(letters.peek()) => return true,
            '#' if is_blank(before.as_ref()) => return true,
            _ => before = Some(letter),
        }
    }
    false
}

fn is_break(letter: char) -> bool {
    matches!(letter, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Characters that are written unescaped; those outside of the basic multilingual plane are not.
fn is_printable(letter: char) -> bool {
    matches!(letter, '\n' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
        && letter != '\u{feff}'
}

fn escape(letter: char) -> String {
    let short = match letter {
        '\0' => "0",
        '\u{7}' => "a",
        '\u{8}' => "b",
        '\t' => "t",
        '\n' => "n",
        '\u{b}' => "v",
        '\u{c}' => "f",
        '\r' => "r",
        '\u{1b}' => "e",
        '"' => "\"",
        '\\' => "\\",
        '\u{85}' => "N",
        '\u{a0}' => "_",
        '\u{2028}' => "L",
        '\u{2029}' => "P",
        _ => "",
    };
    match (short, u32::from(letter)) {
        ("", code @ ..=0xff) => format!("\\x{code:02X}"),
        ("", code @ ..=0xffff) => format!("\\u{code:04X}"),
        ("", code) => format!("\\U{code:08X}"),
        (short, _) => format!("\\{short}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn strings_take_the_simplest_style_that_is_read_back() {
        for (text, written) in [
            ("plain", "plain"),
            ("", "\"\""),
            ("yes", "\"yes\""),
            ("a: b", "'a: b'"),
            ("a #b", "'a #b'"),
            ("it's", "it's"),
            ("'quoted'", "'''quoted'''"),
            ("- x", "'- x'"),
            (" lead", "' lead'"),
            ("tab\there", "\"tab\\there\""),
            ("bell\u{7}", "\"bell\\a\""),
            ("c1\u{9b}", "\"c1\\x9B\""),
            ("☃", "☃"),
            ("😀", "\"\\U0001F600\""),
            ("two\nlines\n", "|\n  two\n  lines"),
            ("two\nlines", "|-\n  two\n  lines"),
            ("end\n\n", "|+\n  end\n"),
        ] {
            assert_eq!(write(&json!({"k": text})), format!("k: {written}\n"), "{text:?}");
        }
    }

    #[test]
    fn maps_and_lists_are_in_block_style() {
        let value = json!({"b": [{"y": 1, "x": [[]]}, [1, 2]], "a": {}, "c": null, "d": {"e": true}});
        assert_eq!(
            write(&value),
            "a: {}\nb:\n- x:\n  - []\n  \"y\": 1\n- - 1\n  - 2\nc: null\nd:\n  e: true\n"
        );
        assert_eq!(write(&json!([])), "[]\n");
        assert_eq!(write(&json!("x")), "x\n");
    }

    #[test]
    fn long_strings_are_folded() {
        let text = vec!["word"; 30].join(" ");
        let written = write(&json!({"k": text}));
        assert_eq!(written.lines().count(), 2);
        assert!(written.lines().all(|line| line.chars().count() <= 90), "{written}");
    }
}
