//! The functions of CEL and of Kubernetes' libraries that compiled policies use.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use cel::common::ast::operators;
use regex::Regex;

use super::eval::Answer;
use super::value::{Cel, Check};

/// The cost of a function beside its call: a tenth of a unit for each character, a unit for each element.
pub(crate) fn cost(name: &str, target: &Cel, args: &[Cel]) -> u64 {
    let size = |value: &Cel| value.size().unwrap_or(0) as u64;
    match (name, target) {
        ("matches" | "find", Cel::Text(_)) => {
            (size(target) / 10 + 1) * (args.first().map_or(0, size) / 4 + 1)
        }
        ("contains" | "startsWith" | "split" | "substring" | "indexOf" | "join", _) => size(target) / 10 + 1,
        ("min" | "max", _) => size(target),
        (operators::IN, _) => {
            args.get(1).map_or(0, |list| if matches!(list, Cel::List(_)) { size(list) } else { 1 })
        }
        (operators::EQUALS | operators::NOT_EQUALS | operators::ADD, Cel::Text(_)) => size(target) / 10,
        _ => 0,
    }
}

pub(crate) fn has(operand: &Cel, field: &Cel) -> Result<bool, String> {
    match operand {
        Cel::Map(_) => Ok(operand.get(field).is_some()),
        Cel::Optional(None) => Ok(false),
        Cel::Optional(Some(value)) => has(value, field),
        other => Err(format!("{other:?} has no fields")),
    }
}

pub(crate) fn select(operand: &Cel, field: &Cel) -> Answer {
    match operand {
        Cel::Optional(_) => optional_select(operand, field),
        _ => operand.get(field).ok_or_else(|| format!("no such key: {field:?}")),
    }
}

fn optional_select(operand: &Cel, field: &Cel) -> Answer {
    match operand {
        Cel::Optional(None) => Ok(Cel::Optional(None)),
        Cel::Optional(Some(value)) => optional_select(value, field),
        Cel::Map(_) | Cel::List(_) => Ok(Cel::Optional(operand.get(field).map(Rc::new))),
        other => Err(format!("{other:?} has no fields")),
    }
}

/// Functions of the name space `optional`.
pub(crate) fn optional(name: &str, args: &[Cel]) -> Answer {
    match (name, args) {
        ("none", []) => Ok(Cel::Optional(None)),
        ("of", [value]) => Ok(Cel::some(value.clone())),
        ("ofNonZeroValue", [value]) if value.is_zero() => Ok(Cel::Optional(None)),
        ("ofNonZeroValue", [value]) => Ok(Cel::some(value.clone())),
        _ => Err(format!("there is no optional.{name}")),
    }
}

/// The result of a comprehension with two variables.
pub(crate) fn gathered(name: &str, values: Vec<Cel>) -> Answer {
    match name {
        "transformList" => Ok(Cel::list(values)),
        "transformMapEntry" => {
            let mut all: Vec<(Cel, Cel)> = Vec::new();
            for value in values {
                let Cel::Map(entries) = value else { return Err("an entry is a map".to_owned()) };
                for (key, value) in entries.iter() {
                    if all.iter().any(|(known, _)| known == key) {
                        return Err("insert failed: key already exists".to_owned());
                    }
                    all.push((key.clone(), value.clone()));
                }
            }
            Ok(Cel::Map(Rc::new(all)))
        }
        other => Err(format!("{other} of two variables is not known")),
    }
}

pub(crate) fn function(name: &str, args: &[Cel]) -> Answer {
    match (name, args) {
        (operators::LOGICAL_NOT, [value]) => Ok(Cel::Bool(!value.as_bool()?)),
        (operators::NEGATE, [value]) => Ok(Cel::Int(-value.as_int()?)),
        (operators::EQUALS, [a, b]) => Ok(Cel::Bool(a == b)),
        (operators::NOT_EQUALS, [a, b]) => Ok(Cel::Bool(a != b)),
        (
            operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS,
            [a, b],
        ) => {
            let order = a.partial_cmp(b).ok_or_else(|| format!("{a:?} and {b:?} have no order"))?;
            Ok(Cel::Bool(match name {
                operators::LESS => order.is_lt(),
                operators::LESS_EQUALS => order.is_le(),
                operators::GREATER => order.is_gt(),
                _ => order.is_ge(),
            }))
        }
        (operators::ADD, [Cel::Int(a), Cel::Int(b)]) => {
            a.checked_add(*b).map(Cel::Int).ok_or("overflow".to_owned())
        }
        (operators::ADD, [Cel::Text(a), Cel::Text(b)]) => Ok(Cel::text(&format!("{a}{b}"))),
        (operators::ADD, [Cel::List(a), Cel::List(b)]) => {
            Ok(Cel::list(a.iter().chain(b.iter()).cloned().collect()))
        }
        (operators::SUBSTRACT, [Cel::Int(a), Cel::Int(b)]) => {
            a.checked_sub(*b).map(Cel::Int).ok_or("overflow".to_owned())
        }
        (operators::MODULO, [Cel::Int(a), Cel::Int(b)]) => {
            a.checked_rem(*b).map(Cel::Int).ok_or("modulo 0".to_owned())
        }
        (operators::IN, [item, Cel::List(list)]) => Ok(Cel::Bool(list.contains(item))),
        (operators::IN, [key, map @ Cel::Map(_)]) => Ok(Cel::Bool(map.get(key).is_some())),
        (operators::INDEX, [operand, key]) => match operand {
            Cel::Optional(_) => optional_select(operand, key),
            _ => operand.get(key).ok_or_else(|| format!("no such key or index: {key:?}")),
        },
        (operators::OPT_SELECT | operators::OPT_INDEX, [operand, key]) => optional_select(operand, key),
        ("dyn", [value]) => Ok(value.clone()),
        ("string", [text @ Cel::Text(_)]) => Ok(text.clone()),
        ("string", [Cel::Int(number)]) => Ok(Cel::text(&number.to_string())),
        ("int", [Cel::Text(text)]) => {
            text.parse().map(Cel::Int).map_err(|_| format!("{text:?} is not a number"))
        }
        _ => Err(format!("there is no function {name} of {args:?}")),
    }
}

