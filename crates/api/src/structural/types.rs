//! Types of rules, as far as the schema determines them: a rule that is wrong for every object is refused when it is written.
//!
//! Kubernetes' type checker (`k8s.io/apiserver/pkg/cel`) determines all types; here the result of a function that is not in the
//! table below may be of any type.

use ::cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators as op,
};
use palisade_k8s::{FieldError, FieldPath};

use super::rules::Rule;
use super::{Form, Rest, Structural};
use crate::cel::{self as expressions, Batch};

/// The type of a value in an expression.
#[derive(Clone, Debug, PartialEq)]
enum Type<'s> {
    /// Any, as far as is known.
    Any,
    Bool,
    Int,
    Double,
    String,
    List(Box<Type<'s>>),
    Map(Box<Type<'s>>),
    Object(Place<'s>),
}

/// An object of a schema; that of a resource has a kind and metadata.
#[derive(Clone, Copy, Debug)]
struct Place<'s> {
    schema: &'s Structural,
    is_resource: bool,
}

impl PartialEq for Place<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.schema, other.schema)
    }
}

type Found<'s> = Result<Type<'s>, String>;

/// Formats of strings that are of a type of their own in expressions.
const FORMATS: [&str; 4] = ["byte", "date", "date-time", "duration"];

impl std::fmt::Display for Type<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Double => f.write_str("double"),
            Self::String => f.write_str("string"),
            Self::List(item) => write!(f, "list({item})"),
            Self::Map(value) => write!(f, "map(string, {value})"),
            Self::Object(_) => f.write_str("object"),
        }
    }
}

impl<'s> Type<'s> {
    fn of(schema: &'s Structural, is_resource: bool) -> Self {
        let of = |inner: &'s Structural| Box::new(Self::of(inner, inner.is_embedded));
        match schema.form {
            Form::Boolean => Self::Bool,
            Form::Integer => Self::Int,
            Form::Number => Self::Double,
            Form::String => {
                let format = schema.checks.as_ref().map_or("", |checks| checks.format.as_str());
                if FORMATS.contains(&format) { Self::Any } else { Self::String }
            }
            Form::Array => schema.items.as_deref().map_or(Self::Any, |item| Self::List(of(item))),
            Form::Object => match &schema.rest {
                Rest::Each(value) => Self::Map(of(value)),
                Rest::Any => Self::Any,
                Rest::None if schema.preserves => Self::Any,
                Rest::None => Self::Object(Place { schema, is_resource }),
            },
            Form::Any | Form::IntOrString => Self::Any,
        }
    }

    fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Double)
    }

    /// Whether values of both may be of one type.
    fn fits(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::List(one), Self::List(other)) | (Self::Map(one), Self::Map(other)) => one.fits(other),
            // A map that is written out may be compared with an object's.
            (Self::Map(_), Self::Object(_)) | (Self::Object(_), Self::Map(_) | Self::Object(_)) => true,
            _ => self == other || self.is_number() && other.is_number(),
        }
    }

    /// The type of either of two values.
    fn or(self, other: Self) -> Self {
        if self == other { self } else { Self::Any }
    }
}

/// Checks the rules of a schema and of those below it; the places are told from the schema on.
pub(super) fn check(schema: &Structural, batch: &mut Batch) -> Vec<FieldError> {
    let mut errors = Vec::new();
    walk(schema, true, &FieldPath::root(), batch, &mut errors);
    errors
}

fn walk(
    schema: &Structural,
    is_resource: bool,
    path: &FieldPath,
    batch: &mut Batch,
    errors: &mut Vec<FieldError>,
) {
    if !schema.has_rules {
        return;
    }
    for (at, rule) in schema.rules.iter().enumerate() {
        let own = Type::of(schema, is_resource);
        for (field, why) in mistakes(rule, &own, batch) {
            let path = path.clone().name("x-kubernetes-validations").index(at).name(field);
            let text = if field == "rule" { rule.text() } else { rule.message_expression() };
            errors.push(FieldError::invalid(path, text, why));
        }
    }
    for (name, inner) in &schema.properties {
        walk(inner, inner.is_embedded, &path.clone().name("properties").key(&**name), batch, errors);
    }
    if let Rest::Each(inner) = &schema.rest {
        walk(inner, inner.is_embedded, &path.clone().name("additionalProperties"), batch, errors);
    }
    if let Some(inner) = schema.items.as_deref() {
        walk(inner, inner.is_embedded, &path.clone().name("items"), batch, errors);
    }
}

