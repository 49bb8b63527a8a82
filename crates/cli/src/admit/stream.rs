//! Splits stdin into inputs, in constant memory: NDJSON, or JSON values one after the other.
//!
//! An input ends where its JSON value ends. If the end cannot be found, because the value is malformed or too large,
//! the input is everything up to the next line that starts with `{`: one malformed line then costs one refusal, and so
//! does one malformed value of many indented lines.

use std::io::{self, BufRead};

use memchr::{memchr, memchr_iter};

/// Maximum size of one input, in bytes; an API server sends less.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Maximum nesting of one input.
const MAX_DEPTH: usize = 128;

/// Inputs, one after the other.
pub(crate) struct Stream<R> {
    reader: R,
    /// The bytes read so far; `start` is the first that is not consumed.
    buffer: Vec<u8>,
    start: usize,
    /// Line number of `start`, from 1.
    line: usize,
    /// Bytes between the start of that line and `start`.
    column: usize,
    ended: bool,
}

/// One input.
pub(crate) struct Input<'a> {
    bytes: &'a [u8],
    line: usize,
    column: usize,
    fault: Option<(usize, &'static str)>,
}

impl<'a> Input<'a> {
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The location of an input in the buffer of a batch.
    pub(crate) fn without_bytes(&self) -> Input<'static> {
        Input { bytes: &[], ..*self }
    }

    /// The input with its bytes.
    pub(crate) fn with_bytes<'b>(&self, bytes: &'b [u8]) -> Input<'b> {
        Input { bytes, ..*self }
    }

    /// The text, or the offset and the reason why it is not valid.
    pub(crate) fn text(&self) -> Result<&'a str, (usize, String)> {
        if let Some((offset, message)) = self.fault {
            return Err((offset, message.to_owned()));
        }
        std::str::from_utf8(self.bytes).map_err(|error| (error.valid_up_to(), "not valid UTF-8".to_owned()))
    }

    /// The line of the stream, and the byte in that line, of an offset in the input.
    pub(crate) fn position(&self, offset: usize) -> (usize, usize) {
        let end = self.bytes.trim_ascii_end().len();
        let before = self.bytes.get(..offset.min(end)).unwrap_or_default();
        match memchr::memrchr(b'\n', before) {
            None => (self.line, self.column + before.len() + 1),
            Some(newline) => (self.line + memchr_iter(b'\n', before).count(), before.len() - newline),
        }
    }
}

