//! Rules: CEL expressions over the values of a schema (`x-kubernetes-validations`), with `self`, and `oldSelf` if the
//! value existed before.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, OnceLock};

use cel::objects::{Key, Map};
use palisade_k8s::{FieldError, FieldErrorKind, FieldPath};
use serde_json::Value;

use super::findings::Findings;
use super::place::Place;
use super::{Form, List, Rest, Structural};
use crate::cel::{self as expressions, Batch, Expression, Meter, Scope};

/// Maximum steps of all rules for one object, as estimated from the expressions and the lengths of lists, including the
/// preparation of their values.
const BUDGET: u64 = 10_000_000;
/// Maximum bytes that all rules read and create for one object: as many as ten expressions may.
const ALLOWANCE: u64 = 10 * expressions::BYTES;
/// Maximum length of the result of a `messageExpression`, in bytes; a longer or multi-line result is replaced by
/// `message` (`MaxEvaluatedMessageExpressionSizeBytes` in `pkg/apiserver/schema/cel`).
const MESSAGE: usize = 5 * 1024;
const TOO_MANY: &str = "the rules of this object take too many steps";

/// A rule.
#[derive(Debug)]
pub(super) struct Rule {
    text: String,
    message: String,
    message_expression: String,
    reason: String,
    field: String,
    is_optional: bool,
    compiled: OnceLock<Result<Expression, String>>,
    compiled_message: OnceLock<Result<Expression, String>>,
}

/// Variables that rules may use.
pub const VARIABLES: [&str; 2] = ["self", "oldSelf"];

impl Rule {
    pub(super) fn read(rule: &Value) -> Self {
        let text = |name: &str| rule.get(name).and_then(Value::as_str).unwrap_or_default().trim().to_owned();
        Self {
            text: text("rule"),
            message: text("message"),
            message_expression: text("messageExpression"),
            reason: text("reason"),
            field: text("fieldPath"),
            is_optional: rule.get("optionalOldSelf") == Some(&Value::Bool(true)),
            compiled: OnceLock::new(),
            compiled_message: OnceLock::new(),
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn message_expression(&self) -> &str {
        &self.message_expression
    }

    pub(super) fn is_optional(&self) -> bool {
        self.is_optional
    }

    /// The errors of the rule: the field of each, and its message.
    pub(super) fn broken(&self, batch: &mut Batch) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if self.text.trim().is_empty() {
            found.push(("rule", "must not be empty".to_owned()));
        } else if let Err(why) = batch.tree(&self.text) {
            found.push(("rule", why));
        }
        if !self.message_expression.is_empty()
            && let Err(why) = batch.tree(&self.message_expression)
        {
            found.push(("messageExpression", why));
        }
        if self.message.contains(['\n', '\r']) {
            found.push(("message", "must not contain line breaks".to_owned()));
        }
        let reasons =
            ["", "FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired", "FieldValueDuplicate"];
        if !reasons.contains(&self.reason.as_str()) {
            found.push(("reason", format!("must be one of {}", reasons[1..].join(", "))));
        }
        if self.is_optional && !self.is_transition() {
            found.push(("optionalOldSelf", "may only be set where the rule uses oldSelf".to_owned()));
        }
        found
    }

    /// Whether it compares a value with its old value (a transition rule).
    fn is_transition(&self) -> bool {
        self.text.contains("oldSelf")
    }

    fn compiled(&self) -> Result<&Expression, String> {
        let compiled = self.compiled.get_or_init(|| Expression::compile(&self.text, &VARIABLES));
        compiled.as_ref().map_err(Clone::clone)
    }

    fn error(&self, value: &Value, scope: &Scope, place: Place<'_>) -> FieldError {
        let mut said = String::new();
        if !self.message_expression.is_empty() {
            let compile = || Expression::compile(&self.message_expression, &VARIABLES);
            let made = self.compiled_message.get_or_init(compile);
            let said_by = made.as_ref().ok().and_then(|made| made.evaluate(scope).ok());
            if let Some(::cel::Value::String(text)) = said_by {
                let text = text.trim();
                if text.len() <= MESSAGE && !text.contains('\n') {
                    text.clone_into(&mut said);
                }
            }
        }
        if said.is_empty() {
            said.clone_from(&self.message);
        }
        if said.is_empty() {
            said = format!("failed rule: {}", self.text);
        }
        let path = place.path().join(&inner(&self.field));
        let shown = if value.is_object() || value.is_array() { type_of(value).into() } else { value.clone() };
        match self.reason.as_str() {
            "FieldValueForbidden" => FieldError::forbidden(path, said),
            "FieldValueRequired" => FieldError::required(path, said),
            "FieldValueDuplicate" => {
                FieldError { kind: FieldErrorKind::Duplicate, ..FieldError::invalid(path, shown, said) }
            }
            _ => FieldError::invalid(path, shown, said),
        }
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        _ => "value",
    }
}

/// A path such as `.spec['a.b'].c`.
fn inner(field: &str) -> FieldPath {
    let names = field.split(['.', '[', ']']).map(|name| name.trim_matches('\''));
    names.filter(|name| !name.is_empty()).fold(FieldPath::root(), FieldPath::name)
}

/// Finds the rules that an object breaks.
pub(super) fn judge(schema: &Structural, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut judge = Judge { errors: Findings::default(), budget: BUDGET, allowance: Meter::new(ALLOWANCE) };
    judge.value(schema, object, old, Place::Root);
    judge.errors.into_errors()
}

struct Judge {
    errors: Findings,
    budget: u64,
    allowance: Meter,
}

impl Judge {
    fn value(&mut self, schema: &Structural, value: &Value, old: Option<&Value>, place: Place<'_>) {
        if self.errors.is_full() || value.is_null() {
            return;
        }
        if !schema.rules.is_empty() {
            self.rules(schema, value, old, place);
        }
        match value {
            Value::Object(map) => {
                for (name, value) in map {
                    let old = old.and_then(|old| old.get(name));
                    match (schema.properties.get(name.as_str()), &schema.rest) {
                        (Some(inner), _) if inner.has_rules => {
                            self.value(inner, value, old, Place::Field(&place, name));
                        }
                        (None, Rest::Each(inner)) if inner.has_rules => {
                            self.value(inner, value, old, Place::Key(&place, name))
                        }
                        _ => {}
                    }
                }
            }
            Value::Array(items) => self.items(schema, items, old, place),
            _ => {}
        }
    }

