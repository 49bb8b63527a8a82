//! `palisade seccomp path`.

use std::collections::{HashMap, HashSet};
use std::io::Write;

use palisade_console::terminal;
use palisade_k8s::FieldPath;
use palisade_profiles::{Catalog, Machine, Name, Origin};

use super::args::PathArgs;
use crate::exit::Exit;
use crate::files::Document;

pub(super) fn run(args: &PathArgs) -> crate::Outcome {
    let documents = crate::files::read(&args.files)?;
    let mut catalog = Catalog::default();
    let mut named = Vec::new();
    let mut of_operator: Vec<OperatorsPath> = Vec::new();
    for document in documents.iter().filter(|document| document.text("kind") == "SeccompProfile") {
        let place = document.place(&FieldPath::root());
        let version = document.text("apiVersion");
        let group = version.split_once('/').map_or("", |(group, _)| group);
        let origin = Origin::ALL.into_iter().find(|origin| origin.group() == group).ok_or_else(|| {
            format!(
                "{place}: apiVersion {version:?}: {} is expected",
                Origin::ALL.map(Origin::group).join(" or ")
            )
        })?;
        let name = Name::new(origin, document.metadata("namespace"), document.metadata("name"));
        let spec = document.node.get("spec").ok_or_else(|| format!("{place}: spec is missing"))?;
        catalog.put(name.clone(), spec.to_json());
        if origin == Origin::Operator {
            of_operator.push(OperatorsPath::of(document));
        }
        named.push((place, name));
    }
    if named.is_empty() {
        return Err("no SeccompProfile among the input".into());
    }
    let mut out = terminal::out();
    for (place, name) in &named {
        let chain = catalog.chain(name).map_err(|error| format!("{place}: {error}"))?;
        Machine::here().resolve(&chain).map_err(|error| format!("{place}: {error}"))?;
        let path = chain.digest().localhost_profile();
        match named.len() {
            1 => writeln!(out, "{path}")?,
            _ => writeln!(out, "{path}  {name}")?,
        }
    }
    if !of_operator.is_empty() {
        tell_operators_paths(&documents, &of_operator)?;
    }
    Ok(Exit::Fine)
}

/// The file that the security-profiles-operator itself writes for an object.
struct OperatorsPath {
    /// From 0.9 on, where objects belong to no namespace, and one in the manifest is dropped.
    now: String,
    /// Up to 0.8, if the manifest names a namespace.
    before: Option<String>,
}

impl OperatorsPath {
    fn of(document: &Document) -> Self {
        let (namespace, name) = (document.metadata("namespace"), document.metadata("name"));
        let before = (!namespace.is_empty()).then(|| format!("operator/{namespace}/{name}.json"));
        Self { now: format!("operator/{name}.json"), before }
    }
}

/// Says on stderr what pods write where the operator and not `palisade node-profiles` writes the files, and which of the
/// workloads beside name a file that it does not write.
fn tell_operators_paths(documents: &[Document], paths: &[OperatorsPath]) -> std::io::Result<()> {
    let mut err = terminal::err();
    let note = crate::paint::warning("note:");
    let now: Vec<&str> = paths.iter().map(|path| path.now.as_str()).collect();
    let before: Vec<&str> = paths.iter().filter_map(|path| path.before.as_deref()).collect();
    let known: HashSet<&str> = now.iter().copied().collect();
    let moved: HashMap<&str, &str> =
        paths.iter().filter_map(|path| Some((path.before.as_deref()?, path.now.as_str()))).collect();
    let until = match before.is_empty() {
        true => String::new(),
        false => format!("; up to 0.8, {}", before.join(", ")),
    };
    writeln!(
        err,
        "{note} the security-profiles-operator itself writes {} from its version 0.9 on (status.localhostProfile){until}",
        now.join(", ")
    )?;
    for document in documents.iter().filter(|document| document.text("kind") != "SeccompProfile") {
        let mut named = Vec::new();
        localhost_profiles(&document.node.to_json(), &mut named);
        let of_operator = |name: &&String| name.starts_with("operator/") || !name.contains('/');
        for name in named.iter().filter(of_operator).filter(|name| !known.contains(name.as_str())) {
            let which = match moved.get(name.as_str()) {
                Some(now) => format!("which is the operator's path up to 0.8; from 0.9 on write {now}"),
                None => "which none of these profiles is".to_owned(),
            };
            writeln!(
                err,
                "{}: {note} {} {} names localhostProfile {name:?}, {which}",
                document.place(&FieldPath::root()),
                document.text("kind"),
                document.metadata("name"),
            )?;
        }
    }
    Ok(())
}

/// Every `localhostProfile` in an object.
fn localhost_profiles(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str() {
                    Some(text) if key == "localhostProfile" => found.push(text.to_owned()),
                    _ => localhost_profiles(value, found),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| localhost_profiles(item, found)),
        _ => {}
    }
}
