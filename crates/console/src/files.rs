//! Files and folders of manifests: every object with its place.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::input::{self, InputError};
use crate::kustomize;
use palisade_k8s::FieldPath;
use palisade_k8s::manifest::{self, Entry, Node, NodeValue, Position};

/// The values that any file may hold, and after how many bytes of it one more: what people and API servers write has some
/// 20 bytes a value and takes ten times its size in memory, a list of `{}` takes hundreds of times.
const VALUES: usize = 100_000;
const BYTES_A_VALUE: usize = 10;

/// A file's name and lines, for pointing into it.
#[derive(Debug)]
pub struct Source {
    /// The path as it was given, or `stdin`.
    pub name: String,
    text: String,
    /// Whether anybody can look at the text: the objects of a cluster are only here.
    has_lines: bool,
    /// Offsets of lines, computed at their first use: a file may have as many broken objects as lines.
    starts: OnceLock<Vec<usize>>,
}

impl Source {
    fn new(name: String, text: String, has_lines: bool) -> Self {
        Self { name, text, has_lines, starts: OnceLock::new() }
    }

    /// A line of the file, counted from 1.
    #[must_use]
    pub fn line(&self, number: usize) -> Option<&str> {
        let starts = self.starts.get_or_init(|| {
            let ends = self.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
            std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect()
        });
        let start = *starts.get(number.checked_sub(1)?)?;
        self.text.get(start..)?.lines().next()
    }
}

/// One object and where it was read.
#[derive(Clone, Debug)]
pub struct Document {
    /// The file that it is in.
    pub source: Arc<Source>,
    /// Its value, with positions.
    pub node: Node,
}

/// A place in a file: prints as `file:line:column`, or by the name alone if it is no file.
#[derive(Clone, Debug)]
pub struct Place {
    /// The file.
    pub source: Arc<Source>,
    /// The line and the column.
    pub position: Position,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source.has_lines {
            true => write!(f, "{}:{}", self.source.name, self.position),
            false => f.write_str(&self.source.name),
        }
    }
}

impl Document {
    /// The place of a field, or of the innermost part of its path that was written.
    #[must_use]
    pub fn place(&self, path: &FieldPath) -> Place {
        Place { source: Arc::clone(&self.source), position: self.node.locate(path) }
    }

    /// A text field of the object itself; empty where it is absent.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.node.get(field).and_then(Node::as_str).unwrap_or_default()
    }

    /// A text field of the object's metadata; empty where it is absent.
    #[must_use]
    pub fn metadata(&self, field: &str) -> &str {
        self.node.get("metadata").and_then(|node| node.get(field)).and_then(Node::as_str).unwrap_or_default()
    }
}

/// An error of reading files.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{0}")]
    Input(String, #[source] InputError),
    /// A line, counted from 1, is not UTF-8.
    #[error("{0}:{1}: not valid UTF-8")]
    NotUtf8(String, usize),
    /// It is not valid YAML or JSON.
    #[error("{0}:{1}")]
    Yaml(String, manifest::ReadError),
    /// It is a template that is not rendered.
    #[error("{0}:{1}; this is a template: render it first, as with `helm template CHART`")]
    Template(String, manifest::ReadError),
    /// A document is not an object.
    #[error("{0}: an object with kind and apiVersion is expected here")]
    NoObject(Place),
    /// No document of a file is an object.
    #[error("{0}: an object with kind and apiVersion is expected here")]
    NoManifest(Place),
    /// A folder holds no manifests.
    #[error("{0}: no .yaml, .yml or .json file in this folder")]
    EmptyFolder(String),
}

impl FileError {
    /// Whether the file is a template, or anything but a manifest.
    fn is_of_another_file(&self) -> bool {
        matches!(self, Self::NoManifest(_) | Self::Template(..))
    }
}

/// Reads all objects of files and folders, the elements of `List`s among them. `-` is standard input.
///
/// # Errors
/// See [`FileError`]. The first file that cannot be read ends it; of a folder, templates and what is no object are left out, and
/// named on stderr.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Document>, FileError> {
    gather(paths, expand, Err)
}

/// The same, where a file that cannot be read does not keep the others from being read: each is named as an error on stderr. The
/// files of kustomize in a folder are left out. Their number is returned too, so that the command ends with an error.
///
/// # Errors
/// See [`FileError`]; the first one if nothing could be read.
pub fn read_rest(paths: &[PathBuf]) -> Result<(Vec<Document>, usize), FileError> {
    let mut broken = Vec::new();
    let documents = gather(paths, reviewed, |error| {
        broken.push(error);
        Ok(())
    })?;
    let number = broken.len();
    let fatal = if documents.is_empty() { broken.drain(..number.min(1)).next() } else { None };
    for error in &broken {
        let error = palisade_k8s::error_chain(error);
        crate::terminal::note(format_args!("{}: {error}; left out", crate::paint::error("error")));
    }
    fatal.map_or(Ok((documents, number)), Err)
}

