//! Answers of a real kube-apiserver (1.36, openshift/kubernetes 8e16b12f, with etcd 3.4; recorded) to the same requests in the
//! same order.
//!
//! `tools/reference/record.py` makes the recording. Compared are the code, the reason and the fields of the causes; of
//! the result of a write, the whole object but for generated values (of pods, which SCC changes, their images); the
//! names of a selected list, the columns of a table. Where the answer here differs on purpose, the recording has it
//! too, with the reason.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod start;

use std::collections::{BTreeMap, BTreeSet};

use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use start::start;

/// A request, the answer of the reference, and the answer here if that differs.
#[derive(Deserialize)]
struct Exchange {
    #[serde(rename = "do")]
    request: String,
    #[serde(rename = "type")]
    content_type: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<Value>,
    #[serde(flatten)]
    theirs: Answer,
    ours: Option<Answer>,
    why: Option<String>,
}

#[derive(Debug, Deserialize, Serialize, PartialEq)]
struct Answer {
    code: u16,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    causes: BTreeSet<String>,
    object: Option<Value>,
}

impl Exchange {
    async fn ask(&self, client: &Client) -> Answer {
        let (method, path) = self.request.split_once(' ').unwrap();
        // A path that is not valid as it stands is encoded as a client would.
        let path = path.replace('<', "%3C").replace('>', "%3E");
        let mut request = http::Request::builder().method(method).uri(path);
        if !self.headers.contains_key("accept") {
            request = request.header("accept", "application/json");
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(content_type) = &self.content_type {
            request = request.header("content-type", content_type);
        }
        let body = match &self.body {
            None => Vec::new(),
            Some(Value::String(text)) => text.clone().into_bytes(),
            Some(object) => object.to_string().into_bytes(),
        };
        let response = client.send(request.body(Body::from(body)).unwrap()).await.unwrap();
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let is_write = matches!(method, "POST" | "PUT" | "PATCH");
        Answer {
            code,
            reason: answer["reason"].as_str().filter(|_| code >= 300).unwrap_or_default().to_owned(),
            causes: if code >= 300 { causes(&answer) } else { BTreeSet::new() },
            object: match code < 300 {
                true if is_write => Some(in_order(self.picked(&answer))),
                true if method == "GET" => listed(&self.request, &answer),
                _ => None,
            },
        }
    }

    /// Of an object, what both servers have.
    fn picked(&self, object: &Value) -> Value {
        let metadata = &object["metadata"];
        let uid = metadata["uid"].as_str().unwrap_or_default();
        let mut picked = Map::new();
        let owners = Some(each(&metadata["ownerReferences"], |owner| owner["uid"].clone()));
        let owners = owners.filter(|owners| owners.as_array().is_some_and(|owners| !owners.is_empty()));
        picked.insert("labels".into(), kept(&metadata["labels"], uid));
        picked.insert("finalizers".into(), metadata["finalizers"].clone());
        picked.insert("generation".into(), metadata["generation"].clone());
        picked.insert("owners".into(), owners.unwrap_or_default());
        if object["kind"] == "Pod" {
            picked.insert(
                "images".into(),
                each(&object["spec"]["containers"], |container| container["image"].clone()),
            );
        } else {
            let is_custom = self.request.contains("/apis/example.com/");
            let skipped = |name: &str| {
                matches!(name, "apiVersion" | "kind" | "metadata") || name == "status" && !is_custom
            };
            let fields = object.as_object().into_iter().flatten().filter(|(name, _)| !skipped(name));
            picked.extend(fields.map(|(name, value)| (name.clone(), kept(value, uid))));
        }
        let is_apply = self.content_type.as_deref() == Some("application/apply-patch+yaml");
        if is_apply && !self.request.contains("/status") {
            let entry = |entry: &Value| {
                json!([entry["manager"], entry["operation"], without_ours(&entry["fieldsV1"])])
            };
            // The controllers here go on meanwhile.
            let managed = metadata["managedFields"].as_array().into_iter().flatten();
            let managed = managed.filter(|entry| entry["manager"] != "kube-controller-manager");
            picked.insert("managed".into(), managed.map(entry).collect());
        }
        picked.retain(|_, value| !value.is_null());
        picked.into()
    }
}

/// The names of a selected list; a table's columns.
fn listed(request: &str, answer: &Value) -> Option<Value> {
    if answer["kind"] == "Table" {
        let parts = |column: &Value| {
            ["name", "type", "format", "priority"].iter().map(|part| column[part].clone()).collect()
        };
        return Some(json!({"columns": each(&answer["columnDefinitions"], parts)}));
    }
    let items = answer["items"].as_array().filter(|_| request.contains("Selector="))?;
    let names: BTreeSet<_> = items.iter().filter_map(|item| name_of(&item["metadata"])).collect();
    Some(json!({"names": names}))
}

/// A name, or what one that the server has made begins with.
fn name_of(metadata: &Value) -> Option<&str> {
    metadata["generateName"].as_str().or_else(|| metadata["name"].as_str())
}

/// A value without generated parts: the object's own UID, and addresses and ports that the server assigns.
fn kept(value: &Value, uid: &str) -> Value {
    const GIVEN: [&str; 4] = ["clusterIP", "clusterIPs", "nodePort", "healthCheckNodePort"];
    let named = |name: &String| if name == uid { "UID".to_owned() } else { name.clone() };
    match value {
        Value::Object(map) => {
            let fields = map.iter().filter(|(name, _)| !GIVEN.contains(&name.as_str()));
            fields.map(|(name, below)| (named(name), kept(below, uid))).collect::<Map<_, _>>().into()
        }
        Value::Array(list) => list.iter().map(|below| kept(below, uid)).collect(),
        Value::String(text) if !uid.is_empty() => named(text).into(),
        other => other.clone(),
    }
}

/// Managers come by the time of their last change, to the second, which is another every time: here by their names.
fn in_order(mut object: Value) -> Value {
    if let Some(managed) = object.get_mut("managed").and_then(Value::as_array_mut) {
        managed.sort_by_key(ToString::to_string);
    }
    object
}

fn each(list: &Value, pick: impl Fn(&Value) -> Value) -> Value {
    list.as_array().map_or(Value::Null, |items| items.iter().map(pick).collect())
}

/// Fields that SCC sets are in no recording.
fn without_ours(fields: &Value) -> Value {
    let Some(map) = fields.as_object() else { return fields.clone() };
    let kept = map.iter().filter(|(name, _)| !matches!(name.as_str(), "f:annotations" | "f:securityContext"));
    kept.map(|(name, below)| (name.clone(), without_ours(below))).collect::<Map<_, _>>().into()
}

fn causes(answer: &Value) -> BTreeSet<String> {
    let text = |cause: &Value, field: &str| cause[field].as_str().unwrap_or_default().to_owned();
    let causes = answer["details"]["causes"].as_array().into_iter().flatten();
    let said = causes.map(|cause| format!("{} {}", text(cause, "reason"), text(cause, "field")));
    said.map(|cause| cause.trim().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_answers_alike() {
    let client = start(palisade_apiserver::Config::default()).await;
    let mut problems = compare("core", include_str!("reference/core.ndjson"), &client).await;
    problems.extend(compare("kinds", include_str!("reference/kinds.ndjson"), &client).await);
    assert!(problems.is_empty(), "{} answers differ:\n{}", problems.len(), problems.join("\n"));
}

/// Answers that differ from those of a recording.
async fn compare(name: &str, recording: &str, client: &Client) -> Vec<String> {
    let mut exchanges: Vec<Exchange> =
        recording.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for answer in exchanges.iter_mut().flat_map(|e| std::iter::once(&mut e.theirs).chain(e.ours.as_mut())) {
        answer.object = answer.object.take().map(in_order);
    }
    let mut problems = Vec::new();
    for (index, exchange) in exchanges.iter().enumerate() {
        let found = exchange.ask(client).await;
        let wanted = exchange.ours.as_ref().unwrap_or(&exchange.theirs);
        assert_eq!(exchange.ours.is_some(), exchange.why.is_some(), "a difference has a reason");
        if found != *wanted {
            let said = |answer: &Answer| serde_json::to_string(answer).unwrap();
            problems.push(format!(
                "{name}.ndjson:{}: {}\n  wanted {}\n  found  {}",
                index + 1,
                exchange.request,
                said(wanted),
                said(&found)
            ));
        }
    }
    problems
}
