//! A token for a name and a password, by the OAuth flow of OpenShift's challenging client.

use palisade_client::Session;

use crate::error::{Error, Result};
use crate::prompt;
use crate::value::text;

/// Gets a token. A missing password is prompted for, once it is known that the server accepts one.
pub(super) async fn token(session: &Session, name: &str, password: Option<&str>) -> Result<String> {
    let server = match session.get("/.well-known/oauth-authorization-server").await {
        Err(error) if error.is_not_found() => return Err(Error::NoPasswords),
        server => server?,
    };
    let endpoint = text(&server, "/authorization_endpoint");
    let path = endpoint.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
    let path = path.map_or("", |(_, path)| path);
    let path = format!("/{path}?response_type=token&client_id=openshift-challenging-client");
    let password = match password {
        Some(password) => password.to_owned(),
        None => prompt::password(name)?,
    };
    let location = session.location(&path, name, &password).await?;
    let fragment = location.split_once('#').map_or("", |(_, fragment)| fragment);
    let token = fragment.split('&').find_map(|part| part.strip_prefix("access_token="));
    token.map(str::to_owned).ok_or(Error::BadPassword)
}
