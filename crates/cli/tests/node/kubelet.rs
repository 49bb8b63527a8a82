//! A kubelet's other duties: hooks, streams, logs, debugging, volumes of the machine, how containers end.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::controls::pod;
use crate::up::Up;

const IMAGE: &str = "sotrustworthy:latest";

fn run(script: &str) -> Value {
    json!({"command": ["sh", "-c", script]})
}

fn with(mut container: Value, field: &str, value: Value) -> Value {
    container[field] = value;
    container
}

/// A volume of the machine, and a place for it.
fn host(up: &Up, name: &str, kind: &str) -> (Value, Value) {
    let path =
        if kind == "CharDevice" { "/dev/null".into() } else { up.folder.join(name).display().to_string() };
    let volume = json!({"volumes": [{"name": "v", "hostPath": {"path": path, "type": kind}}]});
    (volume, json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}))
}

fn exec(script: &str) -> Value {
    json!({"exec": {"command": ["sh", "-c", script]}})
}

/// The pods, all of which are made at once.
pub(crate) fn objects(up: &Up) -> Vec<Value> {
    let (hooks, at) = host(up, "hooks", "DirectoryOrCreate");
    let hooked = json!({"postStart": exec("echo $POD > /v/post"), "preStop": exec("echo pre > /v/pre; sleep 1; echo done >> /v/pre")});
    let hooked =
        with(with(at.clone(), "lifecycle", hooked), "env", json!([{"name": "POD", "value": "hook"}]));
    let two = |script: &str| json!([{"name": "a", "image": IMAGE}, {"name": "b", "image": IMAGE, "command": ["sh", "-c", script]}]);
    let claimed = json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "claim"}}], "securityContext": {"fsGroup": 777}});
    let parts = json!({"env": [{"name": "P", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}, {"name": "UP", "value": ".."}],
        "volumeMounts": [{"name": "v", "mountPath": "/part", "subPathExpr": "x/$(P)"}, {"name": "v", "mountPath": "/all"}]});
    let up_there = json!({"env": [{"name": "UP", "value": "../.."}], "volumeMounts": [{"name": "v", "mountPath": "/v", "subPathExpr": "$(UP)"}]});
    let empty = json!({"volumes": [{"name": "v", "emptyDir": {}}]});
    let sidecar = json!({"restartPolicy": "Never", "volumes": [{"name": "v", "emptyDir": {}}], "initContainers": [
        {"name": "side", "image": IMAGE, "restartPolicy": "Always", "command": ["sh", "-c", "sleep 1; touch /ok /v/started; exec sleep 1000"],
         "startupProbe": {"exec": {"command": ["test", "-e", "/ok"]}, "periodSeconds": 1, "failureThreshold": 60}, "volumeMounts": at["volumeMounts"]},
        {"name": "init", "image": IMAGE, "command": ["test", "-e", "/v/started"], "volumeMounts": at["volumeMounts"]}]});
    let never = || json!({"restartPolicy": "Never"});
    let (device, _) = host(up, "null", "CharDevice");
    let (file, _) = host(up, "made", "FileOrCreate");
    let (socket, _) = host(up, "hooks", "Socket");
    vec![
        pod("hook", hooks, hooked),
        pod("hook-fails", json!({}), json!({"lifecycle": {"postStart": exec("echo bad; exit 3")}})),
        pod(
            "talks",
            json!({}),
            run("for i in 1 2 3 4 5; do echo line $i; done; while true; do sleep 1; echo more; done"),
        ),
        pod(
            "chatters",
            json!({}),
            run("yes 0123456789 | head -n 250000; echo end; while true; do sleep 1; echo more; done"),
        ),
        pod("falls", json!({}), run("echo run; sleep 1; exit 4")),
        pod(
            "listens",
            json!({}),
            with(run("while read x; do echo got $x; done; echo eof; exec sleep 1000"), "stdin", json!(true)),
        ),
        pod("parts", empty.clone(), parts),
        pod("part-outside", empty, up_there),
        pod(
            "shares",
            json!({"shareProcessNamespace": true, "containers": two("exec sleep 4711")}),
            json!({}),
        ),
        pod("apart", json!({"containers": two("exec sleep 4712")}), json!({})),
        pod("windows", json!({"os": {"name": "windows"}}), json!({})),
        pod("device", device, at.clone()),
        pod("file", file, at.clone()),
        pod("no-socket", socket, at.clone()),
        pod("sidecar", sidecar, run("sleep 1")),
        pod(
            "last-lines",
            never(),
            with(run("echo the words; exit 1"), "terminationMessagePolicy", json!("FallbackToLogsOnError")),
        ),
        pod(
            "too-large",
            never(),
            with(
                // The engine reports the cause only while the container runs: a killed child gives its memory back, so
                // that the container's shell outlives it.
                run("dd if=/dev/zero of=/dev/null bs=60M count=1; code=$?; sleep 2; exit $code"),
                "resources",
                json!({"limits": {"memory": "16Mi"}}),
            ),
        ),
        pod("deaf", json!({}), run("trap '' TERM; while true; do sleep 1; done")),
        pod("claims", claimed, at),
        pod("knows", json!({}), json!({})),
        pod("knows-none", json!({"enableServiceLinks": false}), json!({})),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"port": 80, "name": "http"}]}}),
        json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "place"}, "spec": {"capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"], "storageClassName": "local", "local": {"path": up.folder.join("place")},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": ["here"]}]}]}}}}),
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "claim"}, "spec": {"accessModes": ["ReadWriteOnce"],
            "storageClassName": "local", "resources": {"requests": {"storage": "1Gi"}}}}),
    ]
}

