//! The reported version of Kubernetes.

use serde_json::{Value, json};

/// The reported minor version. The tables of types are compared with it by `crates/api/tools/schema.py`.
const MINOR: &str = "36";

/// The answer to `GET /version`.
pub(crate) fn version() -> Value {
    let own = env!("CARGO_PKG_VERSION");
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    json!({
        "major": "1", "minor": MINOR, "gitVersion": format!("v1.{MINOR}.0+palisade-{own}"), "gitCommit": "",
        "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "rustc",
        "platform": format!("{}/{architecture}", std::env::consts::OS),
    })
}
