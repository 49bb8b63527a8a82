//! Parsing of an OpenAPI v3 schema as a structural one, and the errors that prevent it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use palisade_k8s::{FieldError, FieldPath};
use serde_json::{Map, Value};

use super::pattern::Pattern;
use super::rules::Rule;
use super::{Batch, Bound, Checks, DEPTH, Form, List, NODES, Rest, Structural};

/// Keywords that a structural schema may not have.
const FORBIDDEN: [&str; 6] =
    ["$ref", "definitions", "dependencies", "patternProperties", "additionalItems", "id"];
/// Keywords that a branch of `allOf`, `anyOf`, `oneOf` or `not` may not have.
const TYPED: [&str; 11] = [
    "type",
    "description",
    "title",
    "default",
    "nullable",
    "additionalProperties",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-int-or-string",
];

/// The context of a schema.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    /// It specifies the type of a value.
    Value,
    /// It only validates a value.
    Branch,
    /// As an item of the pattern that `x-kubernetes-int-or-string` requires.
    IntOrString,
}

/// Parses one schema.
pub(super) struct Reader<'b> {
    pub(super) errors: Vec<FieldError>,
    /// The expressions of the definition where errors are reported; a stored schema has none.
    checks: Option<&'b mut Batch>,
    nodes: usize,
    /// The patterns so far, each once.
    patterns: HashMap<String, Arc<Pattern>>,
    /// Memory that further patterns may take, in bytes.
    left: usize,
}

impl<'b> Reader<'b> {
    pub(super) fn new(checks: Option<&'b mut Batch>) -> Self {
        Self { errors: Vec::new(), checks, nodes: 0, patterns: HashMap::new(), left: super::PATTERNS }
    }

    pub(super) fn read(&mut self, schema: &Value) -> Structural {
        self.node(schema, Place::Root, &FieldPath::root(), 0)
    }

    fn say(&mut self, error: impl FnOnce() -> FieldError) {
        if self.checks.is_some() && self.errors.len() < super::findings::MOST {
            self.errors.push(error());
        }
    }

    fn node(&mut self, schema: &Value, place: Place, path: &FieldPath, depth: usize) -> Structural {
        self.nodes += 1;
        if depth > DEPTH || self.nodes > NODES {
            if self.nodes <= NODES + 1 {
                let why = format!("must have at most {NODES} schemas, nested {DEPTH} deep");
                self.say(|| FieldError::forbidden(path.clone(), why));
            }
            return Structural::default();
        }
        let nothing = Map::new();
        let fields = schema.as_object().unwrap_or(&nothing);
        let is = |name: &str| fields.get(name) == Some(&Value::Bool(true));
        let mut node = Structural {
            form: form(fields),
            is_nullable: is("nullable"),
            preserves: is("x-kubernetes-preserve-unknown-fields"),
            is_embedded: is("x-kubernetes-embedded-resource"),
            default: fields.get("default").filter(|_| place != Place::Root).cloned().map(Box::new),
            is_atomic: fields.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic"),
            ..Structural::default()
        };
        self.below(&mut node, fields, place, path, depth);
        if let Some(other) = fields.get("x-kubernetes-map-type").and_then(Value::as_str)
            && !matches!(other, "atomic" | "granular")
        {
            let path = path.clone().name("x-kubernetes-map-type");
            self.say(|| FieldError::not_supported(path, other, &["atomic", "granular"]));
        }
        node.list = self.list(&node, fields, path);
        node.checks = self.checks_of(fields, place, path, depth, node.form).map(Box::new);
        node.rules = self.rules(fields, path);
        let mut below = node.properties.values().chain(node.items.as_deref()).chain(node.each());
        node.has_rules = !node.rules.is_empty() || below.any(|inner| inner.has_rules);
        if self.checks.is_some() {
            self.structure(&node, fields, place, path);
        }
        node
    }

