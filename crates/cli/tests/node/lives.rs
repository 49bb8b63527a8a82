//! Pods with a course of their own: starts, ends, probes, streams, updates.

use serde_json::{Value, json};

use crate::controls::pod;
use crate::kubelet;
use crate::leftover::Leftovers;
use crate::registry::Registry;
use crate::service;
use crate::up::{Up, is_skipped};

#[test]
fn pods_live_as_a_kubelet_has_them() {
    if is_skipped() {
        return;
    }
    let up = Up::start("10.85.14.0/24");
    let leftovers = Leftovers::make(&up);
    let registry = Registry::start(&up.folder.join("images/sotrustworthy.tar"));
    kubelet::prepare(&up);
    let mut objects = lives();
    objects.extend(kubelet::objects(&up));
    objects.extend(registry.objects());
    objects.extend(service::objects());
    objects.push(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "map"}, "data": {"key": "value"}}));
    objects.push(pod("plain", json!({}), json!({})));
    let volume = json!({"volumes": [{"name": "m", "configMap": {"name": "map"}}]});
    objects.push(pod(
        "files",
        volume,
        json!({"volumeMounts": [{"name": "m", "mountPath": "/m"},
        {"name": "m", "mountPath": "/part", "subPath": "key"}]}),
    ));
    up.apply(&json!({"apiVersion": "v1", "kind": "List", "items": objects}));
    for name in ["plain", "files", "owns-part", "becomes-ready", "unwell"] {
        up.until(name, |up| up.ask(&["get", "pod", name, "-o", "jsonpath={.status.phase}"]) == "Running");
    }
    namespaces(&up);
    streams(&up);
    updates(&up);
    ends(&up);
    holds(&up);
    rotates(&up);
    service::check(&up);
    kubelet::check(&up);
    registry.check(&up);
    leftovers.check(&up);
}

