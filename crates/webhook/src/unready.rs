//! Seccomp profiles that a pod names and that no node has: its containers would not start.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client, Error};
use palisade_profiles::report::{COPIED, label, resource};
use palisade_profiles::{Digest, FOLDER, paths};

use crate::warning::shortened;

/// Maximum time of the API server's answers, all in all.
const TIME: Duration = Duration::from_millis(300);
/// The largest pod that is checked, in bytes of JSON.
const LARGEST: usize = 1 << 20;
/// Maximum number of profiles of a pod that are checked.
const MOST: usize = 4;

/// The warning for the author of a pod, if any. Failed requests cause no warning.
pub(crate) async fn warnings(client: &Client, pod: &str) -> Vec<String> {
    // Most pods name no profile, and are not parsed again; nor are large ones, which weigh many times their text.
    if pod.len() > LARGEST || !pod.contains(FOLDER) {
        return Vec::new();
    }
    let Ok(pod) = serde_json::from_str::<Pod>(pod) else { return Vec::new() };
    let own = format!("{FOLDER}/");
    let named: Vec<String> =
        paths(&pod).into_iter().filter(|path| path.starts_with(&own)).take(MOST).collect();
    let asked = async {
        let mut warnings = Vec::new();
        for path in &named {
            warnings.extend(warning(client, &pod, path).await);
        }
        warnings
    };
    tokio::time::timeout(TIME, asked).await.unwrap_or_default()
}

async fn warning(client: &Client, pod: &Pod, path: &str) -> Option<String> {
    let Some(digest) = Digest::of_localhost_profile(path) else {
        return Some(shortened(&format!(
            "seccomp profile localhost/{path}: files of {FOLDER}/ are named by digests, so no node has it; `kubectl get nodeseccompprofiles -o yaml` lists them"
        )));
    };
    match count(client, &params(pod, Some(digest))).await {
        Ok(0) => {}
        Ok(_) | Err(_) => return None,
    }
    let fitting = count(client, &params(pod, None)).await.ok()?;
    let who = if fitting == 0 {
        "no node that fits the pod tells of profiles"
    } else {
        "no node that fits the pod has it"
    };
    Some(format!("seccomp profile localhost/{path}: {who}, so its containers would not start"))
}

/// One of the nodes that match a pod's node name and node selector, and have the profile.
fn params(pod: &Pod, digest: Option<Digest>) -> ListParams {
    let spec = pod.spec.as_ref();
    let selector = spec.and_then(|spec| spec.node_selector.as_ref()).into_iter().flatten();
    let known = selector.filter(|(key, _)| COPIED.contains(&key.as_str()));
    let mut labels: Vec<String> = known.map(|(key, value)| format!("{key}={value}")).collect();
    labels.extend(digest.map(label));
    let params = ListParams::default().labels(&labels.join(",")).limit(1);
    match spec.and_then(|spec| spec.node_name.as_deref()).filter(|name| !name.is_empty()) {
        Some(name) => params.fields(&format!("metadata.name={name}")),
        None => params,
    }
}

async fn count(client: &Client, params: &ListParams) -> Result<usize, Error> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource());
    Ok(api.list_metadata(params).await?.items.len())
}