/// Folders that the pods expect.
pub(crate) fn prepare(up: &Up) {
    std::fs::create_dir(up.folder.join("place")).unwrap();
}

fn phase(up: &Up, pod: &str, phase: &str) {
    up.until(&format!("{pod} is {phase}"), |up| {
        up.ask(&["get", "pod", pod, "-o", "jsonpath={.status.phase}"]) == phase
    });
}

fn warned(up: &Up, pod: &str, words: &str) {
    let selector = format!("involvedObject.name={pod},type=Warning");
    up.until(&format!("{pod}: {words}"), |up| {
        up.ask(&["get", "events", "--field-selector", &selector]).contains(words)
    });
}

pub(crate) fn check(up: &Up) {
    status_rests(up);
    hooks(up);
    logs(up);
    attaches(up);
    knows_services(up);
    debugs(up);
    volumes(up);
    ends(up);
    phase(up, "shares", "Running");
    phase(up, "apart", "Running");
    let seen = |pod: &str| up.ask(&["exec", pod, "-c", "a", "--", "ps"]).contains("sleep 471");
    assert_eq!((seen("shares"), seen("apart")), (true, false));
    warned(up, "windows", "didn't match the operating system");
    phase(up, "sidecar", "Succeeded");
}

/// A status is written when something changes, and only then.
fn status_rests(up: &Up) {
    phase(up, "talks", "Running");
    let version = || up.must(&["get", "pod", "talks", "-o", "jsonpath={.metadata.resourceVersion}"]);
    let mut last = version();
    up.until("the status rests", |_| {
        std::thread::sleep(std::time::Duration::from_secs(2));
        let now = version();
        let rests = now == last;
        last = now;
        rests
    });
}

fn hooks(up: &Up) {
    let read = |name: &str| std::fs::read_to_string(up.folder.join("hooks").join(name)).unwrap_or_default();
    phase(up, "hook", "Running");
    up.until("the hook has run", |_| read("post") == "hook\n");
    up.must(&["delete", "pod", "hook", "--grace-period=30"]);
    assert_eq!(read("pre"), "pre\ndone\n");
    warned(up, "hook-fails", "PostStartHook failed: bad");
}

