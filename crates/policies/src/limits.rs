//! The API server's limits on a policy, counted before anything is printed: a policy that exceeds a limit is refused
//! when it is written or, worse, denies every pod.
//!
//! Figures: reference/cluster.md 6, measured on Kubernetes 1.36.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

/// Maximum number of code points in an expression (`cel-go` `parser`).
const CODE_POINTS: usize = 100_000;
/// Maximum nesting of an expression (`cel-go` `parser`).
const DEPTH: usize = 250;
/// Maximum size of an object, in bytes of JSON: etcd accepts no request above 1.5 MB, and managed fields are added.
const BYTES: usize = 1_000_000;
/// Maximum number of authorizer checks within the budget of one expression: each costs 350,000, of 1,000,000.
const CHECKS_AN_EXPRESSION: usize = 2;
/// Maximum number of checks within the budget of a mutation, or of all of a validating policy, of 10,000,000.
const CHECKS: usize = 28;
/// Maximum number of audit annotations of a policy, and of bytes in the expression of one (`k8s.io/apiserver`, validation of
/// admissionregistration).
pub(crate) const AUDITED: usize = 20;
const AUDITED_BYTES: usize = 5 << 10;

/// An exceeded limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} has {count} {unit}, and the API server takes at most {limit}")]
pub struct Breach {
    /// The part and its object.
    pub what: String,
    /// The actual number.
    pub count: usize,
    /// The counted unit.
    pub unit: &'static str,
    /// The maximum.
    pub limit: usize,
}

/// The first limit that an object exceeds.
pub(crate) fn check(object: &Value) -> Result<(), Breach> {
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    at_most(kind, object.to_string().len(), "bytes", BYTES)?;
    let spec = object.get("spec").unwrap_or(&Value::Null);
    let variables: HashMap<&str, &str> = list(spec, "variables").filter_map(named).collect();
    for (name, expression) in &variables {
        expression_fits(&format!("variable {name} of {kind}"), expression)?;
    }
    for condition in texts(spec, "matchConditions", "/expression") {
        expression_fits(&format!("a match condition of {kind}"), condition)?;
    }
    for mutation in texts(spec, "mutations", "/jsonPatch/expression") {
        expression_fits(&format!("a mutation of {kind}"), mutation)?;
        let checks = reachable_checks(&variables, &[mutation]);
        at_most(&format!("a mutation of {kind}"), checks, "checks of the authorizer", CHECKS)?;
    }
    let validations: Vec<&str> = texts(spec, "validations", "/expression").collect();
    for validation in &validations {
        expression_fits(&format!("a validation of {kind}"), validation)?;
    }
    let checks = reachable_checks(&variables, &validations);
    at_most(&format!("the validations of {kind}"), checks, "checks of the authorizer", CHECKS)?;
    reports_fit(kind, spec, &variables)
}

/// Messages and audit annotations: the API server denies a request if the expression of one calls the authorizer.
fn reports_fit(kind: &str, spec: &Value, variables: &HashMap<&str, &str>) -> Result<(), Breach> {
    let audited: Vec<&str> = texts(spec, "auditAnnotations", "/valueExpression").collect();
    at_most(kind, audited.len(), "audit annotations", AUDITED)?;
    for expression in &audited {
        at_most(&format!("an audit annotation of {kind}"), expression.len(), "bytes", AUDITED_BYTES)?;
    }
    let reports: Vec<&str> =
        texts(spec, "validations", "/messageExpression").chain(audited.iter().copied()).collect();
    let what = format!("a message or an audit annotation of {kind}");
    for expression in &reports {
        expression_fits(&what, expression)?;
    }
    at_most(&what, reachable_checks(variables, &reports), "checks of the authorizer", 0)
}

/// One text of each item of a list.
fn texts<'x>(spec: &'x Value, field: &str, pointer: &'static str) -> impl Iterator<Item = &'x str> {
    list(spec, field).filter_map(move |item| item.pointer(pointer)?.as_str())
}

fn list<'x>(spec: &'x Value, field: &str) -> impl Iterator<Item = &'x Value> {
    spec.get(field).and_then(Value::as_array).into_iter().flatten()
}

fn named(variable: &Value) -> Option<(&str, &str)> {
    Some((variable.get("name")?.as_str()?, variable.get("expression")?.as_str()?))
}

/// An exceeded limit, if there is one.
pub(crate) fn at_most(what: &str, count: usize, unit: &'static str, limit: usize) -> Result<(), Breach> {
    if count <= limit { Ok(()) } else { Err(Breach { what: what.to_owned(), count, unit, limit }) }
}

fn expression_fits(what: &str, expression: &str) -> Result<(), Breach> {
    at_most(what, expression.chars().count(), "code points", CODE_POINTS)?;
    at_most(what, depth(expression), "levels", DEPTH)?;
    at_most(
        what,
        code(expression).matches(".check(").count(),
        "checks of the authorizer",
        CHECKS_AN_EXPRESSION,
    )
}

/// The maximum number of checks by these expressions with all variables that they use, each of which is evaluated once.
fn reachable_checks(variables: &HashMap<&str, &str>, expressions: &[&str]) -> usize {
    reach(variables, expressions).1
}

/// The names of the variables that these expressions use, themselves or by others.
pub(crate) fn used(variables: &HashMap<&str, &str>, expressions: &[&str]) -> HashSet<String> {
    reach(variables, expressions).0
}

