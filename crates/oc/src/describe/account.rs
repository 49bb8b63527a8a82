//! `describe serviceaccount`.

use serde_json::Value;

use super::events;
use super::sheet::{Sheet, items};
use crate::value::text;
use palisade_client::Session;
use palisade_client::encode;

pub(super) async fn describe(session: &Session, account: &Value) -> String {
    let mut sheet = Sheet::default();
    sheet.metadata(account);
    let namespace = encode(text(account, "/metadata/namespace"));
    let secrets = session.get(&format!("/api/v1/namespaces/{namespace}/secrets")).await;
    let secrets = secrets.as_ref().map(|list| items(list, "/items"));
    // Without the right to list secrets none is reported as missing.
    let is_there = |name: &str| {
        secrets.as_ref().is_ok_and(|list| list.iter().any(|secret| text(secret, "/metadata/name") == name))
            || secrets.is_err()
    };
    for (title, list) in [("Image pull secrets", "/imagePullSecrets"), ("Mountable secrets", "/secrets")] {
        let names = items(account, list).iter().map(|secret| text(secret, "/name"));
        sheet.list(
            title,
            names.map(|name| if is_there(name) { name.to_owned() } else { format!("{name} (not found)") }),
        );
    }
    let tokens = secrets.unwrap_or_default().iter().filter(|secret| is_token_of(secret, account));
    sheet.list("Tokens", tokens.map(|secret| text(secret, "/metadata/name").to_owned()));
    events::describe(session, account, &mut sheet).await;
    sheet.finish()
}

fn is_token_of(secret: &Value, account: &Value) -> bool {
    let annotations = secret.pointer("/metadata/annotations");
    let named = annotations.and_then(|map| map.get("kubernetes.io/service-account.name")?.as_str());
    text(secret, "/type") == "kubernetes.io/service-account-token"
        && named == Some(text(account, "/metadata/name"))
}
