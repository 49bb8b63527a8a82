//! Functions that charge a meter. Some pass a value on; those whose results may be far longer than their arguments
//! compute the length of a result, and charge it, before they create it.

use cel::common::types::{CelInt, CelList, CelString};
use cel::common::value::{CowVal, Val};
use cel::{Context, ExecutionError, FunctionContext};

use super::meter::{Meter, SLOT, names, size};

pub(super) type Outcome<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;
type Make = for<'b, 'v> fn(&Meter, Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v>;

/// The functions, by the names that [`guard`](super::guard) inserts.
const ALL: [(&str, Make); 6] = [
    (names::ADD, total),
    (names::REPLACE, replace),
    (names::JOIN, join),
    (names::SPLIT, split),
    (names::INDEX_OF, index_of),
    (names::LAST_INDEX_OF, last_index_of),
];

pub(super) type Handler = Box<
    dyn for<'c, 'v> Fn(&mut FunctionContext<'c, 'v>) -> Result<CowVal<'c, 'v>, ExecutionError> + Send + Sync,
>;

/// Adds the functions of [`names`] to a context; they charge a meter.
pub(super) fn add(context: &mut Context<'_, '_>, meter: &Meter) {
    let mut pass = |name, cost: fn(&dyn Val, u64) -> u64| {
        let meter = meter.clone();
        let handler: Handler = Box::new(move |call| {
            let value = call.args.pop().ok_or_else(|| ExecutionError::invalid_argument_count(1, 0))?;
            meter.charge(cost(value.as_ref(), meter.left()))?;
            Ok(value)
        });
        // Only functions of the environment could conflict, and none has such a name.
        let _ = context.add_function(name, handler);
    };
    pass(names::READ, |value, left| size(value, 1, left));
    pass(names::READ_TEXT, |value, left| {
        if value.downcast_ref::<CelString<'_>>().is_some() { size(value, 1, left) } else { 0 }
    });
    pass(names::READ_LIST, |value, left| {
        if value.downcast_ref::<CelList<'_>>().is_some() { size(value, 1, left) } else { 0 }
    });
    pass(names::KEEP, |value, left| SLOT + size(value, SLOT, left));
    for (name, make) in ALL {
        let meter = meter.clone();
        let handler: Handler = Box::new(move |call| make(&meter, std::mem::take(&mut call.args)));
        let _ = context.add_function(name, handler);
    }
}

pub(super) fn text<'b>(function: &str, value: &'b dyn Val) -> Result<&'b str, ExecutionError> {
    let found = value.downcast_ref::<CelString<'_>>().map(CelString::inner);
    found.ok_or_else(|| ExecutionError::function_error(function, "no such overload"))
}

/// The optional count, if it is not negative.
pub(super) fn count(function: &str, value: Option<&CowVal<'_, '_>>) -> Result<Option<usize>, ExecutionError> {
    let Some(value) = value else { return Ok(None) };
    match value.downcast_ref::<CelInt>() {
        Some(number) => Ok(usize::try_from(*number.inner()).ok()),
        None => Err(ExecutionError::function_error(function, "no such overload")),
    }
}

pub(super) fn owned<'b, 'v>(text: String) -> CowVal<'b, 'v> {
    CowVal::owned(CelString::from(text))
}

fn total<'b, 'v>(meter: &Meter, values: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    let texts: Option<Vec<&str>> =
        values.iter().map(|value| value.downcast_ref::<CelString<'_>>().map(CelString::inner)).collect();
    if let Some(texts) = texts {
        meter.charge(texts.iter().map(|text| text.len() as u64).sum())?;
        return Ok(owned(texts.concat()));
    }
    let mut values = values.into_iter();
    let mut total = values.next().ok_or_else(|| ExecutionError::invalid_argument_count(2, 0))?;
    for value in values {
        let most = meter.left();
        meter.charge(size(total.as_ref(), SLOT, most).saturating_add(size(value.as_ref(), SLOT, most)))?;
        total = CowVal::Owned(sum(total.as_ref(), value.as_ref())?);
    }
    Ok(total)
}

fn sum<'v>(one: &(dyn Val + 'v), other: &(dyn Val + 'v)) -> Result<Box<dyn Val + 'v>, ExecutionError> {
    let names = || vec![one.get_type().name().to_owned(), other.get_type().name().to_owned()];
    let adder = one.as_adder().ok_or_else(|| ExecutionError::no_such_overload("_+_", names()))?;
    Ok(adder.add(other)?.into_owned())
}

fn replace<'b, 'v>(meter: &Meter, values: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    let (this, from, to, most) = match values.as_slice() {
        [this, from, to] => (this, from, to, None),
        [this, from, to, most] => (this, from, to, count("replace", Some(most))?),
        _ => return Err(ExecutionError::invalid_argument_count(3, values.len())),
    };
    let [this, from, to] =
        [text("replace", this.as_ref())?, text("replace", from.as_ref())?, text("replace", to.as_ref())?];
    meter.charge(this.len() as u64)?;
    let places = this.matches(from).take(most.unwrap_or(usize::MAX)).count();
    meter.charge((places as u64).saturating_mul(to.len() as u64))?;
    Ok(owned(this.replacen(from, to, places)))
}

fn join<'b, 'v>(meter: &Meter, values: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    let (list, between) = match values.as_slice() {
        [list] => (list, ""),
        [list, between] => (list, text("join", between.as_ref())?),
        _ => return Err(ExecutionError::invalid_argument_count(1, values.len())),
    };
    let list = list.downcast_ref::<CelList<'_>>();
    let items = list.ok_or_else(|| ExecutionError::function_error("join", "no such overload"))?.inner();
    meter.charge((items.len() as u64).saturating_mul(SLOT.saturating_add(between.len() as u64)))?;
    let mut parts = Vec::with_capacity(items.len());
    for item in items {
        let part = text("join", item.as_ref())?;
        meter.charge(part.len() as u64)?;
        parts.push(part);
    }
    Ok(owned(parts.join(between)))
}

/// A list of these strings, each charged.
pub(super) fn list<'b, 'v, 't>(meter: &Meter, texts: impl Iterator<Item = &'t str>) -> Outcome<'b, 'v> {
    let mut items: Vec<Box<dyn Val + 'v>> = Vec::new();
    for text in texts {
        meter.charge(SLOT + text.len() as u64)?;
        items.push(Box::new(CelString::from(text.to_owned())));
    }
    Ok(CowVal::owned(CelList::from(items)))
}