/// The objects of files and folders; `broken` takes the errors of files that cannot be read, and may end it with them.
fn gather(
    paths: &[PathBuf],
    expand: impl Fn(&Path) -> Result<Vec<PathBuf>, FileError>,
    mut broken: impl FnMut(FileError) -> Result<(), FileError>,
) -> Result<Vec<Document>, FileError> {
    let (mut documents, mut left_out) = (Vec::new(), Vec::new());
    for path in paths {
        let files = match expand(path) {
            Ok(files) => files,
            Err(error) => {
                broken(error)?;
                continue;
            }
        };
        for file in files {
            match read_file(&file, &mut documents) {
                // Folders hold other files too, as the values and the templates of a chart.
                Err(error) if file != *path && error.is_of_another_file() => left_out.push(error),
                done => done.or_else(&mut broken)?,
            }
        }
    }
    let template = left_out.iter().position(|error| matches!(error, FileError::Template(..)));
    match template.filter(|_| documents.is_empty()) {
        Some(place) => Err(left_out.swap_remove(place)),
        None => {
            tell_left_out(&left_out);
            Ok(documents)
        }
    }
}

/// Maximum number of files left out that are told one by one.
const MAX_TOLD: usize = 3;

/// Files of a folder that hold no object are told at once if they are many, as the patches of kustomize, and so are the templates
/// of a chart.
fn tell_left_out(errors: &[FileError]) {
    let (other, templates): (Vec<_>, Vec<_>) =
        errors.iter().partition(|error| matches!(error, FileError::NoManifest(_)));
    for (errors, what) in [(templates, "templates"), (other, "files without an object")] {
        let few = errors.iter().filter(|_| errors.len() <= MAX_TOLD).map(ToString::to_string);
        let many = errors.first().filter(|_| errors.len() > MAX_TOLD);
        let many = many.map(|first| format!("{} {what}, the first is {first}", errors.len()));
        for line in few.chain(many) {
            // A failure to report is ignored.
            let _ = writeln!(crate::terminal::err(), "{} left out: {line}", crate::paint::warning("note:"));
        }
    }
}

/// The objects of a folder's files, and the number of files that cannot be read.
///
/// # Errors
/// See [`FileError`], for the folder itself.
pub fn read_what_can_be(folder: &Path) -> Result<(Vec<Document>, usize), FileError> {
    let (mut documents, mut unreadable) = (Vec::new(), 0);
    for file in expand(folder)? {
        let mut found = Vec::new();
        match read_file(&file, &mut found) {
            Ok(()) => documents.append(&mut found),
            Err(_) => unreadable += 1,
        }
    }
    Ok((documents, unreadable))
}

/// The SCCs that ConfigMaps and Secrets hold as text; their places are in that text. Other texts are left alone.
pub fn embedded(documents: &[Document]) -> Vec<Document> {
    let mut found = Vec::new();
    for document in documents {
        let is_secret = match document.text("kind") {
            "ConfigMap" => false,
            "Secret" => true,
            _ => continue,
        };
        for (field, is_encoded) in [("data", is_secret), ("stringData", false)] {
            let values = document.node.get(field).map(Node::to_json);
            for (key, value) in values.as_ref().and_then(serde_json::Value::as_object).into_iter().flatten() {
                let text = value.as_str().and_then(|text| decoded(text, is_encoded));
                let Some(text) = text.filter(|text| text.contains(palisade_k8s::scc::KIND)) else { continue };
                let name =
                    format!("{} ({field}.{key} of {})", document.source.name, document.metadata("name"));
                found.extend(sccs(name, text));
            }
        }
    }
    found
}

fn sccs(name: String, text: String) -> Vec<Document> {
    let nodes = manifest::read(&text).unwrap_or_default();
    let source = Arc::new(Source::new(name, text, true));
    let mut documents = Vec::new();
    for node in nodes {
        // Objects of other kinds in the same text are ignored.
        let _other = push(&source, node, &mut documents);
    }
    documents.retain(|document| document.text("kind") == palisade_k8s::scc::KIND);
    documents
}

fn decoded(text: &str, is_encoded: bool) -> Option<String> {
    use base64::Engine;
    if !is_encoded {
        return Some(text.to_owned());
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim()).ok()?;
    String::from_utf8(bytes).ok()
}

/// The manifests of a folder and its subfolders, by name; a file stands for itself.
///
/// # Errors
/// See [`FileError`], for the folder itself.
pub fn expand(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    if path.as_os_str() == "-" || !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    walk(path, &mut files)?;
    files.sort();
    if files.is_empty() {
        return Err(FileError::EmptyFolder(path.display().to_string()));
    }
    Ok(files)
}

/// The same without the files of kustomize in a folder.
fn reviewed(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    let files = expand(path)?;
    Ok(if path.is_dir() { kustomize::take_out(files) } else { files })
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), FileError> {
    let io = |error: std::io::Error| FileError::Input(folder.display().to_string(), error.into());
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        // A link to a folder is not followed, so that no walk is endless.
        let kind = entry.file_type().map_err(io)?;
        let path = entry.path();
        if kind.is_dir() {
            walk(&path, files)?;
        } else if matches!(path.extension().and_then(|e| e.to_str()), Some("yaml" | "yml" | "json")) {
            files.push(path);
        }
    }
    Ok(())
}

