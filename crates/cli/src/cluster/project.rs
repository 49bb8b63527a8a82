//! `palisade project`, `projects`, `new-project`.

use serde_json::{Value, json};

use super::args::{ConnectOnly, NewProjectArgs, ProjectArgs};
use super::kind::encode;
use super::login::Kubefile;
use super::output::{self, text};
use super::session::{ClusterError, Result, Session};
use crate::exit::Exit;

const PROJECTS: &str = "/apis/project.openshift.io/v1/projects";

/// The projects that the user may see; of a server that has none, the namespaces.
pub(crate) fn names(session: &Session) -> Result<Vec<String>> {
    let list = match session.get(PROJECTS) {
        Err(error) if error.is_not_found() => session.get("/api/v1/namespaces"),
        list => list,
    };
    let list = match list {
        // Who may not list them has none to choose from.
        Err(error) if error.code() == Some(403) => return Ok(Vec::new()),
        list => list?,
    };
    let items = list.get("items").and_then(Value::as_array).into_iter().flatten();
    Ok(items.map(|item| text(item, "/metadata/name").to_owned()).collect())
}

pub(crate) fn switch(args: &ProjectArgs) -> crate::Outcome {
    let session = Session::open(&args.connect)?;
    let Some(name) = &args.name else {
        let said = if args.short {
            format!("{}\n", session.namespace)
        } else {
            format!("Using project {:?} on server {:?}.\n", session.namespace, session.url)
        };
        output::write(&said)?;
        return Ok(Exit::Fine);
    };
    let found = match session.get(&format!("{PROJECTS}/{}", encode(name))) {
        Err(error) if error.is_not_found() => session.get(&format!("/api/v1/namespaces/{}", encode(name))),
        found => found,
    };
    match found {
        Err(error) if error.is_not_found() || error.code() == Some(403) => {
            return Err(ClusterError::Usage(format!(
                "A project named {name:?} does not exist on {:?}, or you may not see it; your projects are shown by: palisade projects",
                session.url
            ))
            .into());
        }
        found => drop(found?),
    }
    let mut file = Kubefile::read(&args.connect)?;
    file.switch(name);
    file.write()?;
    output::write(&format!("Now using project {name:?} on server {:?}.\n", session.url))?;
    Ok(Exit::Fine)
}

pub(crate) fn list(args: &ConnectOnly) -> crate::Outcome {
    let session = Session::open(&args.connect)?;
    let names = names(&session)?;
    let mut said = match names.as_slice() {
        [] => "You are not a member of any projects. You can request a project to be created with the 'new-project' command.\n".to_owned(),
        [one] => format!("You have one project on this server: {one:?}.\n\n"),
        several => {
            let mut said = "You have access to the following projects and can switch between them with 'palisade project <projectname>':\n\n".to_owned();
            for name in several {
                let mark = if *name == session.namespace { "  * " } else { "    " };
                said.push_str(&format!("{mark}{name}\n"));
            }
            said.push('\n');
            said
        }
    };
    if !names.is_empty() {
        said.push_str(&format!("Using project {:?} on server {:?}.\n", session.namespace, session.url));
    }
    output::write(&said)?;
    Ok(Exit::Fine)
}

pub(crate) fn create(args: &NewProjectArgs) -> crate::Outcome {
    let session = Session::open(&args.connect)?;
    let request = json!({
        "apiVersion": "project.openshift.io/v1", "kind": "ProjectRequest", "metadata": {"name": args.name},
        "displayName": args.display_name, "description": args.description,
    });
    match session.post("/apis/project.openshift.io/v1/projectrequests", &request) {
        Err(error) if error.is_not_found() => {
            // A server without projects has namespaces all the same.
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": args.name}});
            session.post("/api/v1/namespaces", &namespace)?;
        }
        made => drop(made?),
    }
    if !args.skip_config_write {
        let mut file = Kubefile::read(&args.connect)?;
        file.switch(&args.name);
        file.write()?;
    }
    output::write(&format!("Now using project {:?} on server {:?}.\n", args.name, session.url))?;
    Ok(Exit::Fine)
}
