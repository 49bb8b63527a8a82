//! `palisade create configmap`, `create secret`.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use palisade_k8s::put;
use serde_json::{Map, Value, json};

use super::{kind, made};
use crate::cluster::args::{ConfigArgs, SecretCommand, SourceArgs, TlsArgs};
use crate::cluster::session::{ClusterError, Result};

pub(super) fn config_map(args: &ConfigArgs) -> Result<()> {
    let (mut data, mut binary) = (Map::new(), Map::new());
    for (key, bytes) in entries(&args.sources)? {
        match String::from_utf8(bytes) {
            Ok(text) => data.insert(key, text.into()),
            Err(error) => binary.insert(key, STANDARD.encode(error.as_bytes()).into()),
        };
    }
    let mut rest = json!({});
    for (field, map) in [("data", data), ("binaryData", binary)] {
        if !map.is_empty() {
            put(&mut rest, &[field], Value::Object(map));
        }
    }
    made(&args.make, &kind("", "configmaps", "configmap", "ConfigMap", true), rest)
}

pub(super) fn secret(command: &SecretCommand) -> Result<()> {
    let (make, kind_of, entries) = match command {
        SecretCommand::Generic(args) => {
            let kind = args.kind.clone().unwrap_or_else(|| "Opaque".to_owned());
            (&args.make, kind, entries(&args.sources)?)
        }
        SecretCommand::Tls(args) => (&args.make, "kubernetes.io/tls".to_owned(), pair(args)?),
    };
    let data: Map<String, Value> =
        entries.into_iter().map(|(key, bytes)| (key, STANDARD.encode(bytes).into())).collect();
    let rest = json!({"type": kind_of, "data": data});
    made(make, &kind("", "secrets", "secret", "Secret", true), rest)
}

fn usage(why: String) -> ClusterError {
    ClusterError::Usage(why)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| usage(format!("{}: {error}", path.display())))
}

/// A certificate and its key, both of which say what they are.
fn pair(args: &TlsArgs) -> Result<Vec<(String, Vec<u8>)>> {
    for (path, what) in [(&args.cert, "CERTIFICATE-----"), (&args.key, "PRIVATE KEY-----")] {
        if !String::from_utf8_lossy(&read(path)?).contains(what) {
            return Err(usage(format!("{}: holds no PEM block of -----BEGIN …{what}", path.display())));
        }
    }
    Ok(vec![("tls.crt".to_owned(), read(&args.cert)?), ("tls.key".to_owned(), read(&args.key)?)])
}

/// The entries that flags name, each key once.
fn entries(args: &SourceArgs) -> Result<Vec<(String, Vec<u8>)>> {
    let mut entries = Vec::new();
    for text in &args.from_literal {
        let (key, value) =
            text.split_once('=').ok_or_else(|| usage(format!("--from-literal: {text:?} is no KEY=VALUE")))?;
        entries.push((key.to_owned(), value.as_bytes().to_vec()));
    }
    for text in &args.from_file {
        entries.extend(files(text)?);
    }
    for path in &args.from_env_file {
        entries.extend(variables(path)?);
    }
    let mut seen = std::collections::HashSet::new();
    match entries.iter().find(|(key, _)| !seen.insert(key.as_str())) {
        Some((key, _)) => Err(usage(format!("the key {key:?} is given twice"))),
        None => Ok(entries),
    }
}

/// `[KEY=]PATH`: a file under its name or another, or all files of a folder.
fn files(text: &str) -> Result<Vec<(String, Vec<u8>)>> {
    if let Some((key, path)) = text.split_once('=') {
        return Ok(vec![(key.to_owned(), read(Path::new(path))?)]);
    }
    let path = Path::new(text);
    let io = |error: std::io::Error| usage(format!("{text}: {error}"));
    let name =
        |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if !path.is_dir() {
        return Ok(vec![(name(path), read(path)?)]);
    }
    let mut files = Vec::new();
    for entry in path.read_dir().map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.is_file() {
            files.push((name(&path), read(&path)?));
        }
    }
    files.sort();
    Ok(files)
}

/// Lines of `KEY=VALUE`; one with a key alone is a variable of this process.
fn variables(path: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let bytes = read(path)?;
    let text = String::from_utf8(bytes).map_err(|_| usage(format!("{}: not UTF-8", path.display())))?;
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim_start);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines
        .map(|line| match line.split_once('=') {
            Some((key, value)) => (key.to_owned(), value.as_bytes().to_vec()),
            None => (line.to_owned(), std::env::var(line).unwrap_or_default().into_bytes()),
        })
        .collect())
}
