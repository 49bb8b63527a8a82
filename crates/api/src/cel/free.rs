//! Free variables: those that an expression uses and does not bind itself.

use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, IdedEntryExpr, IdedExpr};

/// The first variable that is neither in `known` nor bound by a macro such as `all` or `map`.
pub(super) fn variable<'e>(root: &'e IdedExpr, known: &dyn Fn(&str) -> bool) -> Option<&'e str> {
    Search { known, bound: Vec::new() }.expression(root)
}

struct Search<'s, 'e> {
    known: &'s dyn Fn(&str) -> bool,
    bound: Vec<&'e str>,
}

impl<'e> Search<'_, 'e> {
    fn expression(&mut self, node: &'e IdedExpr) -> Option<&'e str> {
        match &node.expr {
            Expr::Ident(name) => {
                (!self.bound.contains(&name.as_str()) && !(self.known)(name)).then_some(name)
            }
            Expr::Call(call) => {
                let target = call.target.iter().map(AsRef::as_ref);
                self.first(target.chain(&call.args))
            }
            Expr::Comprehension(each) => self.comprehension(each),
            Expr::List(list) => self.first(&list.elements),
            Expr::Map(map) => self.entries(&map.entries),
            Expr::Struct(whole) => self.entries(&whole.entries),
            Expr::Select(select) => self.expression(&select.operand),
            Expr::Literal(_) | Expr::Unspecified => None,
        }
    }

    fn first(&mut self, nodes: impl IntoIterator<Item = &'e IdedExpr>) -> Option<&'e str> {
        nodes.into_iter().find_map(|node| self.expression(node))
    }

    fn entries(&mut self, entries: &'e [IdedEntryExpr]) -> Option<&'e str> {
        entries.iter().find_map(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => self.first([&entry.key, &entry.value]),
            EntryExpr::StructField(field) => self.expression(&field.value),
        })
    }

    /// The range and the initial value of the accumulator are outside of the loop's scope.
    fn comprehension(&mut self, each: &'e ComprehensionExpr) -> Option<&'e str> {
        let outside = self.first([&each.iter_range, &each.accu_init]);
        let before = self.bound.len();
        self.bound.extend([each.iter_var.as_str(), each.accu_var.as_str()]);
        self.bound.extend(each.iter_var2.as_deref());
        let inside = outside.or_else(|| self.first([&each.loop_cond, &each.loop_step, &each.result]));
        self.bound.truncate(before);
        inside
    }
}

#[cfg(test)]
mod tests {
    use crate::cel::Expression;

    #[test]
    fn loops_bind_their_variables_and_nothing_else() {
        for (text, unknown) in [
            ("object.all(p, p > 0)", None),
            ("object.exists(p, object.all(q, p == q))", None),
            ("object.map(p, p)[0] == 1 && size(object) == 1", None),
            ("object.all(p, q > 0)", Some("q")),
            ("object.all(p, p > 0) && p > 0", Some("p")),
            ("p.all(p, p > 0)", Some("p")),
            ("{'a': [b]}.size() == 1", Some("b")),
        ] {
            let found = Expression::compile(text, &["object"]).err();
            let wanted = unknown.map(|name| {
                format!("compilation failed: undeclared reference to '{name}' (in container '')")
            });
            assert_eq!(found, wanted, "{text}");
        }
    }
}
