//! Values of CEL, as far as admission policies use them.

use std::cmp::Ordering;
use std::rc::Rc;

use serde_json::{Map, Value};

#[derive(Clone, Debug)]
pub(crate) enum Cel {
    Null,
    Bool(bool),
    Int(i64),
    Text(Rc<str>),
    List(Rc<Vec<Cel>>),
    /// In the order in which keys were written; lookups are by search where keys are few, which they are.
    Map(Rc<Vec<(Cel, Cel)>>),
    Optional(Option<Rc<Cel>>),
    /// A request to the authorizer that is being put together.
    Check(Rc<Check>),
    Decision(bool),
}

/// The subject and the action.
#[derive(Clone, Debug, Default)]
pub(crate) struct Check {
    /// The namespace and the name of a service account, or the user of the request.
    pub(crate) account: Option<(String, String)>,
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Cel {
    pub(crate) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Bool(*flag),
            Value::Number(number) => Self::Int(number.as_i64().expect("whole numbers alone")),
            Value::String(text) => Self::text(text),
            Value::Array(list) => Self::list(list.iter().map(Self::of).collect()),
            Value::Object(map) => Self::Map(Rc::new(
                map.iter().map(|(key, value)| (Self::text(key), Self::of(value))).collect(),
            )),
        }
    }

    pub(crate) fn json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(flag) => (*flag).into(),
            Self::Int(number) => (*number).into(),
            Self::Text(text) => (&**text).into(),
            Self::List(list) => list.iter().map(Self::json).collect(),
            Self::Map(map) => {
                let entries = map
                    .iter()
                    .map(|(key, value)| (key.as_text().expect("a key is a text").to_owned(), value.json()));
                Value::Object(entries.collect::<Map<_, _>>())
            }
            Self::Optional(_) | Self::Check(_) | Self::Decision(_) => panic!("{self:?} is no JSON"),
        }
    }

    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn list(list: Vec<Self>) -> Self {
        Self::List(Rc::new(list))
    }

    pub(crate) fn some(value: Self) -> Self {
        Self::Optional(Some(Rc::new(value)))
    }

    pub(crate) fn as_text(&self) -> Result<&str, String> {
        if let Self::Text(text) = self { Ok(text) } else { Err(format!("{self:?} is not a string")) }
    }

    pub(crate) fn as_bool(&self) -> Result<bool, String> {
        if let Self::Bool(flag) = self { Ok(*flag) } else { Err(format!("{self:?} is not a boolean")) }
    }

    pub(crate) fn as_int(&self) -> Result<i64, String> {
        if let Self::Int(number) = self { Ok(*number) } else { Err(format!("{self:?} is not a number")) }
    }

    pub(crate) fn get(&self, key: &Self) -> Option<Self> {
        match self {
            Self::Map(map) => map.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone()),
            Self::List(list) => list.get(usize::try_from(key.as_int().ok()?).ok()?).cloned(),
            _ => None,
        }
    }

    pub(crate) fn size(&self) -> Result<usize, String> {
        Ok(match self {
            Self::Text(text) => text.chars().count(),
            Self::List(list) => list.len(),
            Self::Map(map) => map.len(),
            other => return Err(format!("{other:?} has no size")),
        })
    }

    pub(crate) fn is_zero(&self) -> bool {
        match self {
            Self::Null | Self::Optional(None) => true,
            Self::Bool(flag) => !flag,
            Self::Int(number) => *number == 0,
            other => other.size().is_ok_and(|size| size == 0),
        }
    }
}

impl PartialEq for Cel {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::List(a), Self::List(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => {
                a.len() == b.len()
                    && a.iter().all(|(key, value)| other.get(key).is_some_and(|theirs| theirs == *value))
            }
            (Self::Optional(a), Self::Optional(b)) => a == b,
            _ => false,
        }
    }
}

impl PartialOrd for Cel {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Text(a), Self::Text(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}
