//! `-o custom-columns=NAME:PATH,…`.

use std::str::FromStr;

use serde_json::Value;

use crate::jsonpath::{JsonPathError, Path, plain};
use crate::table::Columns;

/// An error in a columns' specification.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ColumnsError {
    #[error("custom-columns: {0:?} is not of the form NAME:PATH, as NAME:.metadata.name")]
    Column(String),
    #[error("custom-columns: the file must have a line of names and a line of as many paths")]
    File,
    #[error(transparent)]
    Path(#[from] JsonPathError),
}

/// The names and paths of columns.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CustomColumns(Vec<(String, Path)>);

impl FromStr for CustomColumns {
    type Err = ColumnsError;

    fn from_str(text: &str) -> Result<Self, ColumnsError> {
        let columns = text.split(',').map(|column| {
            let parts = column.split_once(':').filter(|(name, path)| !name.is_empty() && !path.is_empty());
            let (name, path) = parts.ok_or_else(|| ColumnsError::Column(column.to_owned()))?;
            Ok((name.to_owned(), path.parse()?))
        });
        columns.collect::<Result<_, _>>().map(Self)
    }
}

impl CustomColumns {
    /// Reads a file with the names on its first line and the paths on its second.
    pub(crate) fn from_file(text: &str) -> Result<Self, ColumnsError> {
        let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let (Some(names), Some(paths)) = (lines.next(), lines.next()) else { return Err(ColumnsError::File) };
        if names.is_empty() || names.len() != paths.len() {
            return Err(ColumnsError::File);
        }
        let columns = names.into_iter().zip(paths).map(|(name, path)| Ok((name.to_owned(), path.parse()?)));
        columns.collect::<Result<_, _>>().map(Self)
    }

    /// A line with the names, if headers are wanted, and one for each object.
    pub(crate) fn lines(&self, objects: &[&Value], headers: bool) -> Result<String, JsonPathError> {
        let mut columns = Columns::default();
        if headers {
            columns.push(self.0.iter().map(|(name, _)| name.clone()));
        }
        for object in objects {
            let cells = self.0.iter().map(|(_, path)| cell(object, path));
            columns.push(cells.collect::<Result<Vec<_>, _>>()?);
        }
        Ok(columns.lines())
    }
}

fn cell(object: &Value, path: &Path) -> Result<String, JsonPathError> {
    let found: Vec<String> = path.find(object)?.into_iter().map(plain).collect();
    Ok(if found.is_empty() { "<none>".to_owned() } else { found.join(",") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_show_what_is_at_their_paths() {
        let columns: CustomColumns = "N:.metadata.name,I:{.spec.containers[*].image}".parse().unwrap();
        let objects = [
            json!({"metadata": {"name": "a"}, "spec": {"containers": [{"image": "x"}, {"image": "y"}]}}),
            json!({"metadata": {"name": "long\x1b[2J"}}),
        ];
        let objects: Vec<&Value> = objects.iter().collect();
        let lines = columns.lines(&objects, true).unwrap();
        assert_eq!(lines, "N             I\na             x,y\nlong\\x1b[2J   <none>\n");
        let same = CustomColumns::from_file("N  I\n.metadata.name .spec.containers[*].image\n").unwrap();
        assert_eq!(same, columns);
    }

    #[test]
    fn wrong_columns_are_refused() {
        for text in [".metadata.name", "A:", ":.a", "A:.a[", ""] {
            assert!(text.parse::<CustomColumns>().is_err(), "{text}");
        }
        for text in ["", "A B\n.a", "A\n"] {
            assert!(CustomColumns::from_file(text).is_err(), "{text}");
        }
    }
}
