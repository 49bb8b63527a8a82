//! Evaluation of expressions that the `cel` crate has parsed. The crate's own interpreter lacks the lazy variables, the
//! authorizer, the comprehensions of two variables and the cost limits of Kubernetes; these are what admission policies
//! stand on, so expressions are walked here.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};

use super::functions;
use super::value::Cel;

/// The cost of one authorizer check (`apiserver/pkg/cel/library/cost.go` of Kubernetes).
const CHECK_COST: u64 = 350_000;
/// The cost limit of one expression (`PerCallLimit`).
pub(crate) const CALL_LIMIT: u64 = 1_000_000;
/// The cost limit of a mutation, or of all of a validating policy (`RuntimeCELCostBudget`).
pub(crate) const BUDGET: u64 = 10_000_000;

pub(crate) type Answer = Result<Cel, String>;

/// The authorizer: a user, or a service account, `use` of an SCC by name.
pub(crate) type Authorizer<'x> = dyn Fn(&super::value::Check) -> bool + 'x;

/// One evaluation: of a mutation, or of all validations of a policy. Variables are evaluated when they are first used.
pub(crate) struct Scope<'x> {
    pub(crate) roots: HashMap<&'static str, Cel>,
    pub(crate) variables: &'x HashMap<String, Rc<IdedExpr>>,
    pub(crate) authorizer: &'x Authorizer<'x>,
    values: RefCell<HashMap<String, Answer>>,
    budget: Cell<u64>,
    /// Of the expression that is being evaluated.
    cost: Cell<u64>,
    /// Number of authorizer checks.
    pub(crate) checks: Cell<usize>,
}

/// The variables of comprehensions, innermost last.
type Locals = Vec<(String, Cel)>;

impl<'x> Scope<'x> {
    pub(crate) fn new(
        roots: HashMap<&'static str, Cel>,
        variables: &'x HashMap<String, Rc<IdedExpr>>,
        authorizer: &'x Authorizer<'x>,
    ) -> Self {
        Self {
            roots,
            variables,
            authorizer,
            values: RefCell::default(),
            budget: Cell::new(BUDGET),
            cost: Cell::new(0),
            checks: Cell::new(0),
        }
    }

    /// The spent part of the budget.
    pub(crate) fn spent(&self) -> u64 {
        BUDGET - self.budget.get()
    }

    /// Evaluates one expression within its limit, and pays for it.
    pub(crate) fn run(&self, expression: &IdedExpr) -> Answer {
        let outer = self.cost.replace(0);
        let answer = self.eval(&expression.expr, &mut Vec::new());
        let cost = self.cost.replace(outer);
        match self.budget.get().checked_sub(cost) {
            Some(rest) => self.budget.set(rest),
            None => {
                self.budget.set(0);
                return Err("validation failed due to running out of cost budget".to_owned());
            }
        }
        answer
    }

    fn spend(&self, cost: u64) -> Result<(), String> {
        self.cost.set(self.cost.get() + cost);
        if self.cost.get() > CALL_LIMIT {
            return Err("operation cancelled: actual cost limit exceeded".to_owned());
        }
        Ok(())
    }

    fn variable(&self, name: &str) -> Answer {
        if let Some(known) = self.values.borrow().get(name) {
            return known.clone();
        }
        let expression = self.variables.get(name).ok_or_else(|| format!("there is no variable {name}"))?;
        let answer = self.run(expression).map_err(|error| format!("variable {name}: {error}"));
        self.values.borrow_mut().insert(name.to_owned(), answer.clone());
        answer
    }

