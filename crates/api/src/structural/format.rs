//! Patterns and formats of strings.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};
use regex_automata::nfa::thompson::NFA;

use super::{PATTERN, PATTERNS};
use crate::time;

/// A pattern, compiled at its first use: most schemas of a server never validate an object.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) text: String,
    regex: OnceLock<Option<Regex>>,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), regex: OnceLock::new() }
    }

    /// The error of its compilation, if any. `left` is the memory that all patterns of a schema may still take.
    pub(super) fn broken(&self, left: &mut usize) -> Option<String> {
        if self.text.len() > PATTERN[0] {
            return Some(format!("must be at most {} bytes long", PATTERN[0]));
        }
        if *left == 0 {
            return Some(format!("all patterns of a schema may take {} MiB of memory", PATTERNS >> 20));
        }
        let most = PATTERN[1].min(*left);
        let limits = NFA::config().nfa_size_limit(Some(most));
        match NFA::compiler().configure(limits).build(&self.text) {
            Ok(compiled) => {
                *left = left.saturating_sub(compiled.memory_usage());
                None
            }
            Err(error) => {
                // What was compiled in vain took time.
                *left = left.saturating_sub(error.size_limit().unwrap_or_default());
                let why = error.size_limit().map_or_else(
                    || compile(&self.text).err().map(|error| error.to_string()).unwrap_or_default(),
                    |limit| format!("its compiled form takes more than {limit} bytes"),
                );
                Some(format!("must be a valid regular expression, but isn't: {why}"))
            }
        }
    }

    /// Whether a string matches. A pattern that cannot be compiled, which is refused when it is written, matches
    /// nothing.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let regex = self.regex.get_or_init(|| compile(&self.text).ok());
        regex.as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

/// Memory of the states that matching keeps for each pattern, in bytes.
const STATES: usize = 128 << 10;

fn compile(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).size_limit(PATTERN[1]).dfa_size_limit(STATES).build()
}

/// Whether a string has a format. Unknown formats are ignored, as in Kubernetes.
pub(super) fn has(text: &str, format: &str) -> bool {
    match format {
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "mac" => is_mac(text),
        "uuid" | "uuid3" | "uuid4" | "uuid5" => is_uuid(text),
        "hostname" => palisade_k8s::metadata::is_subdomain(&text.to_ascii_lowercase()),
        "email" => is_email(text),
        "uri" => is_uri(text),
        "byte" => is_base64(text),
        "date-time" | "datetime" => time::parse(text).is_some(),
        "date" => text.parse::<jiff::civil::Date>().is_ok() && text.len() == 10,
        "duration" => is_duration(text),
        _ => true,
    }
}

/// A duration in Go's syntax, such as `1h30m`.
fn is_duration(text: &str) -> bool {
    const UNITS: [&str; 8] = ["ns", "us", "\u{b5}s", "\u{3bc}s", "ms", "s", "m", "h"];
    let mut rest = text.trim_start_matches(['+', '-']);
    if rest == "0" {
        return true;
    }
    let is_some = !rest.is_empty();
    while !rest.is_empty() {
        let number = rest.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
        let unit = UNITS.iter().filter_map(|unit| number.strip_prefix(unit)).min_by_key(|left| left.len());
        match unit {
            Some(left) if number.len() < rest.len() => rest = left,
            _ => return false,
        }
    }
    is_some
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let most = if address.is_ipv4() { 32 } else { 128 };
    bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}

fn is_mac(text: &str) -> bool {
    let parts: Vec<&str> = text.split([':', '-']).collect();
    matches!(parts.len(), 6 | 8 | 20)
        && parts.iter().all(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn is_uuid(text: &str) -> bool {
    let digits = text.bytes().filter(|byte| *byte != b'-');
    digits.clone().count() == 32 && digits.clone().all(|byte| byte.is_ascii_hexdigit())
}

fn is_email(text: &str) -> bool {
    let Some((name, host)) = text.rsplit_once('@') else { return false };
    !name.is_empty() && !host.is_empty() && !text.contains(char::is_whitespace)
}

/// An absolute URI, or an absolute path.
fn is_uri(text: &str) -> bool {
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    let is_plain = !text.contains(|letter: char| letter.is_ascii_control() || letter == ' ');
    is_plain && (text.starts_with('/') || text.split_once(':').is_some_and(|(scheme, _)| is_scheme(scheme)))
}

fn is_base64(text: &str) -> bool {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).is_ok()
}
