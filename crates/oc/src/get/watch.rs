//! `get --watch`.

use palisade_client::{Session, Status, encode};
use palisade_k8s::put;
use serde_json::Value;

use super::{JSON, TABLE, list_path, selection};
use crate::args::GetArgs;
use crate::error::{Error, Result};
use crate::format::Format;
use crate::output;
use crate::table::{self, Columns, TableOptions};
use crate::targets::Wanted;
use crate::value::text;

pub(super) async fn run(session: &Session, args: &GetArgs, wanted: &[Wanted<'_>]) -> Result<()> {
    let [wanted] = wanted else { return Err(Error::WatchOne) };
    let mut path = format!("{}?watch=1{}", list_path(session, args, wanted.kind), selection(args));
    match wanted.names.as_slice() {
        [] => {}
        [name] => path.push_str(&format!("&fieldSelector={}", encode(&format!("metadata.name={name}")))),
        _ => return Err(Error::WatchOne),
    }
    let (accept, wide) = match args.output {
        Format::Table { wide } => (TABLE, wide),
        _ => (JSON, false),
    };
    let options = TableOptions {
        wide,
        headers: !args.no_headers,
        namespaces: args.all_namespaces && wanted.kind.namespaced,
        labels: args.show_labels,
        prefix: None,
    };
    let mut rows = Rows { options, definitions: Value::Null, columns: Columns::default() };
    let mut events = session.watch(&path, accept).await?;
    while let Some(mut event) = events.next().await? {
        let object = event.get_mut("object").map(Value::take).unwrap_or_default();
        match (text(&event, "/type"), text(&object, "/kind")) {
            ("BOOKMARK", _) => {}
            ("ERROR", _) => {
                let status: Status = serde_json::from_value(object).unwrap_or_default();
                return Err(Error::WatchFailed(status.boxed()));
            }
            (_, "Table") => output::message(&rows.lines(object))?,
            _ => output::print(&object, Some(wanted.kind), &args.output)?,
        }
    }
    Ok(())
}

/// Consecutive tables, of which only the first has the column definitions and needs the headers.
struct Rows<'a> {
    options: TableOptions<'a>,
    definitions: Value,
    columns: Columns,
}

impl Rows<'_> {
    fn lines(&mut self, mut table: Value) -> String {
        match table.get("columnDefinitions") {
            Some(Value::Array(own)) if !own.is_empty() => self.definitions = own.clone().into(),
            _ => put(&mut table, &["columnDefinitions"], self.definitions.clone()),
        }
        table::rows(&table, self.options, &mut self.columns);
        self.options.headers = false;
        self.columns.lines()
    }
}
