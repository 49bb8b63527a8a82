//! Malformed HTTP, and answers that must follow the specification to the letter.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::world::Who::{Admin, Mallory, Nobody};
use super::world::{LOGIN, PASSWORD, World};

#[tokio::test(flavor = "multi_thread")]
async fn no_request_hides_in_another() {
    let world = World::new().await;
    let hidden = "GET /version HTTP/1.1\r\nhost: x\r\n\r\n";
    let both = format!(
        "POST /api/v1/namespaces HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
    );
    let twice = format!(
        "POST /version HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\ncontent-length: {}\r\n\r\n{hidden}",
        hidden.len()
    );
    let signed = format!("POST /version HTTP/1.1\r\nhost: x\r\ncontent-length: +0\r\n\r\n{hidden}");
    let coded = format!("POST /version HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n{hidden}");
    let spaced =
        format!("POST /version HTTP/1.1\r\nhost: x\r\ncontent-length : {}\r\n\r\n{hidden}", hidden.len());
    let huge = format!(
        "POST /version HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff0\r\n{hidden}"
    );
    for (what, text) in [
        ("two lengths of two kinds", &both),
        ("two lengths", &twice),
        ("a length with a sign", &signed),
        ("an unknown coding", &coded),
        ("a space before the colon", &spaced),
        ("a piece beyond all numbers", &huge),
    ] {
        let mut stream = world.open(Nobody).await;
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut found = Vec::new();
        let end = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut found)).await;
        let text = String::from_utf8_lossy(&found);
        assert!(end.is_ok(), "{what}: the connection goes on after {text}");
        assert!(text.matches("HTTP/1.1").count() <= 1 && !text.contains("gitVersion"), "{what}: {text}");
    }
    for line in [
        "GET http://169.254.169.254/api/v1/namespaces HTTP/1.1",
        "CONNECT 127.0.0.1:22 HTTP/1.1",
        "GET //evil/api/v1/namespaces HTTP/1.1",
    ] {
        let reply =
            world.raw_as(Nobody, format!("{line}\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await;
        assert!(matches!(reply.code, 400..500), "{line}: {} {}", reply.code, reply.text());
    }
    // Proxy requests are refused.
    for path in [
        "/api/v1/nodes/n1/proxy/",
        "/api/v1/namespaces/shop/services/http:x:80/proxy/",
        "/api/v1/namespaces/shop/pods/x:80/proxy/",
        "/api/v1/proxy/nodes/x",
    ] {
        let reply = world.send(Admin, &format!("GET {path}"), &Value::Null).await;
        assert_eq!(reply.code, 404, "{path}: {}", reply.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn head_has_no_body() {
    let world = World::new().await;
    for path in [
        "/version",
        "/healthz",
        "/api/v1/namespaces",
        "/api/v1/namespaces/lair",
        "/api/v1/nothing",
        "/nowhere",
    ] {
        let get = world.send(Admin, &format!("GET {path}"), &Value::Null).await;
        let head = world.send(Admin, &format!("HEAD {path}"), &Value::Null).await;
        assert_eq!((head.code, head.body.as_slice()), (get.code, &b""[..]), "{path}");
    }
    // HTTP/2 has no way to omit a body that exists: the answer itself must have none.
    for path in ["/version", "/api/v1/namespaces", "/nowhere"] {
        let frames = two(&world, "HEAD", path).await;
        assert_eq!(
            frames.iter().filter(|(kind, size)| *kind == 0 && *size > 0).count(),
            0,
            "{path}: {frames:?}"
        );
        assert!(frames.iter().any(|(kind, _)| *kind == 1), "{path}: {frames:?}");
    }
    let frames = two(&world, "GET", "/version").await;
    assert!(frames.iter().any(|(kind, size)| *kind == 0 && *size > 0), "{frames:?}");
}

/// The kinds and sizes of the frames that answer one request over HTTP/2, to the end of its stream.
async fn two(world: &World, method: &str, path: &str) -> Vec<(u8, usize)> {
    let mut stream = world.open_two().await;
    let frame = |kind: u8, flags: u8, id: u32, body: &[u8]| {
        let mut bytes = u32::try_from(body.len()).unwrap().to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(id.to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    };
    let text = |name: u8, value: &str| {
        let mut bytes = vec![name, u8::try_from(value.len()).unwrap()];
        bytes.extend_from_slice(value.as_bytes());
        bytes
    };
    // Literal fields with names of HPACK's table: the method, the scheme, the path, the host.
    let head = [text(0x02, method), vec![0x87], text(0x04, path), text(0x01, "127.0.0.1")].concat();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    bytes.extend(frame(1, 0x5, 1, &head));
    stream.write_all(&bytes).await.unwrap();
    let mut frames = Vec::new();
    loop {
        let mut head = [0; 9];
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_exact(&mut head)).await;
        if !matches!(read, Ok(Ok(_))) {
            return frames;
        }
        let size = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut body = vec![0; size];
        stream.read_exact(&mut body).await.unwrap();
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        if id == 1 {
            frames.push((head[3], size));
            let is_end = head[4] & 1 == 1 && matches!(head[3], 0 | 1) || head[3] == 3;
            if is_end {
                return frames;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_leads_back_here_only() {
    use base64::Engine;
    let world = World::new().await;
    let basic =
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("mallory:{PASSWORD}")));
    let path = LOGIN.strip_prefix("GET ").unwrap();
    let login = async |query: &str, host: &str| {
        let text = format!(
            "GET {path}{query} HTTP/1.1\r\nhost: {host}\r\nauthorization: {basic}\r\nconnection: close\r\n\r\n"
        );
        world.raw_as(Nobody, text.as_bytes()).await
    };
    for host in ["evil.example", "evil.example:443", "127.0.0.1"] {
        let reply = login("", host).await;
        let place = reply.location().unwrap_or_default().to_owned();
        assert_eq!(reply.code, 302, "{}", reply.text());
        assert!(place.starts_with("/oauth/token/implicit#access_token=sha256~"), "{host}: {place}");
    }
    let reply = login("&state=a%26access_token%3Dmine%23%20%0d%0ax%c3%a9", "x").await;
    let place = reply.location().unwrap_or_default().to_owned();
    assert!(place.ends_with("&state=a%26access_token%3Dmine%23%20%0D%0Ax%C3%A9"), "{place}");
    for uri in [
        "https%3A%2F%2Fevil.example%2F",
        "%2F%2Fevil.example",
        "https%3A%2F%2Fevil.example%2Foauth%2Ftoken%2Fimplicit",
    ] {
        assert_eq!(login(&format!("&redirect_uri={uri}"), "127.0.0.1:1").await.code, 400, "{uri}");
    }
    assert_eq!(
        login("&redirect_uri=https%3A%2F%2F127.0.0.1%3A1%2Foauth%2Ftoken%2Fimplicit", "127.0.0.1:1")
            .await
            .code,
        302
    );
    let text = "GET /.well-known/oauth-authorization-server HTTP/1.1\r\nhost: a\"><script>\r\nconnection: close\r\n\r\n";
    let reply = world.raw_as(Nobody, text.as_bytes()).await;
    assert!(!reply.text().contains("script"), "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn warnings_have_an_end() {
    let world = World::new().await;
    let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "w"}});
    for number in 0..200 {
        object[format!("{number}{}", "x".repeat(10_000))] = json!(1);
    }
    let line = "POST /api/v1/namespaces/lair/configmaps?fieldValidation=Warn";
    let reply = world.send(Mallory, line, &object).await;
    assert_eq!(reply.code, 201, "{}", reply.text());
    let warnings: Vec<&str> = reply.head.lines().filter(|line| line.starts_with("warning: ")).collect();
    let bytes: usize = warnings.iter().map(|line| line.len()).sum();
    assert!(!warnings.is_empty() && warnings.len() <= 20 && bytes < 8192, "{} of {bytes}", warnings.len());
}
