//! One connection that asks for too much does not stop another.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::world::Who::Nobody;
use super::world::World;

fn frame(kind: u8, flags: u8, id: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(body.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(id.to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// `GET /version` of the scheme https.
fn head() -> Vec<u8> {
    let path = b"/version";
    [&[0x82, 0x87, 0x04, u8::try_from(path.len()).unwrap()][..], path, &[0x01, 1, b'x']].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_frames_stop_nobody_else() {
    let world = World::new().await;
    let resets: Vec<u8> = (0..3000_u32)
        .flat_map(|n| [frame(1, 5, 2 * n + 1, &head()), frame(3, 0, 2 * n + 1, &[0, 0, 0, 8])].concat())
        .collect();
    let pings: Vec<u8> = (0..20_000).flat_map(|_| frame(6, 0, 0, &[0; 8])).collect();
    let settings: Vec<u8> = (0..20_000).flat_map(|_| frame(4, 0, 0, &[0, 3, 0, 0, 0, 100])).collect();
    let mut endless = frame(1, 1, 1, &head());
    endless.extend(
        (0..5000).flat_map(|_| frame(9, 0, 1, &[&[0, 1, b'a', 0x7f, 0x81, 0x01][..], &[b'x'; 256]].concat())),
    );
    let empty: Vec<u8> =
        [frame(1, 4, 1, &[0x83, 0x87, 0x84]), (0..20_000).flat_map(|_| frame(0, 0, 1, &[])).collect()]
            .concat();
    for (what, flood) in [
        ("resets", resets),
        ("pings", pings),
        ("settings", settings),
        ("headers without end", endless),
        ("empty pieces", empty),
    ] {
        let mut stream = world.open_two().await;
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(4, 0, 0, &[]));
        bytes.extend(flood);
        // It may hang up on us in the middle: then the flood comes again, for as long as others want something.
        let floods = async {
            loop {
                drop(stream.write_all(&bytes).await);
                stream = world.open_two().await;
            }
        };
        let others = async {
            for _ in 0..5 {
                assert_eq!(world.send(Nobody, "GET /version", &Value::Null).await.code, 200, "{what}");
            }
        };
        tokio::select! {
            () = floods => {}
            () = others => {}
        }
    }
}

/// TLS before 1.2 is not spoken.
#[tokio::test(flavor = "multi_thread")]
async fn old_versions_of_tls_are_refused() {
    let world = World::new().await;
    for minor in [0_u8, 1, 2] {
        let mut hello = vec![3, minor];
        hello.extend([7; 32]);
        // No session, one suite (AES-128-CBC with SHA of RSA), no compression.
        hello.extend([0, 0, 2, 0, 0x2f, 1, 0]);
        let mut handshake = vec![1];
        handshake.extend(&u32::try_from(hello.len()).unwrap().to_be_bytes()[1..]);
        handshake.extend(hello);
        let mut record = vec![22, 3, minor];
        record.extend(u16::try_from(handshake.len()).unwrap().to_be_bytes());
        record.extend(handshake);
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        stream.write_all(&record).await.unwrap();
        let mut found = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(15), stream.read_to_end(&mut found)).await;
        assert!(read.is_ok(), "3.{minor}");
        // An alert, or nothing: no hello of the server's.
        assert!(found.first().is_none_or(|kind| *kind == 21), "3.{minor}: {found:?}");
    }
}
