//! Images: canonical names, pull policy, and registry credentials.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use serde_json::Value;

use crate::container::ImageUser;
use crate::cri::message::{AuthConfig, ImageSpec, Int64Value, PullImageRequest};
use crate::cri::{Cri, CriError};
use crate::layout::Layout;
use crate::pause;

/// An image's canonical name: `nginx` is `docker.io/library/nginx:latest`.
pub(crate) fn whole_name(name: &str) -> String {
    let (first, rest) = name.split_once('/').unwrap_or(("", name));
    let is_registry = first.contains(['.', ':']) || first == "localhost";
    let full = match (is_registry, first) {
        (true, _) => name.to_owned(),
        (false, "") => format!("docker.io/library/{rest}"),
        (false, _) => format!("docker.io/{name}"),
    };
    let last = full.rsplit_once('/').map_or(full.as_str(), |(_, last)| last);
    if last.contains([':', '@']) { full } else { format!("{full}:latest") }
}

/// The registry's host in the name of an image.
fn registry(name: &str) -> String {
    let whole = whole_name(name);
    whole.split_once('/').map(|(host, _)| host.to_owned()).unwrap_or_default()
}

/// The credentials for an image among pull secrets.
pub(crate) fn auth(name: &str, secrets: &[Secret]) -> Option<AuthConfig> {
    let host = registry(name);
    let whole = whole_name(name);
    let mut best: Option<(usize, AuthConfig)> = None;
    for secret in secrets {
        let data = secret.data.iter().flatten();
        for (key, bytes) in data {
            let Ok(json) = serde_json::from_slice::<Value>(&bytes.0) else { continue };
            let auths = match key.as_str() {
                ".dockerconfigjson" => json.get("auths").cloned().unwrap_or_default(),
                ".dockercfg" => json,
                _ => continue,
            };
            for (server, entry) in auths.as_object().into_iter().flatten() {
                let plain = server.trim_start_matches("https://").trim_start_matches("http://");
                let plain = plain.trim_end_matches('/').trim_end_matches("/v1").trim_end_matches("/v2");
                let plain = if plain == "index.docker.io" { "docker.io" } else { plain };
                let fits =
                    plain == host || whole.strip_prefix(plain).is_some_and(|rest| rest.starts_with('/'));
                // The longest matching name is the most specific.
                if fits && best.as_ref().is_none_or(|(length, _)| *length < plain.len()) {
                    best = Some((plain.len(), entry_auth(entry)));
                }
            }
        }
    }
    best.map(|(_, auth)| auth)
}

fn entry_auth(entry: &Value) -> AuthConfig {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (mut username, mut password) = (text("username"), text("password"));
    let decoded = STANDARD.decode(text("auth")).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    if let Some((user, word)) = decoded.as_deref().and_then(|both| both.split_once(':')) {
        (username, password) = (user.to_owned(), word.trim_end_matches('\0').to_owned());
    }
    AuthConfig { username, password, identity_token: text("identitytoken"), ..Default::default() }
}

/// An error of getting an image.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    #[error("Container image {0:?} is not present with pull policy of Never")]
    Never(String),
    #[error("Failed to pull image {0:?}: {1}")]
    Pull(String, CriError),
    #[error("{0}")]
    Engine(#[from] CriError),
}

/// An image that the node has.
#[derive(Clone, Debug)]
pub(crate) struct Present {
    pub(crate) id: String,
    pub(crate) user: ImageUser,
}

/// An image, if the node has it.
pub(crate) async fn present(cri: &Cri, name: &str) -> Result<Option<Present>, CriError> {
    let found = cri.image(name, false).await?.image;
    Ok(found.map(|image| Present {
        id: image.id,
        user: ImageUser { uid: image.uid.map(|Int64Value { value }| value), name: image.username },
    }))
}

/// Whether an image of that name was imported here: it is this node's own, and no registry is contacted for it.
pub(crate) fn is_imported(layout: &Layout, name: &str) -> bool {
    marker(layout, name).exists()
}

fn marker(layout: &Layout, name: &str) -> std::path::PathBuf {
    let whole = whole_name(name);
    let encoded: String = whole
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02x}"),
        })
        .collect();
    layout.imported().join(encoded)
}

/// Pulls an image.
pub(crate) async fn pull(cri: &Cri, name: &str, secrets: &[Secret]) -> Result<Present, ImageError> {
    let request = PullImageRequest {
        image: Some(ImageSpec { image: name.to_owned() }),
        auth: auth(name, secrets),
        sandbox_config: None,
    };
    cri.pull_image(request).await.map_err(|error| ImageError::Pull(name.to_owned(), error))?;
    let found = present(cri, name).await?;
    found.ok_or_else(|| {
        let gone = tonic::Status::not_found("the image was removed meanwhile").into();
        ImageError::Pull(name.to_owned(), gone)
    })
}

