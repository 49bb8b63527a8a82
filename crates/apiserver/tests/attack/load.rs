//! One client that asks for much: others are answered meanwhile, and the server's memory stays bounded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::world::Who::{self, Admin, Alice, Mallory, Nobody};
use super::world::{LOGIN, PASSWORD, World};

/// Maximum memory of the process, in MB, whatever clients do.
const MEMORY: u64 = 256;

/// A connection that speaks HTTP/2, with as little as sending requests takes.
pub(super) struct Two {
    stream: TlsStream<TcpStream>,
    next: u32,
    /// Bytes of a frame whose rest has not arrived.
    rest: Vec<u8>,
}

fn frame(kind: u8, flags: u8, id: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(body.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(id.to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// A header that is in no table (RFC 7541, 6.2.2).
fn header(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| match u8::try_from(text.len()) {
        Ok(length) if length < 127 => vec![length],
        _ => {
            let mut rest = text.len() - 127;
            let mut bytes = vec![127];
            while rest >= 128 {
                bytes.push(u8::try_from(rest % 128).unwrap() | 128);
                rest /= 128;
            }
            bytes.push(u8::try_from(rest).unwrap());
            bytes
        }
    };
    [&[0][..], &length(name), name.as_bytes(), &length(value), value.as_bytes()].concat()
}

impl Two {
    pub(super) async fn open(world: &World, identity: Who) -> Self {
        let mut stream = world.open_two_as(identity).await;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        stream.write_all(&frame(4, 0, 0, &[])).await.unwrap();
        Self { stream, next: 1, rest: Vec::new() }
    }

    /// One on which the server may send a gibibyte before any of it is acknowledged.
    pub(super) async fn open_wide(world: &World, identity: Who) -> Self {
        let size = (1_u32 << 30).to_be_bytes();
        let mut two = Self::open(world, identity).await;
        // SETTINGS_INITIAL_WINDOW_SIZE, and the window of the connection (RFC 9113, 6.5.2 and 6.9).
        let settings = frame(4, 0, 0, &[&[0, 4][..], &size].concat());
        two.send(&[settings, frame(8, 0, 0, &size)].concat()).await;
        two
    }

    /// The bytes of the head of one more request; `body` is whether one follows.
    pub(super) fn head(&mut self, line: &str, headers: &[(&str, &str)], body: bool) -> (u32, Vec<u8>) {
        let (method, path) = line.split_once(' ').unwrap();
        let mut block =
            [header(":method", method), header(":scheme", "https"), header(":path", path)].concat();
        block.extend(header(":authority", "x"));
        for (name, value) in headers {
            block.extend(header(name, value));
        }
        let id = self.next;
        self.next += 2;
        (id, frame(1, if body { 4 } else { 5 }, id, &block))
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        // A server that has heard enough leaves.
        drop(tokio::time::timeout(Duration::from_secs(10), self.stream.write_all(bytes)).await);
        drop(self.stream.flush().await);
    }

    /// Reads until so many requests have an answer.
    pub(super) async fn answers(&mut self, count: usize, time: u64) -> usize {
        self.count(count, time, |frame| usize::from(frame[3] == 1)).await
    }

    /// Reads until so many lines have come, in the bodies of all answers.
    pub(super) async fn lines(&mut self, count: usize, time: u64) -> usize {
        let ends = |frame: &[u8]| match frame[3] {
            0 => frame[9..].iter().filter(|byte| **byte == b'\n').count(),
            _ => 0,
        };
        self.count(count, time, ends).await
    }

    /// Reads until what frames count for comes to a number.
    async fn count(&mut self, count: usize, time: u64, of: impl Fn(&[u8]) -> usize) -> usize {
        let (found, mut answered) = (&mut self.rest, 0);
        let reading = async {
            let mut piece = vec![0; 1 << 16];
            while answered < count {
                let Ok(size @ 1..) = self.stream.read(&mut piece).await else { return };
                found.extend_from_slice(&piece[..size]);
                while found.len() >= 9 {
                    let length = u32::from_be_bytes([0, found[0], found[1], found[2]]) as usize;
                    if found.len() < 9 + length {
                        break;
                    }
                    answered += of(&found[..9 + length]);
                    found.drain(..9 + length);
                }
            }
        };
        drop(tokio::time::timeout(Duration::from_secs(time), reading).await);
        answered
    }
}

/// Latencies of another client's requests during some load, each on an open connection: the times in order.
pub(super) async fn meanwhile(
    world: &World,
    identity: Who,
    line: &str,
    attack: impl Future<Output = ()>,
) -> Vec<Duration> {
    let mut stream = world.open(identity).await;
    let (method, path) = line.split_once(' ').unwrap();
    let bearer = if matches!(identity, Nobody | Admin) {
        String::new()
    } else {
        format!("authorization: Bearer {}\r\n", world.token(identity))
    };
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{bearer}\r\n");
    let mut times = Vec::new();
    let good = async {
        loop {
            let begin = Instant::now();
            stream.write_all(request.as_bytes()).await.unwrap();
            let (mut found, mut piece) = (Vec::new(), vec![0; 1 << 14]);
            loop {
                let size = stream.read(&mut piece).await.unwrap();
                assert!(size > 0, "the good client's connection ends");
                found.extend_from_slice(&piece[..size]);
                if is_whole(&found) {
                    break;
                }
            }
            assert!(found.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&found));
            times.push(begin.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = good => {}
        () = attack => {}
    }
    times.sort_unstable();
    times
}

/// Whether an answer with a known length has come.
fn is_whole(found: &[u8]) -> bool {
    let text = String::from_utf8_lossy(found);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

fn part(times: &[Duration], of_hundred: usize) -> Duration {
    times[(times.len() * of_hundred / 100).min(times.len() - 1)]
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// Wrong passwords on 32 connections, and on 240 requests of one: other requests do not wait for their hashes, most are
/// told to retry later, and no other address is locked out. How fast the machine is does not count: others are answered
/// several times while one password is hashed.
#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_not_tried_at_others_cost() {
    let world = World::new().await;
    let wrong = basic("alice", "not her password");
    let mut hashed = 0;
    let connections = async {
        let tries = (0..32).map(|_| async {
            let begin = Instant::now();
            let reply = world.send_as(Nobody, LOGIN, &[("authorization", &wrong)], b"").await;
            (reply.code, reply.header("retry-after").map(str::to_owned), begin.elapsed())
        });
        let replies = futures::future::join_all(tries).await;
        let refused: Vec<_> = replies.iter().filter(|(code, ..)| *code == 429).collect();
        assert!(refused.len() >= 20, "{replies:?}");
        assert!(refused.iter().all(|(_, after, _)| after.is_some()), "{replies:?}");
        assert!(replies.iter().all(|(code, ..)| matches!(code, 401 | 429)), "{replies:?}");
        hashed = replies.len() - refused.len();
    };
    let times =
        meanwhile(&world, Alice, "GET /api/v1/namespaces/shop/configmaps/kube-root-ca.crt", connections)
            .await;
    assert!(times.len() > 2 * hashed, "{hashed} passwords beside {} answers: {times:?}", times.len());
    let streams = async {
        for _ in 0..5 {
            assert_eq!(wrong_passwords(&world).await, 240);
        }
    };
    let times = meanwhile(&world, Nobody, "GET /healthz", streams).await;
    assert!(times.len() > 5, "more than one beside 240 passwords: {times:?}");
    // A client that has failed too often waits, even with the right password; from another address it works at once.
    for _ in 0..40 {
        let reply = world.send_as(Nobody, LOGIN, &[("authorization", &wrong)], b"").await;
        if reply.code == 429 {
            break;
        }
    }
    assert_eq!(world.login("alice", PASSWORD).await, None);
    assert!(world.login_from("127.0.0.2", "alice", PASSWORD).await.is_some());
}

/// Bodies that are sent at once, and bodies that never end.
async fn many_bodies(world: &World) {
    let body = vec![b' '; 3 << 20];
    let bearer = format!("Bearer {}", world.token(Mallory));
    let connections = (0..2).map(|_| async {
        let mut two = Two::open(world, Mallory).await;
        let heads: Vec<(u32, Vec<u8>)> = (0..240)
            .map(|_| {
                let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
                two.head("POST /api/v1/namespaces/lair/configmaps", &headers, true)
            })
            .collect();
        for (_, head) in &heads {
            two.send(head).await;
        }
        // As many of each as the server accepts.
        for piece in body.chunks(16_000).take(4) {
            for (id, _) in &heads {
                two.send(&frame(0, 0, *id, piece)).await;
            }
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
    });
    futures::future::join_all(connections).await;
    let whole = (0..48).map(|_| async {
        let line = "POST /api/v1/namespaces/lair/configmaps";
        let reply = world.send_as(Mallory, line, &[("content-type", "application/json")], &body).await;
        assert!(matches!(reply.code, 400 | 429), "{}", reply.code);
    });
    futures::future::join_all(whole).await;
}

/// Watches of a large object whose clients do not read.
async fn slow_watches(world: &World) -> Vec<TlsStream<TcpStream>> {
    let path = "/api/v1/namespaces/lair/configmaps";
    let text = "x".repeat(1_000_000);
    let made = json!({"metadata": {"name": "large"}, "data": {"x": text}});
    let reply = world.send(Mallory, &format!("POST {path}"), &made).await;
    assert!(matches!(reply.code, 201 | 409 | 429), "{}", reply.code);
    let mut watches = Vec::new();
    for _ in 0..8 {
        let mut stream = world.open(Mallory).await;
        let bearer = world.token(Mallory);
        let head =
            format!("GET {path}?watch=1 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {bearer}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        watches.push(stream);
    }
    for n in 0..24 {
        let reply =
            patch(world, &format!("{path}/large"), json!({"metadata": {"labels": {"n": n.to_string()}}}))
                .await;
        assert!(matches!(reply, 200 | 404 | 409 | 429), "{reply}");
    }
    watches
}

async fn patch(world: &World, path: &str, change: Value) -> u16 {
    let headers = [("content-type", "application/merge-patch+json")];
    world.send_as(Mallory, &format!("PATCH {path}"), &headers, change.to_string().as_bytes()).await.code
}

/// Bodies that are small beside their values.
async fn heavy_bodies(world: &World) {
    let list = |item: &str, size: usize| format!("[{}]", vec![item; size / (item.len() + 1)].join(","));
    let json = |text: String| (text.into_bytes(), "application/json");
    let nested = (0..120).fold("1".to_owned(), |inner, _| format!("[{inner}]"));
    let containers = format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"p"}},"spec":{{"containers":{}}}}}"#,
        list("{}", 2_900_000)
    );
    let few = format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"p"}},"spec":{{"containers":{}}}}}"#,
        list("{}", 45_000)
    );
    let bodies = [
        json(list("{}", 2_900_000)),
        json(list("1", 2_900_000)),
        json(list(r#"{"a":1}"#, 2_900_000)),
        json(list(&nested, 2_900_000)),
        json(containers.clone()),
        json(few),
        (containers.into_bytes(), "application/yaml"),
        (protobuf_containers(1_400_000), "application/vnd.kubernetes.protobuf"),
        (protobuf_containers(40_000), "application/vnd.kubernetes.protobuf"),
    ];
    for (number, (body, kind)) in bodies.iter().enumerate() {
        let sent = (0..12).map(async |_| {
            let line = "POST /api/v1/namespaces/lair/pods";
            world.send_as(Mallory, line, &[("content-type", kind)], body).await
        });
        let codes: Vec<u16> = futures::future::join_all(sent).await.iter().map(|reply| reply.code).collect();
        let is_refused = |code: &u16| matches!(code, 400 | 403 | 413 | 422 | 429);
        assert!(codes.iter().all(is_refused), "body {number}: {codes:?}");
        let (now, most) = world.memory();
        println!("body {number}: {most} MB at most, now {now} MB, {codes:?}");
        assert!(most < MEMORY, "body {number}: {most} MB, now {now}");
    }
}

/// A pod in protobuf with as many empty containers as there is room for.
fn protobuf_containers(size: usize) -> Vec<u8> {
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let (mut out, mut rest) = (vec![number << 3 | 2], bytes.len());
        while rest >= 128 {
            out.push(u8::try_from(rest % 128).unwrap() | 128);
            rest /= 128;
        }
        out.push(u8::try_from(rest).unwrap());
        out.extend_from_slice(bytes);
        out
    }
    let kind = [field(1, b"v1"), field(2, b"Pod")].concat();
    let spec = field(2, &[0x12, 0x00].repeat(size / 2));
    [b"k8s\0".to_vec(), field(1, &kind), field(2, &spec), field(3, b""), field(4, b"")].concat()
}