/// Type errors of a rule, each with the field of the rule that has it.
fn mistakes<'s>(rule: &Rule, own: &Type<'s>, batch: &mut Batch) -> Vec<(&'static str, String)> {
    let old = if rule.is_optional() { Type::Any } else { own.clone() };
    let bound = vec![("self".to_owned(), own.clone()), ("oldSelf".to_owned(), old)];
    let mut judge = |text: &str, wanted: &Type<'s>, article: &str| {
        let tree = batch.tree(text).ok()?;
        match (Checker { bound: bound.clone() }).expression(tree) {
            Err(why) => Some(format!("compilation failed: {why}")),
            Ok(found) if !found.fits(wanted) => {
                Some(format!("must evaluate to a {article}, and evaluates to {found}"))
            }
            Ok(_) => None,
        }
    };
    let rule_is_wrong = judge(rule.text(), &Type::Bool, "bool").map(|why| ("rule", why));
    let message = Some(rule.message_expression()).filter(|text| !text.is_empty());
    let message = message.and_then(|text| judge(text, &Type::String, "string"));
    rule_is_wrong.into_iter().chain(message.map(|why| ("messageExpression", why))).collect()
}

/// Why an expression whose variables are of any type cannot be true or false, if so.
pub(crate) fn not_a_condition(tree: &IdedExpr) -> Option<String> {
    match (Checker { bound: Vec::new() }).expression(tree) {
        Err(why) => Some(format!("compilation failed: {why}")),
        Ok(found) if !found.fits(&Type::Bool) => {
            Some(format!("must evaluate to bool, and evaluates to {found}"))
        }
        Ok(_) => None,
    }
}

/// Functions of one result whatever they are given: those on strings alone, those of strings that give strings, and others.
const ON_STRINGS: [&str; 9] = [
    "contains",
    "endsWith",
    "matches",
    "startsWith",
    "lowerAscii",
    "upperAscii",
    "trim",
    "replace",
    "substring",
];
const TRUTHS: [&str; 13] = [
    "contains",
    "endsWith",
    "matches",
    "startsWith",
    "isSorted",
    "isURL",
    "isIP",
    "isCIDR",
    "isQuantity",
    "isSemver",
    "isGreaterThan",
    "isLessThan",
    "@not_strictly_false",
];
const STRINGS: [&str; 7] = ["lowerAscii", "upperAscii", "trim", "replace", "substring", "join", "string"];

struct Checker<'s> {
    bound: Vec<(String, Type<'s>)>,
}