fn reach(variables: &HashMap<&str, &str>, expressions: &[&str]) -> (HashSet<String>, usize) {
    let mut seen: HashSet<String> = HashSet::new();
    let mut open: Vec<String> = expressions.iter().map(|expression| code(expression)).collect();
    let mut checks = 0;
    while let Some(expression) = open.pop() {
        checks += expression.matches(".check(").count();
        for part in expression.split("variables.").skip(1) {
            let name: String =
                part.chars().take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect();
            if !seen.contains(&name) {
                open.extend(variables.get(name.as_str()).map(|expression| code(expression)));
                seen.insert(name);
            }
        }
    }
    (seen, checks)
}

/// The expression without the content of its strings and comments.
fn code(expression: &str) -> String {
    let mut code = String::with_capacity(expression.len());
    let mut letters = expression.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' => {
                let is_raw = code.ends_with('r');
                while let Some(inner) = letters.next() {
                    match inner {
                        '\'' => break,
                        '\\' if !is_raw => drop(letters.next()),
                        _ => {}
                    }
                }
                code.push('"');
            }
            '/' if letters.peek() == Some(&'/') => {
                while letters.next_if(|letter| *letter != '\n').is_some() {}
            }
            other => code.push(other),
        }
    }
    code
}

/// The nesting of an expression: brackets, and conditions in the `otherwise` of others.
fn depth(expression: &str) -> usize {
    let mut levels = vec![0_usize];
    let mut deepest = 0;
    let code = code(expression);
    let mut letters = code.chars().peekable();
    let mut before = ' ';
    while let Some(letter) = letters.next() {
        match letter {
            '(' | '[' | '{' => levels.push(1),
            ')' | ']' | '}' => drop(levels.pop()),
            // A list's next element, or a function's next argument: conditions before it have ended.
            ',' => {
                let in_bracket = usize::from(levels.len() > 1);
                levels.last_mut().into_iter().for_each(|level| *level = in_bracket);
            }
            // Optional fields, indices and entries have a question mark of their own.
            '?' if before == ' ' || before == '\n' => {
                let is_entry = letters.peek().is_some_and(|next| *next == '"');
                levels.last_mut().into_iter().filter(|_| !is_entry).for_each(|level| *level += 1);
            }
            _ => {}
        }
        deepest = deepest.max(levels.iter().sum());
        before = letter;
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn depth_counts_brackets_and_chains() {
        for (expression, expected) in [
            ("a", 0),
            ("f(g(a))", 2),
            ("a ? b : c ? d : e", 2),
            ("a.?b[?'c'].orValue({})", 2),
            ("{?'a': b ? c : d}", 2),
            ("[a ? b : c, a ? b : c, d]", 2),
            ("'((((' + r'\\(('", 0),
            ("a // ((((\n+ b", 0),
        ] {
            assert_eq!(depth(expression), expected, "{expression}");
        }
    }

    #[test]
    fn checks_are_counted_where_they_are_reached() {
        let policy = |validation: &str| {
            json!({"kind": "P", "spec": {"variables": [
                {"name": "one", "expression": "authorizer.check('use').allowed()"},
                {"name": "two", "expression": "variables.one && authorizer.check('use').allowed()"},
                {"name": "three", "expression": "'.check( variables.one'"},
            ], "validations": [{"expression": validation}]}})
        };
        let variables: HashMap<&str, &str> =
            [("one", "a.check('use')"), ("two", "variables.one && b.check('use')")].into();
        assert_eq!(reachable_checks(&variables, &["variables.two && variables.one"]), 2);
        assert_eq!(reachable_checks(&variables, &["'variables.two'"]), 0);
        assert_eq!(check(&policy("variables.two && variables.three")), Ok(()));
        let thrice = "a.check('x') && b.check('x') && c.check('x')";
        assert_eq!(check(&policy(thrice)).unwrap_err().count, 3);
    }

    #[test]
    fn every_expression_of_a_policy_is_counted() {
        let deep = format!("{}1{}", "(".repeat(251), ")".repeat(251));
        let audited =
            |expression: &str| json!({"auditAnnotations": [{"key": "k", "valueExpression": expression}]});
        let said = |expression: &str| json!({"validations": [{"expression": "true", "messageExpression": expression}]});
        let matched =
            |expression: &str| json!({"matchConditions": [{"name": "n", "expression": expression}]});
        let checked = "a.check('use') ? 'a' : 'b'";
        let by_variable = "variables.one ? 'a' : 'b'";
        let of_many = vec![json!({"key": "k", "valueExpression": "'a'"}); 21];
        for (spec, unit, count) in [
            (matched(&deep), "levels", 251),
            (matched("a.check('x') && b.check('x') && c.check('x')"), "checks of the authorizer", 3),
            (said(&deep), "levels", 251),
            (said(&"1".repeat(100_001)), "code points", 100_001),
            (said(checked), "checks of the authorizer", 1),
            (said(by_variable), "checks of the authorizer", 1),
            (audited(&deep), "levels", 251),
            (audited(&"1".repeat(5_121)), "bytes", 5_121),
            (audited(checked), "checks of the authorizer", 1),
            (audited(by_variable), "checks of the authorizer", 1),
            (json!({"auditAnnotations": of_many}), "audit annotations", 21),
        ] {
            let mut object = json!({"kind": "P", "spec": spec});
            object["spec"]["variables"] = json!([{"name": "one", "expression": "a.check('use')"}]);
            let breach = check(&object).unwrap_err();
            assert_eq!((breach.unit, breach.count), (unit, count), "{breach}");
        }
        for spec in [matched("true"), said("'a'"), audited("'a'")] {
            assert_eq!(check(&json!({"kind": "P", "spec": spec})), Ok(()));
        }
    }
}
