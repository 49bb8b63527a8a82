//! An API server that answers as a test wants, over plain HTTP on this machine.
#![allow(dead_code, reason = "each test file is a crate of its own and uses a part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};

/// A request.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// The bearer token, if there is one.
    pub(crate) token: String,
    pub(crate) accept: String,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) body: Value,
    pub(crate) warning: Option<String>,
}

impl Answer {
    pub(crate) fn ok(body: Value) -> Self {
        Self { code: 200, body, warning: None }
    }

    pub(crate) fn refused(code: u16, reason: &str, message: &str) -> Self {
        let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
            "reason": reason, "message": message});
        Self { code, body, warning: None }
    }
}

/// A server with a home folder for its users.
pub(crate) struct Fake {
    pub(crate) url: String,
    pub(crate) home: tempfile::TempDir,
}

impl Fake {
    /// Starts a server that has discovery, and answers all else by a function. It serves until the test process ends.
    pub(crate) fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answer = Arc::clone(&answer);
                std::thread::spawn(move || serve(stream, &*answer));
            }
        });
        Self { url, home: tempfile::tempdir().expect("a folder") }
    }

    /// A line of bash in the home folder, in which `palisade` is this program and `$S` the server's address.
    pub(crate) fn command(&self, line: &str) -> Command {
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_palisade"));
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("timeout");
        command
            .args(["60", "bash", "-c", line])
            .stdin(Stdio::null())
            .env("HOME", self.home.path())
            .env("S", &self.url)
            .env("PATH", format!("{}:{path}", program.parent().expect("a folder").display()))
            .env_remove("KUBECONFIG")
            .env_remove("XDG_RUNTIME_DIR")
            .current_dir(self.home.path());
        command
    }

    pub(crate) fn shell(&self, line: &str) -> Output {
        self.command(line).output().expect("there is bash")
    }

    /// The exit code of a line, and what it prints to both streams.
    pub(crate) fn run(&self, line: &str) -> (i32, String) {
        let output = self.shell(line);
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().expect("it ends by itself"), String::from_utf8_lossy(&text).into_owned())
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.home.path().join(name), text).expect("the file can be written");
    }
}

fn serve(stream: TcpStream, answer: &dyn Fn(&Request) -> Answer) {
    let mut reader = BufReader::new(&stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).is_err() || line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_owned());
    }
    let header = |name: &str| {
        let found = head.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        });
        found.unwrap_or_default()
    };
    let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let mut words = head.first().map(String::as_str).unwrap_or_default().split(' ').map(str::to_owned);
    let request = Request {
        method: words.next().unwrap_or_default(),
        path: words.next().unwrap_or_default(),
        token: header("authorization").trim_start_matches("Bearer ").to_owned(),
        accept: header("accept"),
    };
    let Answer { code, body, warning } = match request.path.as_str() {
        "/api" => Answer::ok(discovery(&[("", "v1", CORE)])),
        "/apis" => Answer::ok(discovery(&[("rbac.authorization.k8s.io", "v1", RBAC)])),
        _ => answer(&request),
    };
    let body = body.to_string();
    let warning = warning.map(|text| format!("Warning: {text}\r\n")).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {code} Answer\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{warning}Connection: close\r\n\r\n",
        body.len()
    );
    let _ = (&stream).write_all(head.as_bytes()).and_then(|()| (&stream).write_all(body.as_bytes()));
}

const CORE: &[(&str, &str, bool)] = &[
    ("pods", "Pod", true),
    ("namespaces", "Namespace", false),
    ("serviceaccounts", "ServiceAccount", true),
    ("secrets", "Secret", true),
];
const RBAC: &[(&str, &str, bool)] = &[("roles", "Role", true), ("clusterroles", "ClusterRole", false)];

type Resources<'a> = &'a [(&'a str, &'a str, bool)];

fn discovery(groups: &[(&str, &str, Resources<'_>)]) -> Value {
    let items = groups.iter().map(|(group, version, resources)| {
        let resources = resources.iter().map(|(plural, kind, namespaced)| {
            json!({"resource": plural, "singularResource": kind.to_lowercase(), "responseKind": {"kind": kind},
                "scope": if *namespaced { "Namespaced" } else { "Cluster" }})
        });
        json!({"metadata": {"name": group},
            "versions": [{"version": version, "resources": resources.collect::<Vec<_>>()}]})
    });
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2",
        "items": items.collect::<Vec<_>>()})
}
