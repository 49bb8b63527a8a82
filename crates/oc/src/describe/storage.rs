//! `describe persistentvolume` and `persistentvolumeclaim`.

use serde_json::Value;

use super::sheet::{Sheet, items, texts, word};
use super::{events, volume};
use crate::value::text;
use palisade_client::Session;
use palisade_client::encode;

pub(super) async fn claim(session: &Session, claim: &Value) -> String {
    let mut sheet = Sheet::default();
    sheet.pair(0, "Name", text(claim, "/metadata/name"));
    sheet.pair(0, "Namespace", text(claim, "/metadata/namespace"));
    sheet.pair(0, "StorageClass", text(claim, "/spec/storageClassName"));
    sheet.pair(0, "Status", status(claim));
    sheet.pair(0, "Volume", text(claim, "/spec/volumeName"));
    sheet.map("Labels", claim.pointer("/metadata/labels"));
    sheet.annotations(claim);
    sheet.pair(0, "Finalizers", finalizers(claim));
    let is_bound = !text(claim, "/spec/volumeName").is_empty();
    let capacity = claim.pointer("/status/capacity/storage").filter(|_| is_bound).map(word);
    sheet.pair(0, "Capacity", capacity.unwrap_or_default());
    let given = texts(claim, "/status/accessModes");
    sheet.pair(0, "Access Modes", if is_bound { modes(&given) } else { String::new() });
    sheet.some(0, "VolumeMode", text(claim, "/spec/volumeMode"));
    sheet.list("Used By", users(session, claim).await);
    events::describe(session, claim, &mut sheet).await;
    sheet.finish()
}

pub(super) async fn persistent(session: &Session, persistent: &Value) -> String {
    let mut sheet = Sheet::default();
    sheet.metadata(persistent);
    sheet.pair(0, "Finalizers", finalizers(persistent));
    sheet.pair(0, "StorageClass", text(persistent, "/spec/storageClassName"));
    sheet.pair(0, "Status", status(persistent));
    let claim = persistent.pointer("/spec/claimRef");
    let claim = claim.map(|claim| format!("{}/{}", text(claim, "/namespace"), text(claim, "/name")));
    sheet.pair(0, "Claim", claim.unwrap_or_default());
    sheet.pair(0, "Reclaim Policy", text(persistent, "/spec/persistentVolumeReclaimPolicy"));
    sheet.pair(0, "Access Modes", modes(&texts(persistent, "/spec/accessModes")));
    sheet.some(0, "VolumeMode", text(persistent, "/spec/volumeMode"));
    sheet.pair(0, "Capacity", persistent.pointer("/spec/capacity/storage").map(word).unwrap_or_default());
    sheet.pair(0, "Node Affinity", "<none>");
    sheet.pair(0, "Message", text(persistent, "/status/message"));
    sheet.line(0, "Source:");
    volume::source(&made_of(persistent), &mut sheet);
    events::describe(session, persistent, &mut sheet).await;
    sheet.finish()
}

/// The source of a persistent volume: the field of its spec that names the storage.
fn made_of(persistent: &Value) -> Value {
    let spec = persistent.get("spec").and_then(Value::as_object).cloned().unwrap_or_default();
    let others = ["capacity", "claimRef", "nodeAffinity"];
    spec.into_iter().filter(|(name, value)| value.is_object() && !others.contains(&name.as_str())).collect()
}

fn status(object: &Value) -> String {
    match text(object, "/metadata/deletionTimestamp") {
        "" => text(object, "/status/phase").to_owned(),
        since => format!("Terminating (lasts {})", super::sheet::ago(since)),
    }
}

fn finalizers(object: &Value) -> String {
    format!("[{}]", texts(object, "/metadata/finalizers").join(" "))
}

fn modes(modes: &[&str]) -> String {
    let short = modes.iter().map(|mode| match *mode {
        "ReadWriteOnce" => "RWO",
        "ReadOnlyMany" => "ROX",
        "ReadWriteMany" => "RWX",
        "ReadWriteOncePod" => "RWOP",
        other => other,
    });
    short.collect::<Vec<_>>().join(",")
}

/// The pods that mount a claim.
async fn users(session: &Session, claim: &Value) -> Vec<String> {
    let namespace = encode(text(claim, "/metadata/namespace"));
    let pods = session.get(&format!("/api/v1/namespaces/{namespace}/pods")).await.unwrap_or_default();
    let name = text(claim, "/metadata/name");
    let mounts = |pod: &&Value| {
        let mut volumes = items(pod, "/spec/volumes").iter();
        volumes.any(|volume| text(volume, "/persistentVolumeClaim/claimName") == name)
    };
    items(&pods, "/items").iter().filter(mounts).map(|pod| text(pod, "/metadata/name").to_owned()).collect()
}