    fn items(&mut self, schema: &Structural, items: &[Value], old: Option<&Value>, place: Place<'_>) {
        let Some(inner) = schema.items.as_deref().filter(|inner| inner.has_rules) else { return };
        let keys = match &schema.list {
            List::Map(keys) => keys.as_slice(),
            _ => &[],
        };
        let name = |item: &Value| keys.iter().map(|key| item.get(key).cloned()).collect::<Vec<_>>();
        let olds = old.and_then(Value::as_array).filter(|_| !keys.is_empty());
        let olds: HashMap<String, &Value> =
            olds.into_iter().flatten().map(|old| (format!("{:?}", name(old)), old)).collect();
        for (index, item) in items.iter().enumerate() {
            let old = if olds.is_empty() { None } else { olds.get(&format!("{:?}", name(item))).copied() };
            self.value(inner, item, old, Place::Item(&place, index));
        }
    }

    fn rules(&mut self, schema: &Structural, value: &Value, old: Option<&Value>, place: Place<'_>) {
        let is_same = old == Some(value);
        let wanted = |rule: &&Rule| match rule.is_transition() {
            true => rule.is_optional || old.is_some(),
            // Unchanged values are not validated again.
            false => !is_same,
        };
        let rules: Vec<&Rule> = schema.rules.iter().filter(wanted).collect();
        if rules.is_empty() {
            return;
        }
        if self.budget == 0 {
            self.errors.push(FieldError::invalid(place.path(), type_of(value), TOO_MANY));
            return;
        }
        let mut reader = Reader::default();
        let present = reader.value(schema, place_is_root(place), value);
        let before = old.map(|old| reader.value(schema, place_is_root(place), old));
        self.budget = self.budget.saturating_sub(reader.values);
        for rule in rules {
            if self.errors.is_full() {
                return;
            }
            // Each evaluation copies the variables, which is much less than the conversion.
            self.budget = self.budget.saturating_sub(reader.values / 10);
            let scope = Scope::default().within(&self.allowance);
            let scope = scope.with_value("self", present.clone(), reader.longest);
            let scope = match (&before, rule.is_optional) {
                (before, true) => scope.with_value("oldSelf", optional(before.clone()), reader.longest),
                (Some(before), false) => scope.with_value("oldSelf", before.clone(), reader.longest),
                (None, false) => scope,
            };
            self.rule(rule, value, &scope, reader.longest, place);
        }
    }