/// An error of importing an archive.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file cannot be read or written.
    #[error("{0}: {1}")]
    File(std::path::PathBuf, std::io::Error),
    /// No engine runs.
    #[error(
        "the node of the folder {0} has no container engine running: start it with `palisade up`, or name the folder of a running node with --node-dir; `palisade up --ephemeral` prints its own"
    )]
    NoEngine(std::path::PathBuf),
    /// The engine refuses the archive.
    #[error(transparent)]
    Engine(#[from] crate::engine::EngineError),
    /// The engine refuses the operation.
    #[error("{0}")]
    Refused(String),
}

/// Imports an archive, in Docker's or OCI's format, or an OCI image layout, into the node's engine, and returns the
/// names of its images. Pods that name them run them, whatever their pull policy.
///
/// # Errors
///
/// See [`ImportError`].
pub async fn import(layout: &Layout, path: &Path) -> Result<Vec<String>, ImportError> {
    require_engine(layout)?;
    let names = if path.is_dir() {
        let file = |error| ImportError::File(path.to_owned(), error);
        let archive = tempfile::NamedTempFile::new().map_err(file)?;
        let mut builder = tar::Builder::new(archive.reopen().map_err(file)?);
        builder.append_dir_all(".", path).and_then(|()| builder.finish()).map_err(file)?;
        crate::engine::import(&layout.socket(), archive.path()).await?
    } else {
        std::fs::metadata(path).map_err(|error| ImportError::File(path.to_owned(), error))?;
        crate::engine::import(&layout.socket(), path).await?
    };
    for name in &names {
        let marker = marker(layout, name);
        let wrote = std::fs::create_dir_all(layout.imported()).and_then(|()| std::fs::write(&marker, name));
        wrote.map_err(|error| ImportError::File(marker.clone(), error))?;
    }
    Ok(names)
}

fn require_engine(layout: &Layout) -> Result<(), ImportError> {
    match layout.socket().exists() {
        true => Ok(()),
        false => Err(ImportError::NoEngine(layout.root().to_owned())),
    }
}

/// An image of the node, for a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its names with tags, or with digests if it has no tags.
    pub names: Vec<String>,
    /// The digest of its configuration.
    pub id: String,
    /// Its size in bytes, compressed.
    pub size: u64,
}

/// The images of the node's engine.
///
/// # Errors
///
/// See [`ImportError`].
pub async fn list(layout: &Layout) -> Result<Vec<Listed>, ImportError> {
    require_engine(layout)?;
    let listed = Cri::new(&layout.socket()).list_images(Default::default()).await;
    let images = listed.map_err(|error| ImportError::Refused(error.to_string()))?.images;
    let mut all: Vec<Listed> = images
        .into_iter()
        .map(|image| {
            let names = if image.repo_tags.is_empty() { image.repo_digests } else { image.repo_tags };
            Listed { names, id: image.id, size: image.size }
        })
        .collect();
    all.sort_by(|a, b| a.names.cmp(&b.names));
    Ok(all)
}

/// Removes an image.
///
/// # Errors
///
/// See [`ImportError`]; an unknown image is one.
pub async fn remove(layout: &Layout, name: &str) -> Result<(), ImportError> {
    require_engine(layout)?;
    let cri = Cri::new(&layout.socket());
    let refused = |error: CriError| ImportError::Refused(error.to_string());
    let Some(found) = present(&cri, name).await.map_err(refused)? else {
        return Err(ImportError::Refused(format!("no image {name:?}")));
    };
    // By any of its names: the engine removes all of them.
    let pause = present(&cri, pause::NAME).await.map_err(refused)?;
    if pause.is_some_and(|pause| pause.id == found.id) {
        return Err(ImportError::Refused(format!(
            "{name}: the node needs this image for each pod, and keeps it"
        )));
    }
    cri.remove_image(name).await.map_err(refused)?;
    let _ = std::fs::remove_file(marker(layout, name));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed() {
        for (name, whole) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("a/b:1", "docker.io/a/b:1"),
            ("gcr.io/google_containers/explorer:1.0", "gcr.io/google_containers/explorer:1.0"),
            ("localhost:5000/x", "localhost:5000/x:latest"),
            ("localhost/x@sha256:00", "localhost/x@sha256:00"),
        ] {
            assert_eq!(whole_name(name), whole);
        }
    }

    #[test]
    fn the_nearest_password_counts() {
        let json = serde_json::json!({"auths": {
            "https://index.docker.io/v1/": {"username": "hub", "password": "1"},
            "r.example/team": {"auth": STANDARD.encode("team:2")},
            "r.example": {"auth": STANDARD.encode("all:3")},
        }});
        let mut secret = Secret::default();
        let bytes = k8s_openapi::ByteString(json.to_string().into_bytes());
        secret.data = Some([(".dockerconfigjson".to_owned(), bytes)].into());
        let user = |name: &str| auth(name, std::slice::from_ref(&secret)).map(|auth| auth.username);
        assert_eq!(user("nginx").as_deref(), Some("hub"));
        assert_eq!(user("r.example/team/app").as_deref(), Some("team"));
        assert_eq!(user("r.example/teammates/app").as_deref(), Some("all"));
        assert_eq!(user("r.example.evil/app"), None);
    }
}
