//! `user`: users that log in with a password.

use http::Method;
use palisade_client::encode;
use palisade_console::Exit;
use serde_json::json;

use crate::args::UserCommand;
use crate::error::Outcome;
use crate::output;
use crate::prompt;

const USERS: &str = "/apis/user.openshift.io/v1/users";

pub(crate) async fn run(command: &UserCommand) -> Outcome {
    let (UserCommand::Add(args) | UserCommand::Remove(args)) = command;
    let session = args.connect.open().await?;
    let path = format!("{USERS}/{}", encode(&args.name));
    match command {
        UserCommand::Add(_) => {
            let password = prompt::password(&args.name)?;
            let user = json!({"apiVersion": "user.openshift.io/v1", "kind": "User", "metadata": {"name": args.name}});
            match session.post(USERS, &user).await {
                Err(error) if error.is_already_exists() => {}
                created => drop(created?),
            }
            session.post(&format!("{path}/password"), &json!({"password": password})).await?;
            output::message(&format!("user.user.openshift.io/{} can log in\n", args.name))?;
        }
        UserCommand::Remove(_) => {
            session.send(Method::DELETE, &path, None).await?;
            output::message(&format!("user.user.openshift.io/{} removed\n", args.name))?;
        }
    }
    Ok(Exit::Fine)
}
