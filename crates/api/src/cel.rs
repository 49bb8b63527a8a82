//! Expressions in the Common Expression Language, as Kubernetes evaluates them: compiled once, evaluated over JSON within a
//! bound on their work.
//!
//! Values have no static types here: an expression that kube-apiserver's type checker refuses fails when it is evaluated, and its
//! owner's failure policy applies then, unless the schema of a custom resource already tells the mistake ([`crate::structural`]).

mod authorizer;
mod batch;
mod free;
mod functions;
mod guard;
mod making;
mod meter;
mod patterns;
mod values;

use std::sync::{Arc, LazyLock};

use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use cel::{Context, Env};
use serde_json::Value;

pub use authorizer::{Authorizer, Check, Decision};
pub use batch::Batch;
pub use meter::{BYTES, Meter};
pub use values::{Escapes, convert};
pub(crate) use values::{escape, unescape};

/// Maximum length of an expression, in bytes.
pub const LENGTH: usize = 16 * 1024;
/// Maximum steps of an expression: nodes of its tree, times the length of the list that each loop runs over.
pub const COST: u64 = 10_000_000;
/// Maximum nesting of brackets and of unary operators in an expression.
const DEPTH: u16 = 64;
/// Maximum depth of an expression's tree. Operators and selections in a row nest to the left; all that reads a tree follows
/// it by recursion.
const LEVELS: usize = 200;
/// Size of the stack on which an expression is parsed and its tree is measured, in bytes. A tree that is too deep is
/// dropped there.
const STACK: usize = 128 << 20;

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    // Both declare names that are not in the standard library, so neither can fail.
    let _ = env.add_extension(cel::extensions::strings);
    let _ = env.add_extension(cel::extensions::math);
    Arc::new(env)
});

/// A compiled expression.
pub struct Expression {
    text: String,
    root: IdedExpr,
    nodes: u64,
    loops: u32,
    /// The length of the longest list literal in the expression.
    literal: u64,
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Expression").field("text", &self.text).finish_non_exhaustive()
    }
}

/// The variables and functions that an expression may use.
#[derive(Default)]
pub struct Scope {
    variables: Vec<(String, cel::Value)>,
    longest: u64,
    authorizer: Option<Authorizer>,
    allowance: Option<Meter>,
}

impl std::fmt::Debug for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.variables.iter().map(|(name, _)| name)).finish()
    }
}

impl Scope {
    /// Adds a variable.
    #[must_use]
    pub fn with(self, name: &str, value: &Value) -> Self {
        let (value, longest) = convert(value, Escapes::None);
        self.with_value(name, value, longest)
    }

    /// Adds a converted variable; `longest` is the length of the longest list or map in it.
    #[must_use]
    pub fn with_value(mut self, name: &str, value: cel::Value, longest: u64) -> Self {
        self.longest = self.longest.max(longest);
        self.variables.push((name.to_owned(), value));
        self
    }

    /// Adds `authorizer`, whose checks the given function answers.
    #[must_use]
    pub fn with_authorizer(mut self, authorizer: Authorizer) -> Self {
        self.variables.push(("authorizer".to_owned(), authorizer::root()));
        self.authorizer = Some(authorizer);
        self
    }
}

impl Scope {
    /// Makes several scopes share one meter of bytes.
    #[must_use]
    pub fn within(mut self, allowance: &Meter) -> Self {
        self.allowance = Some(allowance.clone());
        self
    }

    /// The meter of one evaluation.
    fn meter(&self) -> Meter {
        Meter::new(self.allowance.as_ref().map_or(BYTES, |allowance| allowance.left().min(BYTES)))
    }
}

