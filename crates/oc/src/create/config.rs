//! `create configmap`, `create secret`.

use std::collections::HashSet;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use palisade_client::Kind;
use palisade_console::input;
use palisade_k8s::put;
use serde_json::{Map, Value, json};

use super::create;
use crate::args::{ConfigArgs, SecretCommand, SourceArgs, TlsArgs};
use crate::error::{Error, Result};

/// A key and its value.
type Entry = (String, Vec<u8>);

pub(super) async fn config_map(args: &ConfigArgs) -> Result<()> {
    let (mut data, mut binary) = (Map::new(), Map::new());
    for (key, bytes) in entries(&args.sources)? {
        match String::from_utf8(bytes) {
            Ok(text) => data.insert(key, text.into()),
            Err(error) => binary.insert(key, STANDARD.encode(error.as_bytes()).into()),
        };
    }
    let mut fields = json!({});
    for (field, map) in [("data", data), ("binaryData", binary)] {
        if !map.is_empty() {
            put(&mut fields, &[field], Value::Object(map));
        }
    }
    create(&args.make, &Kind::v1("", "configmaps", "configmap", "ConfigMap", true), fields).await
}

pub(super) async fn secret(command: &SecretCommand) -> Result<()> {
    let (make, type_, entries) = match command {
        SecretCommand::Generic(args) => (&args.make, args.kind.as_str(), entries(&args.sources)?),
        SecretCommand::Tls(args) => (&args.make, "kubernetes.io/tls", pair(args)?),
    };
    let data: Map<String, Value> =
        entries.into_iter().map(|(key, bytes)| (key, STANDARD.encode(bytes).into())).collect();
    let fields = json!({"type": type_, "data": data});
    create(make, &Kind::v1("", "secrets", "secret", "Secret", true), fields).await
}

fn read(path: &Path) -> Result<Vec<u8>> {
    input::read(path).map_err(|error| Error::file(path, error))
}

/// A certificate and its private key, as PEM.
fn pair(args: &TlsArgs) -> Result<Vec<Entry>> {
    let read_pem = |path: &Path, block: &'static str| {
        let bytes = read(path)?;
        if String::from_utf8_lossy(&bytes).contains(block) {
            Ok(bytes)
        } else {
            Err(Error::NotPem { path: path.to_owned(), block })
        }
    };
    Ok(vec![
        ("tls.crt".to_owned(), read_pem(&args.cert, "CERTIFICATE-----")?),
        ("tls.key".to_owned(), read_pem(&args.key, "PRIVATE KEY-----")?),
    ])
}

/// The entries that flags name, each key once.
fn entries(args: &SourceArgs) -> Result<Vec<Entry>> {
    let literals = args.from_literal.iter();
    let mut entries: Vec<Entry> =
        literals.map(|entry| (entry.key.clone(), entry.value.as_bytes().to_vec())).collect();
    for text in &args.from_file {
        entries.extend(files(text)?);
    }
    for path in &args.from_env_file {
        entries.extend(variables(path)?);
    }
    let mut seen = HashSet::new();
    match entries.iter().find(|(key, _)| !seen.insert(key.as_str())) {
        Some((key, _)) => Err(Error::KeyTwice(key.clone())),
        None => Ok(entries),
    }
}

/// `[KEY=]PATH`: a file under its name or a key, or all files of a folder.
fn files(text: &str) -> Result<Vec<Entry>> {
    if let Some((key, path)) = text.split_once('=') {
        return Ok(vec![(key.to_owned(), read(Path::new(path))?)]);
    }
    let path = Path::new(text);
    let name =
        |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if !path.is_dir() {
        return Ok(vec![(name(path), read(path)?)]);
    }
    let mut files = Vec::new();
    for entry in path.read_dir().map_err(|error| Error::file(path, error))? {
        let path = entry.map_err(|error| Error::file(path, error))?.path();
        if path.is_file() {
            files.push((name(&path), read(&path)?));
        }
    }
    files.sort();
    Ok(files)
}

/// Lines of `KEY=VALUE`. A line with a key alone takes the value from the environment.
fn variables(path: &Path) -> Result<Vec<Entry>> {
    let text = String::from_utf8(read(path)?).map_err(|error| {
        let valid = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        Error::NotUtf8 { path: path.to_owned(), line: valid.filter(|byte| **byte == b'\n').count() + 1 }
    })?;
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim_start);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines
        .map(|line| match line.split_once('=') {
            Some((key, value)) => (key.to_owned(), value.as_bytes().to_vec()),
            None => (line.to_owned(), std::env::var(line).unwrap_or_default().into_bytes()),
        })
        .collect())
}
