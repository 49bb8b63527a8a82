//! The content of volumes that comes from the API: ConfigMaps, Secrets, a pod's own fields, tokens.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{
    ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, Secret, ServiceAccount, ServiceAccountTokenProjection,
    Volume,
};
use kube::api::PostParams;
use kube::{Api, Client};

use super::atomic::{Content, Files};
use super::{Maker, VolumeError};
use crate::env;
use crate::slot::names;

/// Tokens of a pod, by volume and path, and the time of their renewal.
pub(crate) type Tokens = BTreeMap<String, (String, Timestamp)>;

/// The content of a volume.
#[derive(Debug, Default)]
pub(super) struct Payload {
    pub(super) files: Files,
    /// Whether it must never be on a disk.
    pub(super) is_secret: bool,
}

const MODE: i32 = 0o644;

fn mode(own: Option<i32>, default: Option<i32>) -> u32 {
    u32::try_from(own.or(default).unwrap_or(MODE)).unwrap_or(0o644) & 0o777
}

/// Adds entries to files: all under their keys, or selected ones under their paths.
fn add(
    files: &mut Files,
    entries: BTreeMap<String, Vec<u8>>,
    items: Option<&Vec<KeyToPath>>,
    default: Option<i32>,
    what: &str,
    is_optional: bool,
) -> Result<(), VolumeError> {
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        let all = entries.into_iter();
        files.extend(all.map(|(key, bytes)| (key, Content { bytes, mode: mode(None, default) })));
        return Ok(());
    };
    for item in items {
        match entries.get(&item.key) {
            Some(bytes) => {
                let content = Content { bytes: bytes.clone(), mode: mode(item.mode, default) };
                files.insert(item.path.clone(), content);
            }
            None if is_optional => {}
            None => {
                return Err(VolumeError::Missing(format!(
                    "{what} references non-existent key: {}",
                    item.key
                )));
            }
        }
    }
    Ok(())
}

