//! `edit`: an object in an editor.

mod editor;

use std::io::IsTerminal;

use palisade_client::{Kinds, Session};
use palisade_console::Exit;
use palisade_k8s::{manifest, yaml};
use serde_json::Value;

use crate::args::EditArgs;
use crate::error::{Error, Outcome, Result};
use crate::output;
use crate::targets::{self, Target};
use editor::Editor;

const HEADER: &str = "\
# Edit the object below. Lines that begin with # are ignored, and an empty file aborts the edit.
# If the server refuses the object, the file is opened again with the reason.
#
";

pub(crate) async fn run(args: &EditArgs) -> Outcome {
    let session = args.connect.open().await?;
    let kinds = Kinds::read(&session).await?;
    let mut editor = Editor::new()?;
    for target in targets::targets(&session, &kinds, &args.what)? {
        one(&session, &target, &mut editor).await?;
    }
    Ok(Exit::Fine)
}

async fn one(session: &Session, target: &Target<'_>, editor: &mut Editor) -> Result<()> {
    let mut object = editor.or_interrupted(async { Ok(session.get(&target.path).await?) }).await?;
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("managedFields");
    }
    let original = yaml::write(&object);
    let (mut shown, mut failure) = (format!("{HEADER}{original}"), None);
    loop {
        let edited = editor.edit(&shown).await?;
        let body = without_comments(&edited);
        if edited == shown || body == original || body.trim().is_empty() {
            return failure.map_or_else(|| output::message("Edit cancelled, no changes made.\n"), Err);
        }
        let Err(error) = editor.or_interrupted(submit(session, &target.path, &body)).await else {
            return output::message(&format!("{}/{} edited\n", target.kind.qualified(), target.name));
        };
        // A retry would run the same editing script again.
        if !std::io::stdin().is_terminal() || matches!(error, Error::Interrupted) {
            return Err(error);
        }
        shown = format!("{HEADER}{}#\n{body}", commented(&error.to_string()));
        failure = Some(error);
    }
}

async fn submit(session: &Session, path: &str, text: &str) -> Result<()> {
    let documents = manifest::read(text).map_err(Error::EditSyntax)?;
    let [document] = documents.as_slice() else { return Err(Error::EditCount) };
    session.put(path, &document.to_json()).await?;
    Ok(())
}

fn without_comments(text: &str) -> String {
    text.split_inclusive('\n').filter(|line| !line.starts_with('#')).collect()
}

fn commented(text: &str) -> String {
    text.lines().map(|line| format!("# {}\n", palisade_console::terminal::escape(line))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_lines_of_their_own() {
        let text = format!("{HEADER}{}a: 1\nb: '#'\n", commented("no\x1b[2J\nmore"));
        assert!(text.contains("# no\\x1b[2J\n# more\n"));
        assert_eq!(without_comments(&text), "a: 1\nb: '#'\n");
    }
}
