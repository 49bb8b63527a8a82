//! `get`: objects as tables, YAML, JSON and more; lists page by page.

mod watch;

use http::Method;
use palisade_client::{Kind, Kinds, Pages, Session, encode};
use palisade_console::{Exit, terminal};
use palisade_k8s::put;
use serde_json::{Value, json};

use crate::args::GetArgs;
use crate::error::{Outcome, Result};
use crate::format::Format;
use crate::objects::{self, Placed};
use crate::output;
use crate::sort;
use crate::table::{self, Columns, TableOptions};
use crate::targets::{self, Wanted};
use crate::value::text;

const JSON: &str = "application/json";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

pub(crate) async fn run(args: &GetArgs) -> Outcome {
    let session = args.connect.open().await?;
    if let Some(path) = &args.raw {
        output::data(&session.raw(path).await?)?;
        return Ok(Exit::Fine);
    }
    let kinds = Kinds::read(&session).await?;
    let mut words = args.what.clone();
    for Placed { object, place } in objects::read(&args.files)? {
        let kind = objects::kind_of(&kinds, &object).map_err(|error| error.at(&place))?;
        words.push(format!("{}/{}", qualified_plural(kind), text(&object, "/metadata/name")));
    }
    let wanted = targets::wanted(&kinds, &words)?;
    match &args.output {
        _ if args.watch => watch::run(&session, args, &wanted).await?,
        Format::Table { wide } => tables(&session, args, &wanted, *wide).await?,
        format => print_objects(&session, args, &wanted, format).await?,
    }
    Ok(Exit::Fine)
}

fn qualified_plural(kind: &Kind) -> String {
    match kind.group.as_str() {
        "" => kind.plural.clone(),
        group => format!("{}.{group}", kind.plural),
    }
}

/// The path of a list without its query.
fn list_path(session: &Session, args: &GetArgs, kind: &Kind) -> String {
    kind.path((!args.all_namespaces).then_some(session.namespace.as_str()))
}

/// The selectors of a list, as parts of its query.
fn selection(args: &GetArgs) -> String {
    let mut query = String::new();
    for (name, value) in [("labelSelector", &args.selector), ("fieldSelector", &args.field_selector)] {
        query.extend(value.iter().map(|value| format!("&{name}={}", encode(value))));
    }
    if args.sort_by.is_some() {
        query.push_str("&includeObject=Object");
    }
    query
}

/// The answers for one kind: the pages of a list, or objects one by one.
async fn answers(session: &Session, args: &GetArgs, wanted: &Wanted<'_>, accept: &str) -> Result<Vec<Value>> {
    let mut answers = Vec::new();
    for name in &wanted.names {
        let path = wanted.kind.object_path(&session.namespace, name);
        match session.send_as(Method::GET, &path, accept, None).await {
            Err(error) if error.is_not_found() && args.ignore_not_found => {}
            answer => answers.push(answer?),
        }
    }
    if !wanted.names.is_empty() {
        return Ok(answers);
    }
    let first = format!("{}?limit=500{}", list_path(session, args, wanted.kind), selection(args));
    let (mut pages, mut next) = (Pages::of(&first), Some(first));
    while let Some(path) = next {
        let answer = session.send_as(Method::GET, &path, accept, None).await?;
        let lists = ["items", "rows"].into_iter().filter_map(|name| answer.get(name)?.as_array());
        next = pages.after(&answer, lists.map(Vec::len).sum())?;
        answers.push(answer);
    }
    Ok(answers)
}