/// The memory that clients make the server hold is bounded, and is released afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded() {
    let world = World::apart().await;
    let begin = Instant::now();
    let check = |what: &str| {
        let (now, most) = world.memory();
        println!("{what}: {most} MB at most, now {now} MB, after {:?}", begin.elapsed());
        assert!(most < MEMORY, "{what}: {most} MB, now {now} MB");
    };
    check("at the start");
    many_bodies(&world).await;
    check("bodies");
    let watches = slow_watches(&world).await;
    check("watches that nobody reads");
    let lists = unread_lists(&world).await;
    check("answers that nobody reads");
    // Another user's list is not refused meanwhile.
    let reply = world.send(Admin, "GET /api/v1/configmaps", &Value::Null).await;
    assert_eq!(reply.code, 200);
    drop((watches, lists));
    heavy_bodies(&world).await;
    check("bodies of many values");
    world.must(Alice, "GET /api/v1/namespaces/shop/configmaps", Value::Null).await;
}

/// Lists and objects that are requested and not read.
async fn unread_lists(world: &World) -> Vec<Two> {
    let mut all = Vec::new();
    for _ in 0..2 {
        let mut two = Two::open(world, Mallory).await;
        let bearer = format!("Bearer {}", world.token(Mallory));
        let mut bytes = Vec::new();
        for n in 0..120 {
            let path = if n % 2 == 0 { "/large" } else { "" };
            let line = format!("GET /api/v1/namespaces/lair/configmaps{path}");
            bytes.extend(two.head(&line, &[("authorization", &bearer)], false).1);
        }
        two.send(&bytes).await;
        all.push(two);
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    all
}

/// Duration of the soak test, in seconds, unless `PALISADE_SOAK` is set.
const SOAK: u64 = 20;

/// All bad clients at once beside one good client, who is answered and loses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_good_client_is_served_beside_all_the_bad_ones() {
    let seconds = std::env::var("PALISADE_SOAK").ok().and_then(|text| text.parse().ok()).unwrap_or(SOAK);
    let world = Arc::new(World::apart().await);
    let line = "GET /api/v1/namespaces/shop/configmaps/kube-root-ca.crt";
    let quiet = meanwhile(&world, Alice, line, tokio::time::sleep(Duration::from_secs(1))).await;
    let quiet = part(&quiet, 50);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut made = Vec::new();
    let good = async {
        let path = "POST /api/v1/namespaces/shop/configmaps";
        while Instant::now() < end {
            let name = format!("good-{}", made.len());
            let object = json!({"metadata": {"name": name}, "data": {"n": made.len().to_string()}});
            world.must(Alice, path, object).await;
            made.push(name);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    // Bad clients are usually on other machines: here they do not take the time of the server and of the good one.
    let attacked = Arc::clone(&world);
    let bad = std::thread::spawn(move || {
        assert!(rustix::process::nice(15).is_ok());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let world = &*attacked;
        runtime.block_on(async {
            let _: ((), (), (), (), ()) = tokio::join!(
                again(end, async || many_bodies(world).await),
                again(end, async || drop(slow_watches(world).await)),
                again(end, async || drop(unread_lists(world).await)),
                again(end, async || heavy_bodies(world).await),
                again(end, async || assert!(wrong_passwords(world).await <= 240)),
            );
        });
    });
    let times = meanwhile(&world, Alice, line, good).await;
    bad.join().unwrap();
    let (now, most) = world.memory();
    let [half, most_of, all] = [50, 99, 100].map(|of_hundred| part(&times, of_hundred));
    println!(
        "{seconds} s: {quiet:?} before; {} reads, half within {half:?}, 99 of 100 within {most_of:?}, all within {all:?}; \
         {} objects made; {most} MB at most, now {now} MB",
        times.len(),
        made.len(),
    );
    assert!(most < MEMORY, "{most} MB");
    // The machine is shared with other tests, so a short soak shows only that nothing is stuck, by what a read takes without it.
    let limit = if seconds > SOAK { Duration::from_millis(50) } else { quiet * 1000 };
    assert!(most_of < limit, "99 of 100 within {most_of:?}");
    let listed = world.must(Alice, "GET /api/v1/namespaces/shop/configmaps", Value::Null).await;
    let there: Vec<&str> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|item| item["metadata"]["name"].as_str())
        .collect();
    assert!(made.iter().all(|name| there.contains(&name.as_str())), "something is lost");
}

/// Repeats an operation until a deadline; the one that runs then is cancelled.
async fn again(end: Instant, mut act: impl AsyncFnMut()) {
    let acting = async {
        loop {
            act().await;
        }
    };
    drop(tokio::time::timeout_at(end.into(), acting).await);
}

/// Wrong passwords of one connection; how many were answered.
async fn wrong_passwords(world: &World) -> usize {
    let wrong = basic("alice", "not her password");
    let mut two = Two::open(world, Nobody).await;
    let mut bytes = Vec::new();
    for _ in 0..240 {
        bytes.extend(two.head(LOGIN, &[("authorization", &wrong)], false).1);
    }
    two.send(&bytes).await;
    two.answers(240, 20).await
}
