//! A node whose agent stops responding.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

use crate::up::patience;

/// A server with the credentials of a node, by which the node and a pod of it were made, and no agent.
pub(crate) struct Lost {
    server: Child,
    folder: tempfile::TempDir,
}

impl Drop for Lost {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Lost {
    pub(crate) fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Command::new(env!("CARGO_BIN_EXE_palisade"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.path().join("data"))
            .env("KUBECONFIG", folder.path().join("none"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        assert!(lines.next().unwrap().unwrap().starts_with("Serving"));
        // The kubeconfig is there once it is named.
        assert!(lines.next().unwrap().unwrap().contains("kubeconfig"));
        let lost = Self { server, folder };
        let made = Command::new(env!("CARGO_BIN_EXE_palisade"))
            .args(["node", "kubeconfig", "far", "--address", "192.0.2.8", "--data-dir"])
            .arg(lost.folder.path().join("data"))
            .arg("-o")
            .arg(lost.folder.path().join("node.kubeconfig"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let node = r#"{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "far"}}"#;
        lost.must("node.kubeconfig", &["create", "-f", "-"], node);
        lost.set_status("/api/v1/nodes/far", json!({"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}]}));
        let other = r#"{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "near"}}"#;
        let out = lost.kubectl("node.kubeconfig", &["create", "-f", "-"], other);
        assert!(!out.status.success(), "a node makes itself alone");
        let pod = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
            "spec": {"nodeName": "far", "containers": [{"name": "c", "image": "i"}]}}"#;
        lost.must("data/admin.kubeconfig", &["create", "-f", "-"], pod);
        let running = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        lost.set_status("/api/v1/namespaces/default/pods/p", running);
        lost
    }

    fn kubectl(&self, config: &str, args: &[&str], input: &str) -> Output {
        use std::io::Write;
        let config: PathBuf = self.folder.path().join(config);
        let mut child = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(config)
            .arg("--cache-dir")
            .arg(self.folder.path().join("cache"))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    fn must(&self, config: &str, args: &[&str], input: &str) -> String {
        let out = self.kubectl(config, args, input);
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    /// Writes the status of an object as its node's agent does.
    fn set_status(&self, path: &str, status: Value) {
        let mut object: Value =
            serde_json::from_str(&self.must("node.kubeconfig", &["get", "--raw", path], "")).unwrap();
        object["status"] = status;
        let path = format!("{path}/status");
        self.must("node.kubeconfig", &["replace", "--raw", &path, "-f", "-"], &object.to_string());
    }

    /// Waits until the node is marked; it falls silent forty seconds after it was made.
    pub(crate) fn check(self) {
        let ready = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
        let get = |kind: &str, name: &str, path: &str| {
            self.must("data/admin.kubeconfig", &["get", kind, name, "-o", path], "")
        };
        let begun = std::time::Instant::now();
        while get("node", "far", ready) != "Unknown" || get("pod", "p", ready) != "False" {
            assert!(begun.elapsed() < patience(), "the node is not marked");
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        let taints = "jsonpath={.spec.taints[*].key}";
        let key = "node.kubernetes.io/unreachable";
        assert_eq!(get("node", "far", taints), format!("{key} {key}"));
        let back = json!({"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:01:00Z"}]});
        self.set_status("/api/v1/nodes/far", back);
        while !get("node", "far", taints).is_empty() {
            assert!(begun.elapsed() < patience() * 2, "the taints stay");
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
    }
}