    fn eval(&self, expression: &Expr, locals: &mut Locals) -> Answer {
        match expression {
            Expr::Literal(literal) => Ok(match literal {
                LiteralValue::Boolean(flag) => Cel::Bool(*flag.inner()),
                LiteralValue::Int(number) => Cel::Int(*number.inner()),
                LiteralValue::String(text) => Cel::text(text.inner()),
                LiteralValue::Null => Cel::Null,
                other => return Err(format!("{other:?} is not expected")),
            }),
            Expr::Ident(name) => {
                self.spend(1)?;
                let local = locals.iter().rev().find(|(known, _)| known == name);
                let root = || self.roots.get(name.as_str());
                local
                    .map(|(_, value)| value)
                    .or_else(root)
                    .cloned()
                    .ok_or_else(|| format!("{name} is not known"))
            }
            Expr::Select(select) => {
                self.spend(1)?;
                if let Expr::Ident(name) = &select.operand.expr
                    && name == "variables"
                {
                    return self.variable(&select.field);
                }
                let operand = self.eval(&select.operand.expr, locals)?;
                let field = Cel::text(&select.field);
                if select.test {
                    return functions::has(&operand, &field).map(Cel::Bool);
                }
                functions::select(&operand, &field)
            }
            Expr::Call(call) => self.call(call, locals),
            Expr::List(list) => {
                self.spend(10)?;
                let mut items = Vec::with_capacity(list.elements.len());
                for (index, element) in list.elements.iter().enumerate() {
                    match self.eval(&element.expr, locals)? {
                        Cel::Optional(value) if list.optional_indices.contains(&index) => {
                            items.extend(value.map(|value| (*value).clone()));
                        }
                        value => items.push(value),
                    }
                }
                Ok(Cel::list(items))
            }
            Expr::Map(map) => {
                self.spend(30)?;
                let mut entries: Vec<(Cel, Cel)> = Vec::new();
                for entry in &map.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else {
                        return Err("a field in a map".to_owned());
                    };
                    let (key, value) =
                        (self.eval(&entry.key.expr, locals)?, self.eval(&entry.value.expr, locals)?);
                    match value {
                        Cel::Optional(value) if entry.optional => {
                            entries.extend(value.map(|value| (key, (*value).clone())));
                        }
                        value => entries.push((key, value)),
                    }
                }
                Ok(Cel::Map(Rc::new(entries)))
            }
            Expr::Struct(object) => {
                self.spend(40)?;
                if object.type_name != "JSONPatch" {
                    return Err(format!("there is no type {}", object.type_name));
                }
                let mut entries = Vec::new();
                for entry in &object.entries {
                    let EntryExpr::StructField(field) = &entry.expr else {
                        return Err("an entry in an object".to_owned());
                    };
                    entries.push((Cel::text(&field.field), self.eval(&field.value.expr, locals)?));
                }
                Ok(Cel::Map(Rc::new(entries)))
            }
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, locals),
            Expr::Unspecified => Err("an expression is missing".to_owned()),
        }
    }

    /// `all`, `exists`, `map` and `filter`, as the parser has expanded them.
    fn comprehension(&self, comprehension: &ComprehensionExpr, locals: &mut Locals) -> Answer {
        let range = items(&self.eval(&comprehension.iter_range.expr, locals)?)?;
        let init = self.eval(&comprehension.accu_init.expr, locals)?;
        locals.push((comprehension.accu_var.clone(), init));
        let place = locals.len() - 1;
        let result = (|| {
            for item in range {
                self.spend(1)?;
                if !self.eval(&comprehension.loop_cond.expr, locals)?.as_bool()? {
                    break;
                }
                locals.push((comprehension.iter_var.clone(), item));
                let step = self.step(&comprehension.loop_step.expr, place, locals);
                locals.truncate(place + 1);
                let step = step?;
                locals[place].1 = step;
            }
            self.eval(&comprehension.result.expr, locals)
        })();
        locals.truncate(place);
        result
    }

    /// A step of a comprehension; a list that grows by one is not copied.
    fn step(&self, step: &Expr, place: usize, locals: &mut Locals) -> Answer {
        let Expr::Call(call) = step else { return self.eval(step, locals) };
        let accumulator = locals[place].0.clone();
        let is_accumulator =
            |expression: &Expr| matches!(expression, Expr::Ident(name) if *name == accumulator);
        match call.args.as_slice() {
            [condition, then, otherwise]
                if call.func_name == operators::CONDITIONAL && is_accumulator(&otherwise.expr) =>
            {
                if self.eval(&condition.expr, locals)?.as_bool()? {
                    return self.step(&then.expr, place, locals);
                }
                Ok(std::mem::replace(&mut locals[place].1, Cel::Null))
            }
            [first, second] if call.func_name == operators::ADD && is_accumulator(&first.expr) => {
                let Expr::List(added) = &second.expr else { return self.eval(step, locals) };
                let mut values = Vec::new();
                for element in &added.elements {
                    values.push(self.eval(&element.expr, locals)?);
                }
                let Cel::List(mut list) = std::mem::replace(&mut locals[place].1, Cel::Null) else {
                    return Err("the accumulator is not a list".to_owned());
                };
                Rc::make_mut(&mut list).extend(values);
                Ok(Cel::List(list))
            }
            _ => self.eval(step, locals),
        }
    }

    fn call(&self, call: &CallExpr, locals: &mut Locals) -> Answer {
        let name = call.func_name.as_str();
        let args = &call.args;
        match (name, args.as_slice()) {
            (operators::LOGICAL_AND, [a, b]) => self.logical(&a.expr, &b.expr, false, locals),
            (operators::LOGICAL_OR, [a, b]) => self.logical(&a.expr, &b.expr, true, locals),
            (operators::CONDITIONAL, [condition, then, otherwise]) => {
                let branch = if self.eval(&condition.expr, locals)?.as_bool()? { then } else { otherwise };
                self.eval(&branch.expr, locals)
            }
            (operators::NOT_STRICTLY_FALSE, [value]) => {
                Ok(Cel::Bool(!matches!(self.eval(&value.expr, locals), Ok(Cel::Bool(false)))))
            }
            ("transformList" | "transformMapEntry" | "all" | "exists", [_, _, ..]) => {
                self.two_variables(call, locals)
            }
            _ => {
                let target = call.target.as_ref();
                if let Some(Expr::Ident(namespace)) = target.map(|target| &target.expr)
                    && namespace == "optional"
                {
                    let args = self.all(args, locals)?;
                    return functions::optional(name, &args);
                }
                let target = target.map(|target| self.eval(&target.expr, locals)).transpose()?;
                let args = self.all(args, locals)?;
                self.spend(1)?;
                match target {
                    Some(Cel::Check(check)) if name == "check" => {
                        self.spend(CHECK_COST)?;
                        self.checks.set(self.checks.get() + 1);
                        assert_eq!(args, [Cel::text("use")], "no other verb is asked for");
                        Ok(Cel::Decision((self.authorizer)(&check)))
                    }
                    Some(target) => {
                        self.spend(functions::cost(name, &target, &args))?;
                        functions::method(name, &target, &args)
                    }
                    None => {
                        self.spend(args.first().map_or(0, |first| functions::cost(name, first, &args)))?;
                        functions::function(name, &args)
                    }
                }
            }
        }
    }

    fn all(&self, args: &[IdedExpr], locals: &mut Locals) -> Result<Vec<Cel>, String> {
        args.iter().map(|argument| self.eval(&argument.expr, locals)).collect()
    }

    /// `&&` and `||` are commutative: an error counts only where the other side does not decide.
    fn logical(&self, a: &Expr, b: &Expr, decisive: bool, locals: &mut Locals) -> Answer {
        let first = self.eval(a, locals).and_then(|value| value.as_bool());
        if first == Ok(decisive) {
            return Ok(Cel::Bool(decisive));
        }
        match (first, self.eval(b, locals).and_then(|value| value.as_bool())) {
            (_, Ok(second)) if second == decisive => Ok(Cel::Bool(decisive)),
            (Err(error), _) | (_, Err(error)) => Err(error),
            (Ok(_), Ok(_)) => Ok(Cel::Bool(!decisive)),
        }
    }

    /// Comprehensions over index and element, or key and value, which the parser leaves as calls.
    fn two_variables(&self, call: &CallExpr, locals: &mut Locals) -> Answer {
        let target = call.target.as_ref().ok_or("a comprehension of nothing")?;
        let range = self.eval(&target.expr, locals)?;
        let pairs: Vec<(Cel, Cel)> = match &range {
            Cel::List(list) => list
                .iter()
                .enumerate()
                .map(|(index, item)| (Cel::Int(i64::try_from(index).unwrap()), item.clone()))
                .collect(),
            Cel::Map(map) => map.to_vec(),
            other => return Err(format!("{other:?} cannot be walked")),
        };
        let (Expr::Ident(first), Expr::Ident(second)) = (&call.args[0].expr, &call.args[1].expr) else {
            return Err("a comprehension needs two names".to_owned());
        };
        let (filter, body) = match &call.args[2..] {
            [body] => (None, body),
            [filter, body] => (Some(filter), body),
            _ => return Err("a comprehension has three or four arguments".to_owned()),
        };
        let mut values = Vec::new();
        for (key, value) in pairs {
            self.spend(1)?;
            let depth = locals.len();
            locals.extend([(first.clone(), key), (second.clone(), value)]);
            let value = (|| {
                let is_taken = filter.map(|filter| self.eval(&filter.expr, locals)?.as_bool()).transpose()?;
                if is_taken == Some(false) { Ok(None) } else { self.eval(&body.expr, locals).map(Some) }
            })();
            locals.truncate(depth);
            values.extend(value?);
        }
        functions::gathered(&call.func_name, values)
    }
}

/// The range of a comprehension with one variable: the items of a list, the keys of a map.
fn items(range: &Cel) -> Result<Vec<Cel>, String> {
    match range {
        Cel::List(list) => Ok(list.to_vec()),
        Cel::Map(map) => Ok(map.iter().map(|(key, _)| key.clone()).collect()),
        other => Err(format!("{other:?} cannot be walked")),
    }
}
