//! A description in columns: cells end with a tab, and a column is as wide as its widest cell.

use std::io::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use palisade_console::terminal;
use serde_json::Value;

use crate::value::text;

/// The length in bytes above which an annotation takes lines of its own.
const LONG: usize = 140;

/// The annotation with the last applied configuration, which repeats the object and is left out.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A description under construction.
#[derive(Debug, Default)]
pub(super) struct Sheet(String);

impl Sheet {
    /// Adds a line, indented by levels of two spaces.
    pub(super) fn line(&mut self, level: usize, line: impl AsRef<str>) {
        self.0.push_str(&"  ".repeat(level));
        // Escaped before the columns are laid out, so that their widths are right.
        self.0.push_str(&terminal::escape(line.as_ref()));
        self.0.push('\n');
    }

    /// Adds a name with its value.
    pub(super) fn pair(&mut self, level: usize, name: &str, value: impl AsRef<str>) {
        self.line(level, format!("{name}:\t{}", value.as_ref()));
    }

    /// Adds a name with its value, unless it is empty.
    pub(super) fn some(&mut self, level: usize, name: &str, value: &str) {
        if !value.is_empty() {
            self.pair(level, name, value);
        }
    }

    /// Adds a name with its values, one a line.
    pub(super) fn list(&mut self, name: &str, values: impl IntoIterator<Item = String>) {
        let mut values = values.into_iter();
        self.pair(0, name, values.next().unwrap_or_else(|| "<none>".to_owned()));
        values.for_each(|value| self.line(0, format!("\t{value}")));
    }

    /// Adds a map of short strings, such as labels.
    pub(super) fn map(&mut self, name: &str, map: Option<&Value>) {
        self.list(name, entries(map).into_iter().map(|(key, value)| format!("{key}={value}")));
    }

    /// Adds the annotations. A long one takes lines of its own.
    pub(super) fn annotations(&mut self, object: &Value) {
        let mut lines = Vec::new();
        for (key, value) in entries(object.pointer("/metadata/annotations")) {
            let value = value.strip_suffix('\n').unwrap_or(value);
            if key == LAST_APPLIED {
                continue;
            }
            if key.len() + value.len() + 2 <= LONG && !value.contains('\n') {
                lines.push(format!("{key}: {value}"));
                continue;
            }
            lines.push(format!("{key}:"));
            lines.extend(value.split('\n').map(|line| format!("  {}", shorten(line))));
        }
        self.list("Annotations", lines);
    }

    /// Adds name, namespace, labels and annotations.
    pub(super) fn metadata(&mut self, object: &Value) {
        self.pair(0, "Name", text(object, "/metadata/name"));
        self.some(0, "Namespace", text(object, "/metadata/namespace"));
        self.map("Labels", object.pointer("/metadata/labels"));
        self.annotations(object);
    }

    /// The text with its columns aligned.
    pub(super) fn finish(self) -> String {
        let mut writer = tabwriter::TabWriter::new(Vec::new()).minwidth(0).padding(2);
        // Writing to memory cannot fail.
        drop(writer.write_all(self.0.as_bytes()).and_then(|()| writer.flush()));
        let bytes = writer.into_inner().unwrap_or_default();
        String::from_utf8(bytes).unwrap_or(self.0)
    }
}

/// The entries of a map of strings, sorted by key.
pub(super) fn entries(map: Option<&Value>) -> Vec<(&str, &str)> {
    let entries = map.and_then(Value::as_object).into_iter().flatten();
    let mut entries: Vec<_> =
        entries.map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default())).collect();
    entries.sort_unstable();
    entries
}

/// The elements of a list; empty if it is absent.
pub(super) fn items<'v>(object: &'v Value, pointer: &str) -> &'v [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The strings of a list.
pub(super) fn texts<'v>(object: &'v Value, pointer: &str) -> Vec<&'v str> {
    items(object, pointer).iter().filter_map(Value::as_str).collect()
}

/// A string as it is, other values as JSON.
pub(super) fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `True` for true, `False` for other values.
pub(super) fn truth(value: Option<&Value>) -> &'static str {
    if value == Some(&Value::Bool(true)) { "True" } else { "False" }
}

fn shorten(line: &str) -> String {
    let most = LONG - 2;
    match line.char_indices().map(|(at, letter)| at + letter.len_utf8()).take_while(|end| *end <= most).last()
    {
        Some(end) if line.len() > most => format!("{}...", line.get(..end).unwrap_or_default()),
        _ => line.to_owned(),
    }
}

/// A time in the local zone: `Tue, 24 Nov 2026 00:00:00 +0000`.
pub(super) fn time(text: &str) -> String {
    let Ok(time) = text.parse::<Timestamp>() else { return text.to_owned() };
    time.to_zoned(TimeZone::system()).strftime("%a, %d %b %Y %H:%M:%S %z").to_string()
}

/// The age of a time.
pub(super) fn ago(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(time) => palisade_k8s::age(Timestamp::now().as_second() - time.as_second()),
        Err(_) => "<unknown>".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let mut sheet = Sheet::default();
        let long = "x".repeat(150);
        sheet.metadata(&json!({"metadata": {"name": "a", "labels": {"b": "2", "a": "1"},
            "annotations": {"long": long, "two": "lines\nhere\n", LAST_APPLIED: "{}"}}}));
        sheet.line(0, "Below:");
        sheet.pair(1, "Much longer name", "value");
        let shown = sheet.finish();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[..3], ["Name:         a", "Labels:       a=1", "              b=2"]);
        assert_eq!(lines[3], "Annotations:  long:");
        assert_eq!(lines[4], format!("                {}...", "x".repeat(138)));
        assert_eq!(
            lines[5..],
            [
                "              two:",
                "                lines",
                "                here",
                "Below:",
                "  Much longer name:  value"
            ]
        );
    }
}
