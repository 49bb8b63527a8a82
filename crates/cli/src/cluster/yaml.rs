//! YAML as kubectl and oc write it, so that files written by either differ only where the objects do.
//!
//! The rules are those of the Go library that both use: block style with keys in order, lists as far out as their key,
//! plain texts where nothing else would be read in them, folded after 80 columns.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::str::Chars;

use serde_json::Value;

/// After how many columns a text is folded at the next space.
const WIDTH: usize = 80;
/// Longer keys are written on a line of their own.
const MAX_KEY: usize = 128;

/// An object as a document.
pub(crate) fn write(value: &Value) -> String {
    let mut writer = Writer::default();
    writer.root(value);
    writer.out
}

#[derive(Default)]
struct Writer {
    out: String,
    /// How many letters the line has.
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

    /// Entries, the first where the line stands.
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

    /// A new line, unless a text has just ended with one.
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

    /// Items, the first where the line stands.
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

    /// Plain or between quotes that are doubled inside; folded at single spaces.
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

    /// Between double quotes, with escapes; folded at spaces, the first of a new line escaped.
    fn double(&mut self, text: &str, indent: usize, is_key: bool) {
        self.letter('"');
        // The library takes every letter after a byte order mark for one.
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

    /// Line by line as it is, under a head that says where it begins and what becomes of its last line's end.
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

/// In which ways a text can be written.
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
        // Other breaks than this system's are shown as what they are.
        let is_hopeless = is_special || space_before_break || text.chars().any(|c| c != '\n' && is_break(c));
        Self {
            plain: !(is_hopeless || is_bare || has_indicator(text)),
            single: !(is_hopeless || space_after_break),
            block: !(is_hopeless || text.ends_with(is_space)),
        }
    }
}

/// Whether something in a plain text would be read as YAML's own.
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

/// Letters that are written as they are; those beyond the first plane are not.
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

/// Words that YAML 1.1 takes for truth, for nothing, or for no number.
const WORDS: [&str; 36] = [
    "", "~", "null", "Null", "NULL", "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON",
    "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF", ".nan", ".NaN", ".NAN",
    ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF",
];

/// Whether a plain text would be read as something else than a text.
fn is_other(text: &str) -> bool {
    let is_negative_infinity = matches!(text, "-.inf" | "-.Inf" | "-.INF");
    if WORDS.contains(&text) || is_negative_infinity {
        return true;
    }
    let Some(first) = text.chars().next() else { return true };
    if !(first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
        return false;
    }
    let digits = text.replace('_', "");
    is_time(text) || is_sexagesimal(text) || (first != '.' && is_integer(&digits)) || is_float(&digits)
}

fn is_integer(text: &str) -> bool {
    let (is_negative, is_signed) = (text.starts_with('-'), text.starts_with(['-', '+']));
    let digits = if is_signed { text.get(1..).unwrap_or_default() } else { text };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match (lower.get(..2), lower.get(2..)) {
        (Some("0x"), Some(rest)) => (16, rest),
        (Some("0b"), Some(rest)) => (2, rest),
        (Some("0o"), Some(rest)) => (8, rest),
        _ if lower.len() > 1 && lower.starts_with('0') => (8, lower.get(1..).unwrap_or_default()),
        _ => (10, lower.as_str()),
    };
    if digits.starts_with(['+', '-']) {
        return false;
    }
    match u128::from_str_radix(digits, radix) {
        Ok(number) if is_negative => number <= 1 << 63,
        Ok(number) if is_signed => number < 1 << 63,
        Ok(number) => number < 1 << 64,
        Err(_) => false,
    }
}

/// A sign, digits with a point, an exponent; each may be missing.
fn is_float(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.strip_prefix(['+', '-']).unwrap_or(exponent)),
        None => (text, "0"),
    };
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    is_digits(whole)
        && is_digits(fraction)
        && is_digits(exponent)
        && !exponent.is_empty()
        && !(whole.is_empty() && fraction.is_empty())
}

/// Digits, then groups of up to 59 after colons, as old YAML writes times of day.
fn is_sexagesimal(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let Some((first, rest)) = text.split_once(':') else { return false };
    let (groups, fraction) = rest.split_once('.').unwrap_or((rest, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let is_group = |group: &str| matches!(group.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']);
    first.starts_with(|c: char| c.is_ascii_digit())
        && is_number(first)
        && is_number(fraction)
        && groups.split(':').all(is_group)
}

/// A date, or a date and a time: with `T` and a zone, or with a space and none.
fn is_time(text: &str) -> bool {
    let end = text.find(['T', 't', ' ']).unwrap_or(text.len());
    let (date, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    let mut parts = date.split('-');
    let number = |part: Option<&str>| {
        let part = part.filter(|part| (1..=2).contains(&part.len()))?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<i8>().ok())?
    };
    let year = parts.next().filter(|year| year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit()));
    let (month, day) = (number(parts.next()), number(parts.next()));
    let (Some(year), Some(month), Some(day), None) = (year, month, day, parts.next()) else { return false };
    let is_day = year.parse().is_ok_and(|year| jiff::civil::Date::new(year, month, day).is_ok());
    is_day
        && match rest.split_at_checked(1) {
            None | Some(("", _)) => rest.is_empty(),
            Some((" ", time)) => is_clock(time),
            Some((_, time)) => {
                let zone = time.find(['Z', '+', '-']).unwrap_or(time.len());
                let (time, zone) = time.split_at_checked(zone).unwrap_or((time, ""));
                is_clock(time) && is_zone(zone)
            }
        }
}

fn is_clock(text: &str) -> bool {
    let (time, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let parts: Vec<Option<u8>> = time
        .split(':')
        .map(|part| part.parse().ok().filter(|_| part.len() <= 2 && !part.starts_with('+')))
        .collect();
    let is_fraction = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    is_fraction && matches!(parts.as_slice(), [Some(..24), Some(..60), Some(..60)])
}

fn is_zone(text: &str) -> bool {
    match text.as_bytes() {
        b"Z" => true,
        [b'+' | b'-', hours @ .., b':', tens, ones] => {
            hours.len() == 2 && hours.iter().chain([tens, ones]).all(u8::is_ascii_digit)
        }
        _ => false,
    }
}

/// Letter by letter, numbers by what they count, letters after all others.
fn order(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = a.iter().zip(&b).position(|(x, y)| x != y) else { return a.len().cmp(&b.len()) };
    let (Some(&x), Some(&y)) = (a.get(at), b.get(at)) else { return Ordering::Equal };
    match (x.is_alphabetic(), y.is_alphabetic()) {
        (true, true) => return x.cmp(&y),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    // A zero counts where a number has begun before it.
    let has_begun = (x == '0' || y == '0')
        && a.iter().take(at).rev().take_while(|c| c.is_numeric()).any(|digit| *digit != '0');
    let number = |letters: &[char]| {
        let digits = letters.iter().skip(at).take_while(|c| c.is_ascii_digit());
        let start = (u128::from(has_begun), 0);
        digits.fold(start, |(number, count), digit| {
            let digit = u128::from(digit.to_digit(10).unwrap_or_default());
            (number.saturating_mul(10).saturating_add(digit), count + 1)
        })
    };
    number(&a).cmp(&number(&b)).then(x.cmp(&y))
}
