//! `-o`: the form of output.

use std::str::FromStr;

use crate::custom_columns::CustomColumns;
use crate::jsonpath::Template;

/// How objects are printed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Format {
    /// A table, or a message about the result.
    Table {
        wide: bool,
    },
    Yaml,
    Json,
    Name,
    JsonPath(Template),
    Custom(CustomColumns),
}

/// An error in an output format.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FormatError {
    #[error(
        "allowed formats are: custom-columns=, custom-columns-file=, json, jsonpath=, jsonpath-file=, name, wide, yaml"
    )]
    Unknown,
    #[error("Go templates are not supported; use jsonpath= or custom-columns=")]
    GoTemplate,
    #[error("{0}= needs a value, as in {1}")]
    Empty(&'static str, &'static str),
    #[error("{0}: {1}")]
    File(String, palisade_console::input::InputError),
    #[error("{0}: not valid UTF-8")]
    NotUtf8(String),
    #[error(transparent)]
    JsonPath(#[from] crate::jsonpath::JsonPathError),
    #[error(transparent)]
    Columns(#[from] crate::custom_columns::ColumnsError),
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        Ok(match (name, value) {
            ("", _) => Self::Table { wide: false },
            ("wide", "") => Self::Table { wide: true },
            ("yaml", "") => Self::Yaml,
            ("json", "") => Self::Json,
            ("name", "") => Self::Name,
            ("jsonpath", "") => return Err(FormatError::Empty("jsonpath", "jsonpath={.metadata.name}")),
            ("jsonpath", template) => Self::JsonPath(template.parse()?),
            ("jsonpath-file", path) => Self::JsonPath(read(path)?.parse()?),
            ("custom-columns", "") => {
                return Err(FormatError::Empty("custom-columns", "custom-columns=NAME:.metadata.name"));
            }
            ("custom-columns", columns) => Self::Custom(columns.parse()?),
            ("custom-columns-file", path) => Self::Custom(CustomColumns::from_file(&read(path)?)?),
            ("go-template" | "go-template-file" | "template" | "templatefile", _) => {
                return Err(FormatError::GoTemplate);
            }
            _ => return Err(FormatError::Unknown),
        })
    }
}

fn read(path: &str) -> Result<String, FormatError> {
    let bytes = palisade_console::input::read(std::path::Path::new(path))
        .map_err(|error| FormatError::File(path.to_owned(), error))?;
    String::from_utf8(bytes).map_err(|_| FormatError::NotUtf8(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_those_of_kubectl() {
        for text in ["", "wide", "yaml", "json", "name", "jsonpath={.a}", "custom-columns=A:.a"] {
            assert!(text.parse::<Format>().is_ok(), "{text}");
        }
        for (text, part) in [
            ("xml", "allowed formats are"),
            ("yaml=x", "allowed formats are"),
            ("go-template={{.a}}", "Go templates are not supported"),
            ("jsonpath", "needs a value"),
            ("jsonpath={.a", "unclosed"),
            ("custom-columns=", "needs a value"),
            ("custom-columns-file=/nonexistent", "/nonexistent"),
        ] {
            let error = text.parse::<Format>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
