//! `palisade seccomp path`.

use std::io::Write;

use palisade_console::terminal;
use palisade_k8s::FieldPath;
use palisade_profiles::{Catalog, Machine, Name, Origin};

use super::args::PathArgs;
use crate::exit::Exit;

pub(super) fn run(args: &PathArgs) -> crate::Outcome {
    let documents = crate::files::read(&args.files)?;
    let mut catalog = Catalog::default();
    let mut named = Vec::new();
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
    Ok(Exit::Fine)
}
