//! From the text of a template to its parts.

use super::{Comparison, Filter, JsonPathError, Part, Result, Slice, Step};

/// Maximum nesting of ranges and filters.
const MAX_DEPTH: usize = 64;

/// An open range: its steps, and the parts in it.
type Open = (Vec<Step>, Vec<Part>);

/// Parses a whole template.
pub(super) fn template(text: &str) -> Result<Vec<Part>> {
    let mut stack: Vec<Open> = vec![Open::default()];
    let mut rest = text;
    while !rest.is_empty() {
        let (text, action) = rest.split_once('{').map_or((rest, None), |(text, rest)| (text, Some(rest)));
        if !text.is_empty() {
            top(&mut stack)?.push(Part::Text(text.to_owned()));
        }
        let Some(action) = action else { break };
        let mut parser = Parser { rest: action, depth: stack.len() };
        braces(&mut parser, &mut stack)?;
        rest = parser.rest;
    }
    match (stack.pop(), stack.is_empty()) {
        (Some((_, parts)), true) => Ok(parts),
        _ => Err(JsonPathError::Range),
    }
}

fn top(stack: &mut [Open]) -> Result<&mut Vec<Part>> {
    stack.last_mut().map(|(_, parts)| parts).ok_or(JsonPathError::Range)
}

/// Parses the content of braces, including the closing brace.
fn braces(parser: &mut Parser<'_>, stack: &mut Vec<Open>) -> Result<()> {
    let is_range = parser.keyword("range");
    let is_end = !is_range && parser.keyword("end");
    let steps = parser.steps()?;
    if !parser.eat('}') {
        return Err(parser.unexpected());
    }
    if is_range {
        if stack.len() > MAX_DEPTH {
            return Err(JsonPathError::Depth);
        }
        stack.push((steps, Vec::new()));
    } else if is_end {
        let (steps, parts) = stack.pop().ok_or(JsonPathError::Range)?;
        top(stack)?.push(Part::Range(steps, parts));
    } else {
        top(stack)?.push(Part::Action(steps));
    }
    Ok(())
}

/// Parses the steps of a path without braces.
pub(super) fn action(text: &str) -> Result<Vec<Step>> {
    nested(text, 0)
}

fn nested(text: &str, depth: usize) -> Result<Vec<Step>> {
    if depth > MAX_DEPTH {
        return Err(JsonPathError::Depth);
    }
    let mut parser = Parser { rest: text, depth };
    let steps = parser.steps()?;
    if parser.rest.is_empty() { Ok(steps) } else { Err(parser.unexpected()) }
}