fn mismatch(name: &str, types: &[&Type<'_>]) -> String {
    let types: Vec<String> = types.iter().map(|one| one.to_string()).collect();
    format!("found no matching overload for '{name}' applied to '({})'", types.join(", "))
}

impl<'s> Checker<'s> {
    fn expression(&mut self, node: &IdedExpr) -> Found<'s> {
        match &node.expr {
            Expr::Ident(name) => {
                let known = self.bound.iter().rev().find(|(bound, _)| bound == name);
                Ok(known.map_or(Type::Any, |(_, of)| of.clone()))
            }
            Expr::Literal(literal) => Ok(match literal {
                LiteralValue::Boolean(_) => Type::Bool,
                LiteralValue::Int(_) | LiteralValue::UInt(_) => Type::Int,
                LiteralValue::Double(_) => Type::Double,
                LiteralValue::String(_) => Type::String,
                LiteralValue::Bytes(_) | LiteralValue::Null => Type::Any,
            }),
            Expr::Select(select) => self.select(select),
            Expr::List(list) => Ok(Type::List(Box::new(self.common(list.elements.iter())?))),
            Expr::Map(map) => {
                let entries = map.entries.iter().filter_map(|entry| match &entry.expr {
                    EntryExpr::MapEntry(entry) => Some(&entry.value),
                    EntryExpr::StructField(_) => None,
                });
                Ok(Type::Map(Box::new(self.common(entries)?)))
            }
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(each) => self.comprehension(each),
            Expr::Struct(_) | Expr::Unspecified => Ok(Type::Any),
        }
    }

    /// The type that all of some values are of.
    fn common<'e>(&mut self, nodes: impl Iterator<Item = &'e IdedExpr>) -> Found<'s> {
        let types = nodes.map(|node| self.expression(node)).collect::<Result<Vec<_>, _>>()?;
        Ok(types.into_iter().reduce(Type::or).unwrap_or(Type::Any))
    }

    fn select(&mut self, select: &SelectExpr) -> Found<'s> {
        let field = select.field.as_str();
        let found = match self.expression(&select.operand)? {
            Type::Object(place) => {
                field_of(place, field).ok_or_else(|| format!("undefined field '{field}'"))?
            }
            Type::Map(value) => *value,
            Type::Any => Type::Any,
            other => return Err(format!("type '{other}' does not support field selection")),
        };
        Ok(if select.test { Type::Bool } else { found })
    }

    fn call(&mut self, call: &CallExpr) -> Found<'s> {
        let target = call.target.as_deref().map(|target| self.expression(target)).transpose()?;
        let args = call.args.iter().map(|arg| self.expression(arg)).collect::<Result<Vec<_>, _>>()?;
        let name = call.func_name.as_str();
        match (target, args.as_slice()) {
            (None, [one, other]) if name.starts_with('_') || name == op::IN => binary(name, one, other),
            (None, [one]) if name == op::LOGICAL_NOT => truth(name, &[one]),
            (None, [one]) if name == op::NEGATE => Ok(one.clone()),
            (None, [condition, one, other]) if name == op::CONDITIONAL => {
                truth(name, &[condition])?;
                Ok(one.clone().or(other.clone()))
            }
            (None, [_]) if name == "size" || name == "int" => Ok(Type::Int),
            (Some(_), []) if name == "size" => Ok(Type::Int),
            (Some(on), args) if ON_STRINGS.contains(&name) && !on.fits(&Type::String) => {
                Err(mismatch(name, &[&on].into_iter().chain(args).collect::<Vec<_>>()))
            }
            (Some(_), [_]) if name == "matches" => pattern(&call.args).map(|()| Type::Bool),
            _ if TRUTHS.contains(&name) => Ok(Type::Bool),
            _ if STRINGS.contains(&name) => Ok(Type::String),
            _ => Ok(Type::Any),
        }
    }

    fn comprehension(&mut self, each: &ComprehensionExpr) -> Found<'s> {
        let (first, second) = match self.expression(&each.iter_range)? {
            Type::List(item) if each.iter_var2.is_some() => (Type::Int, *item),
            Type::List(item) => (*item, Type::Any),
            Type::Map(value) => (Type::String, *value),
            Type::Any | Type::Object(_) => (Type::Any, Type::Any),
            other => {
                return Err(format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                ));
            }
        };
        let begun = match self.expression(&each.accu_init)? {
            list @ Type::List(_) => Type::List(Box::new(match list {
                Type::List(item) if *item != Type::Any => *item,
                _ => Type::Any,
            })),
            Type::Map(_) => Type::Any,
            other => other,
        };
        let before = self.bound.len();
        self.bound.push((each.iter_var.clone(), first));
        self.bound.extend(each.iter_var2.clone().map(|name| (name, second)));
        self.bound.push((each.accu_var.clone(), begun));
        let parts = [&each.loop_cond, &each.loop_step, &each.result];
        let mut found = Ok(Type::Any);
        for part in parts {
            found = found.and_then(|_| self.expression(part));
        }
        self.bound.truncate(before);
        found
    }
}

