//! `-o jsonpath=TEMPLATE`: fields, indices, `[*]`, `..`-free, `range` and text, as kubectl's.

use serde_json::Value;

use super::output::sorted;
use super::session::{ClusterError, Result};

/// Fills a template in.
pub(crate) fn fill(template: &str, value: &Value) -> Result<String> {
    let parts = parse(template)?;
    let mut out = String::new();
    write(&parts, value, value, &mut out)?;
    Ok(out)
}

#[derive(Debug)]
enum Part {
    Text(String),
    Path(String),
    Range(String, Vec<Part>),
}

fn bad(why: impl Into<String>) -> ClusterError {
    ClusterError::Usage(format!("jsonpath: {}", why.into()))
}

fn parse(template: &str) -> Result<Vec<Part>> {
    let mut stack: Vec<(String, Vec<Part>)> = vec![(String::new(), Vec::new())];
    let mut rest = template;
    while !rest.is_empty() {
        let (text, after) = rest.split_once('{').unwrap_or((rest, ""));
        let has_more = text.len() < rest.len();
        let top = stack.last_mut().ok_or_else(|| bad("more {end} than {range}"))?;
        if !text.is_empty() {
            top.1.push(Part::Text(text.to_owned()));
        }
        if !has_more {
            break;
        }
        let (inside, after) = after.split_once('}').ok_or_else(|| bad("a { has no }"))?;
        rest = after;
        let inside = inside.trim();
        if let Some(path) = inside.strip_prefix("range ") {
            stack.push((path.trim().to_owned(), Vec::new()));
        } else if inside == "end" {
            let (path, parts) = stack.pop().ok_or_else(|| bad("more {end} than {range}"))?;
            let outer = stack.last_mut().ok_or_else(|| bad("more {end} than {range}"))?;
            outer.1.push(Part::Range(path, parts));
        } else if let Some(text) = inside.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
            top.1.push(Part::Text(text.replace("\\n", "\n").replace("\\t", "\t")));
        } else {
            top.1.push(Part::Path(inside.to_owned()));
        }
    }
    match (stack.pop(), stack.is_empty()) {
        (Some((_, parts)), true) => Ok(parts),
        _ => Err(bad("a {range} has no {end}")),
    }
}

fn write(parts: &[Part], root: &Value, at: &Value, out: &mut String) -> Result<()> {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Path(path) => {
                let said: Vec<String> = find(path, root, at)?.into_iter().map(plain).collect();
                out.push_str(&said.join(" "));
            }
            Part::Range(path, parts) => {
                for item in find(path, root, at)? {
                    write(parts, root, item, out)?;
                }
            }
        }
    }
    Ok(())
}

pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| sorted(value).to_string(), str::to_owned)
}

/// All values at a path. A field that is not there is nothing.
pub(super) fn find<'v>(path: &str, root: &'v Value, at: &'v Value) -> Result<Vec<&'v Value>> {
    let mut found = vec![if path.starts_with('$') { root } else { at }];
    let mut rest = path.trim_start_matches(['$', '@']);
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let (inside, after) = after.split_once(']').ok_or_else(|| bad("a [ has no ]"))?;
            rest = after;
            found = index(inside.trim(), found)?;
        } else {
            let name = rest.strip_prefix('.').unwrap_or(rest);
            let mut end = name.len();
            let mut escaped = false;
            for (place, letter) in name.char_indices() {
                match letter {
                    '\\' => escaped = true,
                    '.' | '[' if !escaped => {
                        end = place;
                        break;
                    }
                    _ => escaped = false,
                }
            }
            let (field, after) = name.split_at_checked(end).unwrap_or((name, ""));
            rest = after;
            let field = field.replace("\\.", ".");
            found = match field.as_str() {
                "" if after.is_empty() => found,
                "" => return Err(bad(format!("{path:?} has a step without a name"))),
                "*" => found.into_iter().flat_map(children).collect(),
                field => found.into_iter().filter_map(|value| value.get(field)).collect(),
            };
        }
    }
    Ok(found)
}

fn index<'v>(inside: &str, values: Vec<&'v Value>) -> Result<Vec<&'v Value>> {
    if inside == "*" {
        return Ok(values.into_iter().flat_map(children).collect());
    }
    if let Some(condition) = inside.strip_prefix("?(").and_then(|text| text.strip_suffix(')')) {
        let (path, wanted) =
            condition.split_once("==").ok_or_else(|| bad("a filter is written ?(@.field==\"value\")"))?;
        let wanted = wanted.trim().trim_matches(['"', '\'']);
        let items: Vec<&Value> = values.into_iter().flat_map(children).collect();
        let mut kept = Vec::new();
        for item in items {
            if find(path.trim(), item, item)?.into_iter().any(|value| plain(value) == wanted) {
                kept.push(item);
            }
        }
        return Ok(kept);
    }
    if let Some(field) = inside.strip_prefix(['\'', '"']).and_then(|text| text.strip_suffix(['\'', '"'])) {
        return Ok(values.into_iter().filter_map(|value| value.get(field)).collect());
    }
    let number: i64 = inside.parse().map_err(|_| bad(format!("[{inside}] is no index")))?;
    let pick = |value: &'v Value| {
        let items = value.as_array()?;
        let place = if number < 0 { number + items.len() as i64 } else { number };
        items.get(usize::try_from(place).ok()?)
    };
    Ok(values.into_iter().filter_map(pick).collect())
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn templates_are_filled_in() {
        let value = json!({"items": [{"metadata": {"name": "a", "labels": {"x.io/y": "1"}}, "n": 1},
                                     {"metadata": {"name": "b"}, "n": 2}]});
        let cases = [
            ("{.items[*].metadata.name}", "a b"),
            ("{.items[0].metadata.labels.x\\.io/y}", "1"),
            ("{.items[-1].n}", "2"),
            ("{range .items[*]}{.metadata.name}={.n}{\"\\n\"}{end}", "a=1\nb=2\n"),
            ("{.items[?(@.n==2)].metadata.name}", "b"),
            ("x{.nothing}y", "xy"),
            ("{.items[0].metadata['name']}", "a"),
            ("{$.items[1].metadata}", "{\"name\":\"b\"}"),
        ];
        for (template, filled) in cases {
            assert_eq!(fill(template, &value).unwrap(), filled, "{template}");
        }
        for template in ["{.items", "{range .items[*]}", "{end}", "{.items[x]}", "{.a..b}"] {
            assert!(fill(template, &value).is_err(), "{template}");
        }
    }
}
