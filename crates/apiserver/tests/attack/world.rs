//! A server with its users, and a client that sends raw requests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::Duration;

use palisade_apiserver::{Config, Server};
use palisade_scc::BuiltinSet;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The requester.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    /// Without a name.
    Nobody,
    /// `system:admin`.
    Admin,
    /// A user who has logged in, and may make projects; `lair` is hers.
    Mallory,
    /// A user with a project `shop` of her own, in which there is what Mallory wants.
    Alice,
    /// Mallory's friend, who may edit users and groups, and impersonate users and groups that are not the system's.
    Delegate,
    /// The agent of the node `n1`.
    Node,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    /// The head, in lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| json!({"text": self.text()}))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// A server that is under attack.
pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) folder: TempDir,
    tokens: BTreeMap<Who, String>,
    plain: TlsConnector,
    admin: TlsConnector,
    node: TlsConnector,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    task: Option<tokio::task::JoinHandle<()>>,
    /// The server, if it is a process of its own.
    process: Option<std::process::Child>,
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

const JSON: (&str, &str) = ("content-type", "application/json");
pub(crate) const PASSWORD: &str = "correct horse";

/// Everything is created as under the most permissive umask.
pub(crate) fn careless() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _before = rustix::process::umask(rustix::fs::Mode::empty());
    });
}

pub(crate) fn config(data: &Path) -> Config {
    careless();
    Config {
        data: Some(data.to_owned()),
        listen: "127.0.0.1:0".parse().unwrap(),
        names: Vec::new(),
        set: Some(BuiltinSet::V4),
        audit: Some(data.with_file_name("audit.log")),
        audit_policy: None,
        backup: None,
        ..Config::default()
    }
}

impl World {
    /// A server in a new folder, with everybody in it.
    pub(crate) async fn new() -> Self {
        Self::settled(private(), |_| {}).await
    }

