//! `--sort-by PATH`.

use std::cmp::Ordering;

use palisade_k8s::quantity;
use serde_json::Value;

use crate::jsonpath::{JsonPathError, Path, plain};

/// Sorts items by the value at a path of their objects. Items without a value come first.
pub(crate) fn sort<T>(
    things: &mut Vec<T>,
    path: &Path,
    object: impl Fn(&T) -> &Value,
) -> Result<(), JsonPathError> {
    let mut keyed = Vec::with_capacity(things.len());
    for thing in things.drain(..) {
        let key = path.find(object(&thing))?.into_iter().next().cloned();
        keyed.push((key, thing));
    }
    keyed.sort_by(|(a, _), (b, _)| compare(a.as_ref(), b.as_ref()));
    things.extend(keyed.into_iter().map(|(_, thing)| thing));
    Ok(())
}

/// Numbers and quantities by their amount, other values as text.
fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    let amount = |value: &Value| quantity::billionths(&plain(value));
    match (a, b) {
        (Some(a), Some(b)) => match (amount(a), amount(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => plain(a).cmp(&plain(b)),
        },
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn things_are_sorted_by_amount_or_text() {
        let sorted = |values: &[Value]| {
            let mut objects: Vec<Value> = values.iter().map(|value| json!({"v": value})).collect();
            sort(&mut objects, &"{.v}".parse().unwrap(), |object| object).unwrap();
            objects.into_iter().map(|object| object["v"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(sorted(&[json!(10), json!(9), json!(100)]), [json!(9), json!(10), json!(100)]);
        assert_eq!(sorted(&[json!("1Gi"), json!("10Mi")]), [json!("10Mi"), json!("1Gi")]);
        assert_eq!(sorted(&[json!("b"), Value::Null, json!("a")])[1..], [json!("b"), Value::Null]);
    }
}