/// Pods with a course of their own.
fn lives() -> Vec<Value> {
    let run = |script: &str| json!({"command": ["sh", "-c", script]});
    let mut fails = pod(
        "fails",
        json!({"restartPolicy": "Never"}),
        run("echo last words > /dev/termination-log; echo said; exit 3"),
    );
    fails["spec"]["activeDeadlineSeconds"] = json!(600);
    let probe = |script: &str| json!({"exec": {"command": ["sh", "-c", script]}, "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 60});
    vec![
        fails,
        pod(
            "works",
            json!({"restartPolicy": "OnFailure", "initContainers": [
            {"name": "first", "image": "sotrustworthy:latest", "command": ["true"]},
            {"name": "beside", "image": "sotrustworthy:latest", "restartPolicy": "Always"}]}),
            run("exit 0"),
        ),
        pod("again", json!({}), run("exit 1")),
        pod(
            "floods",
            json!({}),
            run(
                "for part in $(seq 60); do yes $(printf %01000d 0) | head -c 1000000; sleep 0.1; done; touch /done; exec sleep 2147483647",
            ),
        ),
        pod("no-command", json!({}), json!({"command": ["/no/such"]})),
        pod("never-starts", json!({"restartPolicy": "Never"}), json!({"command": ["/no/such"]})),
        pod(
            "owns-part",
            json!({"securityContext": {"runAsUser": 1001, "fsGroup": 1002}, "volumes": [{"name": "e", "emptyDir": {}}]}),
            json!({"volumeMounts": [{"name": "e", "mountPath": "/part", "subPath": "made/below"}]}),
        ),
        pod("needs", json!({}), json!({"envFrom": [{"configMapRef": {"name": "later"}}]})),
        pod("late", json!({"activeDeadlineSeconds": 2}), json!({})),
        pod("becomes-ready", json!({}), json!({"readinessProbe": probe("test -e /ready")})),
        pod("unwell", json!({}), json!({"livenessProbe": probe("test ! -e /sick")})),
        pod(
            "serves",
            json!({}),
            json!({"command": ["sh", "-c", "echo page > /tmp/index.html; exec httpd -f -p 80 -h /tmp"],
            "ports": [{"containerPort": 80, "hostPort": 18085, "name": "web"}],
            "readinessProbe": {"httpGet": {"port": "web"}, "periodSeconds": 1},
            "startupProbe": {"tcpSocket": {"port": 80}, "periodSeconds": 1, "failureThreshold": 300}}),
        ),
        pod("on-host", json!({"hostNetwork": true, "hostPID": true, "hostIPC": true}), json!({})),
    ]
}

fn namespaces(up: &Up) {
    let phase = |up: &Up| up.ask(&["get", "pod", "on-host", "-o", "jsonpath={.status.phase}"]) == "Running";
    up.until("on-host", phase);
    for name in ["net", "pid", "ipc"] {
        let of_host = std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap().display().to_string();
        assert_eq!(up.inside("on-host", &format!("readlink /proc/self/ns/{name}")), of_host);
        assert_ne!(up.inside("plain", &format!("readlink /proc/self/ns/{name}")), of_host);
    }
}

fn streams(up: &Up) {
    let out = up
        .kubectl()
        .args(["exec", "plain", "--", "sh", "-c", "echo out; echo err >&2; exit 7"])
        .output()
        .unwrap();
    assert_eq!((out.status.code(), out.stdout.as_slice()), (Some(7), b"out\n".as_slice()), "{out:?}");
    assert!(out.stderr.starts_with(b"err\n"), "{out:?}");
    // Files in and out.
    let file = up.folder.join("file");
    let text: String = (0..100_000).map(|number| format!("{number}\n")).collect();
    std::fs::write(&file, &text).unwrap();
    up.must(&["cp", file.to_str().unwrap(), "plain:/tmp/file"]);
    let back = up.folder.join("back");
    up.must(&["cp", "plain:/tmp/file", back.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(back).unwrap(), text);
    // Ports.
    up.until("serves", |up| {
        up.ask(&["get", "pod", "serves", "-o", "jsonpath={.status.containerStatuses[0].ready}"]) == "true"
    });
    let mut forward = up
        .kubectl()
        .args(["port-forward", "pod/serves", "18086:80"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    up.until("the port is forwarded", |_| {
        fetch("127.0.0.1:18086").is_some_and(|page| page.ends_with("page\n"))
    });
    forward.kill().unwrap();
    forward.wait().unwrap();
    let host = up.must(&["get", "pod", "serves", "-o", "jsonpath={.status.hostIP}"]);
    assert!(fetch(&format!("{host}:18085")).is_some_and(|page| page.ends_with("page\n")), "hostPort");
    // The node answers only the API server.
    let port =
        up.must(&["get", "node", "here", "-o", "jsonpath={.status.daemonEndpoints.kubeletEndpoint.Port}"]);
    let said = std::process::Command::new("curl")
        .args(["-sk", &format!("https://{host}:{port}/containerLogs/default/plain/c")])
        .output();
    assert!(said.is_ok_and(|said| said.stdout.is_empty()));
}

fn fetch(address: &str) -> Option<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(2))).ok()?;
    stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n").ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).ok()?;
    Some(page)
}

fn updates(up: &Up) {
    up.must(&["patch", "configmap", "map", "-p", r#"{"data": {"key": "new", "more": "x"}}"#]);
    up.until("the volume follows", |up| up.inside("files", "cat /m/key /m/more") == "newx");
    assert_eq!(up.inside("files", "cat /part"), "value", "a part of a volume stays");
    assert_eq!(
        up.inside("owns-part", "id -u; stat -c '%a %g' /part; touch /part/file && echo made"),
        "1001\n2777 1002\nmade"
    );
    up.inside("becomes-ready", "touch /ready");
    up.must(&["wait", "--for=condition=Ready", "pod/becomes-ready", "--timeout=60s"]);
    up.inside("unwell", "touch /sick");
    let restarts = |pod: &str| {
        up.ask(&["get", "pod", pod, "-o", "jsonpath={.status.containerStatuses[0].restartCount}"])
    };
    up.until("unwell is started again", |_| restarts("unwell").parse::<u32>().is_ok_and(|count| count >= 1));
    up.until("again is started again", |_| restarts("again").parse::<u32>().is_ok_and(|count| count >= 1));
    up.until("again waits", |up| {
        up.ask(&["get", "pod", "again", "-o", "jsonpath={.status.containerStatuses[0].state.waiting.reason}"])
            == "CrashLoopBackOff"
    });
}

/// A log that grows fast is rotated near its limit, and one old file is kept.
fn rotates(up: &Up) {
    let folder = std::fs::read_dir(up.node_dir().join("logs")).unwrap().flatten();
    let own = folder.map(|entry| entry.path()).find(|path| path.display().to_string().contains("_floods_"));
    let files = || {
        let files = std::fs::read_dir(own.as_ref().unwrap().join("c")).unwrap().flatten();
        files.map(|file| file.metadata().unwrap().len()).collect::<Vec<u64>>()
    };
    up.until("all is written", |up| up.inside("floods", "ls /done") == "/done");
    up.until("the log is rotated", |_| files().len() == 2);
    let sizes = files();
    assert!(sizes.iter().all(|size| *size < 30_000_000), "of 60 MB: {sizes:?}");
}

/// A container that does not start is tried less and less often, and its failures are one event.
fn holds(up: &Up) {
    let waits = |pod: &str| {
        up.ask(&["get", "pod", pod, "-o", "jsonpath={.status.containerStatuses[0].state.waiting.reason}"])
    };
    up.until("needs waits", |_| waits("needs") == "CreateContainerConfigError");
    up.must(&["create", "configmap", "later", "--from-literal=key=value"]);
    up.until("needs", |up| up.ask(&["get", "pod", "needs", "-o", "jsonpath={.status.phase}"]) == "Running");
    let counts = || {
        let of = "involvedObject.name=no-command,reason=Failed";
        up.ask(&["get", "events", "--field-selector", of, "-o", "jsonpath={.items[*].count}"])
    };
    up.until("no-command is tried again", |_| counts().split(' ').any(|count| count >= "3"));
    up.until("no-command waits", |_| waits("no-command") == "CrashLoopBackOff");
    let last = "jsonpath={.status.containerStatuses[0].lastState.terminated.reason}";
    assert_eq!(up.ask(&["get", "pod", "no-command", "-o", last]), "StartError");
    assert_eq!(counts().split(' ').count(), 1, "one event: {}", counts());
}

fn ends(up: &Up) {
    let get = |pod: &str, path: &str| up.ask(&["get", "pod", pod, "-o", &format!("jsonpath={{{path}}}")]);
    up.until("fails", |_| get("fails", ".status.phase") == "Failed");
    let state = ".status.containerStatuses[0].state.terminated";
    assert_eq!(get("fails", &format!("{state}.exitCode")), "3");
    assert_eq!(get("fails", &format!("{state}.message")).trim(), "last words");
    assert_eq!(up.ask(&["logs", "fails"]), "said");
    let stamped = up.ask(&["logs", "fails", "--timestamps", "--tail=1"]);
    assert!(stamped.starts_with("20") && stamped.ends_with("Z said"), "{stamped}");
    up.until("works", |_| get("works", ".status.phase") == "Succeeded");
    up.until("never-starts", |_| get("never-starts", ".status.phase") == "Failed");
    assert_eq!(get("never-starts", &format!("{state}.reason")), "StartError");
    assert_eq!(get("never-starts", &format!("{state}.exitCode")), "128");
    assert!(get("never-starts", &format!("{state}.message")).contains("/no/such"));
    up.until("late", |_| get("late", ".status.reason") == "DeadlineExceeded");
    assert_eq!(get("plain", ".status.qosClass"), "BestEffort");
}
