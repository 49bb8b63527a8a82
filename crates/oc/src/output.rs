//! Objects and messages on standard output.

use std::io::{ErrorKind, Write};

use palisade_client::Kind;
use palisade_console::terminal;
use palisade_k8s::yaml;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::format::Format;
use crate::value::{sorted, text};

/// Prints an object in a format other than a table.
pub(crate) fn print(object: &Value, kind: Option<&Kind>, format: &Format) -> Result<()> {
    match format {
        Format::Yaml => exact(yaml::write(object).as_bytes()),
        Format::Json => exact((pretty(object) + "\n").as_bytes()),
        Format::JsonPath(template) => data(template.fill(object)?.as_bytes()),
        Format::Custom(columns) => message(&columns.lines(&[object], true)?),
        Format::Name | Format::Table { .. } => {
            let word = kind.map_or_else(|| text(object, "/kind").to_lowercase(), Kind::qualified);
            message(&format!("{word}/{}\n", text(object, "/metadata/name")))
        }
    }
}

/// Writes text for people: control characters in it are escaped.
pub(crate) fn message(text: &str) -> Result<()> {
    write(terminal::out(), text.as_bytes())
}

/// Writes data in a requested format: exact to a file or a pipe, escaped on a terminal.
pub(crate) fn data(bytes: &[u8]) -> Result<()> {
    write(terminal::data(), bytes)
}

/// Writes bytes unchanged, to any destination: YAML and JSON, in which strings are quoted, and the output of
/// containers.
pub(crate) fn exact(bytes: &[u8]) -> Result<()> {
    write(std::io::stdout().lock(), bytes)
}

fn write(mut out: impl Write, bytes: &[u8]) -> Result<()> {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        // A reader that has closed its end of the pipe needs no more.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Error::Output(error)),
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