/// The tree of an expression over these variables, and its measure.
fn checked(text: &str, variables: &[&str]) -> Result<(IdedExpr, Measure), String> {
    let (program, measure) = program(text)?;
    let undeclared =
        |name: &str| format!("compilation failed: undeclared reference to '{name}' (in container '')");
    let known =
        |name: &str| variables.contains(&name) || is_type(name) || NAMESPACES.contains(&name) || name == "ip";
    if let Some(unknown) = free::variable(program.expression(), &known) {
        return Err(undeclared(unknown));
    }
    let references = program.references();
    let unknown = references.functions().into_iter().find(|name| !functions::is_known(name));
    match unknown {
        Some(unknown) => Err(undeclared(unknown)),
        None => Ok((program.expression().clone(), measure)),
    }
}

/// Parses an expression, and measures its tree.
fn program(text: &str) -> Result<(cel::Program, Measure), String> {
    if text.len() > LENGTH {
        return Err(format!("must be at most {LENGTH} bytes long"));
    }
    if is_deep(text) {
        return Err(format!("must be nested at most {DEPTH} levels deep"));
    }
    let parse = || {
        let program = ENV.compile(text).map_err(|errors| {
            let first =
                errors.errors.first().map(|error| format!("{}:{}: {}", error.pos.0, error.pos.1, error.msg));
            format!("compilation failed: ERROR: <input>:{}", first.unwrap_or_default())
        })?;
        let mut measure = Measure::default();
        measure.visit(program.expression(), 0, 1);
        if measure.levels > LEVELS {
            return Err(format!("must have at most {LEVELS} operators, selections and calls in a row"));
        }
        Ok((program, measure))
    };
    std::thread::scope(|threads| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(threads, parse);
        let thread = thread.map_err(|error| format!("compilation failed: {error}"))?;
        thread.join().unwrap_or_else(|_| Err("compilation failed: the parser stopped".to_owned()))
    })
}

impl Expression {
    /// Compiles an expression over these variables.
    ///
    /// # Errors
    ///
    /// It cannot be parsed, or names an unknown variable.
    pub fn compile(text: &str, variables: &[&str]) -> Result<Self, String> {
        let (tree, measure) = checked(text, variables)?;
        Ok(Self {
            text: text.to_owned(),
            root: guard::metered(tree, false),
            nodes: measure.nodes,
            loops: measure.loops,
            literal: measure.literal,
        })
    }

    /// The source of the expression.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The maximum number of steps if the longest list or map has this length.
    #[must_use]
    pub fn cost(&self, longest: u64) -> u64 {
        let each = longest.max(self.literal).max(1);
        (0..self.loops).fold(self.nodes, |cost, _| cost.saturating_mul(each))
    }

    /// Evaluates the expression.
    ///
    /// # Errors
    ///
    /// It takes too many steps, reads and creates more than [`BYTES`], or an operation fails.
    pub fn evaluate(&self, scope: &Scope) -> Result<cel::Value, String> {
        if self.cost(scope.longest) > COST {
            return Err(meter::EXCEEDED.to_owned());
        }
        let meter = scope.meter();
        let full = meter.left();
        let mut context = Context::with_env(Arc::clone(&ENV));
        for (name, value) in &scope.variables {
            context.add_variable_from_value(name.as_str(), value.clone());
        }
        functions::add(&mut context);
        making::add(&mut context, &meter);
        patterns::add(&mut context, &meter);
        if let Some(authorizer) = &scope.authorizer {
            authorizer::add(&mut context, authorizer);
        }
        let made = cel::Value::resolve(&self.root, &context);
        if let Some(allowance) = &scope.allowance {
            allowance.take(full - meter.left());
        }
        // The other side of `||` may have absorbed an error.
        if meter.left() == 0 {
            return Err(meter::EXCEEDED.to_owned());
        }
        made.map_err(|error| match error {
            cel::ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
            error => cut(error.to_string()),
        })
    }

    /// Evaluates it as a condition.
    ///
    /// # Errors
    ///
    /// As [`evaluate`](Self::evaluate), or the result is not a boolean.
    pub fn holds(&self, scope: &Scope) -> Result<bool, String> {
        match self.evaluate(scope)? {
            cel::Value::Bool(holds) => Ok(holds),
            _ => Err("must evaluate to bool".to_owned()),
        }
    }
}