    /// Properties and items.
    fn below(
        &mut self,
        node: &mut Structural,
        fields: &Map<String, Value>,
        place: Place,
        path: &FieldPath,
        depth: usize,
    ) {
        let inner = match place {
            Place::Root | Place::Value => Place::Value,
            Place::Branch | Place::IntOrString => Place::Branch,
        };
        let mut properties = BTreeMap::new();
        for (name, schema) in fields.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let path = path.clone().name("properties").key(name);
            // The fields of every object have types of their own.
            let is_head = place == Place::Root && matches!(name.as_str(), "apiVersion" | "kind" | "metadata");
            let property = self.node(schema, if is_head { Place::Branch } else { inner }, &path, depth + 1);
            if !is_head {
                properties.insert(name.as_str().into(), property);
            }
        }
        node.properties = properties;
        node.rest = match fields.get("additionalProperties") {
            Some(schema @ Value::Object(_)) => {
                let path = path.clone().name("additionalProperties");
                Rest::Each(Box::new(self.node(schema, inner, &path, depth + 1)))
            }
            Some(Value::Bool(true)) => Rest::Any,
            _ => Rest::None,
        };
        node.items = fields.get("items").filter(|items| items.is_object()).map(|items| {
            let path = path.clone().name("items");
            Box::new(self.node(items, inner, &path, depth + 1))
        });
    }

    /// Merge of a list.
    fn list(&mut self, node: &Structural, fields: &Map<String, Value>, path: &FieldPath) -> List {
        let at = path;
        let path = || path.clone().name("x-kubernetes-list-type");
        let kind = fields.get("x-kubernetes-list-type").and_then(Value::as_str);
        if kind != Some("map") && fields.get("x-kubernetes-list-map-keys").is_some_and(|keys| !keys.is_null())
        {
            self.say(|| {
                FieldError::required(path(), "must be map if x-kubernetes-list-map-keys is non-empty")
            });
        }
        let is_nullable = node.items.as_ref().is_some_and(|items| items.is_nullable);
        if matches!(kind, Some("set" | "map")) && is_nullable {
            let why = "cannot be nullable when x-kubernetes-list-type is set or map";
            self.say(|| FieldError::forbidden(at.clone().name("items").name("nullable"), why));
        }
        match kind {
            None | Some("atomic") => List::Atomic,
            Some("set") => List::Set,
            Some("map") => {
                let keys = fields.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
                let keys: Vec<String> =
                    keys.into_iter().flatten().filter_map(|key| key.as_str().map(str::to_owned)).collect();
                if keys.is_empty() {
                    self.say(|| FieldError::required(path(), "x-kubernetes-list-map-keys must not be empty"));
                }
                let mut seen = std::collections::HashSet::new();
                for key in &keys {
                    if !seen.insert(key) {
                        self.say(|| FieldError::invalid(path(), key.as_str(), "must not be there twice"));
                    }
                    let known = node.items.as_ref().and_then(|item| item.properties.get(key.as_str()));
                    if !known.is_some_and(Structural::is_scalar) {
                        let why = format!("the key {key:?} must be a property of a scalar type of the items");
                        self.say(|| FieldError::invalid(path(), "map", why));
                    }
                    let wanted =
                        fields.get("items").and_then(|items| items.get("required")).and_then(Value::as_array);
                    let is_wanted = wanted.into_iter().flatten().any(|name| name.as_str() == Some(key));
                    if !is_wanted && known.is_some_and(|known| known.default.is_none()) {
                        let field =
                            at.clone().name("items").name("properties").key(key.as_str()).name("default");
                        let why = "a property that tells elements apart must be required, or have a default";
                        self.say(|| FieldError::required(field, why));
                    }
                }
                List::Map(keys)
            }
            Some(other) => {
                let error = || FieldError::not_supported(path(), other, &["atomic", "set", "map"]);
                self.say(error);
                List::Atomic
            }
        }
    }

    fn checks_of(
        &mut self,
        fields: &Map<String, Value>,
        place: Place,
        path: &FieldPath,
        depth: usize,
        form: Form,
    ) -> Option<Checks> {
        let number = |name: &str| fields.get(name).and_then(Value::as_f64);
        let count = |name: &str| number(name).map(|number| number.max(0.0) as u64);
        let bound = |name: &str, exclusive: &str| {
            let is_exclusive = fields.get(exclusive) == Some(&Value::Bool(true));
            number(name).map(|value| Bound { value, is_exclusive })
        };
        let text = |name: &str| fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let list = |name: &str| fields.get(name).and_then(Value::as_array).into_iter().flatten();
        let pattern = text("pattern").map(|text| self.pattern(text, path));
        // An int-or-string may have its own `anyOf`.
        let branch = if form == Form::IntOrString { Place::IntOrString } else { Place::Branch };
        let mut branches = |name: &'static str| -> Vec<Structural> {
            let path = path.clone().name(name);
            list(name)
                .enumerate()
                .map(|(at, schema)| self.node(schema, branch, &path.clone().index(at), depth + 1))
                .collect()
        };
        let (all, any, one) = (branches("allOf"), branches("anyOf"), branches("oneOf"));
        let not = fields.get("not").filter(|not| not.is_object());
        let not =
            not.map(|not| Box::new(self.node(not, Place::Branch, &path.clone().name("not"), depth + 1)));
        let required = list("required")
            .filter_map(Value::as_str)
            .filter(|name| place != Place::Root || !matches!(*name, "apiVersion" | "kind" | "metadata"));
        let checks = Checks {
            format: text("format").unwrap_or_default().to_owned(),
            pattern,
            lengths: [count("minLength"), count("maxLength")],
            items: [count("minItems"), count("maxItems")],
            properties: [count("minProperties"), count("maxProperties")],
            bounds: [bound("minimum", "exclusiveMinimum"), bound("maximum", "exclusiveMaximum")],
            multiple_of: number("multipleOf"),
            required: required.map(Into::into).collect(),
            values: list("enum").cloned().collect(),
            all,
            any,
            one,
            not,
        };
        checks.says_something().then_some(checks)
    }

    /// A pattern, which all schemas that have it share.
    fn pattern(&mut self, text: &str, path: &FieldPath) -> Arc<Pattern> {
        if let Some(known) = self.patterns.get(text) {
            return Arc::clone(known);
        }
        let pattern = Arc::new(Pattern::new(text));
        self.patterns.insert(text.to_owned(), Arc::clone(&pattern));
        if self.checks.is_some()
            && let Some(why) = pattern.broken(&mut self.left)
        {
            self.say(|| FieldError::invalid(path.clone().name("pattern"), text, why));
        }
        pattern
    }

    fn rules(&mut self, fields: &Map<String, Value>, path: &FieldPath) -> Vec<Rule> {
        let rules = fields.get("x-kubernetes-validations").and_then(Value::as_array);
        let path = path.clone().name("x-kubernetes-validations");
        let mut found = Vec::new();
        for (at, rule) in rules.into_iter().flatten().enumerate() {
            let rule = Rule::read(rule);
            let broken = self.checks.as_deref_mut().map(|batch| rule.broken(batch));
            for (field, why) in broken.into_iter().flatten() {
                let path = path.clone().index(at).name(field);
                self.say(|| FieldError::invalid(path, rule.text(), why));
            }
            found.push(rule);
        }
        found
    }

    /// Checks that the schema is structural: each value has one type, specified outside of `allOf`, `anyOf`, `oneOf`
    /// and `not`.
    fn structure(&mut self, node: &Structural, fields: &Map<String, Value>, place: Place, path: &FieldPath) {
        for name in FORBIDDEN {
            if fields.get(name).is_some_and(|value| !value.is_null()) {
                self.say(|| FieldError::forbidden(path.clone().name(name), "must not be used"));
            }
        }
        if fields.get("uniqueItems") == Some(&Value::Bool(true)) {
            let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            self.say(|| FieldError::forbidden(path.clone().name("uniqueItems"), why));
        }
        let written = fields.get("type").and_then(Value::as_str).unwrap_or_default();
        match place {
            Place::Branch | Place::IntOrString => {
                for name in TYPED {
                    let is_own = place == Place::IntOrString && name == "type";
                    if fields.get(name).is_some_and(|value| !value.is_null()) && !is_own && !is_head(path) {
                        let why = "must be undefined to be structural";
                        self.say(|| FieldError::forbidden(path.clone().name(name), why));
                    }
                }
            }
            Place::Root if fields.get("nullable") == Some(&Value::Bool(true)) => {
                self.say(|| {
                    FieldError::forbidden(path.clone().name("nullable"), "must not be true at the root")
                });
            }
            Place::Root if written != "object" => {
                let path = path.clone().name("type");
                self.say(|| match written {
                    "" => FieldError::required(path, "must not be empty at the root"),
                    written => FieldError::invalid(path, written, "must be object at the root"),
                });
            }
            Place::Root | Place::Value => self.typed(node, written, path),
        }
        if place == Place::Root {
            self.head(fields, path);
        }
        if !node.properties.is_empty() && !matches!(node.rest, Rest::None) {
            let why = "additionalProperties and properties are mutual exclusive";
            self.say(|| FieldError::forbidden(path.clone().name("additionalProperties"), why));
        }
        if matches!(place, Place::Root | Place::Value)
            && let Some(checks) = &node.checks
        {
            self.complete(node, checks, path);
        }
    }

    /// Checks the schemas of `apiVersion`, `kind` and `metadata`: their types are given, and of the metadata it may
    /// restrict `name` and `generateName` alone.
    fn head(&mut self, fields: &Map<String, Value>, path: &FieldPath) {
        let property = |name: &str| fields.get("properties").and_then(|properties| properties.get(name));
        for name in ["apiVersion", "kind"] {
            let kind = property(name).and_then(|schema| schema.get("type")).and_then(Value::as_str);
            if let Some(kind) = kind.filter(|kind| *kind != "string") {
                let path = path.clone().name("properties").key(name).name("type");
                self.say(|| FieldError::invalid(path, kind, "must be string"));
            }
        }
        let inner =
            property("metadata").and_then(|schema| schema.get("properties")).and_then(Value::as_object);
        if inner
            .is_some_and(|inner| inner.keys().any(|name| !matches!(name.as_str(), "name" | "generateName")))
        {
            let path = path.clone().name("properties").key("metadata");
            let why = "must not specify anything other than name and generateName, but metadata is implicitly specified";
            self.say(|| FieldError::forbidden(path, why));
        }
        if fields.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
            let path = path.clone().name("x-kubernetes-preserve-unknown-fields");
            self.say(|| FieldError::invalid(path, false, "must be true or undefined"));
        }
    }

    fn typed(&mut self, node: &Structural, written: &str, path: &FieldPath) {
        let types = ["array", "boolean", "integer", "number", "object", "string"];
        let path_of_type = || path.clone().name("type");
        if written.is_empty() {
            if node.form != Form::IntOrString && !node.preserves {
                let why = "must not be empty for specified object fields";
                self.say(|| FieldError::required(path_of_type(), why));
            }
        } else if !types.contains(&written) {
            self.say(|| FieldError::not_supported(path_of_type(), written, &types));
        }
        if node.form == Form::Array && node.items.is_none() {
            self.say(|| FieldError::required(path.clone().name("items"), "must be specified"));
        }
        if node.is_embedded && !node.preserves && node.properties.is_empty() {
            let why = "must not be empty if x-kubernetes-embedded-resource is true";
            self.say(|| FieldError::required(path.clone().name("properties"), why));
        }
        if let List::Set | List::Map(_) = &node.list
            && node.form != Form::Array
        {
            let why = "must be array if x-kubernetes-list-type is specified";
            self.say(|| FieldError::invalid(path_of_type(), written, why));
        }
        if node.is_embedded && node.form != Form::Object {
            let why = "must be object if x-kubernetes-embedded-resource is true";
            self.say(|| FieldError::invalid(path_of_type(), written, why));
        }
    }

    /// Checks that fields in `allOf`, `anyOf`, `oneOf` and `not` are specified outside of them too.
    fn complete(&mut self, node: &Structural, checks: &Checks, path: &FieldPath) {
        let branches = checks.all.iter().chain(&checks.any).chain(&checks.one).chain(checks.not.as_deref());
        for branch in branches {
            for (name, inner) in &branch.properties {
                match node.properties.get(name).or(node.each()) {
                    None if node.preserves || matches!(node.rest, Rest::Any) => {}
                    None => {
                        let path = path.clone().name("properties").key(&**name);
                        let why = "because it is defined in a branch that only judges";
                        self.say(|| FieldError::required(path, why));
                    }
                    Some(known) => {
                        if let Some(checks) = &inner.checks {
                            self.complete(known, checks, &path.clone().name("properties").key(&**name));
                        }
                    }
                }
            }
        }
    }
}

/// Whether a path leads to `apiVersion`, `kind` or `metadata`, whose types a schema may specify.
fn is_head(path: &FieldPath) -> bool {
    let path = path.to_string();
    ["apiVersion", "kind", "metadata"].iter().any(|name| path.starts_with(&format!("properties[{name}]")))
}

fn form(fields: &Map<String, Value>) -> Form {
    if fields.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        return Form::IntOrString;
    }
    match fields.get("type").and_then(Value::as_str).unwrap_or_default() {
        "object" => Form::Object,
        "array" => Form::Array,
        "string" => Form::String,
        "integer" => Form::Integer,
        "number" => Form::Number,
        "boolean" => Form::Boolean,
        _ => Form::Any,
    }
}

impl Checks {
    fn says_something(&self) -> bool {
        let counts = [self.lengths, self.items, self.properties];
        !self.format.is_empty()
            || self.pattern.is_some()
            || counts.iter().flatten().any(Option::is_some)
            || self.bounds.iter().any(Option::is_some)
            || self.multiple_of.is_some()
            || self.not.is_some()
            || !(self.required.is_empty() && self.values.is_empty())
            || !(self.all.is_empty() && self.any.is_empty() && self.one.is_empty())
    }
}