fn logs(up: &Up) {
    assert_eq!(up.ask(&["logs", "talks", "--limit-bytes=10"]), "line 1\nlin");
    up.until("more is said", |up| up.ask(&["logs", "talks", "--tail=1"]) == "more");
    let of_future = up.ask(&["logs", "talks", "--since-time=2100-01-01T00:00:00Z"]);
    assert_eq!(of_future, "");
    assert!(up.ask(&["logs", "talks", "--since=1h"]).starts_with("line 1\nline 2\n"));
    let stamped = up.ask(&["logs", "talks", "--timestamps", "--limit-bytes=64"]);
    let (time, text) = stamped.lines().next().unwrap().split_once(' ').unwrap();
    assert!(time.starts_with("20") && time.contains('T') && text == "line 1", "{stamped}");
    let mut follow =
        up.kubectl().args(["logs", "-f", "talks", "--tail=1"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(follow.stdout.take().unwrap()));
    for _ in 0..3 {
        assert_eq!(lines.next().unwrap().unwrap(), "more");
    }
    follow.kill().unwrap();
    follow.wait().unwrap();
    up.until("falls is started again", |up| {
        up.ask(&["get", "pod", "falls", "-o", "jsonpath={.status.containerStatuses[0].restartCount}"]) != "0"
    });
    assert_eq!(up.ask(&["logs", "falls", "--previous"]), "run");
    rotates(up);
}

/// A log that has grown is moved aside, and the container goes on in another.
fn rotates(up: &Up) {
    let uid = up.must(&["get", "pod", "chatters", "-o", "jsonpath={.metadata.uid}"]);
    let folder = up.node_dir().join(format!("logs/default_chatters_{uid}/c"));
    up.until("the log is moved aside", |_| folder.join("0.log.1").exists());
    up.until("it goes on", |up| up.ask(&["logs", "chatters", "--tail=1"]) == "more");
    assert!(folder.join("0.log.1").metadata().unwrap().len() > 10 << 20);
    assert!(folder.join("0.log").metadata().unwrap().len() < 5 << 20);
}

fn attaches(up: &Up) {
    phase(up, "listens", "Running");
    let mut attach = up
        .kubectl()
        .args(["attach", "-i", "listens"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(attach.stdout.take().unwrap()));
    let input = attach.stdin.as_mut().unwrap();
    for word in ["a", "b"] {
        writeln!(input, "{word}").unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), format!("got {word}"));
    }
    attach.kill().unwrap();
    attach.wait().unwrap();
    assert_eq!(up.ask(&["logs", "listens"]), "got a\ngot b");
}

fn knows_services(up: &Up) {
    for (name, has) in [("knows", "80"), ("knows-none", "")] {
        phase(up, name, "Running");
        assert_eq!(up.inside(name, "echo -n $WEB_SERVICE_PORT_HTTP"), has, "{name}");
    }
}

fn debugs(up: &Up) {
    phase(up, "knows", "Running");
    let script = "echo in $(cat /proc/1/cmdline | tr '\\0' ' '); exec sleep 1000";
    let image = format!("--image={IMAGE}");
    up.must(&[
        "debug",
        "knows",
        &image,
        "--target=c",
        "--container=look",
        "--profile=general",
        "--",
        "sh",
        "-c",
        script,
    ]);
    up.until("the target's processes are seen", |up| {
        up.ask(&["logs", "knows", "-c", "look"]).starts_with("in sleep 2147483647")
    });
    let state = "jsonpath={.status.ephemeralContainerStatuses[0].state.running.startedAt}";
    up.until("the status tells of it", |up| up.ask(&["get", "pod", "knows", "-o", state]).starts_with("20"));
}

fn volumes(up: &Up) {
    phase(up, "device", "Running");
    assert_eq!(up.inside("device", "test -c /v && echo device"), "device");
    phase(up, "file", "Running");
    assert!(up.folder.join("made").is_file());
    warned(up, "no-socket", "is not a socket");
    phase(up, "claims", "Running");
    assert_eq!(up.inside("claims", "touch /v/f && stat -c '%g %a' /v && stat -c %g /v/f"), "777 2775\n777");
    assert!(up.folder.join("place/f").exists());
    phase(up, "parts", "Running");
    assert_eq!(up.inside("parts", "touch /part/f; ls /all/x/parts"), "f");
    warned(up, "part-outside", "subPath");
}

fn ends(up: &Up) {
    let state = |pod: &str, field: &str| {
        let path = format!("jsonpath={{.status.containerStatuses[0].state.terminated.{field}}}");
        up.ask(&["get", "pod", pod, "-o", &path])
    };
    phase(up, "last-lines", "Failed");
    assert_eq!(state("last-lines", "message"), "the words");
    phase(up, "too-large", "Failed");
    assert_eq!(state("too-large", "reason"), "OOMKilled");
    assert_eq!(state("too-large", "exitCode"), "137");
    phase(up, "deaf", "Running");
    up.must(&["delete", "pod", "deaf", "--grace-period=1", "--timeout=60s"]);
}
