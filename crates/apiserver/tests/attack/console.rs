//! The console: pages of others that use a browser's session, readers who want more than they may read, and texts that want
//! to be more than text.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::world::Who::{self, Admin, Alice, Mallory, Nobody};
use super::world::{PASSWORD, Reply, World};

const HTML: (&str, &str) = ("accept", "text/html");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const HOSTILE: &str = "<script>alert(1)</script>";

async fn page(world: &World, identity: Who, path: &str) -> Reply {
    world.send_as(identity, &format!("GET {path}"), &[HTML], b"").await
}

async fn log_in(world: &World, headers: &[(&str, &str)], password: &str) -> Reply {
    let body = format!("username=alice&password={}", password.replace(' ', "+"));
    let headers = [&[HTML, FORM], headers].concat();
    world.send_as(Nobody, "POST /console/login", &headers, body.as_bytes()).await
}

/// A workload that SCC refuses in a message that quotes it.
fn hostile(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {
        "metadata": {"labels": {"a": "b"}, "annotations": {"openshift.io/required-scc": HOSTILE}},
        "spec": {"containers": [{"name": "c", "image": format!("i:{HOSTILE}"), "securityContext": {"runAsUser": 0}}]}}}})
}

/// A session's cookie, as a browser sends it.
async fn session(world: &World) -> String {
    let origin = format!("https://{}", world.address);
    let reply = log_in(world, &[("origin", &origin), ("sec-fetch-site", "same-origin")], PASSWORD).await;
    assert_eq!((reply.code, reply.header("location")), (303, Some("/console")), "{}", reply.text());
    let cookie = reply.header("set-cookie").unwrap();
    let (pair, flags) = cookie.split_once(';').unwrap();
    for flag in ["Path=/", "Secure", "HttpOnly", "SameSite=Strict", "Max-Age=3600"] {
        assert!(flags.split(';').any(|found| found.trim() == flag), "{flag} in {flags}");
    }
    assert!(pair.starts_with("__Host-palisade=sha256~") && !flags.contains("Domain"), "{cookie}");
    pair.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_of_other_sites_are_refused() {
    let world = World::new().await;
    let own = format!("https://{}", world.address);
    for headers in [
        &[][..],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", &own), ("sec-fetch-site", "cross-site")],
        &[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "same-site")],
    ] {
        let reply = log_in(&world, headers, PASSWORD).await;
        assert_eq!((reply.code, reply.header("set-cookie")), (403, None), "{headers:?}: {}", reply.text());
    }
    let wrong = log_in(&world, &[("origin", &own)], "another password").await;
    assert_eq!((wrong.code, wrong.header("set-cookie")), (401, None));
    assert!(wrong.text().contains("wrong") && wrong.text().contains("<form"), "{}", wrong.text());
    let json = [HTML, ("content-type", "application/json"), ("origin", &own)];
    let reply = world.send_as(Nobody, "POST /console/login", &json, b"{}").await;
    assert_eq!((reply.code, reply.header("set-cookie")), (400, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_good_for_pages_alone_and_ends() {
    let world = World::new().await;
    let cookie = session(&world).await;
    let with = async |line: &str, headers: &[(&str, &str)]| {
        let headers = [&[HTML, ("cookie", cookie.as_str())], headers].concat();
        world.send_as(Nobody, line, &headers, b"").await
    };
    let reply = with("GET /console", &[]).await;
    assert!(reply.code == 200 && reply.text().contains("namespace=shop"), "{}", reply.text());
    assert!(reply.text().contains("Log out alice"), "{}", reply.text());
    // On other paths a browser with the cookie is anonymous.
    for line in ["GET /api/v1/namespaces/shop/pods", "POST /api/v1/namespaces/shop/pods", "GET /consoles"] {
        let reply = with(line, &[]).await;
        assert!(
            matches!(reply.code, 401 | 403) && reply.text().contains("system:anonymous"),
            "{line}: {}",
            reply.text()
        );
    }
    let reply = with("POST /console/logout", &[("origin", "https://evil.example")]).await;
    assert_eq!((reply.code, with("GET /console", &[]).await.code), (403, 200));
    let own = format!("https://{}", world.address);
    let reply = with("POST /console/logout", &[("origin", &own)]).await;
    assert_eq!((reply.code, reply.header("location")), (303, Some("/console/login")));
    let reply = with("GET /console", &[]).await;
    assert_eq!((reply.code, reply.header("location")), (303, Some("/console/login")));
    // A new password ends sessions of the old one.
    let cookie = session(&world).await;
    world.set_password("alice", "another password").await;
    let reply = world.send_as(Nobody, "GET /console/review", &[HTML, ("cookie", &cookie)], b"").await;
    assert_eq!((reply.code, reply.header("location")), (303, Some("/console/login")));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_not_kept_framed_or_led_elsewhere() {
    let world = World::new().await;
    let paths = [
        "",
        "/login",
        "/style.css",
        "/live.js",
        "/review",
        "/nothing",
        "/review?namespace=nowhere",
        "/%2e%2e/api",
    ];
    for (identity, path) in
        [Nobody, Admin].into_iter().flat_map(|identity| paths.map(|path| (identity, path)))
    {
        let reply = page(&world, identity, &format!("/console{path}")).await;
        assert!(reply.code < 500, "{path}: {} {}", reply.code, reply.text());
        for (header, part) in [
            ("cache-control", "no-store"),
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "default-src 'none'"),
            ("content-security-policy", "frame-ancestors 'none'"),
        ] {
            let found = reply.header(header).unwrap_or_default();
            assert!(found.contains(part), "{identity:?} {path}: {header}: {found}");
            assert!(!["inline", "eval"].iter().any(|word| found.contains(word)), "{path}: {found}");
        }
    }
    for line in ["GET /console", "GET /console/review", "GET /console/login"] {
        let request = format!(
            "{line} HTTP/1.1\r\nhost: evil.example\r\naccept: text/html\r\nconnection: close\r\n\r\n"
        );
        let reply = world.raw_as(Nobody, request.as_bytes()).await;
        assert!(
            !reply.head.contains("evil") && !reply.text().contains("evil"),
            "{}{}",
            reply.head,
            reply.text()
        );
    }
    for line in ["POST /console", "PUT /console/review", "DELETE /console/login", "POST /console/live"] {
        let reply = world.send(Admin, line, &Value::Null).await;
        assert!(matches!(reply.code, 400..500), "{line}: {}", reply.code);
    }
    // Programs that show no pages get a plain refusal.
    assert_eq!(world.send(Nobody, "GET /console", &Value::Null).await.code, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_shows_what_its_reader_may_read() {
    let world = World::new().await;
    let deployments = "POST /apis/apps/v1/namespaces/shop/deployments";
    world.must(Alice, deployments, hostile("secret-plan")).await;
    let mut plain = hostile("root-plan");
    plain["spec"]["template"]["metadata"]["annotations"] = json!({});
    world.must(Alice, deployments, plain).await;
    let index = |identity| page(&world, identity, "/console");
    assert!(index(Alice).await.text().contains("namespace=shop"));
    assert!(index(Admin).await.text().contains("namespace=shop"));
    let of_mallory = index(Mallory).await.text();
    assert!(of_mallory.contains("namespace=lair") && !of_mallory.contains("namespace=shop"), "{of_mallory}");
    for path in ["/console/review?namespace=shop", "/console/review", "/console/impact?namespace=shop"] {
        let text = page(&world, Mallory, path).await.text();
        assert!(!text.contains("secret-plan") && !text.contains("deployment/"), "{path}: {text}");
    }
    let own = page(&world, Alice, "/console/review?namespace=shop").await.text();
    assert!(own.contains("deployment/secret-plan") && own.contains("refused"), "{own}");
    assert!(!own.contains("<script>alert") && own.contains("&lt;script&gt;"), "{own}");
    // The existing SCCs are shown to users that may read or use them.
    let all = page(&world, Admin, "/console/review?namespace=shop").await.text();
    assert!(all.contains("hostmount-anyuid") && !own.contains("hostmount-anyuid"), "{own}");
    assert!(own.contains("restricted-v2") && own.contains("SCCs that you may neither"), "{own}");
    let refused = page(&world, Alice, "/console/scc?b=privileged").await;
    assert!(refused.code == 400 && refused.text().contains("that you may read"), "{}", refused.text());
    let shown = page(&world, Admin, "/console/scc?b=privileged").await;
    assert!(shown.code == 200 && shown.text().contains("Only privileged"), "{}", shown.text());
    let odd = page(&world, Admin, "/console/scc?b=%3Cscript%3Ealert(1)%3C/script%3E").await;
    assert!(!odd.text().contains("<script>alert"), "{}", odd.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impact_is_shown_and_nothing_is_applied() {
    let world = World::new().await;
    world.must(Alice, "POST /apis/apps/v1/namespaces/shop/deployments", hostile("web")).await;
    let scc = "{apiVersion: security.openshift.io/v1, kind: SecurityContextConstraints, metadata: {name: wide}, \
        volumes: ['*'], runAsUser: {type: RunAsAny}, seLinuxContext: {type: RunAsAny}, fsGroup: {type: RunAsAny}, \
        supplementalGroups: {type: RunAsAny}, groups: ['system:authenticated'], priority: 50}";
    let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let own = format!("https://{}", world.address);
    let send = async |identity, text: &str, origin: &str| {
        let body = format!("with={}", encode(text));
        let headers = [HTML, FORM, ("origin", origin)];
        world.send_as(identity, "POST /console/impact?namespace=shop", &headers, body.as_bytes()).await
    };
    let reply = send(Alice, scc, &own).await;
    assert!(reply.code == 200 && reply.text().contains("of 1 workloads"), "{}", reply.text());
    assert_eq!(send(Alice, scc, "https://evil.example").await.code, 403);
    let many = (0..21).map(|at| scc.replace("name: wide", &format!("name: wide{at}"))).collect::<Vec<_>>();
    for (text, part) in [
        ("{", "expected"),
        ("{apiVersion: v1, kind: Pod}", "not an SCC"),
        (HOSTILE, "&lt;script&gt;"),
        (many.join("\n---\n").as_str(), "at most 20 SCCs"),
    ] {
        let reply = send(Alice, text, &own).await.text();
        assert!(part == "expected" || reply.contains(part), "{part}: {reply}");
        assert!(reply.contains("role=\"alert\"") && !reply.contains("<script>alert"), "{part}: {reply}");
    }
    let kept = world
        .send(Admin, "GET /apis/security.openshift.io/v1/securitycontextconstraints/wide", &Value::Null)
        .await;
    assert_eq!(kept.code, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_hear_of_what_their_reader_may_watch() {
    let world = World::new().await;
    let listen = async |identity: Who| {
        let mut stream = world.open(identity).await;
        let bearer = match identity {
            Admin => String::new(),
            identity => format!("authorization: Bearer {}\r\n", world.token(identity)),
        };
        let head = format!("GET /console/live?namespace=shop HTTP/1.1\r\nhost: x\r\n{bearer}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    };
    let (mut alice, mut mallory) = (listen(Alice).await, listen(Mallory).await);
    // Both have begun when they have heard that they have.
    let mut heard = [Vec::new(), Vec::new()];
    for (stream, heard) in [&mut alice, &mut mallory].into_iter().zip(&mut heard) {
        read_until(stream, heard, "retry:").await;
    }
    world.must(Alice, "POST /apis/apps/v1/namespaces/shop/deployments", hostile("web")).await;
    let [of_alice, of_mallory] = &mut heard;
    read_until(&mut alice, of_alice, "event: change").await;
    // Two looks later she has heard nothing still.
    let more = read_until(&mut mallory, of_mallory, "event: change");
    assert!(tokio::time::timeout(Duration::from_secs(2), more).await.is_err());
    // A user whose credentials have ended gets no more events.
    world.set_password("alice", "another password").await;
    let end = tokio::time::timeout(Duration::from_secs(60), alice.read_to_end(of_alice)).await;
    assert!(end.is_ok(), "the stream of a session that has ended goes on");
}

async fn read_until(stream: &mut (impl AsyncReadExt + Unpin), found: &mut Vec<u8>, text: &str) {
    let reading = async {
        while !String::from_utf8_lossy(found).contains(text) {
            assert_ne!(stream.read_buf(found).await.unwrap(), 0, "{}", String::from_utf8_lossy(found));
        }
    };
    let read = tokio::time::timeout(Duration::from_secs(60), reading).await;
    assert!(read.is_ok(), "no {text:?}");
}

/// Forms count as bodies do, and the login form is as small as a login.
#[tokio::test(flavor = "multi_thread")]
async fn forms_that_never_end_hold_little() {
    let world = World::new().await;
    let own = format!("https://{}", world.address);
    let large = format!("username=alice&password={}", "x".repeat(64 << 10));
    let headers = [HTML, FORM, ("origin", own.as_str())];
    let reply = world.send_as(Nobody, "POST /console/login", &headers, large.as_bytes()).await;
    assert_eq!(reply.code, 413, "{}", reply.text());
    let bearer = format!("authorization: Bearer {}\r\n", world.token(Alice));
    let head = format!(
        "POST /console/impact HTTP/1.1\r\nhost: {}\r\norigin: {own}\r\n{bearer}content-type: {}\r\ncontent-length: 200000\r\n\r\nwith=",
        world.address, FORM.1
    );
    // More than a user's part of all bodies.
    let count = (8 << 20) / (256 << 10) + 1;
    assert_eq!(world.first_of(count, Alice, &head).await, "HTTP/1.1 429");
}