    fn rule(&mut self, rule: &Rule, value: &Value, scope: &Scope, longest: u64, place: Place<'_>) {
        let holds = rule.compiled().and_then(|expression| {
            let cost = expression.cost(longest);
            match self.budget.checked_sub(cost) {
                Some(left) => self.budget = left,
                None => return Err(TOO_MANY.to_owned()),
            }
            expression.holds(scope)
        });
        match holds {
            Ok(true) => {}
            Ok(false) => self.errors.push(rule.error(value, scope, place)),
            Err(why) => {
                let why = format!("{why} evaluating rule: {}", rule.text.lines().next().unwrap_or_default());
                let shown =
                    if value.is_object() || value.is_array() { type_of(value).into() } else { value.clone() };
                self.errors.push(FieldError::invalid(place.path(), shown, why));
            }
        }
    }
}

fn place_is_root(place: Place<'_>) -> bool {
    matches!(place, Place::Root)
}

/// Values for expressions, typed by their schema.
#[derive(Default)]
struct Reader {
    longest: u64,
    values: u64,
}

impl Reader {
    /// A value. Fields that the schema does not specify are hidden, and so is the metadata of an object but for its
    /// name.
    fn value(&mut self, schema: &Structural, has_head: bool, value: &Value) -> ::cel::Value {
        self.values += 1;
        match value {
            Value::Object(map) => {
                self.longest = self.longest.max(map.len() as u64);
                self.object(schema, has_head || schema.is_embedded, map)
            }
            Value::Array(items) => {
                self.longest = self.longest.max(items.len() as u64);
                let inner = schema.items.as_deref().unwrap_or(&super::UNKNOWN);
                ::cel::Value::List(Arc::new(
                    items.iter().map(|item| self.value(inner, false, item)).collect(),
                ))
            }
            Value::Number(number) if schema.form == Form::Number => {
                ::cel::Value::Float(number.as_f64().unwrap_or(f64::NAN))
            }
            Value::String(text) => {
                let format = schema.checks.as_ref().map_or("", |checks| checks.format.as_str());
                let made = match format {
                    "date-time" | "datetime" => call(&TIMESTAMP, text),
                    "date" => call(&TIMESTAMP, &format!("{text}T00:00:00Z")),
                    "duration" => call(&DURATION, text),
                    "byte" => call(&BYTES, text),
                    _ => None,
                };
                made.unwrap_or_else(|| ::cel::Value::String(Arc::new(text.clone())))
            }
            other => expressions::convert(other, expressions::Escapes::Names).0,
        }
    }

    fn object(
        &mut self,
        schema: &Structural,
        has_head: bool,
        map: &serde_json::Map<String, Value>,
    ) -> ::cel::Value {
        let mut fields: HashMap<Key, ::cel::Value> = HashMap::with_capacity(map.len());
        for (name, value) in map {
            let is_property = schema.properties.contains_key(name.as_str());
            let made = match name.as_str() {
                "apiVersion" | "kind" if has_head => self.value(&super::UNKNOWN, false, value),
                "metadata" if has_head => {
                    let named =
                        ["name", "generateName"].iter().filter_map(|name| Some((*name, value.get(name)?)));
                    let named = named.map(|(name, value)| (name.to_owned(), value.clone())).collect();
                    expressions::convert(&Value::Object(named), expressions::Escapes::None).0
                }
                name => match schema.property(name) {
                    Some(inner) => self.value(inner, false, value),
                    None => continue,
                },
            };
            // Keys of a map are values; names of fields are identifiers, which are escaped.
            if is_property && let Some(escaped) = expressions::escape(name) {
                fields.insert(Key::from(escaped), made.clone());
            }
            fields.insert(Key::from(name.as_str()), made);
        }
        ::cel::Value::Map(Map { map: Arc::new(fields) })
    }
}

/// A function of the language on one string.
type Function = LazyLock<Option<Expression>>;

static TIMESTAMP: Function = LazyLock::new(|| Expression::compile("timestamp(self)", &VARIABLES).ok());
static DURATION: Function = LazyLock::new(|| Expression::compile("duration(self)", &VARIABLES).ok());
static BYTES: Function = LazyLock::new(|| Expression::compile("base64.decode(self)", &VARIABLES).ok());
static SOME: Function = LazyLock::new(|| Expression::compile("optional.of(self)", &VARIABLES).ok());
static NONE: Function = LazyLock::new(|| Expression::compile("optional.none()", &VARIABLES).ok());

fn call(function: &Function, text: &str) -> Option<::cel::Value> {
    let scope = Scope::default().with_value("self", ::cel::Value::String(Arc::new(text.to_owned())), 0);
    function.as_ref()?.evaluate(&scope).ok()
}

fn optional(value: Option<::cel::Value>) -> ::cel::Value {
    let made = match value {
        Some(value) => {
            SOME.as_ref().map(|some| some.evaluate(&Scope::default().with_value("self", value, 0)))
        }
        None => NONE.as_ref().map(|none| none.evaluate(&Scope::default())),
    };
    made.and_then(Result::ok).unwrap_or(::cel::Value::Null)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_beyond_the_step_limit_count_as_violated() {
        let rule = json!([{"rule": "self.size() > 3"}]);
        let schema = json!({"type": "object", "properties": {
            "a": {"type": "string", "x-kubernetes-validations": rule},
            "b": {"type": "string", "x-kubernetes-validations": rule}}});
        let schema = Structural::read(&schema);
        let object = json!({"a": "long", "b": "c"});
        for budget in 0..20 {
            let mut judge = Judge { errors: Findings::default(), budget, allowance: Meter::new(ALLOWANCE) };
            judge.value(&schema, &object, None, Place::Root);
            assert!(judge.errors.into_errors().iter().any(|error| error.path.to_string() == "b"), "{budget}");
        }
    }
}