/// The result of a scan for the end of a value.
enum Scan {
    /// It ends before this offset.
    Complete(usize),
    /// More bytes are needed.
    Open,
    /// It is malformed at this offset.
    Fault(usize, &'static str),
}

impl<R: BufRead> Stream<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), start: 0, line: 1, column: 0, ended: false }
    }

    /// Whether the next input is not in memory yet.
    pub(crate) fn is_about_to_wait(&self) -> bool {
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        // The line end of the last answered line is not an input.
        !self.ended && memchr(b'\n', rest.trim_ascii_start()).is_none()
    }

    /// The next input, or `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Input<'_>>> {
        self.skip_space()?;
        let mut scanner = Scanner::default();
        let (length, fault) = loop {
            let rest = self.buffer.get(self.start..).unwrap_or_default();
            match scanner.scan(rest) {
                Scan::Complete(length) => break (length, None),
                Scan::Fault(offset, why) => break (self.resynchronise()?, Some((offset, why))),
                Scan::Open if rest.len() >= MAX_BYTES => {
                    let fault = (0, "the input is larger than 16777216 bytes");
                    break (self.resynchronise()?, Some(fault));
                }
                Scan::Open => {
                    if !self.fill()? {
                        let rest = self.buffer.len() - self.start;
                        if rest == 0 {
                            return Ok(None);
                        }
                        break (self.resynchronise()?, Some((rest, "the input ends inside of a value")));
                    }
                }
            }
        };
        Ok(Some(self.take(length, fault)))
    }

    fn take(&mut self, length: usize, fault: Option<(usize, &'static str)>) -> Input<'_> {
        let (start, line, column) = (self.start, self.line, self.column);
        self.advance(length);
        let bytes = self.buffer.get(start..self.start).unwrap_or_default();
        Input { bytes, line, column, fault }
    }

    /// Consumes bytes, and counts lines.
    fn advance(&mut self, length: usize) {
        let bytes = self.buffer.get(self.start..self.start + length).unwrap_or_default();
        match memchr::memrchr(b'\n', bytes) {
            None => self.column += length,
            Some(newline) => {
                self.line += memchr_iter(b'\n', bytes).count();
                self.column = length - newline - 1;
            }
        }
        self.start += length;
    }

    fn skip_space(&mut self) -> io::Result<()> {
        loop {
            let rest = self.buffer.get(self.start..).unwrap_or_default();
            let space = rest.len() - rest.trim_ascii_start().len();
            self.advance(space);
            if self.start < self.buffer.len() || !self.fill()? {
                return Ok(());
            }
        }
    }

    /// Reads more, and returns whether there was any. Consumed bytes are released first.
    fn fill(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let chunk = loop {
            match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        let length = chunk.len();
        self.buffer.extend_from_slice(chunk);
        self.reader.consume(length);
        self.ended = length == 0;
        Ok(length > 0)
    }

    /// The length of a malformed input: up to the next line that starts with `{`. Bytes beyond the buffer are dropped
    /// as they are read.
    fn resynchronise(&mut self) -> io::Result<usize> {
        let mut from = 0;
        loop {
            let rest = self.buffer.get(self.start..).unwrap_or_default();
            let tail = rest.get(from..).unwrap_or_default();
            let next = memchr_iter(b'\n', tail).find(|newline| tail.get(newline + 1) == Some(&b'{'));
            if let Some(newline) = next {
                return Ok(from + newline + 1);
            }
            // Whether a newline at the very end counts depends on the byte after it.
            from = rest.len().saturating_sub(1);
            if from > MAX_BYTES {
                self.advance(from);
                from = 0;
            }
            if !self.fill()? {
                return Ok(self.buffer.len() - self.start);
            }
        }
    }
}

/// Finds the end of a JSON value by its brackets and strings, and continues where it left off.
#[derive(Default)]
struct Scanner {
    at: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Scanner {
    fn scan(&mut self, bytes: &[u8]) -> Scan {
        while let Some(&byte) = bytes.get(self.at) {
            if self.in_string {
                self.at = self.string(bytes);
                continue;
            }
            match byte {
                b'"' if self.depth > 0 => self.in_string = true,
                b'{' | b'[' if self.at == 0 || self.depth > 0 => {
                    self.depth += 1;
                    if self.depth > MAX_DEPTH {
                        return Scan::Fault(self.at, "nested more than 128 deep");
                    }
                }
                b'}' | b']' if self.depth > 0 => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Scan::Complete(self.at + 1);
                    }
                }
                _ if self.depth == 0 => return Scan::Fault(self.at, "an AdmissionReview starts with `{`"),
                _ => {}
            }
            self.at += 1;
        }
        Scan::Open
    }

    /// Continues in a string, to behind its end or the end of the buffer.
    fn string(&mut self, bytes: &[u8]) -> usize {
        let mut at = self.at;
        if self.escaped {
            self.escaped = false;
            at += 1;
        }
        while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
            at += found + 1;
            if bytes.get(at - 1) == Some(&b'"') {
                self.in_string = false;
                return at;
            }
            if at == bytes.len() {
                self.escaped = true;
                return at;
            }
            at += 1;
        }
        bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every input as its text or error, with the position of its start.
    fn inputs(bytes: &[u8], chunk: usize) -> Vec<String> {
        let mut stream = Stream::new(io::BufReader::with_capacity(chunk, bytes));
        let mut found = Vec::new();
        while let Some(input) = stream.next().unwrap() {
            let (line, byte) = input.position(input.fault.map_or(0, |(offset, _)| offset));
            let text = input.text().map(str::to_owned).unwrap_or_else(|(_, why)| why);
            found.push(format!("{line}:{byte} {text}"));
        }
        found
    }

    fn check(bytes: &[u8], expected: &[&str]) {
        for chunk in [1, 2, 3, 7, 8192] {
            assert_eq!(inputs(bytes, chunk), expected, "in chunks of {chunk}");
        }
    }

    #[test]
    fn splits_lines_and_concatenated_values() {
        check(b"", &[]);
        check(b"\n \n", &[]);
        check(
            b"{\"a\":1}\n{\"b\":\"}\\\"{\"}{\"c\":[{}]}",
            &["1:1 {\"a\":1}", "2:1 {\"b\":\"}\\\"{\"}", "2:13 {\"c\":[{}]}"],
        );
        check(b"{\n  \"a\": {}\n}\n\n{}", &["1:1 {\n  \"a\": {}\n}", "5:1 {}"]);
    }

    #[test]
    fn one_broken_input_costs_one_refusal() {
        check(b"nonsense\n{}\n", &["1:1 an AdmissionReview starts with `{`", "2:1 {}"]);
        check(b"{\"a\":\n{\"b\":1}\n", &["1:6 the input ends inside of a value", "2:1 {\"b\":1}"]);
        check(
            b"{\"a\":\"\n{\"b\":1}\n{}",
            &["1:7 the input ends inside of a value", "2:1 {\"b\":1}", "3:1 {}"],
        );
        check(b"{}\xff\n{}", &["1:1 {}", "1:3 an AdmissionReview starts with `{`", "2:1 {}"]);
        check(b"{\"\xff\"}\n{}", &["1:1 not valid UTF-8", "2:1 {}"]);
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let deep = [b"{\"a\":".repeat(200), b"\n{}".to_vec()].concat();
        assert_eq!(inputs(&deep, 8192)[1..], ["2:1 {}"]);
        let huge = [b"{\"a\":\"".to_vec(), vec![b'x'; MAX_BYTES * 3], b"\"}\n{}\n".to_vec()].concat();
        let found = inputs(&huge, 64 * 1024);
        assert_eq!(found.len(), 2);
        assert_eq!(found[1], "2:1 {}");
    }
}
