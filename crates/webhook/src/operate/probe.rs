//! A probe of the whole path of a request: pods are sent to the API server as dry runs, and must come back as SCC
//! completes them.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Client, Error};
use palisade_k8s::scc::annotation::{REQUIRED_SCC, VALIDATED_SCC};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::words::error_text;

/// The pause between two attempts.
const PERIOD: Duration = Duration::from_secs(1);
/// An SCC that no cluster has.
const ABSENT: &str = "palisade-probe-no-such-scc";

/// Sends pods into a namespace of its own until SCC decides on them; returns the reason if it does not.
pub(super) async fn probe(client: &Client, deadline: Instant) -> Result<(), String> {
    let metadata = ObjectMeta { generate_name: Some("palisade-probe-".to_owned()), ..ObjectMeta::default() };
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = Namespace { metadata, ..Namespace::default() };
    let namespace =
        namespaces.create(&PostParams::default(), &namespace).await.map_err(|error| error_text(&error))?;
    let name = namespace.metadata.name.unwrap_or_default();
    let found = attempts(client, &name, deadline).await;
    // Leftovers of a probe do no harm.
    drop(namespaces.delete(&name, &DeleteParams::default()).await);
    found
}

async fn attempts(client: &Client, namespace: &str, deadline: Instant) -> Result<(), String> {
    // Pods are refused before any webhook while their service account is missing; a controller creates it a moment
    // later.
    let account = ServiceAccount {
        metadata: ObjectMeta { name: Some("default".to_owned()), ..ObjectMeta::default() },
        ..ServiceAccount::default()
    };
    drop(Api::namespaced(client.clone(), namespace).create(&PostParams::default(), &account).await);
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    loop {
        let failure = match attempt(&pods).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        if Instant::now() >= deadline {
            return Err(failure);
        }
        sleep(PERIOD).await;
    }
}

async fn attempt(pods: &Api<Pod>) -> Result<(), String> {
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let admitted = pods.create(&dry_run, &pod(&json!({}))?).await.map_err(|error| error_text(&error))?;
    if !admitted.metadata.annotations.is_some_and(|annotations| annotations.contains_key(VALIDATED_SCC)) {
        return Err("a pod came back as it was sent: no webhook answers".to_owned());
    }
    match pods.create(&dry_run, &pod(&json!({REQUIRED_SCC: ABSENT}))?).await {
        Err(Error::Api(status)) if status.is_forbidden() => Ok(()),
        Err(error) => Err(error_text(&error)),
        Ok(_) => Err("a pod that requires an SCC that does not exist is not refused".to_owned()),
    }
}

fn pod(annotations: &Value) -> Result<Pod, String> {
    serde_json::from_value(json!({
        "metadata": {"name": "probe", "annotations": annotations},
        "spec": {"containers": [{"name": "probe", "image": "probe"}]},
    }))
    .map_err(|error| error.to_string())
}