async fn tables(session: &Session, args: &GetArgs, wanted: &[Wanted<'_>], wide: bool) -> Result<()> {
    let mut tables = Vec::new();
    for one in wanted {
        let answers = answers(session, args, one, TABLE).await?;
        tables.extend(table(args, one, answers, wide, wanted.len() > 1)?);
    }
    if tables.is_empty() && !args.ignore_not_found {
        let is_namespaced = wanted.iter().any(|one| one.kind.namespaced) && !args.all_namespaces;
        if is_namespaced {
            terminal::note(format_args!("No resources found in {} namespace.", session.namespace));
        } else {
            terminal::note("No resources found");
        }
    }
    output::message(&tables.join("\n"))
}

/// The pages of one kind as one table; `None` if it has no rows.
fn table(
    args: &GetArgs,
    wanted: &Wanted<'_>,
    mut answers: Vec<Value>,
    wide: bool,
    has_prefix: bool,
) -> Result<Option<String>> {
    if let Some(path) = &args.sort_by {
        answers = vec![sorted(answers, path)?];
    }
    answers
        .retain(|answer| answer.get("rows").and_then(Value::as_array).is_some_and(|rows| !rows.is_empty()));
    let name = wanted.kind.qualified();
    let mut columns = Columns::default();
    for (at, answer) in answers.iter().enumerate() {
        let options = TableOptions {
            wide,
            headers: at == 0 && !args.no_headers,
            namespaces: args.all_namespaces && wanted.kind.namespaced,
            labels: args.show_labels,
            prefix: has_prefix.then_some(name.as_str()),
        };
        table::rows(answer, options, &mut columns);
    }
    Ok((!answers.is_empty()).then(|| columns.lines()))
}

/// All rows in one table, sorted.
fn sorted(mut answers: Vec<Value>, path: &crate::jsonpath::Path) -> Result<Value> {
    let mut all = Vec::new();
    for answer in &mut answers {
        if let Some(rows) = answer.get_mut("rows").and_then(Value::as_array_mut) {
            all.append(rows);
        }
    }
    sort::sort(&mut all, path, |row| row.get("object").unwrap_or(row))?;
    let mut table = answers.into_iter().next().unwrap_or_default();
    put(&mut table, &["rows"], all.into());
    Ok(table)
}

async fn print_objects(
    session: &Session,
    args: &GetArgs,
    wanted: &[Wanted<'_>],
    format: &Format,
) -> Result<()> {
    let is_one = wanted.len() == 1 && wanted.first().is_some_and(|one| one.names.len() == 1);
    let mut items = Vec::new();
    for one in wanted {
        for answer in answers(session, args, one, JSON).await? {
            items.extend(
                elements(answer).into_iter().map(|object| (complete(object, args, one.kind), one.kind)),
            );
        }
    }
    if let Some(path) = &args.sort_by {
        sort::sort(&mut items, path, |(object, _)| object)?;
    }
    if let Format::Custom(columns) = format {
        let objects: Vec<&Value> = items.iter().map(|(object, _)| object).collect();
        return output::message(&columns.lines(&objects, !args.no_headers)?);
    }
    if is_one || *format == Format::Name {
        return items.iter().try_for_each(|(object, kind)| output::print(object, Some(kind), format));
    }
    let items: Vec<Value> = items.into_iter().map(|(object, _)| object).collect();
    let list =
        json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items});
    output::print(&list, None, format)
}

/// The objects of a list, or the object itself.
fn elements(mut answer: Value) -> Vec<Value> {
    let is_list = text(&answer, "/kind").ends_with("List");
    match answer.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) if is_list => items,
        Some(other) => {
            put(&mut answer, &["items"], other);
            vec![answer]
        }
        None => vec![answer],
    }
}

/// An object of a list with its kind, which lists omit; in JSON and YAML without `managedFields`, as in kubectl.
fn complete(mut object: Value, args: &GetArgs, kind: &Kind) -> Value {
    if let Some(map) = object.as_object_mut() {
        map.entry("kind").or_insert_with(|| kind.kind.as_str().into());
        map.entry("apiVersion").or_insert_with(|| kind.api_version().into());
    }
    let is_whole = matches!(args.output, Format::Json | Format::Yaml);
    if is_whole
        && !args.show_managed_fields
        && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
    {
        metadata.shift_remove("managedFields");
    }
    object
}
