//! A proxy between a replica and the API server, which passes on all requests except those that it is set to answer
//! itself.
#![allow(dead_code, unreachable_pub, reason = "no test file uses all of this")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use kube::Client;
use palisade_https::{Authority, Body, Limits, Listener, Tls};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::trusting;

/// The stand-in's answer to a request.
pub enum Fault {
    /// This code and object.
    Say(u16, Value),
    /// 200 and these lines, and then the end of the answer.
    Lines(Vec<String>),
    /// Nothing, for ever.
    Silence,
    /// A watch that is open and quiet, for ever.
    Quiet,
}

type Script = Box<dyn FnMut(&str) -> Option<Fault> + Send>;

/// The address of the proxy, and its settings.
#[derive(Clone)]
pub struct Between {
    script: Arc<Mutex<Script>>,
    pub client: Client,
}

impl Between {
    /// A stand-in before the API server that `cluster` reaches, which passes all requests on.
    pub async fn before(cluster: &Client) -> Self {
        let authority = Authority::new("between").unwrap();
        let tls = Tls::new(&authority.server("between", ["127.0.0.1"], 1).unwrap(), None).unwrap();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), tls, Limits::default()).await.unwrap();
        let address: SocketAddr = listener.address().unwrap();
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Box::new(|_| None)));
        let (cluster, told) = (cluster.clone(), Arc::clone(&script));
        let connect = move |_| {
            let (cluster, told) = (cluster.clone(), Arc::clone(&told));
            move |request: Request<Incoming>| {
                let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
                let fault = (told.lock().unwrap())(&target);
                let cluster = cluster.clone();
                async move {
                    match fault {
                        None => pass_on(&cluster, &target, request).await,
                        Some(fault) => say(fault).await,
                    }
                }
            }
        };
        tokio::spawn(listener.run(connect, std::future::pending()));
        Self { script, client: trusting(address, &[authority.certificate().to_owned()]) }
    }

    /// From now on, requests are answered so: by path and query; `None` passes one on.
    pub fn script(&self, script: impl FnMut(&str) -> Option<Fault> + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }
}

async fn say(fault: Fault) -> Response<Body> {
    match fault {
        Fault::Say(code, object) => Body::bytes(code, "application/json", object.to_string().into_bytes()),
        Fault::Lines(lines) => {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            Body::bytes(200, "application/json", text.into_bytes())
        }
        Fault::Silence => std::future::pending().await,
        Fault::Quiet => {
            let (keep, pieces) = mpsc::channel(1);
            tokio::spawn(async move { keep.closed().await });
            Body::stream("application/json", pieces, None)
        }
    }
}

async fn pass_on(cluster: &Client, target: &str, request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Body::text(400, "broken") };
    let mut on = Request::builder().method(parts.method).uri(target);
    for name in [http::header::CONTENT_TYPE, http::header::ACCEPT] {
        if let Some(value) = parts.headers.get(&name) {
            on = on.header(name, value);
        }
    }
    let on = on.body(kube::client::Body::from(body.to_bytes())).unwrap();
    let Ok(response) = cluster.send(on).await else { return Body::text(503, "no API server") };
    let (parts, mut body) = response.into_parts();
    let (sender, pieces) = mpsc::channel::<Bytes>(16);
    tokio::spawn(async move {
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(piece) = frame.into_data() else { continue };
            if sender.send(piece).await.is_err() {
                return;
            }
        }
    });
    let mut response = Body::stream("application/json", pieces, None);
    *response.status_mut() = parts.status;
    response
}

/// 410, as a Status.
pub fn gone() -> Value {
    json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 410, "reason": "Expired",
        "message": "too old resource version", "metadata": {}})
}