/// Namespaces of functions, as in `sets.contains`.
const NAMESPACES: [&str; 7] = ["math", "strings", "sets", "optional", "cel", "base64", "format"];

const MATH: [&str; 20] = [
    "@max",
    "@min",
    "abs",
    "bitAnd",
    "bitNot",
    "bitOr",
    "bitShiftLeft",
    "bitShiftRight",
    "bitXor",
    "ceil",
    "floor",
    "greatest",
    "isFinite",
    "isInf",
    "isNaN",
    "least",
    "round",
    "sign",
    "sqrt",
    "trunc",
];

/// Whether a name after a namespace is that of a function of it. A loop's variable may have the name of a namespace, but
/// these are called even then.
fn is_of(namespace: &str, function: &str) -> bool {
    match namespace {
        "ip" => function == "isCanonical",
        "format" => function == "named" || functions::format::NAMES.contains(&function),
        "sets" => ["contains", "equivalent", "intersects"].contains(&function),
        "strings" => function == "quote",
        "optional" => ["of", "none", "ofNonZeroValue"].contains(&function),
        "math" => MATH.contains(&function),
        _ => false,
    }
}

fn is_type(name: &str) -> bool {
    ["bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "type"].contains(&name)
        || name == "google"
}

/// An error of a library may repeat a whole object.
fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(300) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

/// Whether brackets or unary operators are nested more deeply than a recursive parser should follow.
fn is_deep(text: &str) -> bool {
    let (mut depth, mut unary, mut chain) = (0_u16, 0_u16, 0_u32);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        unary = if matches!(byte, b'!' | b'-') { unary + 1 } else { 0 };
        // The stack of the parser is large, and not endless.
        chain +=
            u32::from(matches!(byte, b'.' | b'?' | b'+' | b'-' | b'*' | b'/' | b'%' | b'=' | b'<' | b'>'));
        if depth > DEPTH || unary > DEPTH || chain > 2000 {
            return true;
        }
    }
    false
}

#[derive(Default)]
struct Measure {
    nodes: u64,
    levels: usize,
    loops: u32,
    literal: u64,
}

impl Measure {
    fn visit(&mut self, node: &IdedExpr, loops: u32, level: usize) {
        self.nodes += 1;
        self.levels = self.levels.max(level);
        self.loops = self.loops.max(loops);
        match &node.expr {
            Expr::Call(call) => call
                .target
                .iter()
                .map(AsRef::as_ref)
                .chain(&call.args)
                .for_each(|part| self.visit(part, loops, level + 1)),
            Expr::Comprehension(each) => {
                self.visit(&each.iter_range, loops, level + 1);
                self.visit(&each.accu_init, loops, level + 1);
                for part in [&each.loop_cond, &each.loop_step, &each.result] {
                    self.visit(part, loops + 1, level + 1);
                }
            }
            Expr::List(list) => {
                self.literal = self.literal.max(list.elements.len() as u64);
                list.elements.iter().for_each(|part| self.visit(part, loops, level + 1));
            }
            Expr::Map(map) => self.entries(&map.entries, loops, level + 1),
            Expr::Struct(whole) => self.entries(&whole.entries, loops, level + 1),
            Expr::Select(select) => self.visit(&select.operand, loops, level + 1),
            Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
        }
    }

    fn entries(&mut self, entries: &[cel::common::ast::IdedEntryExpr], loops: u32, level: usize) {
        self.literal = self.literal.max(entries.len() as u64);
        for entry in entries {
            match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.visit(&entry.key, loops, level);
                    self.visit(&entry.value, loops, level);
                }
                EntryExpr::StructField(field) => self.visit(&field.value, loops, level),
            }
        }
    }
}

#[cfg(test)]
mod tests;
