//! Evaluation of a template on a value.

use std::cmp::Ordering;

use serde_json::Value;

use super::{Comparison, Filter, JsonPathError, Part, Result, Slice, Step, plain};

/// Writes parts, with `value` as the current value.
pub(super) fn write(parts: &[Part], value: &Value, out: &mut String) -> Result<()> {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Action(steps) => {
                let texts: Vec<String> = walk(steps, vec![value])?.into_iter().map(plain).collect();
                out.push_str(&texts.join(" "));
            }
            Part::Range(steps, parts) => {
                for item in walk(steps, vec![value])? {
                    write(parts, item, out)?;
                }
            }
        }
    }
    Ok(())
}

/// The results of steps. A missing field has none.
pub(super) fn walk<'v>(steps: &'v [Step], values: Vec<&'v Value>) -> Result<Vec<&'v Value>> {
    steps.iter().try_fold(values, |values, step| match step {
        Step::Field(name) if name.is_empty() => Ok(values),
        Step::Field(name) => Ok(values.into_iter().filter_map(|value| value.get(name)).collect()),
        Step::Wildcard => Ok(values.into_iter().flat_map(children).collect()),
        Step::Recursive => {
            let mut found = Vec::new();
            values.into_iter().for_each(|value| containers(value, &mut found));
            Ok(found)
        }
        Step::Slice(slice) => flatten(values, |value| part(value, *slice)),
        Step::Union(parts) => {
            let found: Result<Vec<_>> = parts.iter().map(|steps| walk(steps, values.clone())).collect();
            Ok(found?.into_iter().flatten().collect())
        }
        Step::Filter(filter) => flatten(values, |value| kept(value, filter)),
        Step::Literal(literal) => Ok(vec![literal]),
    })
}

fn flatten<'v>(
    values: Vec<&'v Value>,
    mut step: impl FnMut(&'v Value) -> Result<Vec<&'v Value>>,
) -> Result<Vec<&'v Value>> {
    let mut all = Vec::new();
    for value in values {
        all.append(&mut step(value)?);
    }
    Ok(all)
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => Vec::new(),
    }
}

/// A value and its descendants, as far as they are maps or lists themselves.
fn containers<'v>(value: &'v Value, found: &mut Vec<&'v Value>) {
    let children = children(value);
    if !children.is_empty() {
        found.push(value);
        children.into_iter().for_each(|child| containers(child, found));
    }
}

fn array(value: &Value) -> Result<&[Value]> {
    match value {
        Value::Array(items) => Ok(items),
        Value::Null => Ok(&[]),
        Value::Object(_) => Err(JsonPathError::NotAnArray("an object")),
        Value::String(_) => Err(JsonPathError::NotAnArray("a string")),
        Value::Number(_) => Err(JsonPathError::NotAnArray("a number")),
        Value::Bool(_) => Err(JsonPathError::NotAnArray("a boolean")),
    }
}

/// A part of an array, with the checks of `evalArray` in `jsonpath.go`.
fn part(value: &Value, slice: Slice) -> Result<Vec<&Value>> {
    if value.is_null() {
        return Ok(Vec::new());
    }
    let items = array(value)?;
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let from_end = |bound: i64| if bound < 0 { bound.saturating_add(length) } else { bound };
    let start = from_end(slice.start.unwrap_or(0));
    let end = match slice.end {
        // The index -1 ends at the array's end.
        Some(0) if slice.is_index => length,
        Some(end) => from_end(end),
        None => length,
    };
    if start == end {
        return Ok(Vec::new());
    }
    for (bound, last) in [(start, start), (end, end - 1)] {
        let is_outside = last >= length || bound < 0;
        if is_outside {
            return Err(JsonPathError::OutOfBounds { index: last, length: items.len() });
        }
    }
    if start > end {
        return Err(JsonPathError::Backwards(start, end));
    }
    let step =
        usize::try_from(slice.step.unwrap_or(1)).ok().filter(|step| *step > 0).ok_or(JsonPathError::Step)?;
    let place = |bound: i64| usize::try_from(bound).unwrap_or(usize::MAX);
    Ok(items.get(place(start)..place(end)).unwrap_or_default().iter().step_by(step).collect())
}

/// The elements for which a filter holds.
fn kept<'v>(value: &'v Value, filter: &'v Filter) -> Result<Vec<&'v Value>> {
    let mut kept = Vec::new();
    for item in array(value)? {
        if holds(item, filter)? {
            kept.push(item);
        }
    }
    Ok(kept)
}

fn holds(item: &Value, filter: &Filter) -> Result<bool> {
    let left = walk(&filter.left, vec![item])?;
    let Some((comparison, right)) = &filter.comparison else { return Ok(!left.is_empty()) };
    let right = walk(right, vec![item])?;
    match (left.as_slice(), right.as_slice()) {
        ([left], [right]) => compare(left, *comparison, right),
        ([], _) | (_, []) => Ok(false),
        _ => Err(JsonPathError::Several),
    }
}

fn compare(left: &Value, comparison: Comparison, right: &Value) -> Result<bool> {
    let order = match (left, right) {
        (Value::String(left), Value::String(right)) => left.cmp(right),
        (Value::Number(left), Value::Number(right)) => number(left, right)?,
        (Value::Bool(left), Value::Bool(right))
            if matches!(comparison, Comparison::Equal | Comparison::NotEqual) =>
        {
            left.cmp(right)
        }
        _ => return Err(JsonPathError::Incomparable),
    };
    Ok(match comparison {
        Comparison::Equal => order == Ordering::Equal,
        Comparison::NotEqual => order != Ordering::Equal,
        Comparison::Less => order == Ordering::Less,
        Comparison::LessOrEqual => order != Ordering::Greater,
        Comparison::Greater => order == Ordering::Greater,
        Comparison::GreaterOrEqual => order != Ordering::Less,
    })
}

fn number(left: &serde_json::Number, right: &serde_json::Number) -> Result<Ordering> {
    if let (Some(left), Some(right)) = (left.as_i64(), right.as_i64()) {
        return Ok(left.cmp(&right));
    }
    let floats = left.as_f64().zip(right.as_f64());
    floats.and_then(|(left, right)| left.partial_cmp(&right)).ok_or(JsonPathError::Incomparable)
}
