//! Files and folders of manifests, read whole, every document with its place.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use palisade_k8s::FieldPath;
use palisade_k8s::manifest::{self, Node, Position};

/// What one file may hold, in bytes.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// A file's name and lines, for pointing into it.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    text: String,
}

impl Source {
    /// A line of the file, counted from 1.
    pub(crate) fn line(&self, number: usize) -> Option<&str> {
        self.text.lines().nth(number.checked_sub(1)?)
    }
}

/// One object and where it was read.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) source: Arc<Source>,
    pub(crate) node: Node,
}

/// A place in a file: prints as `file:line:column`.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) source: Arc<Source>,
    pub(crate) position: Position,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.source.name, self.position)
    }
}

impl Document {
    /// Where a field is, or the innermost part of its path that was written.
    pub(crate) fn place(&self, path: &FieldPath) -> Place {
        Place { source: Arc::clone(&self.source), position: self.node.locate(path) }
    }

    /// A text field of the object itself.
    pub(crate) fn text(&self, field: &str) -> &str {
        self.node.get(field).and_then(Node::as_str).unwrap_or_default()
    }

    /// A text field of the object's metadata.
    pub(crate) fn metadata(&self, field: &str) -> &str {
        self.node.get("metadata").and_then(|node| node.get(field)).and_then(Node::as_str).unwrap_or_default()
    }
}

/// Why files cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// The system says no.
    #[error("{0}")]
    Io(String, #[source] std::io::Error),
    /// It is no text.
    #[error("{0}:{1}: not valid UTF-8")]
    NotUtf8(String, usize),
    /// It is too large.
    #[error("{0}: larger than {MAX_BYTES} bytes")]
    TooLarge(String),
    /// It is no YAML.
    #[error("{0}:{1}")]
    Yaml(String, manifest::ReadError),
    /// It is a template that is not filled in.
    #[error("{0}:{1}; this is a template: render it first, as with `helm template CHART`")]
    Template(String, manifest::ReadError),
    /// A document is no object.
    #[error("{0}: an object with kind and apiVersion is expected here")]
    NoObject(Place),
    /// A folder holds no manifests.
    #[error("{0}: no .yaml, .yml or .json file in this folder")]
    EmptyFolder(String),
}

/// Reads all objects of files and folders, the elements of `List`s among them. `-` is stdin.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Document>, FileError> {
    let mut documents = Vec::new();
    for path in paths {
        for file in expand(path)? {
            read_file(&file, &mut documents)?;
        }
    }
    Ok(documents)
}

/// The objects of a folder's files, and how many of its files hold none that can be read.
pub(crate) fn read_what_can_be(folder: &Path) -> Result<(Vec<Document>, usize), FileError> {
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

/// The manifests of a folder and its subfolders, by name; a file stands for itself.
fn expand(path: &Path) -> Result<Vec<PathBuf>, FileError> {
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

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), FileError> {
    let io = |error| FileError::Io(folder.display().to_string(), error);
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
    let io = |error| FileError::Io(name.clone(), error);
    let reader: Box<dyn Read> = match path.as_os_str() == "-" {
        true => Box::new(std::io::stdin().lock()),
        false => Box::new(std::fs::File::open(path).map_err(io)?),
    };
    let mut bytes = Vec::new();
    reader.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(FileError::TooLarge(name));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        FileError::NotUtf8(name.clone(), memchr::memchr_iter(b'\n', valid).count() + 1)
    })?;
    let nodes = manifest::read(&text).map_err(|error| match text.contains("{{") {
        true => FileError::Template(name.clone(), error),
        false => FileError::Yaml(name.clone(), error),
    })?;
    let source = Arc::new(Source { name, text });
    nodes.into_iter().try_for_each(|node| push(&source, node, documents))
}

/// Adds an object; a list's elements one by one.
fn push(source: &Arc<Source>, node: Node, documents: &mut Vec<Document>) -> Result<(), FileError> {
    let kind = node.get("kind").and_then(Node::as_str);
    let is_list = kind.is_some_and(|kind| kind.ends_with("List")) && node.get("items").is_some();
    if is_list {
        let items = node.get("items").map(Node::items).unwrap_or_default();
        return items.iter().try_for_each(|item| push(source, item.clone(), documents));
    }
    if kind.is_none() {
        return Err(FileError::NoObject(Place { source: Arc::clone(source), position: node.at }));
    }
    documents.push(Document { source: Arc::clone(source), node });
    Ok(())
}
