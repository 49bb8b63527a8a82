//! The projects that the user may see, and `projects`.

use palisade_client::{Session, encode};
use palisade_console::Exit;
use serde_json::Value;

use crate::args::ConnectOnly;
use crate::error::{Outcome, Result};
use crate::output;
use crate::value::text;

const PROJECTS: &str = "/apis/project.openshift.io/v1/projects";
const NAMESPACES: &str = "/api/v1/namespaces";

/// The names of the projects that the user may see; on a server without projects, of the namespaces. Empty for a user
/// who may not list namespaces.
pub(crate) async fn names(session: &Session) -> Result<Vec<String>> {
    let list = match session.get(PROJECTS).await {
        Err(error) if error.is_not_found() => session.get(NAMESPACES).await,
        list => list,
    };
    let list = match list {
        Err(error) if error.is_forbidden() => return Ok(Vec::new()),
        list => list?,
    };
    let items = list.get("items").and_then(Value::as_array).into_iter().flatten();
    Ok(items.map(|item| text(item, "/metadata/name").to_owned()).collect())
}

/// Whether the user may see a project of this name; on a server without projects, a namespace.
pub(crate) async fn exists(session: &Session, name: &str) -> Result<bool> {
    let found = match session.get(&format!("{PROJECTS}/{}", encode(name))).await {
        Err(error) if error.is_not_found() => session.get(&format!("{NAMESPACES}/{}", encode(name))).await,
        found => found,
    };
    match found {
        Err(error) if error.is_not_found() || error.is_forbidden() => Ok(false),
        found => Ok(found.map(|_| true)?),
    }
}

/// The lines of a list of projects, the current one marked.
pub(crate) fn listed(names: &[String], current: &str) -> String {
    let mut lines = "You have access to the following projects and can switch between them with \
                     'palisade project <projectname>':\n\n"
        .to_owned();
    for name in names {
        let mark = if name == current { "  * " } else { "    " };
        lines.push_str(&format!("{mark}{name}\n"));
    }
    lines + "\n"
}

pub(crate) async fn run(args: &ConnectOnly) -> Outcome {
    let session = args.connect.open().await?;
    let names = names(&session).await?;
    let using = format!("Using project {:?} on server {:?}.\n", session.namespace, session.url);
    output::message(&match names.as_slice() {
        [] => "You are not a member of any projects. You can request a project to be created with the \
               'new-project' command.\n"
            .to_owned(),
        [one] => format!("You have one project on this server: {one:?}.\n\n{using}"),
        several => listed(several, &session.namespace) + &using,
    })?;
    Ok(Exit::Fine)
}
