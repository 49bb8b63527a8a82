//! `palisade adm ranges`: what namespaces are allocated, and where that went wrong.

use palisade_k8s::scc::annotation::{MCS, SUPPLEMENTAL_GROUPS, UID_RANGE};
use palisade_scc::{Allocated, NamespaceRanges, drift};
use serde_json::Value;

use super::args::ConnectOnly;
use super::output::{self, Columns, text};
use super::session::Session;
use crate::exit::Exit;

pub(crate) fn run(args: &ConnectOnly) -> crate::Outcome {
    let session = Session::open(&args.connect)?;
    let list = session.get("/api/v1/namespaces")?;
    let namespaces: Vec<&Value> = list.get("items").and_then(Value::as_array).into_iter().flatten().collect();
    let annotation = |namespace: &'_ Value, key: &str| {
        namespace.get("metadata")?.get("annotations")?.get(key)?.as_str().map(str::to_owned)
    };
    let allocated: Vec<Allocated<'_>> = namespaces
        .iter()
        .map(|namespace| {
            let own = namespace.pointer("/metadata/annotations");
            let get = |key: &str| own.and_then(|map| map.get(key)?.as_str());
            (text(namespace, "/metadata/name"), NamespaceRanges::read(get))
        })
        .collect();
    let findings = drift(&allocated);
    let mut columns = Columns::default();
    columns.push(["NAMESPACE", "USER IDS", "GROUPS", "LEVEL"].map(str::to_owned));
    for namespace in namespaces {
        let cell = |key| annotation(namespace, key).unwrap_or_else(|| "<none>".to_owned());
        let name = text(namespace, "/metadata/name").to_owned();
        columns.push([name, cell(UID_RANGE), cell(SUPPLEMENTAL_GROUPS), cell(MCS)]);
    }
    let mut said = columns.lines();
    if !findings.is_empty() {
        said.push('\n');
    }
    for (name, finding) in &findings {
        said.push_str(&format!("{}: {name}: {finding}\n", crate::paint::warning("warning")));
    }
    output::write(&said)?;
    Ok(if findings.is_empty() { Exit::Fine } else { Exit::Findings })
}
