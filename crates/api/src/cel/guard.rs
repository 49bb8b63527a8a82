//! Inserts the functions of [`meter`](super::meter) into a compiled expression, wherever a value is read as a whole,
//! copied or created.

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedEntryExpr, IdedExpr, operators};

use super::is_of;
use super::meter::names;

/// Functions that neither walk nor copy their arguments. A prefix comparison is bounded by the length of an argument,
/// and the authorizer's checks are charged on their own.
const FREE: [&str; 13] = [
    "of",
    "none",
    "hasValue",
    "value",
    "or",
    "orValue",
    "dyn",
    "type",
    "has",
    "startsWith",
    "endsWith",
    "check",
    "allowed",
];

/// Functions for which [`making`](super::making) has a metered replacement.
const MADE: [(&str, &str); 8] = [
    ("replace", names::REPLACE),
    ("join", names::JOIN),
    ("split", names::SPLIT),
    ("indexOf", names::INDEX_OF),
    ("lastIndexOf", names::LAST_INDEX_OF),
    ("matches", names::MATCHES),
    ("find", names::FIND),
    ("findAll", names::FIND_ALL),
];

/// The expression with metered values. `in_loop` is whether it is evaluated more than once.
pub(super) fn metered(mut node: IdedExpr, in_loop: bool) -> IdedExpr {
    node.expr = match node.expr {
        Expr::Call(call) => return with_call(node.id, call, in_loop),
        Expr::Comprehension(mut each) => {
            each.iter_range = wrap(names::READ, metered(each.iter_range, in_loop));
            each.accu_init = metered(each.accu_init, in_loop);
            each.loop_cond = metered(each.loop_cond, true);
            each.loop_step = metered(each.loop_step, true);
            each.result = metered(each.result, in_loop);
            Expr::Comprehension(each)
        }
        Expr::List(mut list) => {
            list.elements = list.elements.into_iter().map(|item| kept(item, in_loop)).collect();
            Expr::List(list)
        }
        Expr::Map(mut map) => {
            map.entries = map.entries.into_iter().map(|entry| entry_of(entry, in_loop)).collect();
            Expr::Map(map)
        }
        Expr::Struct(mut whole) => {
            whole.entries = whole.entries.into_iter().map(|entry| entry_of(entry, in_loop)).collect();
            Expr::Struct(whole)
        }
        Expr::Select(mut select) => {
            *select.operand = metered(std::mem::take(&mut *select.operand), in_loop);
            Expr::Select(select)
        }
        same @ (Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified) => same,
    };
    node
}

fn entry_of(mut entry: IdedEntryExpr, in_loop: bool) -> IdedEntryExpr {
    entry.expr = match entry.expr {
        EntryExpr::MapEntry(mut inner) => {
            inner.key = kept(inner.key, in_loop);
            inner.value = kept(inner.value, in_loop);
            EntryExpr::MapEntry(inner)
        }
        EntryExpr::StructField(mut inner) => {
            inner.value = kept(inner.value, in_loop);
            EntryExpr::StructField(inner)
        }
    };
    entry
}

/// An element of a list or map literal. Literals are bounded by the length of the expression; a nested list is charged
/// where another list takes it in.
fn kept(item: IdedExpr, in_loop: bool) -> IdedExpr {
    match item.expr {
        Expr::Literal(_) => item,
        _ => wrap(names::KEEP, metered(item, in_loop)),
    }
}

/// The element that one step of `map` or `filter` adds to the result.
fn appended(mut list: IdedExpr) -> IdedExpr {
    list.expr = match list.expr {
        Expr::List(mut list) => {
            list.elements =
                list.elements.into_iter().map(|item| wrap(names::KEEP, metered(item, true))).collect();
            Expr::List(list)
        }
        other => return metered(IdedExpr { id: list.id, expr: other }, true),
    };
    list
}

fn wrap(function: &str, argument: IdedExpr) -> IdedExpr {
    let call = CallExpr { func_name: function.to_owned(), target: None, args: vec![argument] };
    IdedExpr { id: 0, expr: Expr::Call(call) }
}

