//! Patterns of strings.

use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};
use regex_automata::nfa::thompson::NFA;

use super::{PATTERN, PATTERNS};

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