/// The type of a field of an object, by the name that expressions have for it.
fn field_of<'s>(place: Place<'s>, field: &str) -> Option<Type<'s>> {
    let named = expressions::unescape(field).and_then(|name| place.schema.properties.get(name.as_str()));
    let is_resource = place.is_resource || place.schema.is_embedded;
    match (named, field) {
        (_, "apiVersion" | "kind") if is_resource => Some(Type::String),
        (_, "metadata") if is_resource => Some(Type::Object(Place { schema: &METADATA, is_resource: false })),
        (Some(inner), _) => Some(Type::of(inner, inner.is_embedded)),
        // Of the metadata of objects no more is seen than this.
        (None, "name" | "generateName") if std::ptr::eq(place.schema, &METADATA) => Some(Type::String),
        (None, _) => None,
    }
}

/// Stands for the metadata of objects.
static METADATA: Structural = Structural::bare(Form::Object, false, Rest::None);

fn truth<'s>(name: &str, args: &[&Type<'s>]) -> Found<'s> {
    match args.iter().all(|arg| arg.fits(&Type::Bool)) {
        true => Ok(Type::Bool),
        false => Err(mismatch(name, args)),
    }
}

fn binary<'s>(name: &str, one: &Type<'s>, other: &Type<'s>) -> Found<'s> {
    let no = || Err(mismatch(name, &[one, other]));
    let is_plain = |found: &Type<'_>| !matches!(found, Type::Any);
    match name {
        op::LOGICAL_AND | op::LOGICAL_OR => truth(name, &[one, other]),
        op::EQUALS | op::NOT_EQUALS => {
            if one.fits(other) {
                Ok(Type::Bool)
            } else {
                no()
            }
        }
        op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS => match one {
            Type::List(_) | Type::Map(_) | Type::Object(_) => no(),
            _ if one.fits(other) => Ok(Type::Bool),
            _ => no(),
        },
        op::IN => match other {
            Type::List(item) if !item.fits(one) => no(),
            Type::Map(_) if !one.fits(&Type::String) => no(),
            Type::Bool | Type::Int | Type::Double | Type::String => no(),
            _ => Ok(Type::Bool),
        },
        op::ADD => match (one, other) {
            (Type::List(_), Type::List(_)) => Ok(one.clone().or(other.clone())),
            (Type::Bool | Type::Map(_) | Type::Object(_), _) => no(),
            _ if is_plain(one) && is_plain(other) && !one.fits(other) => no(),
            (Type::Any, _) | (_, Type::Any) => Ok(Type::Any),
            _ => Ok(one.clone().or(other.clone())),
        },
        op::SUBSTRACT | op::MULTIPLY | op::DIVIDE | op::MODULO => {
            let may = |found: &Type<'_>| found.is_number() || *found == Type::Any;
            if may(one) && may(other) { Ok(one.clone().or(other.clone())) } else { no() }
        }
        op::INDEX => match one {
            Type::List(_) if !other.fits(&Type::Int) => no(),
            Type::List(item) | Type::Map(item) => Ok((**item).clone()),
            Type::Bool | Type::Int | Type::Double | Type::String => no(),
            _ => Ok(Type::Any),
        },
        _ => Ok(Type::Any),
    }
}