fn with_call(id: u64, mut call: CallExpr, in_loop: bool) -> IdedExpr {
    let name = call.func_name.clone();
    if name == operators::ADD && has_accumulator(&call) {
        call.args = call.args.into_iter().map(appended).collect();
        return IdedExpr { id, expr: Expr::Call(call) };
    }
    if name == operators::ADD {
        let args = summands(call).into_iter().map(|part| metered(part, in_loop)).collect();
        call = CallExpr { func_name: names::ADD.to_owned(), target: None, args };
        return IdedExpr { id, expr: Expr::Call(call) };
    }
    let is_namespace = is_namespace(call.target.as_deref(), &name);
    call.target = call.target.map(|target| Box::new(metered(*target, in_loop)));
    call.args = call.args.into_iter().map(|part| metered(part, in_loop)).collect();
    if let Some((_, made)) = MADE.iter().find(|(made, _)| *made == name)
        && !is_namespace
    {
        call.args.splice(..0, call.target.take().map(|target| *target));
        call.func_name = (*made).to_owned();
        return IdedExpr { id, expr: Expr::Call(call) };
    }
    match name.as_str() {
        operators::EQUALS
        | operators::NOT_EQUALS
        | operators::LESS
        | operators::LESS_EQUALS
        | operators::GREATER
        | operators::GREATER_EQUALS => compared(&mut call),
        operators::IN => wrap_last(&mut call, names::READ_LIST),
        "size" => wrap_all(&mut call, names::READ_TEXT, is_namespace),
        // They copy their results.
        operators::OPT_SELECT | operators::OPT_INDEX if in_loop => {
            return wrap(names::READ, IdedExpr { id, expr: Expr::Call(call) });
        }
        name if name.starts_with(|letter: char| letter.is_ascii_alphabetic()) && !FREE.contains(&name) => {
            wrap_all(&mut call, names::READ, is_namespace);
        }
        _ => {}
    }
    IdedExpr { id, expr: Expr::Call(call) }
}

/// Whether it is the expression that a loop adds to its result: the library appends in place if it recognizes the form.
fn has_accumulator(call: &CallExpr) -> bool {
    matches!(call.args.first().map(|first| &first.expr), Some(Expr::Ident(name)) if name.starts_with('@'))
}

/// The operands of `a + b + c`, which nest to the left.
fn summands(call: CallExpr) -> Vec<IdedExpr> {
    let mut parts = Vec::new();
    let mut rest = call.args;
    while let (Some(right), Some(left)) = (rest.pop(), rest.pop()) {
        parts.push(right);
        match left.expr {
            Expr::Call(inner) if inner.func_name == operators::ADD && !has_accumulator(&inner) => {
                rest = inner.args
            }
            _ => parts.push(left),
        }
    }
    parts.reverse();
    parts
}

/// Whether the target of a call is the namespace of its function.
fn is_namespace(target: Option<&IdedExpr>, function: &str) -> bool {
    matches!(target.map(|target| &target.expr), Some(Expr::Ident(name)) if is_of(name, function))
}

/// A comparison is bounded by the shorter side, and thus by a literal.
fn compared(call: &mut CallExpr) {
    if !call.args.iter().any(|part| matches!(part.expr, Expr::Literal(_))) {
        wrap_last(call, names::READ);
    }
}

fn wrap_last(call: &mut CallExpr, function: &str) {
    if let Some(last) = call.args.pop() {
        call.args.push(wrap(function, last));
    }
}

fn wrap_all(call: &mut CallExpr, function: &str, is_namespace: bool) {
    let wrapped = |part: IdedExpr| match part.expr {
        Expr::Literal(_) => part,
        _ => wrap(function, part),
    };
    if !is_namespace {
        call.target = call.target.take().map(|target| Box::new(wrapped(*target)));
    }
    call.args = std::mem::take(&mut call.args).into_iter().map(wrapped).collect();
}