/// The rest of a template.
struct Parser<'t> {
    rest: &'t str,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn eat(&mut self, letter: char) -> bool {
        let rest = self.rest.strip_prefix(letter);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Takes the characters up to the first for which a function holds.
    fn until(&mut self, is_end: impl Fn(char) -> bool) -> &'t str {
        let (taken, rest) = self.rest.split_at(self.rest.find(is_end).unwrap_or(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// Takes a word, if it is the next one.
    fn keyword(&mut self, word: &str) -> bool {
        let text = self.rest.trim_start();
        let Some(rest) = text.strip_prefix(word).filter(|rest| !rest.starts_with(is_word)) else {
            return false;
        };
        self.rest = rest;
        true
    }

    fn unexpected(&self) -> JsonPathError {
        self.peek().map_or(JsonPathError::Unclosed, JsonPathError::Character)
    }

    /// Parses steps up to a brace, a character that begins none, or the end.
    fn steps(&mut self) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        while let Some(letter) = self.peek() {
            match letter {
                // The current value, with which every path begins.
                ' ' | '@' | '$' => drop(self.eat(letter)),
                '[' if self.rest.starts_with("[?(") => steps.push(self.filter()?),
                '[' => self.array(&mut steps)?,
                '"' | '\'' => steps.push(self.quoted(letter)?),
                '.' if self.rest.starts_with("..") => self.recursive(&mut steps)?,
                '.' => {
                    self.eat('.');
                    steps.push(self.field());
                }
                '+' | '-' | '0'..='9' => steps.push(self.number()?),
                letter if is_word(letter) => steps.push(self.word()?),
                _ => break,
            }
        }
        Ok(steps)
    }

    fn field(&mut self) -> Step {
        let mut name = String::new();
        while let Some(letter) = self.peek() {
            match letter {
                '\\' => {
                    self.eat('\\');
                    let Some(escaped) = self.peek() else { break };
                    self.eat(escaped);
                    name.push(escaped);
                }
                '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}' => break,
                letter if letter.is_whitespace() => break,
                letter => {
                    self.eat(letter);
                    name.push(letter);
                }
            }
        }
        if name == "*" { Step::Wildcard } else { Step::Field(name) }
    }

    fn recursive(&mut self, steps: &mut Vec<Step>) -> Result<()> {
        if steps.last() == Some(&Step::Recursive) {
            return Err(JsonPathError::Recursion);
        }
        self.eat('.');
        self.eat('.');
        steps.push(Step::Recursive);
        if self.peek().is_some_and(is_word) {
            steps.push(self.field());
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Step> {
        let text = self.until(|letter| !matches!(letter, '+' | '-' | '0'..='9' | '.' | 'e' | 'E'));
        if let Ok(number) = text.parse::<i64>() {
            return Ok(Step::Literal(number.into()));
        }
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        number
            .map(|number| Step::Literal(number.into()))
            .ok_or_else(|| JsonPathError::Number(text.to_owned()))
    }

    fn word(&mut self) -> Result<Step> {
        match self.until(|letter| !is_word(letter)) {
            "true" => Ok(Step::Literal(true.into())),
            "false" => Ok(Step::Literal(false.into())),
            other => Err(JsonPathError::Identifier(other.to_owned())),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<Step> {
        self.eat(quote);
        let mut text = String::new();
        loop {
            let letter = self.peek().ok_or(JsonPathError::Quote)?;
            self.eat(letter);
            match letter {
                '\\' => {
                    let escaped = self.peek().ok_or(JsonPathError::Quote)?;
                    self.eat(escaped);
                    text.push(unescaped(escaped));
                }
                letter if letter == quote => return Ok(Step::Literal(text.into())),
                letter => text.push(letter),
            }
        }
    }

    /// `[…]`: an index, a slice, a key, or several of them.
    fn array(&mut self, steps: &mut Vec<Step>) -> Result<()> {
        self.eat('[');
        let inside = self.until(|letter| letter == ']');
        if !self.eat(']') {
            return Err(JsonPathError::Array);
        }
        if inside.contains(',') {
            let parts = inside.split(',').map(|part| bracketed(part.trim(), self.depth + 1));
            steps.push(Step::Union(parts.collect::<Result<_>>()?));
        } else {
            steps.extend(bracketed(inside.trim(), self.depth + 1)?);
        }
        Ok(())
    }

    /// `[?(LEFT OP RIGHT)]` or `[?(LEFT)]`.
    fn filter(&mut self) -> Result<Step> {
        self.rest = self.rest.strip_prefix("[?(").unwrap_or(self.rest);
        let (inside, rest) = self.rest.split_at(end_of_filter(self.rest).ok_or(JsonPathError::Filter)?);
        self.rest = rest.strip_prefix(')').unwrap_or(rest);
        if !self.eat(']') {
            return Err(JsonPathError::Filter);
        }
        let (left, comparison) = match operator(inside) {
            None => (inside, None),
            Some((left, comparison, right)) => {
                (left, Some((comparison, nested(right.trim(), self.depth + 1)?)))
            }
        };
        Ok(Step::Filter(Filter { left: nested(left.trim(), self.depth + 1)?, comparison }))
    }
}

/// One part of a bracket: `*`, `'key.path'`, or bounds.
fn bracketed(text: &str, depth: usize) -> Result<Vec<Step>> {
    for quote in ['\'', '"'] {
        if let Some(key) = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote)) {
            return nested(&format!(".{key}"), depth);
        }
    }
    if text == "*" {
        return Ok(vec![Step::Slice(Slice { start: None, end: None, step: None, is_index: false })]);
    }
    slice(text).map(|slice| vec![Step::Slice(slice)])
}

fn slice(text: &str) -> Result<Slice> {
    let bad = || JsonPathError::Index(text.to_owned());
    let bound = |part: &str| match part {
        "" => Ok(None),
        part if part.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit()) => {
            part.parse::<i64>().map(Some).map_err(|_| JsonPathError::Number(part.to_owned()))
        }
        _ => Err(bad()),
    };
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [index] => {
            let index = bound(index)?.ok_or_else(bad)?;
            let end = index.checked_add(1).ok_or_else(bad)?;
            Ok(Slice { start: Some(index), end: Some(end), step: None, is_index: true })
        }
        [start, end] => Ok(Slice { start: bound(start)?, end: bound(end)?, step: None, is_index: false }),
        [start, end, step] => {
            Ok(Slice { start: bound(start)?, end: bound(end)?, step: bound(step)?, is_index: false })
        }
        _ => Err(bad()),
    }
}

/// The letters of a filter outside of quotes, with their offsets.
fn unquoted(text: &str) -> impl Iterator<Item = (usize, char)> {
    let (mut quote, mut is_escaped) = (None, false);
    text.char_indices().filter(move |(_, letter)| {
        match (*letter, quote) {
            _ if is_escaped => is_escaped = false,
            ('\\', _) => is_escaped = true,
            (letter, Some(end)) => quote = quote.filter(|_| letter != end),
            (letter @ ('"' | '\''), None) => quote = Some(letter),
            _ => return true,
        }
        false
    })
}

/// The offset of the parenthesis that ends a filter; quoted ones and matched pairs inside do not count.
fn end_of_filter(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (at, letter) in unquoted(text) {
        match letter {
            '(' => open += 1,
            ')' if open == 0 => return Some(at),
            ')' => open -= 1,
            _ => {}
        }
    }
    None
}

/// The first comparison in a filter, outside of quotes, with its two sides.
fn operator(text: &str) -> Option<(&str, Comparison, &str)> {
    let (at, _) = unquoted(text).find(|(_, letter)| matches!(letter, '=' | '!' | '<' | '>'))?;
    let (left, rest) = text.split_at(at);
    OPERATORS.iter().find_map(|(sign, comparison)| Some((left, *comparison, rest.strip_prefix(sign)?)))
}

/// Longer operators first.
const OPERATORS: [(&str, Comparison); 6] = [
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

fn unescaped(letter: char) -> char {
    match letter {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        other => other,
    }
}

fn is_word(letter: char) -> bool {
    letter == '_' || letter.is_alphanumeric()
}
