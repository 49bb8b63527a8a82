//! `palisade get`, `palisade logs`.

use palisade_k8s::put;
use std::ops::ControlFlow;

use serde_json::{Value, json};

use super::args::{GetArgs, LogsArgs};
use super::custom;
use super::file;
use super::kind::{Kind, Kinds, encode};
use super::output::{self, Columns, Format, TableOptions, text};
use super::session::{ClusterError, Result, Session};
use crate::exit::Exit;

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// What the words of a command line mean.
pub(crate) struct Wanted<'k> {
    pub(crate) kind: &'k Kind,
    /// None in particular: all.
    pub(crate) names: Vec<String>,
}

/// Reads `TYPE[,TYPE] [NAME…]` and `TYPE/NAME…`.
pub(crate) fn wanted<'k>(kinds: &'k Kinds, words: &[String]) -> Result<Vec<Wanted<'k>>> {
    let (first, names) =
        words.split_first().ok_or_else(|| ClusterError::Usage("which type of object?".to_owned()))?;
    if words.iter().any(|word| word.contains('/')) {
        return words
            .iter()
            .map(|word| {
                let (kind, name) = word.split_once('/').ok_or_else(|| {
                    ClusterError::Usage(format!("{word:?}: either all are TYPE/NAME or none is"))
                })?;
                Ok(Wanted { kind: kinds.find(kind)?, names: vec![name.to_owned()] })
            })
            .collect();
    }
    let mut all = Vec::new();
    for word in first.split(',') {
        let category = kinds.category(word);
        if category.is_empty() {
            all.push(Wanted { kind: kinds.find(word)?, names: names.to_vec() });
        } else {
            all.extend(category.into_iter().map(|kind| Wanted { kind, names: Vec::new() }));
        }
    }
    Ok(all)
}

pub(crate) fn run(args: &GetArgs) -> crate::Outcome {
    let session = Session::open(&args.connect)?;
    if let Some(path) = &args.raw {
        output::write(&session.text(path)?)?;
        return Ok(Exit::Fine);
    }
    let format = Format::parse(args.output.as_deref())?;
    let kinds = Kinds::read(&session)?;
    let mut words = args.what.clone();
    for (object, _) in file::read(&args.files)? {
        let kind = kinds.of_object(&object)?;
        words.push(
            format!("{}.{}/{}", kind.plural, kind.group, text(&object, "/metadata/name")).replace("./", "/"),
        );
    }
    let wanted = wanted(&kinds, &words)?;
    if args.watch {
        let [one] = wanted.as_slice() else {
            return Err(ClusterError::Usage("only one type of object can be watched".to_owned()).into());
        };
        return Ok(watch(&session, args, one, &format)?);
    }
    match format {
        Format::Table { wide } => tables(&session, args, &wanted, wide)?,
        _ => objects(&session, args, &wanted, &format)?,
    }
    Ok(Exit::Fine)
}

/// The path of a list, with what is to be selected.
fn list_path(session: &Session, args: &GetArgs, kind: &Kind) -> String {
    let namespace = (!args.all_namespaces).then_some(session.namespace.as_str());
    let mut path = format!("{}?limit=500", kind.path(namespace));
    if let Some(selector) = &args.selector {
        path.push_str(&format!("&labelSelector={}", encode(selector)));
    }
    if let Some(selector) = &args.field_selector {
        path.push_str(&format!("&fieldSelector={}", encode(selector)));
    }
    if args.sort_by.is_some() {
        path.push_str("&includeObject=Object");
    }
    path
}

/// The answers for one kind: a list page by page, or objects one by one.
fn answers(session: &Session, args: &GetArgs, wanted: &Wanted<'_>, accept: &str) -> Result<Vec<Value>> {
    let mut answers = Vec::new();
    for name in &wanted.names {
        let path = wanted.kind.object_path(&session.namespace, name);
        match session.send_as(http::Method::GET, &path, accept, None) {
            Err(error) if error.is_not_found() && args.ignore_not_found => {}
            answer => answers.push(answer?),
        }
    }
    if !wanted.names.is_empty() {
        return Ok(answers);
    }
    let base = list_path(session, args, wanted.kind);
    let mut path = base.clone();
    loop {
        let answer = session.send_as(http::Method::GET, &path, accept, None)?;
        let next = text(&answer, "/metadata/continue").to_owned();
        answers.push(answer);
        if next.is_empty() {
            return Ok(answers);
        }
        path = format!("{base}&continue={}", encode(&next));
    }
}

/// All rows of one kind as one table, in the order that is wanted.
fn sorted(mut answers: Vec<Value>, path: &str) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    for answer in &mut answers {
        if let Some(rows) = answer.get_mut("rows").and_then(Value::as_array_mut) {
            all.append(rows);
        }
    }
    custom::sort(&mut all, path, |row| row.get("object").unwrap_or(row))?;
    let mut table = answers.into_iter().next().unwrap_or_default();
    put(&mut table, &["rows"], all.into());
    Ok(vec![table])
}