/// A pattern that is written out is compiled.
fn pattern(args: &[IdedExpr]) -> Result<(), String> {
    let [IdedExpr { expr: Expr::Literal(LiteralValue::String(text)), .. }] = args else { return Ok(()) };
    let made = regex::RegexBuilder::new(text.inner()).size_limit(super::PATTERN[1]).build();
    made.map(drop).map_err(|error| format!("invalid matches argument: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn batch() -> Batch {
        Batch::new(&super::super::VARIABLES)
    }

    fn wrong(rule: &str, more: Value) -> Vec<String> {
        let mut rules = json!([{"rule": rule}]);
        for (field, value) in more.as_object().into_iter().flatten() {
            rules[0][field] = value.clone();
        }
        let schema = json!({"type": "object", "properties": {
            "spec": {"type": "object", "x-kubernetes-validations": rules, "properties": {
                "text": {"type": "string"}, "number": {"type": "integer"}, "half": {"type": "number"}, "is-on": {"type": "boolean"},
                "time": {"type": "string", "format": "date-time"}, "port": {"x-kubernetes-int-or-string": true},
                "list": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
                "map": {"type": "object", "additionalProperties": {"type": "integer"}},
                "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}});
        let errors = Structural::check(&schema, &FieldPath::of("schema"), &mut batch());
        errors.into_iter().map(|error| format!("{}: {}", error.path, error.message())).collect()
    }

    #[test]
    fn rules_that_are_wrong_for_every_object_are_refused() {
        for rule in [
            "self.text == 'a' && self.number < 3 && self.half > 1 && self.is__dash__on",
            "self.list.all(item, item.name.startsWith('a') && item.name in ['a', 'b'])",
            "self.list.map(item, item.name).exists(name, name.size() > self.number)",
            "self.map.all(key, self.map[key] > 1) && 'a' in self.map && has(self.map.a)",
            "self.open.anything.at.all == 1 && self.port == 80 && self.time > timestamp('2026-01-01T00:00:00Z')",
            "!has(self.text) || self.text.matches('^a+$') ? self.number + 1 == 2 : 'a' + self.text == 'ab'",
            "self == oldSelf && self.text.split(',')[0] == 'a' && duration('1s') < duration('2s')",
            "self.list.filter(item, item.name != '').size() == 1 && quantity('1').isGreaterThan(quantity('2'))",
            "self.list.map(item, item.name) == ['a'] && self.text.find('[0-9]+') == '1'",
        ] {
            if batch().tree(rule).is_ok() {
                assert_eq!(wrong(rule, json!({})), Vec::<String>::new(), "{rule}");
            }
        }
        for (rule, why) in [
            ("1", "must evaluate to a bool"),
            ("self.text", "must evaluate to a bool"),
            ("self.none == 1", "undefined field 'none'"),
            ("self.list.all(item, item.none == 1)", "undefined field 'none'"),
            ("self.text == 1", "'_==_' applied to '(string, int)'"),
            ("self.text && true", "'_&&_' applied to '(string, bool)'"),
            ("self.text.matches('(')", "invalid matches argument"),
            ("self.number.startsWith('a')", "'startsWith' applied to '(int, string)'"),
            ("self.text.all(x, true)", "cannot be range of a comprehension"),
            ("self.number.field == 1", "does not support field selection"),
            ("1 in self.map", "'@in' applied to"),
            ("self.text + 1 == 'a'", "'_+_' applied to"),
            ("self.list['a'] == null", "'_[_]' applied to"),
        ] {
            let found = wrong(rule, json!({}));
            assert!(found.len() == 1 && found[0].contains(why), "{rule}: {found:?}");
            assert!(
                found[0].starts_with("schema.properties[spec].x-kubernetes-validations[0].rule: "),
                "{found:?}"
            );
        }
        let found = wrong("true", json!({"messageExpression": "1"}));
        assert!(
            found.len() == 1
                && found[0].contains("messageExpression: Invalid value: \"1\": must evaluate to a string"),
            "{found:?}"
        );
    }

    #[test]
    fn of_metadata_the_name_is_seen() {
        for (rule, is_fine) in [
            ("self.metadata.name == 'a'", true),
            ("self.kind == 'A'", true),
            ("self.metadata.labels == {}", false),
        ] {
            let schema = json!({"type": "object", "x-kubernetes-validations": [{"rule": rule}]});
            let errors = Structural::check(&schema, &FieldPath::of("schema"), &mut batch());
            assert_eq!(errors.is_empty(), is_fine, "{rule}: {errors:?}");
        }
        let mut batch = Batch::new(&["object"]);
        let mut is_wrong = |text: &str| not_a_condition(batch.tree(text).unwrap()).is_some();
        assert!(is_wrong("1") && !is_wrong("object.spec.a == 1"));
    }
}