    /// A server in a folder that holds nothing yet, with everybody in it.
    pub(crate) async fn settled(folder: TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let mut world = Self::start(folder, change).await;
        world.settle().await;
        world
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("audit.log")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A server with the data of a folder.
    pub(crate) async fn start(folder: TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let data = folder.path().join("data");
        let mut config = config(&data);
        change(&mut config);
        let server = Server::start(config).await.unwrap();
        let address = server.address().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let task = tokio::spawn(server.run(async move { drop(stopped.await) }));
        let mut world = Self::at(address, folder);
        (world.stop, world.task) = (Some(stop), Some(task));
        world
    }

    /// A server as a process of its own, whose memory can be measured, with everybody in it.
    pub(crate) async fn apart() -> Self {
        Self::apart_with("").await
    }

    /// The same with an audit policy, if it is not empty.
    #[expect(
        clippy::zombie_processes,
        reason = "the world ends the process and waits for it; a panic ends the test"
    )]
    pub(crate) async fn apart_with(audit_policy: &str) -> Self {
        let folder = private();
        if !audit_policy.is_empty() {
            std::fs::write(folder.path().join(AUDIT_POLICY), audit_policy).unwrap();
        }
        let said = folder.path().join("said");
        let process = process(folder.path()).stdout(std::fs::File::create(&said).unwrap()).spawn().unwrap();
        for _ in 0..600 {
            if let Some(address) = address_in(&std::fs::read_to_string(&said).unwrap()) {
                let mut world = Self::at(address, folder);
                world.process = Some(process);
                world.settle().await;
                return world;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the server does not start");
    }

    /// The memory of the process, in MB: now, and at most so far.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let id = self.process.as_ref().map_or_else(std::process::id, std::process::Child::id);
        let text = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().next().and_then(|kb| kb.parse::<u64>().ok()).unwrap_or_default() / 1024
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    /// The time of processors that the process has taken, to a hundredth of a second.
    pub(crate) fn processors(&self) -> Duration {
        let id = self.process.as_ref().map_or_else(std::process::id, std::process::Child::id);
        let text = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
        // After the name, which may hold anything, come the state and ten numbers before these two (proc_pid_stat(5)).
        let (_, rest) = text.rsplit_once(')').unwrap();
        let ticks = rest.split_whitespace().skip(11).take(2).map(|number| number.parse::<u64>().unwrap());
        Duration::from_millis(ticks.sum::<u64>() * 10)
    }

    fn at(address: SocketAddr, folder: TempDir) -> Self {
        let pki = folder.path().join("data/pki");
        let read = |name: &str| std::fs::read(pki.join(name)).unwrap();
        let node = certificate(&pki, "system:node:n1", &["system:nodes"]);
        Self {
            plain: connector(&read("ca.crt"), None),
            admin: connector(&read("ca.crt"), Some((&read("admin.crt"), &read("admin.key")))),
            node: connector(&read("ca.crt"), Some((node.0.as_bytes(), node.1.as_bytes()))),
            address,
            folder,
            tokens: BTreeMap::new(),
            stop: None,
            task: None,
            process: None,
        }
    }

    /// Ends the server; gives its folder.
    pub(crate) async fn end(mut self) -> TempDir {
        drop(self.stop.take());
        self.task.take().unwrap().await.unwrap();
        // Background readers of the store see the end a moment later.
        let data = self.data();
        for _ in 0..100 {
            if palisade_store::Store::open(&data).is_ok() {
                return std::mem::replace(&mut self.folder, private());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the server does not let go of its store");
    }

    /// A connector with a certificate that the server's authority signs.
    pub(crate) fn with_certificate(&self, name: &str, groups: &[&str]) -> TlsConnector {
        let pki = self.data().join("pki");
        let (certificate, key) = certificate(&pki, name, groups);
        let ca = std::fs::read(pki.join("ca.crt")).unwrap();
        connector(&ca, Some((certificate.as_bytes(), key.as_bytes())))
    }

    async fn settle(&mut self) {
        for (identity, name) in
            [(Who::Mallory, "mallory"), (Who::Alice, "alice"), (Who::Delegate, "delegate")]
        {
            self.make_user(name, PASSWORD).await;
            let token = self.login(name, PASSWORD).await.expect("a user logs in");
            self.tokens.insert(identity, token);
        }
        for (identity, project) in [(Who::Mallory, "lair"), (Who::Alice, "shop")] {
            let request = json!({"metadata": {"name": project}});
            self.must(identity, "POST /apis/project.openshift.io/v1/projectrequests", request).await;
        }
        let role = json!({"metadata": {"name": "delegate"}, "rules": [
            {"verbs": ["*"], "apiGroups": ["user.openshift.io"], "resources": ["users", "groups", "users/password"]},
            {"verbs": ["impersonate"], "apiGroups": [""], "resources": ["users"]},
            {"verbs": ["impersonate"], "apiGroups": [""], "resources": ["groups"], "resourceNames": ["dev"]},
            {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"]}]});
        self.must(Who::Admin, &format!("POST {RBAC}/clusterroles"), role).await;
        let binding = json!({"metadata": {"name": "delegate"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "delegate"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "delegate"}]});
        self.must(Who::Admin, &format!("POST {RBAC}/clusterrolebindings"), binding).await;
    }

    pub(crate) async fn make_user(&self, name: &str, password: &str) {
        let user = json!({"metadata": {"name": name}});
        self.must(Who::Admin, "POST /apis/user.openshift.io/v1/users", user).await;
        self.set_password(name, password).await;
    }

    pub(crate) async fn set_password(&self, name: &str, password: &str) {
        let path = format!("POST /apis/user.openshift.io/v1/users/{name}/password");
        self.must(Who::Admin, &path, json!({"password": password})).await;
    }

    /// The token that a login gives, if it gives one.
    pub(crate) async fn login(&self, name: &str, password: &str) -> Option<String> {
        use base64::Engine;
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
        let basic = format!("Basic {basic}");
        let reply = self.send_with(&self.plain, LOGIN, &[("authorization", &basic)], b"").await;
        let (_, rest) = reply.location()?.split_once("access_token=")?;
        Some(rest.split('&').next().unwrap_or_default().to_owned())
    }

    /// [`Self::login`] from another address of this machine.
    pub(crate) async fn login_from(&self, source: &str, name: &str, password: &str) -> Option<String> {
        use base64::Engine;
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        let server = ServerName::try_from("127.0.0.1").unwrap();
        let mut stream = self.plain.connect(server, stream).await.unwrap();
        let (_, path) = LOGIN.split_once(' ').unwrap();
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Basic {basic}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut found = Vec::new();
        drop(stream.read_to_end(&mut found).await);
        let reply = Reply::parse(&found);
        Some(reply.location()?.split_once("access_token=")?.1.to_owned())
    }

    /// Sends a request as a user.
    pub(crate) async fn send(&self, identity: Who, line: &str, body: &Value) -> Reply {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let kind =
            if line.starts_with("PATCH") { ("content-type", "application/merge-patch+json") } else { JSON };
        self.send_as(identity, line, &[kind], text.as_bytes()).await
    }

    pub(crate) async fn send_as(
        &self,
        identity: Who,
        line: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let bearer = self.tokens.get(&identity).map(|token| format!("Bearer {token}"));
        let mut headers = headers.to_vec();
        headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        self.send_with(self.connector(identity), line, &headers, body).await
    }

    fn connector(&self, identity: Who) -> &TlsConnector {
        match identity {
            Who::Admin => &self.admin,
            Who::Node => &self.node,
            _ => &self.plain,
        }
    }

    /// Sends a request with a token.
    pub(crate) async fn with_token(&self, token: &str, line: &str, body: &Value) -> Reply {
        let bearer = format!("Bearer {token}");
        let text = if body.is_null() { String::new() } else { body.to_string() };
        self.send_with(&self.plain, line, &[JSON, ("authorization", &bearer)], text.as_bytes()).await
    }

    /// Sends a request, given as `METHOD PATH`, on a connection of its own.
    pub(crate) async fn send_with(
        &self,
        connector: &TlsConnector,
        line: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let (method, path) = line.split_once(' ').unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.raw(connector, &bytes).await
    }

    pub(crate) async fn open(&self, identity: Who) -> TlsStream<TcpStream> {
        self.connect(self.connector(identity)).await
    }

    /// Sends a request on a number of connections; the status line of the first answer, without its reason.
    pub(crate) async fn first_of(&self, count: usize, identity: Who, head: &str) -> String {
        let mut answers = tokio::task::JoinSet::new();
        for _ in 0..count {
            let mut stream = self.open(identity).await;
            stream.write_all(head.as_bytes()).await.unwrap();
            answers.spawn(async move {
                let mut found = [0; 12];
                stream.read_exact(&mut found).await.unwrap();
                String::from_utf8_lossy(&found).into_owned()
            });
        }
        answers.join_next().await.unwrap().unwrap()
    }

    /// A connection of the administrator that speaks HTTP/2.
    pub(crate) async fn open_two(&self) -> TlsStream<TcpStream> {
        self.open_two_as(Who::Admin).await
    }

    pub(crate) async fn open_two_as(&self, identity: Who) -> TlsStream<TcpStream> {
        let mut config = rustls::ClientConfig::clone(self.connector(identity).config());
        config.alpn_protocols = vec![b"h2".to_vec()];
        self.connect(&TlsConnector::from(Arc::new(config))).await
    }

    async fn connect(&self, connector: &TlsConnector) -> TlsStream<TcpStream> {
        let name = ServerName::try_from("127.0.0.1").unwrap();
        // A server under load may give up on a handshake that takes too long.
        for _ in 0..5 {
            let stream = TcpStream::connect(self.address).await.unwrap();
            if let Ok(stream) = connector.connect(name.clone(), stream).await {
                return stream;
            }
        }
        panic!("five handshakes in a row fail")
    }

    /// The token of a user who has logged in.
    pub(crate) fn token(&self, identity: Who) -> &str {
        &self.tokens[&identity]
    }

    /// Sends bytes as they are, and reads until the server ends the connection.
    pub(crate) async fn raw(&self, connector: &TlsConnector, bytes: &[u8]) -> Reply {
        let mut stream = self.connect(connector).await;
        // A server that has heard enough answers and leaves.
        drop(stream.write_all(bytes).await);
        drop(stream.flush().await);
        let mut found = Vec::new();
        // Far longer than anything takes, also where many tests share the machine: it tells a hang from an answer.
        let read = tokio::time::timeout(Duration::from_secs(300), stream.read_to_end(&mut found)).await;
        assert!(read.is_ok(), "no end after {}", String::from_utf8_lossy(&found));
        Reply::parse(&found)
    }

    pub(crate) async fn raw_as(&self, identity: Who, bytes: &[u8]) -> Reply {
        self.raw(self.connector(identity), bytes).await
    }

    /// Sends what must be done.
    pub(crate) async fn must(&self, identity: Who, line: &str, body: Value) -> Value {
        let reply = self.send(identity, line, &body).await;
        assert!((200..300).contains(&reply.code), "{identity:?} {line}: {} {}", reply.code, reply.text());
        reply.json()
    }

    /// Sends all requests of a table; reports all wrong answers.
    pub(crate) async fn check(&self, cases: &[Case]) {
        let mut wrong = Vec::new();
        for (what, identity, line, body, code, text) in cases {
            let reply = self.send(*identity, line, body).await;
            if reply.code != *code || !reply.text().contains(text) {
                wrong.push(format!(
                    "{what}: {identity:?} {line}: {code} {text:?} wanted, not {} {}",
                    reply.code,
                    reply.text()
                ));
            }
        }
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    }
}

/// Says to a server apart in which folder it is.
const APART: &str = "PALISADE_TEST_APART";
const AUDIT_POLICY: &str = "audit-policy.yaml";

/// Not a test: the server of [`World::apart`].
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "only as a process of its own, which other tests start"]
async fn a_server_apart() {
    let Some(folder) = std::env::var_os(APART) else { return };
    let folder = PathBuf::from(folder);
    let policy = folder.join(AUDIT_POLICY);
    let config = Config { audit_policy: policy.exists().then_some(policy), ..config(&folder.join("data")) };
    let server = Server::start(config).await.unwrap();
    println!("https://{}", server.address().unwrap());
    server.run(std::future::pending()).await;
}

/// What starts a server in this folder and prints its URL: this program, or the binary `PALISADE_SERVER`, such as a
/// release build.
fn process(folder: &Path) -> std::process::Command {
    let Some(binary) = std::env::var_os("PALISADE_SERVER") else {
        let mut this = std::process::Command::new(std::env::current_exe().unwrap());
        this.args(["--exact", "world::a_server_apart", "--ignored", "--nocapture", "--test-threads=1"]);
        this.env(APART, folder);
        return this;
    };
    let mut server = std::process::Command::new(binary);
    server.arg("serve").arg("--data-dir").arg(folder.join("data"));
    server.arg("--audit-log").arg(folder.join("audit.log")).args(["--listen", "127.0.0.1:0"]);
    let policy = folder.join(AUDIT_POLICY);
    if policy.exists() {
        server.arg("--audit-policy-file").arg(policy);
    }
    server
}

/// The address in a URL on a line that is complete.
fn address_in(text: &str) -> Option<SocketAddr> {
    let (_, rest) = text.split_once("https://")?;
    rest.split_once('\n')?.0.parse().ok()
}

/// The attacker's goal, the user, the request, its body, and the required answer: a code, and a text in it.
pub(crate) type Case = (&'static str, Who, &'static str, Value, u16, &'static str);

pub(crate) const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
pub(crate) const LOGIN: &str =
    "GET /oauth/authorize?client_id=openshift-challenging-client&response_type=token";

impl Reply {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(bytes.len());
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
        let body = bytes.get(end + 4..).unwrap_or_default();
        let head: String = head
            .lines()
            .map(|line| match line.split_once(':') {
                Some((name, value)) => format!("{}:{value}\n", name.to_lowercase()),
                None => format!("{line}\n"),
            })
            .collect();
        let body = if head.contains("transfer-encoding: chunked") { unchunk(body) } else { body.to_vec() };
        Self { code, head, body }
    }

    /// The redirect target.
    pub(crate) fn location(&self) -> Option<&str> {
        self.header("location")
    }
}

fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(&String::from_utf8_lossy(&bytes[..end]), 16).unwrap_or_default();
        let (start, stop) = (end + 2, end + 2 + size);
        if size == 0 || stop > bytes.len() {
            break;
        }
        out.extend_from_slice(&bytes[start..stop]);
        bytes = bytes.get(stop + 2..).unwrap_or_default();
    }
    out
}

/// A folder for a server: what tests make otherwise is the world's under a careless umask.
pub(crate) fn private() -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    careless();
    let mut builder = tempfile::Builder::new();
    builder.permissions(std::fs::Permissions::from_mode(0o700)).tempdir().unwrap()
}

fn connector(ca: &[u8], own: Option<(&[u8], &[u8])>) -> TlsConnector {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca).unwrap()).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let certificate = CertificateDer::from_pem_slice(certificate).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key).unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        }
    };
    TlsConnector::from(Arc::new(config))
}

/// A client's certificate and its key, signed by the server's authority.
fn certificate(pki: &Path, name: &str, groups: &[&str]) -> (String, String) {
    let read = |name: &str| std::fs::read_to_string(pki.join(name)).unwrap();
    let ca_key = rcgen::KeyPair::from_pem(&read("ca.key")).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&read("ca.crt"), ca_key).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    for group in groups {
        params.distinguished_name.push(rcgen::DnType::OrganizationName, *group);
    }
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let key = rcgen::KeyPair::generate().unwrap();
    (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
}