fn split<'b, 'v>(meter: &Meter, values: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    let (this, at, most) = match values.as_slice() {
        [this, at] => (this, at, None),
        [this, at, most] => (this, at, count("split", Some(most))?),
        _ => return Err(ExecutionError::invalid_argument_count(2, values.len())),
    };
    let (this, at) = (text("split", this.as_ref())?, text("split", at.as_ref())?);
    meter.charge(this.len() as u64)?;
    let most = most.unwrap_or(usize::MAX);
    if !at.is_empty() {
        return list(meter, this.splitn(most, at));
    }
    // Without a separator each character is a part, and the last part is what remains.
    let ends = this.char_indices().map(|(start, letter)| (start, start + letter.len_utf8()));
    let parts = ends.take(most).enumerate().filter_map(|(index, (start, end))| {
        this.get(start..if index + 1 == most { this.len() } else { end })
    });
    list(meter, parts)
}

/// The arguments of `indexOf` and `lastIndexOf`.
struct Search<'b> {
    this: &'b str,
    wanted: &'b str,
    offset: Option<usize>,
    /// The length of the text, in characters.
    length: usize,
}

impl<'b> Search<'b> {
    fn read(function: &str, meter: &Meter, values: &'b [CowVal<'_, '_>]) -> Result<Self, ExecutionError> {
        let (this, wanted, offset) = match values {
            [this, wanted] => (this, wanted, None),
            [this, wanted, offset] => (this, wanted, Some(offset)),
            _ => return Err(ExecutionError::invalid_argument_count(2, values.len())),
        };
        let (this, wanted) = (text(function, this.as_ref())?, text(function, wanted.as_ref())?);
        meter.charge(this.len().saturating_add(wanted.len()) as u64)?;
        let (place, length) = (count(function, offset)?, this.chars().count());
        let is_outside = match (offset, place) {
            (Some(_), None) => true,
            (Some(_), Some(place)) => !wanted.is_empty() && place >= length,
            (None, _) => false,
        };
        if is_outside {
            return Err(ExecutionError::function_error(function, "index out of range"));
        }
        Ok(Self { this, wanted, offset: place, length })
    }

    /// The byte offset of a character.
    fn byte(&self, character: usize) -> usize {
        self.this.char_indices().nth(character).map_or(self.this.len(), |(at, _)| at)
    }

    fn found<'r, 'v>(&self, byte: Option<usize>) -> CowVal<'r, 'v> {
        let before = byte.and_then(|byte| self.this.get(..byte)).map(|before| before.chars().count());
        CowVal::owned(CelInt::from(before.and_then(|index| i64::try_from(index).ok()).unwrap_or(-1)))
    }
}

fn index_of<'b, 'v>(meter: &Meter, values: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    let search = Search::read("indexOf", meter, &values)?;
    let start = search.byte(search.offset.unwrap_or(0).min(search.length));
    let rest = search.this.get(start..).unwrap_or_default();
    Ok(search.found(rest.find(search.wanted).map(|at| start + at)))
}

fn last_index_of<'b, 'v>(meter: &Meter, values: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    let search = Search::read("lastIndexOf", meter, &values)?;
    // A match that begins at the offset may end later.
    let characters = search.wanted.chars().count();
    let end = search.byte(search.offset.unwrap_or(search.length).saturating_add(characters));
    let rest = search.this.get(..end).unwrap_or_default();
    Ok(search.found(rest.rfind(search.wanted)))
}
