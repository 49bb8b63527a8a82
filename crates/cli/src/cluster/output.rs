//! Objects on the screen: tables, YAML, JSON, names.

use std::io::Write;

use serde_json::{Map, Value};

use super::custom::CustomColumns;
use super::jsonpath;
use super::kind::Kind;
use super::session::{ClusterError, Result};
use super::yaml;

/// How objects are printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Table { wide: bool },
    Yaml,
    Json,
    Name,
    JsonPath(String),
    Custom(CustomColumns),
}

impl Format {
    pub(crate) fn parse(text: Option<&str>) -> Result<Self> {
        Ok(match text {
            None | Some("") => Self::Table { wide: false },
            Some("wide") => Self::Table { wide: true },
            Some("yaml") => Self::Yaml,
            Some("json") => Self::Json,
            Some("name") => Self::Name,
            Some(other) => match other.split_once('=') {
                Some(("jsonpath", template)) => Self::JsonPath(template.to_owned()),
                Some(("custom-columns", columns)) => Self::Custom(CustomColumns::parse(columns)?),
                _ => {
                    return Err(ClusterError::Usage(format!(
                        "unable to match a printer suitable for the output format {other:?}, allowed formats are: custom-columns,json,jsonpath,name,wide,yaml"
                    )));
                }
            },
        })
    }
}

/// A text of an object, empty where it is absent.
pub(crate) fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Prints an object in a form that is no table.
pub(crate) fn print(object: &Value, kind: Option<&Kind>, format: &Format) -> Result<()> {
    let said = match format {
        Format::Yaml => yaml::write(object),
        Format::Json => pretty(object) + "\n",
        Format::JsonPath(template) => jsonpath::fill(template, object)?,
        Format::Custom(columns) => columns.lines(&[object], true)?,
        Format::Name | Format::Table { .. } => {
            let word = kind.map_or_else(|| text(object, "/kind").to_lowercase(), Kind::said);
            format!("{word}/{}\n", text(object, "/metadata/name"))
        }
    };
    write(&said)
}

pub(crate) fn write(said: &str) -> Result<()> {
    written(anstream::stdout().lock(), said.as_bytes())
}

/// Writes what is not ours as it is.
pub(crate) fn write_bytes(bytes: &[u8]) -> Result<()> {
    written(std::io::stdout().lock(), bytes)
}

fn written(mut out: impl Write, bytes: &[u8]) -> Result<()> {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        // A reader that has seen enough is no error.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(ClusterError::Usage(error.to_string()))
        }
        _ => Ok(()),
    }
}

fn pretty(object: &Value) -> String {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    let written = serde::Serialize::serialize(&sorted(object), &mut serializer);
    written.ok().and_then(|()| String::from_utf8(bytes).ok()).unwrap_or_default()
}

/// A value with the keys of its maps in order, as kubectl prints them.
pub(super) fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut names: Vec<&String> = map.keys().collect();
            names.sort();
            let entries = names.into_iter().filter_map(|name| Some((name.clone(), sorted(map.get(name)?))));
            Value::Object(entries.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// Columns of text, three spaces apart.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    rows: Vec<Vec<String>>,
    /// How wide the columns of lines that are already out are.
    widths: Vec<usize>,
}

impl Columns {
    pub(crate) fn push(&mut self, row: impl IntoIterator<Item = String>) {
        self.rows.push(row.into_iter().collect());
    }

    /// The lines; each column is as wide as its widest cell, and no narrower than it was in lines before.
    pub(crate) fn lines(&mut self) -> String {
        let count = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
            widest.max(self.widths.get(column).copied().unwrap_or(0))
        };
        self.widths = (0..count).map(width).collect();
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

/// What a table is printed with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableOptions<'a> {
    pub(crate) wide: bool,
    pub(crate) headers: bool,
    pub(crate) namespaces: bool,
    pub(crate) labels: bool,
    /// Goes before each name, where several kinds are printed.
    pub(crate) prefix: Option<&'a str>,
}

/// A server's table as rows.
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
        row.extend(cells.map(|(at, cell)| {
            let said = match cell {
                Value::String(text) => text.clone(),
                Value::Null => "<none>".to_owned(),
                other => other.to_string(),
            };
            match options.prefix.filter(|_| at == 0) {
                Some(prefix) => format!("{prefix}/{said}"),
                None => said,
            }
        }));
        if options.labels {
            row.push(pairs(entry.pointer("/object/metadata/labels"), "=", ","));
        }
        columns.push(row);
    }
}

/// `a=b` for each entry of a map, or with another sign between.
pub(crate) fn pairs(map: Option<&Value>, sign: &str, separator: &str) -> String {
    let entries = map.and_then(Value::as_object).into_iter().flatten();
    let said: Vec<String> =
        entries.map(|(key, value)| format!("{key}{sign}{}", value.as_str().unwrap_or_default())).collect();
    if said.is_empty() { "<none>".to_owned() } else { said.join(separator) }
}
