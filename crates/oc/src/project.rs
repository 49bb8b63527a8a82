//! `project` and `new-project`.

use palisade_client::kubeconfig::File;
use palisade_console::Exit;
use serde_json::json;

use crate::args::{NewProjectArgs, ProjectArgs};
use crate::error::{Error, Outcome};
use crate::output;
use crate::projects;

pub(crate) async fn switch(args: &ProjectArgs) -> Outcome {
    let session = args.connect.open().await?;
    let Some(name) = &args.name else {
        output::message(&if args.short {
            format!("{}\n", session.namespace)
        } else {
            format!("Using project {:?} on server {:?}.\n", session.namespace, session.url)
        })?;
        return Ok(Exit::Fine);
    };
    if !projects::exists(&session, name).await? {
        return Err(Error::NoProject { name: name.clone(), url: session.url });
    }
    File::update(&args.connect.kubeconfig(), |file| file.set_namespace(name))?;
    output::message(&format!("Now using project {name:?} on server {:?}.\n", session.url))?;
    Ok(Exit::Fine)
}

pub(crate) async fn create(args: &NewProjectArgs) -> Outcome {
    let session = args.connect.open().await?;
    let request = json!({
        "apiVersion": "project.openshift.io/v1", "kind": "ProjectRequest", "metadata": {"name": args.name},
        "displayName": args.display_name, "description": args.description,
    });
    match session.post("/apis/project.openshift.io/v1/projectrequests", &request).await {
        // A server without projects has namespaces.
        Err(error) if error.is_not_found() => {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": args.name}});
            session.post("/api/v1/namespaces", &namespace).await?;
        }
        created => drop(created?),
    }
    if !args.skip_config_write {
        File::update(&args.connect.kubeconfig(), |file| file.set_namespace(&args.name))?;
    }
    output::message(&format!("Now using project {:?} on server {:?}.\n", args.name, session.url))?;
    Ok(Exit::Fine)
}
