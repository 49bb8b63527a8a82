//! `TYPE NAME` and `TYPE/NAME`: the objects that arguments name.

use palisade_client::{Kind, Kinds, Session};

use crate::error::{Error, Result};

/// A kind, and names of its objects.
pub(crate) struct Wanted<'k> {
    pub(crate) kind: &'k Kind,
    /// Empty: all objects of the kind.
    pub(crate) names: Vec<String>,
}

/// The kind that a word refers to.
pub(crate) fn kind<'k>(kinds: &'k Kinds, word: &str) -> Result<&'k Kind> {
    kinds.find(word).ok_or_else(|| Error::UnknownType(word.to_owned()))
}

/// Parses `TYPE[,TYPE] [NAME…]` and `TYPE/NAME…`.
pub(crate) fn wanted<'k>(kinds: &'k Kinds, words: &[String]) -> Result<Vec<Wanted<'k>>> {
    let (first, names) = words.split_first().ok_or(Error::NoType)?;
    if words.iter().any(|word| word.contains('/')) {
        return words.iter().map(|word| type_and_name(kinds, word)).collect();
    }
    let mut all = Vec::new();
    for word in first.split(',') {
        let category = kinds.category(word);
        if category.is_empty() {
            all.push(Wanted { kind: kind(kinds, word)?, names: names.to_vec() });
        } else {
            all.extend(category.into_iter().map(|kind| Wanted { kind, names: Vec::new() }));
        }
    }
    Ok(all)
}

fn type_and_name<'k>(kinds: &'k Kinds, word: &str) -> Result<Wanted<'k>> {
    let (type_, name) = word.split_once('/').ok_or_else(|| Error::MixedArguments(word.to_owned()))?;
    Ok(Wanted { kind: kind(kinds, type_)?, names: vec![name.to_owned()] })
}

/// The only object named in arguments.
pub(crate) struct Target<'k> {
    pub(crate) kind: &'k Kind,
    pub(crate) path: String,
    pub(crate) name: String,
}

/// The objects named in arguments, of which there must be at least one.
pub(crate) fn targets<'k>(session: &Session, kinds: &'k Kinds, words: &[String]) -> Result<Vec<Target<'k>>> {
    let mut targets = Vec::new();
    for Wanted { kind, names } in wanted(kinds, words)? {
        targets.extend(names.into_iter().map(|name| Target {
            kind,
            path: kind.object_path(&session.namespace, &name),
            name,
        }));
    }
    if targets.is_empty() { Err(Error::NoName) } else { Ok(targets) }
}
