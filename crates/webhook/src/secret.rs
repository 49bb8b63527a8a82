//! The Secret that holds the certificate authority, and the bundle of the webhook configurations.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use serde_json::{Value, json};

use crate::authority::{Authority, AuthorityError};
use crate::install::{CA_SECRET, NAME};

/// The field manager of the bundles under server-side apply: other fields of a configuration stay their owners'.
const MANAGER: &str = "palisade-webhook";

/// An error of reading or writing the authority's Secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The API server refused or did not answer.
    #[error("the API server: {0}")]
    Api(#[from] kube::Error),
    /// The Secret's content is unusable.
    #[error("secret {CA_SECRET}: {0}")]
    Content(#[from] AuthorityError),
}

/// Reads the authority; `None` if no replica has run yet.
///
/// # Errors
///
/// See [`SecretError`].
pub(crate) async fn read(client: &Client, namespace: &str) -> Result<Option<Authority>, SecretError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let Some(secret) = api.get_opt(CA_SECRET).await? else { return Ok(None) };
    Ok(Some(Authority::read(&data(&secret))?))
}

/// Reads the authority, and creates it if it is missing. Of several replicas that start at once, one creates it.
///
/// # Errors
///
/// See [`SecretError`].
pub(crate) async fn authority(client: &Client, namespace: &str) -> Result<Authority, SecretError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    loop {
        if let Some(authority) = read(client, namespace).await? {
            return Ok(authority);
        }
        let authority = Authority::generate(Timestamp::now())?;
        match api.create(&PostParams::default(), &secret(&authority, ObjectMeta::default())).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            created => {
                created?;
                return Ok(authority);
            }
        }
    }
}

/// Announces or replaces the authority if that is due; `announced` is the time since the announcement. The write fails
/// if another replica was faster.
///
/// # Errors
///
/// See [`SecretError`].
pub(crate) async fn rotate(
    client: &Client,
    namespace: &str,
    announced: impl FnOnce(&Authority) -> Duration,
) -> Result<Authority, SecretError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let current = api.get(CA_SECRET).await?;
    let authority = Authority::read(&data(&current))?;
    let announced = announced(&authority);
    let Some(next) = authority.due(Timestamp::now(), announced)? else { return Ok(authority) };
    api.replace(CA_SECRET, &PostParams::default(), &secret(&next, current.metadata)).await?;
    Ok(next)
}

fn data(secret: &Secret) -> BTreeMap<String, String> {
    let data = secret.data.iter().flatten();
    data.map(|(key, value)| (key.clone(), String::from_utf8_lossy(&value.0).into_owned())).collect()
}

fn secret(authority: &Authority, metadata: ObjectMeta) -> Secret {
    let data = authority.write().into_iter().map(|(key, value)| (key, ByteString(value.into_bytes())));
    Secret {
        metadata: ObjectMeta { name: Some(CA_SECRET.to_owned()), ..metadata },
        type_: Some("Opaque".to_owned()),
        data: Some(data.collect()),
        ..Secret::default()
    }
}

/// Writes the bundle into both webhook configurations, unless it is there already, and returns whether there are both.
///
/// # Errors
///
/// The API server refused or did not answer. A missing configuration is not an error: it is installed later.
pub(crate) async fn publish(client: &Client, bundle: &str) -> Result<bool, kube::Error> {
    let encoded = STANDARD.encode(bundle);
    let validating = publish_in::<ValidatingWebhookConfiguration>(client, &encoded).await?;
    Ok(publish_in::<MutatingWebhookConfiguration>(client, &encoded).await? && validating)
}

async fn publish_in<K>(client: &Client, bundle: &str) -> Result<bool, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::all(client.clone());
    let Some(found) = api.get_opt(NAME).await? else { return Ok(false) };
    let Ok(found) = serde_json::to_value(&found) else { return Ok(true) };
    let Some(patch) = bundle_patch(&K::kind(&()), &K::api_version(&()), &found, bundle) else {
        return Ok(true);
    };
    let params = PatchParams::apply(MANAGER).force();
    api.patch(NAME, &params, &Patch::Apply(&patch)).await.map(|_| true)
}

/// The applied configuration that sets the bundle of every webhook; `None` where each has it.
fn bundle_patch(kind: &str, api_version: &str, found: &Value, bundle: &str) -> Option<Value> {
    let webhooks = found.get("webhooks")?.as_array()?;
    let has =
        |webhook: &Value| webhook.pointer("/clientConfig/caBundle").and_then(Value::as_str) == Some(bundle);
    if webhooks.iter().all(has) {
        return None;
    }
    let webhooks: Vec<Value> = webhooks
        .iter()
        .map(|webhook| json!({"name": webhook.get("name"), "clientConfig": {"caBundle": bundle}}))
        .collect();
    Some(json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": NAME}, "webhooks": webhooks}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bundle_is_applied_and_only_where_it_differs() {
        let found = json!({"webhooks": [
            {"name": "a", "clientConfig": {"caBundle": "old", "service": {"name": "x"}}, "failurePolicy": "Ignore"},
            {"name": "b", "clientConfig": {"caBundle": "new"}},
        ]});
        let patch = bundle_patch("K", "g/v1", &found, "new").unwrap();
        let expected = json!([
            {"name": "a", "clientConfig": {"caBundle": "new"}}, {"name": "b", "clientConfig": {"caBundle": "new"}},
        ]);
        assert_eq!(patch["webhooks"], expected);
        let settled = json!({"webhooks": [{"name": "b", "clientConfig": {"caBundle": "new"}}]});
        assert_eq!(bundle_patch("K", "g/v1", &settled, "new"), None);
    }

    #[test]
    fn a_secret_holds_the_authority() {
        let authority = Authority::generate(Timestamp::now()).unwrap();
        assert_eq!(Authority::read(&data(&secret(&authority, ObjectMeta::default()))).unwrap(), authority);
    }
}
