//! Functions of regular expressions. Compiled expressions are cached for one evaluation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use cel::common::types::CelBool;
use cel::common::value::CowVal;
use cel::{Context, ExecutionError};
use regex::Regex;

use super::making::{Handler, Outcome, count, list, owned, text};
use super::meter::{Meter, names};

/// Maximum size of a compiled regular expression, in bytes.
const SIZE: usize = 4 << 20;
/// The charge for compiling a regular expression, in bytes read.
const COMPILING: u64 = 20_000;
/// Compiled regular expressions that one evaluation keeps.
const KEPT: usize = 8;

/// The regular expressions of one evaluation.
#[derive(Clone, Default)]
struct Patterns(Arc<Mutex<HashMap<String, Arc<Regex>>>>);

impl Patterns {
    fn get(&self, function: &str, text: &str, meter: &Meter) -> Result<Arc<Regex>, ExecutionError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept.get(text) {
            return Ok(Arc::clone(found));
        }
        meter.charge(COMPILING.saturating_add(text.len() as u64))?;
        let compiled = regex::RegexBuilder::new(text).size_limit(SIZE).build();
        let compiled = compiled.map_err(|error| ExecutionError::function_error(function, error))?;
        if kept.len() >= KEPT {
            kept.clear();
        }
        let compiled = Arc::new(compiled);
        kept.insert(text.to_owned(), Arc::clone(&compiled));
        Ok(compiled)
    }
}

type Use = fn(&Meter, &Regex, &str, Option<usize>) -> Outcome<'static, 'static>;

const ALL: [(&str, &str, Use); 3] = [
    (names::MATCHES, "matches", |_, pattern, text, _| {
        Ok(CowVal::owned(CelBool::from(pattern.is_match(text))))
    }),
    (names::FIND, "find", |_, pattern, text, _| {
        Ok(owned(pattern.find(text).map_or_else(String::new, |found| found.as_str().to_owned())))
    }),
    (names::FIND_ALL, "findAll", |meter, pattern, text, most| {
        let found = pattern.find_iter(text).take(most.unwrap_or(usize::MAX));
        list(meter, found.map(|found| found.as_str()))
    }),
];

/// The charge for a search: a pattern that an object brings along may be as long as its texts. As kube-apiserver's `CallCost` has
/// it, a character of the text costs one for each four of the pattern.
fn cost(text: &str, pattern: &str) -> u64 {
    (text.len() as u64 + 1).saturating_mul((pattern.len() as u64 / 4).max(1))
}

/// Adds the functions to a context; they charge a meter.
pub(super) fn add(context: &mut Context<'_, '_>, meter: &Meter) {
    let patterns = Patterns::default();
    for (name, function, with) in ALL {
        let (patterns, meter) = (patterns.clone(), meter.clone());
        let handler: Handler = Box::new(move |call| {
            let (this, pattern, most) = match call.args.as_slice() {
                [this, pattern] => (this, pattern, None),
                [this, pattern, most] if name == names::FIND_ALL => {
                    (this, pattern, count(function, Some(most))?)
                }
                others => return Err(ExecutionError::invalid_argument_count(2, others.len())),
            };
            let (this, pattern) = (text(function, this.as_ref())?, text(function, pattern.as_ref())?);
            meter.charge(cost(this, pattern))?;
            with(&meter, &*patterns.get(function, pattern, &meter)?, this, most)
        });
        // Only functions of the environment could conflict, and none has such a name.
        let _ = context.add_function(name, handler);
    }
}
