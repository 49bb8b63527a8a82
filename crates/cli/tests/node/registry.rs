//! A registry on the loopback that wants a password, and pods that take an image from it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::controls::pod;
use crate::up::Up;

/// `user:word` in base64.
const PASSWORD: &str = "dXNlcjp3b3Jk";

/// A registry with one image, `app:1`.
pub(crate) struct Registry {
    port: u16,
}

/// One file of it: its path in the API, its type, its content.
struct Served(String, &'static str, Vec<u8>);

impl Registry {
    /// Serves the image of an archive, as Docker writes it.
    pub(crate) fn start(archive: &Path) -> Self {
        let files = image(archive);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = answer(stream, &files);
            }
        });
        Self { port }
    }

    /// The pods and the secret.
    pub(crate) fn objects(&self) -> Vec<Value> {
        let host = format!("127.0.0.1:{}", self.port);
        let of = |tag: &str, policy: &str| json!({"image": format!("{host}/app:{tag}"), "imagePullPolicy": policy});
        let config = json!({"auths": {host.as_str(): {"auth": PASSWORD}}}).to_string();
        let secret = || json!({"imagePullSecrets": [{"name": "registry"}]});
        vec![
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "registry"}, "type": "kubernetes.io/dockerconfigjson",
                "stringData": {".dockerconfigjson": config}}),
            pod("pulls", secret(), of("1", "Always")),
            pod("pulls-without", json!({}), of("1", "Always")),
            pod("pulls-never", secret(), of("2", "Never")),
            pod("pulls-nothing", secret(), of("3", "IfNotPresent")),
        ]
    }

    pub(crate) fn check(&self, up: &Up) {
        up.until("pulls", |up| {
            up.ask(&["get", "pod", "pulls", "-o", "jsonpath={.status.phase}"]) == "Running"
        });
        let events = up.ask(&["get", "events", "--field-selector", "involvedObject.name=pulls"]);
        assert!(events.contains("Successfully pulled image"), "{events}");
        let waits = |pod: &str, reasons: &[&str]| {
            let path = "jsonpath={.status.containerStatuses[0].state.waiting.reason}";
            up.until(pod, |up| reasons.contains(&up.ask(&["get", "pod", pod, "-o", path]).as_str()));
        };
        for pod in ["pulls-without", "pulls-nothing"] {
            waits(pod, &["ErrImagePull", "ImagePullBackOff"]);
        }
        waits("pulls-never", &["ErrImageNeverPull"]);
    }
}

/// The SHA-256 of a file.
pub(crate) fn digest(path: &Path) -> String {
    let out = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(out.stdout).unwrap()[..64].to_owned()
}

fn image(archive: &Path) -> Vec<Served> {
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(folder.path()).status().unwrap();
    assert!(status.success());
    let file = |name: &str| -> (PathBuf, String) {
        let path = folder.path().join(name);
        let digest = digest(&path);
        (path, digest)
    };
    let ((config, config_digest), (layer, layer_digest)) = (file("config.json"), file("layer.tar"));
    let size = |path: &Path| path.metadata().unwrap().len();
    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": format!("sha256:{config_digest}"), "size": size(&config)},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": format!("sha256:{layer_digest}"), "size": size(&layer)}]});
    let path = folder.path().join("manifest");
    std::fs::write(&path, manifest.to_string()).unwrap();
    let (read, kind) =
        (|path: &Path| std::fs::read(path).unwrap(), "application/vnd.oci.image.manifest.v1+json");
    vec![
        Served("/v2/app/manifests/1".to_owned(), kind, read(&path)),
        Served(format!("/v2/app/manifests/sha256:{}", digest(&path)), kind, read(&path)),
        Served(format!("/v2/app/blobs/sha256:{config_digest}"), "application/octet-stream", read(&config)),
        Served(format!("/v2/app/blobs/sha256:{layer_digest}"), "application/octet-stream", read(&layer)),
    ]
}

fn answer(mut stream: TcpStream, files: &[Served]) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut knows = false;
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        knows |= line.to_ascii_lowercase().starts_with("authorization:") && line.ends_with(PASSWORD);
    }
    let (method, path) = first.split_once(' ').unwrap_or_default();
    let path = path.split([' ', '?']).next().unwrap_or_default();
    let found = files.iter().find(|served| served.0 == path);
    let (status, kind, body): (&str, &str, &[u8]) = match found {
        _ if !knows => ("401 Unauthorized\r\nwww-authenticate: Basic realm=\"test\"", "text/plain", b""),
        Some(Served(_, kind, body)) => ("200 OK", kind, body),
        None => ("404 Not Found", "text/plain", b""),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )?;
    if method != "HEAD" {
        stream.write_all(body)?;
    }
    Ok(())
}