fn tables(session: &Session, args: &GetArgs, wanted: &[Wanted<'_>], wide: bool) -> Result<()> {
    let mut said = String::new();
    for one in wanted {
        let prefix = one.kind.said();
        let mut columns = Columns::default();
        let mut is_first = true;
        let mut found = answers(session, args, one, TABLE)?;
        if let Some(path) = &args.sort_by {
            found = sorted(found, path)?;
        }
        for answer in found {
            let is_empty = answer.get("rows").and_then(Value::as_array).is_none_or(Vec::is_empty);
            if is_empty {
                continue;
            }
            let options = TableOptions {
                wide,
                headers: is_first && !args.no_headers,
                namespaces: args.all_namespaces && one.kind.namespaced,
                labels: args.show_labels,
                prefix: (wanted.len() > 1).then_some(prefix.as_str()),
            };
            output::rows(&answer, options, &mut columns);
            is_first = false;
        }
        if !is_first {
            if !said.is_empty() {
                said.push('\n');
            }
            said.push_str(&columns.lines());
        }
    }
    if said.is_empty() && !args.ignore_not_found {
        let is_namespaced = wanted.iter().any(|one| one.kind.namespaced) && !args.all_namespaces;
        if is_namespaced {
            anstream::eprintln!("No resources found in {} namespace.", session.namespace);
        } else {
            anstream::eprintln!("No resources found");
        }
    }
    output::write(&said)
}

fn objects(session: &Session, args: &GetArgs, wanted: &[Wanted<'_>], format: &Format) -> Result<()> {
    let is_one = wanted.len() == 1 && wanted.first().is_some_and(|one| one.names.len() == 1);
    let mut items = Vec::new();
    for one in wanted {
        for answer in answers(session, args, one, "application/json")? {
            let found = match answer.get("items").and_then(Value::as_array) {
                Some(list) if text(&answer, "/kind").ends_with("List") => list.clone(),
                _ => vec![answer],
            };
            for mut object in found {
                if let Some(map) = object.as_object_mut() {
                    map.entry("kind").or_insert_with(|| one.kind.kind.as_str().into());
                    map.entry("apiVersion").or_insert_with(|| one.kind.api_version().into());
                }
                if !args.show_managed_fields
                    && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
                {
                    metadata.shift_remove("managedFields");
                }
                items.push((object, one.kind));
            }
        }
    }
    if let Some(path) = &args.sort_by {
        custom::sort(&mut items, path, |(object, _)| object)?;
    }
    if let Format::Custom(columns) = format {
        let objects: Vec<&Value> = items.iter().map(|(object, _)| object).collect();
        return output::write(&columns.lines(&objects, !args.no_headers)?);
    }
    if *format == Format::Name {
        return items.iter().try_for_each(|(object, kind)| output::print(object, Some(kind), format));
    }
    if is_one {
        return items.iter().try_for_each(|(object, _)| output::print(object, None, format));
    }
    let items: Vec<Value> = items.into_iter().map(|(object, _)| object).collect();
    let list =
        json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items});
    output::print(&list, None, format)
}

fn watch(session: &Session, args: &GetArgs, wanted: &Wanted<'_>, format: &Format) -> Result<Exit> {
    let mut path = list_path(session, args, wanted.kind).replace("?limit=500", "?watch=1");
    match wanted.names.as_slice() {
        [] => {}
        [name] => path.push_str(&format!("&fieldSelector=metadata.name%3D{}", encode(name))),
        _ => return Err(ClusterError::Usage("only one object, or all, can be watched".to_owned())),
    }
    let (accept, wide) = match format {
        Format::Table { wide } => (TABLE, *wide),
        _ => ("application/json", false),
    };
    let (mut definitions, mut is_first, mut failure) = (Value::Null, true, None);
    let mut columns = Columns::default();
    session.watch(&path, accept, |event| {
        let mut object = event.get("object").cloned().unwrap_or_default();
        let said = match (text(&event, "/type"), text(&object, "/kind")) {
            ("BOOKMARK", _) => Ok(()),
            ("ERROR", _) => Err(ClusterError::Usage(text(&object, "/message").to_owned())),
            (_, "Table") => {
                let has_columns =
                    object.get("columnDefinitions").and_then(Value::as_array).is_some_and(|c| !c.is_empty());
                if has_columns {
                    definitions = object.get("columnDefinitions").cloned().unwrap_or_default();
                } else {
                    put(&mut object, &["columnDefinitions"], definitions.clone());
                }
                let options = TableOptions {
                    wide,
                    headers: is_first && !args.no_headers,
                    namespaces: args.all_namespaces && wanted.kind.namespaced,
                    labels: args.show_labels,
                    prefix: None,
                };
                output::rows(&object, options, &mut columns);
                is_first = false;
                output::write(&columns.lines())
            }
            _ => output::print(&object, Some(wanted.kind), format),
        };
        match said {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    failure.map_or(Ok(Exit::Fine), Err)
}

pub(crate) fn logs(args: &LogsArgs) -> crate::Outcome {
    let session = Session::open(&args.connect)?;
    let name = args.pod.trim_start_matches("pods/").trim_start_matches("pod/");
    let number = |name: &str, value: Option<u64>| value.map(|value| format!("{name}={value}"));
    let flag = |name: &str, is_set: bool| is_set.then(|| format!("{name}=true"));
    let query: Vec<String> = [
        args.container.as_ref().map(|container| format!("container={}", encode(container))),
        number("tailLines", args.tail),
        number("sinceSeconds", args.since_seconds),
        flag("follow", args.follow),
        flag("previous", args.previous),
        flag("timestamps", args.timestamps),
    ]
    .into_iter()
    .flatten()
    .collect();
    let path = format!("/api/v1/namespaces/{}/pods/{}/log", encode(&session.namespace), encode(name));
    session.download(&format!("{path}?{}", query.join("&")), output::write_bytes)?;
    Ok(Exit::Fine)
}
