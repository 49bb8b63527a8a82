//! `palisade user`.

use serde_json::json;

use super::args::UserCommand;
use super::kind::encode;
use super::login::ask;
use super::output;
use super::session::Session;
use crate::exit::Exit;

const USERS: &str = "/apis/user.openshift.io/v1/users";

pub(crate) fn run(command: &UserCommand) -> crate::Outcome {
    match command {
        UserCommand::Add(args) => {
            let session = Session::open(&args.connect)?;
            let password = ask(&args.name)?;
            let user = json!({"apiVersion": "user.openshift.io/v1", "kind": "User", "metadata": {"name": args.name}});
            match session.post(USERS, &user) {
                Err(error) if error.code() == Some(409) => {}
                made => drop(made?),
            }
            session
                .post(&format!("{USERS}/{}/password", encode(&args.name)), &json!({"password": password}))?;
            output::write(&format!("user.user.openshift.io/{} can log in\n", args.name))?;
        }
        UserCommand::Remove(args) => {
            let session = Session::open(&args.connect)?;
            session.send(http::Method::DELETE, &format!("{USERS}/{}", encode(&args.name)), None)?;
            output::write(&format!("user.user.openshift.io/{} removed\n", args.name))?;
        }
    }
    Ok(Exit::Fine)
}
