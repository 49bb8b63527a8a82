//! What a real kube-apiserver (1.20.2 with etcd 3.5, recorded) says to the same requests in the same order.
//!
//! Compared are the code, the reason and the fields of the causes, and of what a change comes to: its metadata, data,
//! images and managed fields. Where the answer here is another on purpose, the recording has it too, with the reason.
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

/// A request, what the reference answered, and what is answered here if that is something else.
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
        // What is no path as it stands is sent as a client would write it.
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
        let is_change = code < 300 && matches!(method, "PATCH" | "PUT");
        Answer {
            code,
            reason: answer["reason"].as_str().filter(|_| code >= 300).unwrap_or_default().to_owned(),
            causes: causes(&answer),
            object: is_change.then(|| self.picked(&answer)),
        }
    }

    /// Of an object, what both servers have.
    fn picked(&self, object: &Value) -> Value {
        let mut picked = Map::new();
        let metadata = &object["metadata"];
        let mut pick = |name: &str, value: Value| {
            if !value.is_null() {
                picked.insert(name.to_owned(), value);
            }
        };
        pick("labels", metadata["labels"].clone());
        pick("finalizers", metadata["finalizers"].clone());
        pick("owners", each(&metadata["ownerReferences"], |owner| owner["uid"].clone()));
        for name in ["data", "imagePullSecrets", "secrets"] {
            pick(name, object[name].clone());
        }
        if object["kind"] == "Pod" {
            pick("images", each(&object["spec"]["containers"], |container| container["image"].clone()));
        }
        let is_apply = self.content_type.as_deref() == Some("application/apply-patch+yaml");
        if is_apply && !self.request.contains("/status") {
            let entry = |entry: &Value| {
                json!([entry["manager"], entry["operation"], without_ours(&entry["fieldsV1"])])
            };
            pick("managed", each(&metadata["managedFields"], entry));
        }
        in_order(Value::Object(picked))
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
    let lines = include_str!("reference/answers.ndjson").lines();
    let mut exchanges: Vec<Exchange> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    for answer in exchanges.iter_mut().flat_map(|e| std::iter::once(&mut e.theirs).chain(e.ours.as_mut())) {
        answer.object = answer.object.take().map(in_order);
    }
    let mut problems = Vec::new();
    for (index, exchange) in exchanges.iter().enumerate() {
        let found = exchange.ask(&client).await;
        let wanted = exchange.ours.as_ref().unwrap_or(&exchange.theirs);
        assert_eq!(exchange.ours.is_some(), exchange.why.is_some(), "a difference has a reason");
        if found != *wanted {
            let said = |answer: &Answer| serde_json::to_string(answer).unwrap();
            problems.push(format!(
                "line {}: {}\n  wanted {}\n  found  {}",
                index + 1,
                exchange.request,
                said(wanted),
                said(&found)
            ));
        }
    }
    assert!(problems.is_empty(), "{} of {}:\n{}", problems.len(), exchanges.len(), problems.join("\n"));
}
