//! Tables: text in columns, and the tables that a server makes of objects.

use palisade_console::terminal;
use serde_json::Value;

use crate::value::text;

/// The width up to which other cells of a column are padded, in characters: one endless cell must not make all rows as long.
const WIDEST: usize = 1024;

/// Columns of text, three spaces apart. Control characters in cells are escaped, so that widths are right and no cell
/// looks like a row.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    rows: Vec<Vec<String>>,
    /// The widths of the columns in lines that are printed already.
    widths: Vec<usize>,
}

impl Columns {
    pub(crate) fn push(&mut self, row: impl IntoIterator<Item = String>) {
        self.rows.push(row.into_iter().map(|cell| terminal::cell(&cell).into_owned()).collect());
    }

    /// The lines. Each column is as wide as its widest cell, but for endless ones, and no narrower than in earlier lines.
    pub(crate) fn lines(&mut self) -> String {
        let count = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        self.widths.resize(count.max(self.widths.len()), 0);
        for row in &self.rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count()).min(WIDEST);
            }
        }
        let mut out = String::new();
        for row in std::mem::take(&mut self.rows) {
            let cells = row.iter().zip(&self.widths).enumerate().map(|(at, (cell, width))| {
                if at + 1 == row.len() { cell.clone() } else { format!("{cell:<width$}   ") }
            });
            out.push_str(cells.collect::<String>().trim_end());
            out.push('\n');
        }
        out
    }
}

/// Options for printing a server's table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableOptions<'a> {
    /// With the columns of `-o wide`.
    pub(crate) wide: bool,
    pub(crate) headers: bool,
    /// With a column of namespaces.
    pub(crate) namespaces: bool,
    /// With a column of labels.
    pub(crate) labels: bool,
    /// The prefix of each name, if several kinds are printed.
    pub(crate) prefix: Option<&'a str>,
}

/// Adds a server's table (`meta.k8s.io/v1`, kind `Table`) to columns.
pub(crate) fn rows(table: &Value, options: TableOptions<'_>, columns: &mut Columns) {
    let list = |field: &str| table.get(field).and_then(Value::as_array).into_iter().flatten();
    let shown: Vec<bool> = list("columnDefinitions")
        .map(|column| options.wide || column.get("priority").and_then(Value::as_i64).unwrap_or(0) == 0)
        .collect();
    if options.headers {
        let mut row: Vec<String> = Vec::new();
        row.extend(options.namespaces.then(|| "NAMESPACE".to_owned()));
        let names = list("columnDefinitions").zip(&shown).filter(|(_, shown)| **shown);
        row.extend(names.map(|(column, _)| text(column, "/name").to_uppercase()));
        row.extend(options.labels.then(|| "LABELS".to_owned()));
        columns.push(row);
    }
    for entry in list("rows") {
        let mut row: Vec<String> = Vec::new();
        row.extend(options.namespaces.then(|| text(entry, "/object/metadata/namespace").to_owned()));
        let cells = entry.get("cells").and_then(Value::as_array).into_iter().flatten().enumerate();
        let cells = cells.filter(|(at, _)| shown.get(*at).copied().unwrap_or(true));
        row.extend(cells.map(|(at, cell)| match options.prefix.filter(|_| at == 0) {
            Some(prefix) => format!("{prefix}/{}", word(cell)),
            None => word(cell),
        }));
        row.extend(options.labels.then(|| labels(entry.pointer("/object/metadata/labels"))));
        columns.push(row);
    }
}

fn word(cell: &Value) -> String {
    match cell {
        Value::String(text) => text.clone(),
        Value::Null => "<none>".to_owned(),
        other => other.to_string(),
    }
}

/// `a=b,c=d` for a map of labels.
fn labels(map: Option<&Value>) -> String {
    let entries = map.and_then(Value::as_object).into_iter().flatten();
    let labels: Vec<String> =
        entries.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    if labels.is_empty() { "<none>".to_owned() } else { labels.join(",") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn cells_of_others_stay_in_their_cells() {
        let table = json!({"columnDefinitions": [{"name": "Name"}, {"name": "Status"}, {"name": "IP", "priority": 1}],
            "rows": [{"cells": ["a\nfake   Running", "\u{9b}2J", "10.0.0.1"], "object": {"metadata": {"labels": {"k": "\x1b]52;c;eA==\x07"}}}}]});
        let mut columns = Columns::default();
        let options =
            TableOptions { wide: false, headers: true, namespaces: false, labels: true, prefix: Some("pod") };
        rows(&table, options, &mut columns);
        let lines = columns.lines();
        assert_eq!(lines, "NAME       STATUS     LABELS\npod/a...   \\u009b2J   k=\\x1b]52;c;eA==\\x07\n");
    }

    #[test]
    fn an_endless_cell_is_printed_and_others_are_not_as_wide() {
        let mut columns = Columns::default();
        let endless = "x".repeat(100_000);
        columns.push([endless.clone(), "a".to_owned()]);
        columns.push(["y".to_owned(), "b".to_owned()]);
        let lines = columns.lines();
        assert_eq!(lines, format!("{endless}   a\ny{}b\n", " ".repeat(WIDEST + 2)));
    }
}
