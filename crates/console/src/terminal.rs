//! Text for a terminal, with the control characters of others shown as escapes.
//!
//! A terminal obeys what it is sent: OSC 52 writes the clipboard, CSI moves the cursor over earlier lines, and C1
//! characters do the same in one letter. So whatever objects, events, servers or file names contain is written through
//! [`Escaped`], which shows those characters as `\x1b` or `\u009b`. The styles of [`crate::paint`] pass, because they
//! are marked while they are formatted, not by what they look like.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use crate::paint;

/// A writer that shows control characters as escapes. Newline and tab pass.
#[derive(Debug)]
pub struct Escaped<W>(W);

impl<W: Write> Escaped<W> {
    /// Wraps a writer. It must be the outermost one: a buffer in front of it would hide which bytes are styles.
    pub fn new(inner: W) -> Self {
        Self(inner)
    }
}

impl<W: Write> Write for Escaped<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if paint::writes_style() {
            self.0.write_all(bytes)?;
        } else {
            self.0.write_all(&escape_bytes(bytes))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Standard output for text that people read: tables, descriptions, messages.
#[must_use]
pub fn out() -> Escaped<anstream::AutoStream<io::StdoutLock<'static>>> {
    Escaped::new(anstream::stdout().lock())
}

/// Standard error for text that people read.
#[must_use]
pub fn err() -> Escaped<anstream::AutoStream<io::StderrLock<'static>>> {
    Escaped::new(anstream::stderr().lock())
}

/// Standard output for data in a form that was asked for, as `-o jsonpath`: escaped if it is a terminal, and exact if it
/// is a file or a pipe, where a program reads it.
#[must_use]
pub fn data() -> Box<dyn Write> {
    let stdout = io::stdout();
    if stdout.is_terminal() { Box::new(Escaped::new(stdout.lock())) } else { Box::new(stdout.lock()) }
}

/// Prints `Warning: TEXT` to standard error, as kubectl does for the warnings of a server.
pub fn warn(text: impl Display) {
    note(format_args!("{}: {text}", paint::warning("Warning")));
}

/// Prints a line to standard error. It is not an error if that is closed.
pub fn note(text: impl Display) {
    let _unread = writeln!(err(), "{text}");
}

/// A text with its control characters as escapes.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_control) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    text.chars().for_each(|letter| push(letter, &mut out));
    Cow::Owned(out)
}

/// A text of JSON that a terminal may be sent as it is: JSON itself has the characters below U+0020 as escapes, and this those
/// from U+007F to U+009F, which mean the same to a JSON reader.
#[must_use]
pub fn json(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_beyond_ascii_control) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match letter {
            _ if is_beyond_ascii_control(letter) => out.push_str(&format!("\\u{:04x}", u32::from(letter))),
            _ => out.push(letter),
        }
    }
    Cow::Owned(out)
}

fn is_beyond_ascii_control(letter: char) -> bool {
    matches!(letter, '\u{7f}'..='\u{9f}')
}

/// A text as a cell of a table: escaped, and ended with `...` where it has a line break, as kubectl's tables do, so that
/// no cell can look like a row.
#[must_use]
pub fn cell(text: &str) -> Cow<'_, str> {
    match text.split_once(['\n', '\r', '\u{c}']) {
        Some((first, _)) => Cow::Owned(format!("{}...", escape(first))),
        None => escape(text),
    }
}

fn escape_bytes(bytes: &[u8]) -> Cow<'_, [u8]> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return match escape(text) {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
    }
    let mut out = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|letter| push(letter, &mut out));
        chunk.invalid().iter().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
    }
    Cow::Owned(out.into_bytes())
}

fn push(letter: char, out: &mut String) {
    match u32::from(letter) {
        _ if !is_control(letter) => out.push(letter),
        13 => out.push_str("\\r"),
        code @ ..0x80 => out.push_str(&format!("\\x{code:02x}")),
        code => out.push_str(&format!("\\u{code:04x}")),
    }
}

/// C0 but newline and tab, DEL, C1, and the characters that reorder the text around them.
fn is_control(letter: char) -> bool {
    match letter {
        '\n' | '\t' => false,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        letter => letter.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_says_the_same_without_controls() {
        let value = serde_json::json!({"name": "a\u{9b}2J\u{1b}[2J\u{7f}\u{e9}"});
        let text = value.to_string();
        let shown = json(&text);
        assert!(!shown.chars().any(char::is_control), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }

    #[test]
    fn control_characters_of_others_are_shown() {
        for (written, shown) in [
            ("plain: naïve ☃\n\tindented", "plain: naïve ☃\n\tindented"),
            ("\x1b]52;c;ZXZpbA==\x07", "\\x1b]52;c;ZXZpbA==\\x07"),
            ("\x1b[2J\x1b[1;1H", "\\x1b[2J\\x1b[1;1H"),
            ("\u{9b}2J\u{9d}52;c;eA==\u{9c}", "\\u009b2J\\u009d52;c;eA==\\u009c"),
            ("a\rb\x08c\x7f\0", "a\\rb\\x08c\\x7f\\x00"),
            ("\u{202e}txt.exe\u{2066}", "\\u202etxt.exe\\u2066"),
        ] {
            assert_eq!(escape(written), shown);
            let mut out = Escaped::new(Vec::new());
            write!(out, "{written}").unwrap();
            assert_eq!(String::from_utf8(out.0).unwrap(), shown);
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_shown() {
        let mut out = Escaped::new(Vec::new());
        out.write_all(b"a\x9b2J\xff\x1b").unwrap();
        assert_eq!(out.0, b"a\\x9b2J\\xff\\x1b");
    }

    #[test]
    fn styles_pass_and_what_they_hold_does_not() {
        let mut out = Escaped::new(Vec::new());
        write!(out, "{} \x1b[31mmine", paint::error("no\x1b[0m")).unwrap();
        let text = String::from_utf8(out.0).unwrap();
        assert_eq!(text, "\x1b[1m\x1b[31mno\\x1b[0m\x1b[0m \\x1b[31mmine");
    }

    #[test]
    fn a_cell_is_one_line() {
        assert_eq!(cell("a\nroot   admin"), "a...");
        assert_eq!(cell("a\tb\x1b"), "a\tb\\x1b");
    }
}
