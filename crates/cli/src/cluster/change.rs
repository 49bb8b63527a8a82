//! `palisade label`, `annotate`, `patch`, `edit`.

use palisade_k8s::put;
use std::io::Write;

use http::Method;
use palisade_k8s::manifest;
use serde_json::{Value, json};

use super::args::{EditArgs, LabelArgs, PatchArgs};
use super::create::DryRun;
use super::get;
use super::kind::{Kind, Kinds};
use super::output::{self, Format, text};
use super::session::{ClusterError, Result, Session};
use super::yaml;
use crate::exit::Exit;

fn usage(why: impl Into<String>) -> ClusterError {
    ClusterError::Usage(why.into())
}

/// The paths of the objects that words name.
fn targets<'k>(
    session: &Session,
    kinds: &'k Kinds,
    words: &[String],
) -> Result<Vec<(&'k Kind, String, String)>> {
    let mut targets = Vec::new();
    for wanted in get::wanted(kinds, words)? {
        for name in wanted.names {
            targets.push((wanted.kind, wanted.kind.object_path(&session.namespace, &name), name));
        }
    }
    if targets.is_empty() { Err(usage("which object? give its name")) } else { Ok(targets) }
}

/// Changes a map of the metadata.
pub(crate) fn label(args: &LabelArgs, field: &str) -> crate::Outcome {
    let is_change = |word: &&String| word.contains('=') || word.ends_with('-');
    let changes: Vec<&String> = args.what.iter().filter(is_change).collect();
    let words: Vec<String> = args.what.iter().filter(|word| !is_change(word)).cloned().collect();
    if changes.is_empty() {
        return Err(usage(format!("which {field}? give key=value, or key- to remove one")).into());
    }
    let session = Session::open(&args.connect)?;
    let kinds = Kinds::read(&session)?;
    let dry = DryRun::parse(&args.dry_run)?;
    let verb = match field {
        "labels" if changes.iter().all(|change| !change.contains('=')) => "unlabeled",
        "labels" => "labeled",
        _ => "annotated",
    };
    for (kind, path, name) in targets(&session, &kinds, &words)? {
        let object = session.get(&path)?;
        let mut patch = json!({});
        for change in &changes {
            match change.split_once('=') {
                Some((key, value)) => {
                    let before = object.pointer(&format!("/metadata/{field}")).and_then(|map| map.get(key));
                    if let Some(before) = before.and_then(Value::as_str).filter(|before| *before != value)
                        && !args.overwrite
                    {
                        return Err(usage(format!(
                            "'{key}' already has a value ({before}), and --overwrite is false"
                        ))
                        .into());
                    }
                    put(&mut patch, &[key], value.into());
                }
                None => put(&mut patch, &[change.trim_end_matches('-')], Value::Null),
            }
        }
        let patch = json!({"metadata": {field: patch}}).to_string().into_bytes();
        if dry != DryRun::Client {
            let path = format!("{path}?{}", dry.query());
            session.send(Method::PATCH, &path, Some(("application/merge-patch+json", patch)))?;
        }
        output::write(&format!("{}/{name} {verb}{}\n", kind.said(), dry.said()))?;
    }
    Ok(Exit::Fine)
}

pub(crate) fn patch(args: &PatchArgs) -> crate::Outcome {
    let media_type = match args.kind.as_str() {
        "strategic" => "application/strategic-merge-patch+json",
        "merge" => "application/merge-patch+json",
        "json" => "application/json-patch+json",
        other => return Err(usage(format!("--type: {other:?} is none of strategic, merge and json")).into()),
    };
    let source = match (&args.patch, &args.patch_file) {
        (Some(patch), _) => patch.clone(),
        (None, Some(path)) => {
            std::fs::read_to_string(path).map_err(|error| usage(format!("{}: {error}", path.display())))?
        }
        (None, None) => return Err(usage("give --patch or --patch-file").into()),
    };
    let document = manifest::read(&source).map_err(|error| usage(format!("the patch: {error}")))?;
    let [document] = document.as_slice() else { return Err(usage("the patch is one document").into()) };
    let body = document.to_json().to_string().into_bytes();
    let dry = DryRun::parse(&args.dry_run)?;
    if dry == DryRun::Client {
        return Err(usage("--dry-run: only a server knows what a patch comes to; say server").into());
    }
    let format = Format::parse(args.output.as_deref())?;
    let session = Session::open(&args.connect)?;
    let kinds = Kinds::read(&session)?;
    for (kind, mut path, name) in targets(&session, &kinds, &args.what)? {
        let before = session.get(&path)?;
        if let Some(part) = &args.subresource {
            path = format!("{path}/{part}");
        }
        path = format!("{path}?{}", dry.query());
        let after = session.send(Method::PATCH, &path, Some((media_type, body.clone())))?;
        let version = |object: &Value| text(object, "/metadata/resourceVersion").to_owned();
        match &format {
            Format::Table { .. } => {
                let is_same = version(&before) == version(&after) && dry == DryRun::None;
                let suffix = if is_same { " (no change)" } else { dry.said() };
                output::write(&format!("{}/{name} patched{suffix}\n", kind.said()))?;
            }
            format => output::print(&after, Some(kind), format)?,
        }
    }
    Ok(Exit::Fine)
}

pub(crate) fn edit(args: &EditArgs) -> crate::Outcome {
    let session = Session::open(&args.connect)?;
    let kinds = Kinds::read(&session)?;
    for (kind, path, name) in targets(&session, &kinds, &args.what)? {
        let mut object = session.get(&path)?;
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.shift_remove("managedFields");
        }
        let before = yaml::write(&object);
        let after = in_editor(&before)?;
        if after.trim().is_empty() || after == before {
            output::write("Edit cancelled, no changes made.\n")?;
            continue;
        }
        let documents = manifest::read(&after).map_err(|error| usage(format!("the edited text: {error}")))?;
        let [document] = documents.as_slice() else {
            return Err(usage("the edited text is one document").into());
        };
        session.put(&path, &document.to_json())?;
        output::write(&format!("{}/{name} edited\n", kind.said()))?;
    }
    Ok(Exit::Fine)
}

/// Lets the user change a text. What they wrote is kept if anything goes wrong after.
fn in_editor(text: &str) -> Result<String> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let editor = variable("KUBE_EDITOR").or_else(|| variable("EDITOR")).unwrap_or_else(|| "vi".to_owned());
    let io = |error: std::io::Error| usage(format!("the text to edit cannot be written: {error}"));
    let now = jiff::Timestamp::now().as_nanosecond();
    let path = std::env::temp_dir().join(format!("palisade-edit-{}-{now}.yaml", std::process::id()));
    // A file of one's own: neither what a neighbour put there nor where their link leads.
    let mut options = std::fs::File::options();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.write(true).create_new(true).open(&path).map_err(io)?;
    file.write_all(text.as_bytes()).map_err(io)?;
    drop(file);
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or("vi");
    let status = std::process::Command::new(program).args(words).arg(&path).status();
    let status =
        status.map_err(|error| usage(format!("the editor {editor:?} cannot be started: {error}")))?;
    if !status.success() {
        return Err(usage(format!("the editor {editor:?} failed; the text is in {}", path.display())));
    }
    let edited = std::fs::read_to_string(&path).map_err(io)?;
    let _ = std::fs::remove_file(&path);
    Ok(edited)
}