pub(crate) async fn config_map(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<Option<ConfigMap>, kube::Error> {
    Api::namespaced(client.clone(), namespace).get_opt(name).await
}

pub(crate) async fn secret(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<Option<Secret>, kube::Error> {
    Api::namespaced(client.clone(), namespace).get_opt(name).await
}

async fn map_entries(
    client: &Client,
    namespace: &str,
    name: &str,
    is_optional: bool,
) -> Result<BTreeMap<String, Vec<u8>>, VolumeError> {
    match config_map(client, namespace, name).await.map_err(|error| VolumeError::api(&error))? {
        Some(map) => Ok(env::of_map(&map)),
        None if is_optional => Ok(BTreeMap::new()),
        None => Err(VolumeError::Missing(format!("configmap {name:?} not found"))),
    }
}

async fn secret_entries(
    client: &Client,
    namespace: &str,
    name: &str,
    is_optional: bool,
) -> Result<BTreeMap<String, Vec<u8>>, VolumeError> {
    match secret(client, namespace, name).await.map_err(|error| VolumeError::api(&error))? {
        Some(secret) => Ok(env::of_secret(&secret)),
        None if is_optional => Ok(BTreeMap::new()),
        None => Err(VolumeError::Missing(format!("secret {name:?} not found"))),
    }
}

/// The content of a volume; `None` if it is of another type.
pub(super) async fn of(
    maker: &Maker<'_>,
    pod: &Pod,
    volume: &Volume,
    tokens: &mut Tokens,
) -> Result<Option<Payload>, VolumeError> {
    let namespace = names(pod).namespace;
    let client = maker.client;
    let mut payload = Payload::default();
    let files = &mut payload.files;
    if let Some(source) = &volume.config_map {
        let is_optional = source.optional == Some(true);
        let entries = map_entries(client, namespace, &source.name, is_optional).await?;
        add(files, entries, source.items.as_ref(), source.default_mode, "configmap", is_optional)?;
    } else if let Some(source) = &volume.secret {
        payload.is_secret = true;
        let (name, is_optional) =
            (source.secret_name.clone().unwrap_or_default(), source.optional == Some(true));
        let entries = secret_entries(client, namespace, &name, is_optional).await?;
        add(files, entries, source.items.as_ref(), source.default_mode, "secret", is_optional)?;
    } else if let Some(source) = &volume.downward_api {
        fields(maker, pod, files, source.items.as_ref(), source.default_mode)?;
    } else if let Some(source) = &volume.projected {
        let default = source.default_mode;
        for part in source.sources.iter().flatten() {
            if let Some(part) = &part.config_map {
                let is_optional = part.optional == Some(true);
                let entries = map_entries(client, namespace, &part.name, is_optional).await?;
                add(files, entries, part.items.as_ref(), default, "configmap", is_optional)?;
            } else if let Some(part) = &part.secret {
                payload.is_secret = true;
                let is_optional = part.optional == Some(true);
                let entries = secret_entries(client, namespace, &part.name, is_optional).await?;
                add(files, entries, part.items.as_ref(), default, "secret", is_optional)?;
            } else if let Some(part) = &part.downward_api {
                fields(maker, pod, files, part.items.as_ref(), default)?;
            } else if let Some(part) = &part.service_account_token {
                payload.is_secret = true;
                let token =
                    token(client, pod, &format!("{}/{}", volume.name, part.path), part, tokens).await?;
                let mode = if has_group(pod) { 0o640 } else { mode(None, default) };
                files.insert(part.path.clone(), Content { bytes: token.into_bytes(), mode });
            } else {
                return Err(VolumeError::Unknown("projected, with a source of another kind,"));
            }
        }
    } else {
        return Ok(None);
    }
    Ok(Some(payload))
}

fn has_group(pod: &Pod) -> bool {
    let security = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    security.is_some_and(|security| security.fs_group.is_some())
}

fn fields(
    maker: &Maker<'_>,
    pod: &Pod,
    files: &mut Files,
    items: Option<&Vec<DownwardAPIVolumeFile>>,
    default: Option<i32>,
) -> Result<(), VolumeError> {
    for item in items.into_iter().flatten() {
        let text = match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), _) => env::field(pod, &field.field_path, maker.facts),
            (None, Some(source)) => {
                let name = source.container_name.clone().unwrap_or_default();
                let slots = crate::slot::slots(pod);
                let slot = slots.iter().find(|slot| slot.name() == name);
                let slot =
                    slot.ok_or_else(|| VolumeError::Missing(format!("container {name:?} not found")))?;
                let divisor = source.divisor.as_ref().map(|divisor| divisor.0.as_str());
                env::resource(&slot.container, &source.resource, divisor, maker.facts)
            }
            (None, None) => continue,
        };
        let bytes = text.map_err(VolumeError::Missing)?.into_bytes();
        files.insert(item.path.clone(), Content { bytes, mode: mode(item.mode, default) });
    }
    Ok(())
}

/// A token of the pod's account that ends with the pod; a present one until four fifths of its lifetime are over.
async fn token(
    client: &Client,
    pod: &Pod,
    key: &str,
    source: &ServiceAccountTokenProjection,
    tokens: &mut Tokens,
) -> Result<String, VolumeError> {
    let now = Timestamp::now();
    if let Some((token, _)) = tokens.get(key).filter(|(_, renew)| *renew > now) {
        return Ok(token.clone());
    }
    let seconds = source.expiration_seconds.unwrap_or(3600);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: source.audience.clone().map(|audience| vec![audience]),
            expiration_seconds: Some(seconds),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: pod.metadata.name.clone(),
                uid: pod.metadata.uid.clone(),
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone()).unwrap_or_default();
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), names(pod).namespace);
    let answer = accounts.create_token_request(&account, &PostParams::default(), &request).await;
    let status = answer.map_err(|error| VolumeError::api(&error))?.status.unwrap_or_default();
    let (Some(token), Some(end)) = (status.token, status.expiration_timestamp) else {
        return Err(VolumeError::Api("a request for a token was answered without one".to_owned()));
    };
    let lasts = end.0.duration_since(now).as_secs().max(10);
    let renew = now + jiff::SignedDuration::from_secs(lasts * 4 / 5);
    tokens.insert(key.to_owned(), (token.clone(), renew));
    Ok(token)
}