fn read_file(path: &Path, documents: &mut Vec<Document>) -> Result<(), FileError> {
    let name = if path.as_os_str() == "-" { "stdin".to_owned() } else { path.display().to_string() };
    let bytes = input::read(path).map_err(|error| FileError::Input(name.clone(), error))?;
    let text = text_of(bytes).map_err(|error| {
        let valid = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        FileError::NotUtf8(name.clone(), memchr::memchr_iter(b'\n', valid).count() + 1)
    })?;
    documents.append(&mut parse(&name, text)?);
    Ok(())
}

/// The text of a file: UTF-8, or UTF-16 with its mark, as PowerShell's `>` writes it and kubectl reads it.
fn text_of(bytes: Vec<u8>) -> Result<String, std::string::FromUtf8Error> {
    let units = |unit: fn([u8; 2]) -> u16| {
        let pairs = bytes.get(2..).unwrap_or_default().chunks(2);
        // Half a unit at the end cannot be decoded.
        let units = pairs.map(|pair| pair.try_into().map_or(0xDC00, unit));
        char::decode_utf16(units).collect::<Result<String, _>>().ok()
    };
    let decoded = match bytes.as_slice() {
        [0xFF, 0xFE, ..] => units(u16::from_le_bytes),
        [0xFE, 0xFF, ..] => units(u16::from_be_bytes),
        _ => None,
    };
    decoded.map_or_else(|| String::from_utf8(bytes), Ok)
}

/// Reads the objects of a text, which errors call by this name.
///
/// # Errors
/// See [`FileError`].
pub fn parse(name: &str, text: String) -> Result<Vec<Document>, FileError> {
    parse_source(name, text, true)
}

/// Parses a text that nobody can look at, such as the answer of an API server.
///
/// # Errors
///
/// As [`parse`].
pub fn parse_answer(name: &str, text: String) -> Result<Vec<Document>, FileError> {
    parse_source(name, text, false)
}

fn parse_source(name: &str, text: String, has_lines: bool) -> Result<Vec<Document>, FileError> {
    let name = name.to_owned();
    let most = VALUES + text.len() / BYTES_A_VALUE;
    let nodes = manifest::read_some(&text, most).map_err(|error| match text.contains("{{") {
        true => FileError::Template(name.clone(), error),
        false => FileError::Yaml(name.clone(), error),
    })?;
    let source = Arc::new(Source::new(name, text, has_lines));
    let mut documents = Vec::new();
    let is_object = |node: &Node| node.get("kind").is_some();
    match nodes.first().filter(|_| !nodes.iter().any(is_object)) {
        Some(first) => Err(FileError::NoManifest(Place { source, position: first.at })),
        None => {
            nodes.into_iter().try_for_each(|node| push(&source, node, &mut documents)).map(|()| documents)
        }
    }
}

/// An element of a list. API servers leave out what the list says of each: the kind of a `PodList`'s elements.
fn of_list(item: &Node, list: &Node) -> Node {
    let mut item = item.clone();
    let kind = list.get("kind").and_then(Node::as_str).and_then(|kind| kind.strip_suffix("List"));
    let (Some(kind), None) = (kind.filter(|kind| !kind.is_empty()), item.get("kind")) else { return item };
    let version = list.get("apiVersion").and_then(Node::as_str).filter(|_| item.get("apiVersion").is_none());
    let at = item.at;
    if let NodeValue::Map(entries) = &mut item.value {
        for (key, text) in [("kind", Some(kind)), ("apiVersion", version)] {
            let value = text.map(|text| Node { at, value: NodeValue::String(text.to_owned()) });
            entries.extend(value.map(|value| Entry { key: key.to_owned(), at, value }));
        }
    }
    item
}

/// Adds an object; a list's elements one by one.
fn push(source: &Arc<Source>, node: Node, documents: &mut Vec<Document>) -> Result<(), FileError> {
    let kind = node.get("kind").and_then(Node::as_str);
    let is_list = kind.is_some_and(|kind| kind.ends_with("List")) && node.get("items").is_some();
    if is_list {
        let items = node.get("items").map(Node::items).unwrap_or_default();
        return items.iter().try_for_each(|item| push(source, of_list(item, &node), documents));
    }
    if kind.is_none() {
        return Err(FileError::NoObject(Place { source: Arc::clone(source), position: node.at }));
    }
    documents.push(Document { source: Arc::clone(source), node });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf_16_with_its_mark_is_read() {
        const TEXT: &str = "kind: Pod # é 𝄞\n";
        let with_mark = |unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
            "\u{feff}".encode_utf16().chain(TEXT.encode_utf16()).flat_map(unit).collect()
        };
        let little = with_mark(u16::to_le_bytes);
        for bytes in [little.clone(), with_mark(u16::to_be_bytes), TEXT.as_bytes().to_vec()] {
            assert_eq!(text_of(bytes).as_deref(), Ok(TEXT));
        }
        let half = little.get(..little.len() - 1).unwrap_or_default().to_vec();
        let alone = vec![0xFF, 0xFE, 0x00, 0xD8];
        assert!([half, alone].into_iter().all(|bytes| text_of(bytes).is_err()));
    }
}
