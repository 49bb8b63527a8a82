//! `-o custom-columns=NAME:PATH,…`, and `--sort-by PATH`: what is at a path of each object.

use std::cmp::Ordering;

use palisade_k8s::quantity;
use serde_json::Value;

use super::jsonpath;
use super::output::Columns;
use super::session::{ClusterError, Result};

/// The names and paths of columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CustomColumns(Vec<(String, String)>);

impl CustomColumns {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let columns = text.split(',').map(|column| {
            let (name, path) =
                column.split_once(':').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
                    ClusterError::Usage(format!(
                        "custom-columns: {column:?} is no NAME:PATH, as NAME:.metadata.name"
                    ))
                })?;
            Ok((name.to_owned(), bare(path).to_owned()))
        });
        columns.collect::<Result<_>>().map(Self)
    }

    /// A line with the names, if it is wanted, and one for each object.
    pub(crate) fn lines(&self, objects: &[&Value], headers: bool) -> Result<String> {
        let mut columns = Columns::default();
        if headers {
            columns.push(self.0.iter().map(|(name, _)| name.clone()));
        }
        for object in objects {
            let cells = self.0.iter().map(|(_, path)| cell(object, path));
            columns.push(cells.collect::<Result<Vec<_>>>()?);
        }
        Ok(columns.lines())
    }
}

/// A path with or without its braces.
fn bare(path: &str) -> &str {
    let path = path.trim();
    path.strip_prefix('{').and_then(|path| path.strip_suffix('}')).unwrap_or(path)
}

fn cell(object: &Value, path: &str) -> Result<String> {
    let found: Vec<String> = jsonpath::find(path, object, object)?.into_iter().map(jsonpath::plain).collect();
    Ok(if found.is_empty() { "<none>".to_owned() } else { found.join(",") })
}

/// Puts things in the order of what is at a path of their objects; what has nothing there comes first.
pub(crate) fn sort<T>(things: &mut [T], path: &str, object: impl Fn(&T) -> &Value) -> Result<()> {
    let path = bare(path);
    let mut keyed = Vec::new();
    for thing in things.iter() {
        let object = object(thing);
        keyed.push(jsonpath::find(path, object, object)?.into_iter().next().cloned());
    }
    let mut order: Vec<usize> = (0..things.len()).collect();
    order.sort_by(|a, b| {
        compare(keyed.get(*a).and_then(Option::as_ref), keyed.get(*b).and_then(Option::as_ref))
    });
    let mut places = vec![0; things.len()];
    for (place, from) in order.into_iter().enumerate() {
        if let Some(slot) = places.get_mut(from) {
            *slot = place;
        }
    }
    // Each swap brings one thing to its place.
    for at in 0..things.len() {
        while let Some(place) = places.get(at).copied().filter(|place| *place != at) {
            things.swap(at, place);
            places.swap(at, place);
        }
    }
    Ok(())
}

/// Numbers and quantities by what they are, all else as text.
fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    let amount = |value: &Value| quantity::billionths(&jsonpath::plain(value));
    match (a, b) {
        (Some(a), Some(b)) => match (amount(a), amount(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => jsonpath::plain(a).cmp(&jsonpath::plain(b)),
        },
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_show_what_is_at_their_paths() {
        let columns = CustomColumns::parse("N:.metadata.name,I:{.spec.containers[*].image}").unwrap();
        let objects = [
            json!({"metadata": {"name": "a"}, "spec": {"containers": [{"image": "x"}, {"image": "y"}]}}),
            json!({"metadata": {"name": "long"}}),
        ];
        let objects: Vec<&Value> = objects.iter().collect();
        assert_eq!(columns.lines(&objects, true).unwrap(), "N      I\na      x,y\nlong   <none>\n");
        assert!(CustomColumns::parse(".metadata.name").is_err());
    }

    #[test]
    fn things_are_sorted_by_what_they_are() {
        let sorted = |values: &[Value]| {
            let mut objects: Vec<Value> = values.iter().map(|value| json!({"v": value})).collect();
            sort(&mut objects, "{.v}", |object| object).unwrap();
            objects.into_iter().map(|object| object["v"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(sorted(&[json!(10), json!(9), json!(100)]), [json!(9), json!(10), json!(100)]);
        assert_eq!(sorted(&[json!("1Gi"), json!("10Mi")]), [json!("10Mi"), json!("1Gi")]);
        assert_eq!(sorted(&[json!("b"), Value::Null, json!("a")])[1..], [json!("b"), Value::Null]);
    }
}
