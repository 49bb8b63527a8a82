//! `adm ranges`: the user IDs, groups and SELinux levels of namespaces, and those that are shared or missing.

use palisade_console::{Exit, paint, terminal};
use palisade_k8s::scc::annotation::{MCS, SUPPLEMENTAL_GROUPS, UID_RANGE};
use palisade_scc::{Allocated, NamespaceRanges, drift};
use serde_json::Value;
use std::io::Write;

use crate::args::ConnectOnly;
use crate::error::{Error, Outcome};
use crate::output;
use crate::table::Columns;
use crate::value::text;

pub(crate) async fn run(args: &ConnectOnly) -> Outcome {
    let session = args.connect.open().await?;
    let list = session.get("/api/v1/namespaces").await?;
    let namespaces: Vec<&Value> = list.get("items").and_then(Value::as_array).into_iter().flatten().collect();
    let annotation = |namespace: &'_ Value, key: &str| {
        namespace.get("metadata")?.get("annotations")?.get(key)?.as_str().map(str::to_owned)
    };
    let mut columns = Columns::default();
    columns.push(["NAMESPACE", "USER IDS", "GROUPS", "LEVEL"].map(str::to_owned));
    for namespace in &namespaces {
        let cell = |key| annotation(namespace, key).unwrap_or_else(|| "<none>".to_owned());
        let name = text(namespace, "/metadata/name").to_owned();
        columns.push([name, cell(UID_RANGE), cell(SUPPLEMENTAL_GROUPS), cell(MCS)]);
    }
    output::message(&columns.lines())?;
    let allocated: Vec<Allocated<'_>> = namespaces
        .iter()
        .map(|namespace| {
            let annotations = namespace.pointer("/metadata/annotations");
            let get = |key: &str| annotations.and_then(|map| map.get(key)?.as_str());
            (text(namespace, "/metadata/name"), NamespaceRanges::read(get))
        })
        .collect();
    let findings = drift(&allocated);
    let mut out = terminal::out();
    for (at, (name, finding)) in findings.iter().enumerate() {
        let gap = if at == 0 { "\n" } else { "" };
        writeln!(out, "{gap}{}: {name}: {finding}", paint::warning("warning")).map_err(Error::Output)?;
    }
    Ok(if findings.is_empty() { Exit::Fine } else { Exit::Findings })
}