pub(crate) fn method(name: &str, target: &Cel, args: &[Cel]) -> Answer {
    match target {
        Cel::Optional(value) => of_optional(name, value.as_deref(), args),
        Cel::Text(text) => of_text(name, text, args),
        Cel::List(list) => of_list(name, list, args),
        Cel::Check(check) => of_check(name, check, args),
        Cel::Decision(allowed) if name == "allowed" => Ok(Cel::Bool(*allowed)),
        Cel::Map(map) if name == "size" => Ok(int(map.len())),
        _ => Err(format!("there is no method {name} of {target:?}")),
    }
}

fn int(number: usize) -> Cel {
    Cel::Int(i64::try_from(number).expect("small"))
}

fn of_optional(name: &str, value: Option<&Cel>, args: &[Cel]) -> Answer {
    match (name, args) {
        ("orValue", [other]) => Ok(value.unwrap_or(other).clone()),
        ("hasValue", []) => Ok(Cel::Bool(value.is_some())),
        ("value", []) => value.cloned().ok_or_else(|| "optional.none() dereference".to_owned()),
        _ => Err(format!("there is no method {name} of optional values")),
    }
}

fn of_text(name: &str, text: &str, args: &[Cel]) -> Answer {
    let place = |part: &str| match text.split_once(part) {
        Some((before, _)) => i64::try_from(before.chars().count()).unwrap(),
        None => -1,
    };
    let part = |from: i64, to: Option<i64>| -> Answer {
        let letters: Vec<char> = text.chars().collect();
        let end = to.map_or(Ok(letters.len()), usize::try_from).map_err(|_| "index out of range")?;
        let start = usize::try_from(from).map_err(|_| "index out of range")?;
        let part = letters.get(start..end).ok_or("index out of range")?;
        Ok(Cel::text(&part.iter().collect::<String>()))
    };
    match (name, args) {
        ("size", []) => Ok(int(text.chars().count())),
        ("contains", [Cel::Text(part)]) => Ok(Cel::Bool(text.contains(&**part))),
        ("startsWith", [Cel::Text(part)]) => Ok(Cel::Bool(text.starts_with(&**part))),
        ("indexOf", [Cel::Text(part)]) => Ok(Cel::Int(place(part))),
        ("substring", [Cel::Int(from)]) => part(*from, None),
        ("substring", [Cel::Int(from), Cel::Int(to)]) => part(*from, Some(*to)),
        ("split", [Cel::Text(separator)]) => Ok(Cel::list(text.split(&**separator).map(Cel::text).collect())),
        ("matches", [Cel::Text(pattern)]) => regex(pattern, |regex| Cel::Bool(regex.is_match(text))),
        ("find", [Cel::Text(pattern)]) => {
            regex(pattern, |regex| Cel::text(regex.find(text).map_or("", |found| found.as_str())))
        }
        _ => Err(format!("there is no method {name} of texts")),
    }
}

/// Go's syntax of regular expressions is that of the crate, as far as it is used.
fn regex(pattern: &str, answer: impl FnOnce(&Regex) -> Cel) -> Answer {
    thread_local!(static KNOWN: RefCell<HashMap<String, Regex>> = RefCell::default());
    KNOWN.with_borrow_mut(|known| {
        if !known.contains_key(pattern) {
            known.insert(pattern.to_owned(), Regex::new(pattern).map_err(|error| error.to_string())?);
        }
        Ok(answer(&known[pattern]))
    })
}

fn of_list(name: &str, list: &[Cel], args: &[Cel]) -> Answer {
    let least = |pick: fn(&Cel, &Cel) -> bool| -> Answer {
        let mut items = list.iter();
        let mut best = items.next().ok_or("min or max called on empty list")?;
        items.for_each(|item| {
            if pick(item, best) {
                best = item;
            }
        });
        Ok(best.clone())
    };
    match (name, args) {
        ("size", []) => Ok(int(list.len())),
        ("min", []) => least(|a, b| a < b),
        ("max", []) => least(|a, b| a > b),
        ("indexOf", [item]) => Ok(list.iter().position(|known| known == item).map_or(Cel::Int(-1), int)),
        ("join", [Cel::Text(separator)]) => {
            let parts: Vec<&str> = list.iter().map(Cel::as_text).collect::<Result<_, _>>()?;
            Ok(Cel::text(&parts.join(separator)))
        }
        _ => Err(format!("there is no method {name} of lists")),
    }
}

fn of_check(name: &str, check: &Check, args: &[Cel]) -> Answer {
    let mut check = check.clone();
    let texts: Vec<String> =
        args.iter().map(|arg| arg.as_text().map(str::to_owned)).collect::<Result<_, _>>()?;
    match (name, texts.as_slice()) {
        ("serviceAccount", [namespace, name]) => check.account = Some((namespace.clone(), name.clone())),
        ("group", [group]) => check.group.clone_from(group),
        ("resource", [resource]) => check.resource.clone_from(resource),
        ("namespace", [namespace]) => check.namespace.clone_from(namespace),
        ("name", [name]) => check.name.clone_from(name),
        _ => return Err(format!("there is no method {name} of the authorizer")),
    }
    Ok(Cel::Check(Rc::new(check)))
}
