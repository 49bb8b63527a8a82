//! Building blocks of CEL, the Common Expression Language of Kubernetes' admission policies.

use std::fmt::Display;

/// A string as a literal.
pub(crate) fn text(value: &str) -> String {
    let mut literal = String::with_capacity(value.len() + 2);
    literal.push('\'');
    for letter in value.chars() {
        match letter {
            '\'' | '\\' => literal.extend(['\\', letter]),
            '\n' => literal.push_str("\\n"),
            letter if letter.is_control() || ('\u{2028}'..='\u{2029}').contains(&letter) => {
                literal.push_str(&format!("\\U{:08x}", u32::from(letter)));
            }
            letter => literal.push(letter),
        }
    }
    literal.push('\'');
    literal
}

/// A list of string literals.
pub(crate) fn texts<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> String {
    list(values.into_iter().map(|value| text(value.as_ref())))
}

/// A list of expressions.
pub(crate) fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    format!("[{}]", joined(items, ", "))
}

/// A list of longer expressions, one a line.
pub(crate) fn lines<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    format!("[\n{}\n]", joined(items, ",\n"))
}

/// All of these, or `none` if the list is empty, one a line.
pub(crate) fn all<T: Display>(conditions: impl IntoIterator<Item = T>) -> String {
    or(joined(conditions, " &&\n"), "true")
}

/// Any of these, one a line.
pub(crate) fn any<T: Display>(conditions: impl IntoIterator<Item = T>) -> String {
    or(joined(conditions, " ||\n"), "false")
}

fn or(expression: String, none: &str) -> String {
    if expression.is_empty() { none.to_owned() } else { expression }
}

fn joined<T: Display>(items: impl IntoIterator<Item = T>, separator: &str) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(separator)
}

/// The value of the first case whose condition holds: `condition ? value : ... : otherwise`, one a line.
pub(crate) fn first(cases: impl IntoIterator<Item = (String, String)>, otherwise: &str) -> String {
    let cases = cases.into_iter().map(|(condition, value)| format!("{condition} ? {value} :\n"));
    format!("{}{otherwise}", cases.collect::<String>())
}

/// The part of a variable's name that stands for an SCC: names of SCCs have no capital letters and no underscores, so
/// no two become the same.
pub(crate) fn identifier(scc: &str) -> String {
    let letter = |letter: char| match letter {
        '-' => "_".to_owned(),
        '.' => "DOT".to_owned(),
        'a'..='z' | '0'..='9' => letter.to_string(),
        other => format!("U{:X}U", u32::from(other)),
    };
    scc.chars().map(letter).collect()
}

/// `list` without duplicates, in order: CEL in Kubernetes has no function for either.
pub(crate) fn sorted(list: &str) -> String {
    let distinct = "l.transformList(i, x, l.indexOf(x) == i, x)";
    let rank = "d.transformMapEntry(i, x, {d.filter(y, y < x).size(): x})";
    format!(
        "[{list}].map(l, l.size() < 2 ? l : [{distinct}].map(d, [{rank}].map(r, d.transformList(k, x, r[k]))[0])[0])[0]"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_hold_any_text() {
        for (value, literal) in [
            ("a", "'a'"),
            ("it's", r"'it\'s'"),
            (r"a\b", r"'a\\b'"),
            ("a\nb", r"'a\nb'"),
            ("a\u{0}b", r"'a\U00000000b'"),
            ("ä", "'ä'"),
        ] {
            assert_eq!(text(value), literal);
        }
        assert_eq!(texts(["a", "b"]), "['a', 'b']");
    }

    #[test]
    fn identifiers_differ_where_names_do() {
        for (name, expected) in
            [("restricted-v2", "restricted_v2"), ("a.b", "aDOTb"), ("a-dot-b", "a_dot_b"), ("A", "U41U")]
        {
            assert_eq!(identifier(name), expected);
        }
    }
}
