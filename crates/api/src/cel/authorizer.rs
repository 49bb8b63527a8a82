//! `authorizer`: checks in an expression of what the requester may do.

use std::collections::HashMap;
use std::sync::Arc;

use cel::extractors::This;
use cel::objects::{Key, Map};
use cel::{Context, ExecutionError, Value};

/// An action that an expression checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// Verb, as in RBAC rules.
    pub verb: String,
    /// API group of the resource.
    pub group: String,
    /// Plural name; empty for a path.
    pub resource: String,
    /// Subresource, if any.
    pub subresource: String,
    /// Namespace; empty for all.
    pub namespace: String,
    /// Name; empty for all.
    pub name: String,
    /// The URL path of a request outside of resources, such as `/healthz`.
    pub path: String,
    /// Namespace and name of the service account to check instead of the requester.
    pub account: Option<(String, String)>,
}

/// The answer to a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it is allowed.
    pub allowed: bool,
    /// The reason.
    pub reason: String,
}

/// A function that answers checks.
#[derive(Clone)]
pub struct Authorizer(Arc<dyn Fn(&Check) -> Decision + Send + Sync>);

impl Authorizer {
    /// Creates it from a function.
    pub fn new(decide: impl Fn(&Check) -> Decision + Send + Sync + 'static) -> Self {
        Self(Arc::new(decide))
    }
}

impl std::fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authorizer")
    }
}

/// Key that does not occur in JSON, which marks checks and decisions among objects.
const MARK: Key = Key::Int(0);

pub(super) fn root() -> Value {
    let mark = HashMap::from([(MARK, Value::Bool(true))]);
    Value::Map(Map { map: Arc::new(mark) })
}

fn fields(this: &Value, function: &str) -> Result<HashMap<Key, Value>, ExecutionError> {
    match this {
        Value::Map(map) if map.map.contains_key(&MARK) => Ok(map.map.as_ref().clone()),
        _ => Err(ExecutionError::function_error(function, "no such overload")),
    }
}

fn of(fields: HashMap<Key, Value>) -> Value {
    Value::Map(Map { map: Arc::new(fields) })
}

fn text(fields: &HashMap<Key, Value>, name: &str) -> String {
    match fields.get(&Key::from(name)) {
        Some(Value::String(text)) => text.as_str().to_owned(),
        _ => String::new(),
    }
}

fn check(fields: &HashMap<Key, Value>, verb: &str) -> Check {
    let account = text(fields, "serviceAccount");
    Check {
        verb: verb.to_owned(),
        group: text(fields, "group"),
        resource: text(fields, "resource"),
        subresource: text(fields, "subresource"),
        namespace: text(fields, "namespace"),
        name: text(fields, "name"),
        path: text(fields, "path"),
        account: account.split_once('/').map(|(namespace, name)| (namespace.to_owned(), name.to_owned())),
    }
}

/// Adds the functions of an authorizer.
pub(super) fn add(context: &mut Context<'_, '_>, authorizer: &Authorizer) {
    for name in ["group", "resource", "subresource", "namespace", "name", "path"] {
        let set = move |This(this): This<Value>, value: Arc<String>| -> Result<Value, ExecutionError> {
            let mut fields = fields(&this, name)?;
            fields.insert(Key::from(name), Value::String(value));
            Ok(of(fields))
        };
        let _ = context.add_function(name, set);
    }
    let account = |This(this): This<Value>,
                   namespace: Arc<String>,
                   name: Arc<String>|
     -> Result<Value, ExecutionError> {
        let mut fields = fields(&this, "serviceAccount")?;
        fields.insert(Key::from("serviceAccount"), Value::from(format!("{namespace}/{name}")));
        Ok(of(fields))
    };
    let _ = context.add_function("serviceAccount", account);
    let decide = authorizer.clone();
    let decide = move |This(this): This<Value>, verb: Arc<String>| -> Result<Value, ExecutionError> {
        let decision = decide.0(&check(&fields(&this, "check")?, &verb));
        Ok(of(HashMap::from([
            (MARK, Value::Bool(true)),
            (Key::from("allowed"), Value::Bool(decision.allowed)),
            (Key::from("reason"), Value::from(decision.reason)),
            (Key::from("errored"), Value::Bool(false)),
            (Key::from("error"), Value::from(String::new())),
        ])))
    };
    let _ = context.add_function("check", decide);
    for name in ["allowed", "reason", "errored", "error"] {
        let get = move |This(this): This<Value>| -> Result<Value, ExecutionError> {
            Ok(fields(&this, name)?.get(&Key::from(name)).cloned().unwrap_or(Value::Null))
        };
        let _ = context.add_function(name, get);
    }
}
