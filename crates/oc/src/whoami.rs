//! `whoami`: the name of the current user, its token, context or server.

use palisade_client::Session;
use palisade_client::kubeconfig::File;
use palisade_console::Exit;
use serde_json::json;

use crate::args::WhoamiArgs;
use crate::error::{Error, Outcome, Result};
use crate::output;
use crate::value::text;

/// The name of the session's user on the server.
pub(crate) async fn username(session: &Session) -> Result<String> {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let answer = session.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review).await?;
    Ok(text(&answer, "/status/userInfo/username").to_owned())
}

pub(crate) async fn run(args: &WhoamiArgs) -> Outcome {
    let answer = if args.show_context {
        File::read(&args.connect.kubeconfig())?.current().to_owned()
    } else if args.show_token {
        token(&File::read(&args.connect.kubeconfig())?).ok_or(Error::NoToken)?
    } else {
        let session = args.connect.open().await?;
        if args.show_server { session.url } else { username(&session).await? }
    };
    output::message(&format!("{answer}\n"))?;
    Ok(Exit::Fine)
}

/// The token of the current context's user.
fn token(file: &File) -> Option<String> {
    let context = file.named("contexts", file.current())?;
    let user = file.named("users", text(context, "/context/user"))?;
    Some(text(user, "/user/token").to_owned()).filter(|token| !token.is_empty())
}
