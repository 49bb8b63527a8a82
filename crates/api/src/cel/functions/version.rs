//! Semantic versions, represented by their texts without what is said of the build, which counts in no comparison.

use std::cmp::Ordering;
use std::sync::Arc;

use cel::extractors::{Arguments, This};
use cel::{Context, ExecutionError, Value};

use super::{Outcome, fails};

pub(super) fn add(context: &mut Context<'_, '_>) {
    let _ = context.add_function("isSemver", |Arguments(given): Arguments| -> Outcome {
        Ok(Value::Bool(parsed("isSemver", &given)?.is_some()))
    });
    let _ = context.add_function("semver", |Arguments(given): Arguments| -> Outcome {
        let version = parsed("semver", &given)?;
        let version = version.ok_or_else(|| fails("semver", "the text is not a semantic version"))?;
        Ok(version.to_string().into())
    });
    type Part = fn(&Version) -> u64;
    let parts: [(&str, Part); 3] = [
        ("major", |version| version.major),
        ("minor", |version| version.minor),
        ("patch", |version| version.patch),
    ];
    for (name, part) in parts {
        let part = move |This(this): This<Arc<String>>| -> Outcome {
            let version = Version::parse(&this).ok_or_else(|| fails(name, "no such overload"))?;
            i64::try_from(part(&version)).map(Value::Int).map_err(|_| fails(name, "integer overflow"))
        };
        let _ = context.add_function(name, part);
    }
}

/// The version that a text says, which is the first argument; the second is whether its form is made good.
fn parsed(function: &str, given: &[Value]) -> Result<Option<Version>, ExecutionError> {
    match given {
        [Value::String(text)] | [Value::String(text), Value::Bool(false)] => Ok(Version::parse(text)),
        [Value::String(text), Value::Bool(true)] => {
            Ok(normalized(text).and_then(|text| Version::parse(&text)))
        }
        _ => Err(fails(function, "no such overload")),
    }
}

/// The order of two versions, if both are.
pub(super) fn order(one: &str, other: &str) -> Option<Ordering> {
    Some(Version::parse(one)?.cmp(&Version::parse(other)?))
}

/// A version without `v` before it and zeros before its numbers, and with the numbers that it lacks.
fn normalized(text: &str) -> Option<String> {
    let mut parts: Vec<String> = text.strip_prefix('v').unwrap_or(text).splitn(3, '.').map(bare).collect();
    if parts.len() < 3 && parts.last().is_some_and(|last| last.contains(['+', '-'])) {
        return None;
    }
    parts.resize(3, "0".to_owned());
    Some(parts.join("."))
}

/// A number without zeros before it; what follows a number is kept.
fn bare(part: &str) -> String {
    let bare = part.trim_start_matches('0');
    let is_number = bare.starts_with(|letter: char| letter.is_ascii_digit());
    if is_number || bare == part { bare.to_owned() } else { format!("0{bare}") }
}

/// A part of what is said of a release before it; numbers come before words.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Word(String),
}

/// A version, in its order.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    major: u64,
    minor: u64,
    patch: u64,
    /// Whether it is a release: those before it come first.
    is_release: bool,
    before: Vec<Part>,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        for (at, part) in self.before.iter().enumerate() {
            f.write_str(if at == 0 { "-" } else { "." })?;
            match part {
                Part::Number(number) => write!(f, "{number}")?,
                Part::Word(word) => f.write_str(word)?,
            }
        }
        Ok(())
    }
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
        if !build.is_none_or(|build| build.split('.').all(is_word)) {
            return None;
        }
        let (numbers, before) =
            text.split_once('-').map_or((text, None), |(numbers, rest)| (numbers, Some(rest)));
        let numbers: Option<Vec<u64>> = numbers.split('.').map(number).collect();
        let &[major, minor, patch] = numbers?.as_slice() else { return None };
        let parts: Option<Vec<Part>> =
            before.into_iter().flat_map(|rest| rest.split('.')).map(part).collect();
        Some(Self { major, minor, patch, is_release: before.is_none(), before: parts? })
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn number(text: &str) -> Option<u64> {
    let is_number =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() < 2 || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_number)
}

fn part(text: &str) -> Option<Part> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return number(text).map(Part::Number);
    }
    is_word(text).then(|| Part::Word(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_the_order_of_their_specification() {
        let order = [
            "0.9.9",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "1.10.0",
            "2.0.0",
        ];
        let versions = order.map(|text| Version::parse(text).unwrap());
        assert!(versions.is_sorted() && versions.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(versions.map(|version| version.to_string()), order);
        assert_eq!(Version::parse("1.0.0+a.1"), Version::parse("1.0.0+b"));
    }

    #[test]
    fn forms_are_right_or_made_good() {
        // The text, whether it is a version, and what it is made good to.
        for (text, is_version, normal) in [
            ("1.0.0", true, Some("1.0.0")),
            ("0.1.0-alpha.1+5.x", true, Some("0.1.0-alpha.1")),
            ("v1.0.0", false, Some("1.0.0")),
            ("1.0", false, Some("1.0.0")),
            ("1", false, Some("1.0.0")),
            ("01.01.01", false, Some("1.1.1")),
            ("00.0.0", false, Some("0.0.0")),
            ("1.0.00-rc", false, Some("1.0.0-rc")),
            ("1.0-rc", false, None),
            ("1.0.0.0", false, None),
            ("1.0.0-", false, None),
            ("1.0.0-01", false, None),
            ("1.0.0+", false, None),
            ("1.0.x", false, None),
            ("+1.0.0", false, None),
            ("200K", false, None),
            ("", false, None),
            ("18446744073709551616.0.0", false, None),
        ] {
            assert_eq!(Version::parse(text).is_some(), is_version, "{text}");
            let made = normalized(text).and_then(|text| Version::parse(&text)).map(|made| made.to_string());
            assert_eq!(made.as_deref(), normal, "{text}");
        }
    }
}
