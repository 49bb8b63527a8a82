//! The confinement of a container, seen from inside; and operations that must fail.

use serde_json::{Value, json};

use crate::escape;
use crate::tools;
use crate::up::{Up, is_skipped};

/// A pod of one container that waits, with fields of the pod and of the container.
pub(crate) fn pod(name: &str, spec: Value, container: Value) -> Value {
    let mut own = json!({"name": "c", "image": "sotrustworthy:latest"});
    merge(&mut own, container);
    let mut all = json!({"terminationGracePeriodSeconds": 1, "automountServiceAccountToken": false, "containers": [own]});
    merge(&mut all, spec);
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": all})
}

fn merge(into: &mut Value, from: Value) {
    for (key, value) in from.as_object().unwrap() {
        into[key] = value.clone();
    }
}

fn security(context: Value) -> Value {
    json!({"securityContext": context})
}

const GROUPS: &str = "id -u; id -g; id -G | tr ' ' '\\n' | sort -n | tr '\\n' ' '";
const CAPS: &str = "grep -E 'Cap(Bnd|Amb)' /proc/self/status | tr -d '\\t' | tr '\\n' ' '";
const HELD: &str = "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t' | tr '\\n' ' '";

/// A pod, and scripts inside with what each prints.
type Probe = (Value, Vec<(&'static str, &'static str)>);

fn probes() -> Vec<Probe> {
    ids().into_iter().chain(rights()).chain(profiles()).chain(surroundings()).chain(inputs()).collect()
}

fn at(path: &str) -> Value {
    json!({"volumeMounts": [{"name": "v", "mountPath": path}]})
}

fn ids() -> Vec<Probe> {
    let files = |uid: i64| json!({"volumes": [{"name": "v", "emptyDir": {}}], "securityContext": {"fsGroup": 4242, "runAsUser": uid}});
    vec![
        (
            pod("plain", json!({}), json!({})),
            vec![
                (GROUPS, "0\n0\n0"),
                (CAPS, "CapBnd:00000000a80425fb CapAmb:0000000000000000"),
                (HELD, "NoNewPrivs:0 Seccomp:0"),
                ("touch /file && echo written", "written"),
                ("cat /proc/keys | wc -c", "0"),
                ("sh -c 'echo 1 > /proc/sys/kernel/panic' 2>&1 | grep -o Read-only", "Read-only"),
                ("hostname", "plain"),
            ],
        ),
        (
            pod(
                "ids",
                security(json!({"runAsUser": 1234, "runAsGroup": 2345, "supplementalGroups": [3000, 4000]})),
                json!({}),
            ),
            vec![(GROUPS, "1234\n2345\n2345 3000 4000")],
        ),
        (
            pod(
                "own-ids",
                security(json!({"runAsUser": 1234})),
                security(json!({"runAsUser": 77, "runAsGroup": 88})),
            ),
            vec![(GROUPS, "77\n88\n88")],
        ),
        (
            pod("owned", files(1000), at("/v")),
            vec![("stat -c '%g %a' /v", "4242 2777"), ("touch /v/file && stat -c %g /v/file", "4242")],
        ),
    ]
}

fn rights() -> Vec<Probe> {
    vec![
        (
            pod("no-caps", json!({}), security(json!({"capabilities": {"drop": ["ALL"]}}))),
            vec![
                (CAPS, "CapBnd:0000000000000000 CapAmb:0000000000000000"),
                ("chown 1 /tmp 2>&1", "chown: /tmp: Operation not permitted"),
            ],
        ),
        (
            pod(
                "one-cap",
                json!({}),
                security(json!({"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}})),
            ),
            vec![(CAPS, "CapBnd:0000000000001000 CapAmb:0000000000000000")],
        ),
        (
            pod("no-escalation", json!({}), security(json!({"allowPrivilegeEscalation": false}))),
            vec![(HELD, "NoNewPrivs:1 Seccomp:0")],
        ),
        (
            pod("read-only", json!({}), security(json!({"readOnlyRootFilesystem": true}))),
            vec![("touch /file 2>&1", "touch: /file: Read-only file system")],
        ),
    ]
}

fn profiles() -> Vec<Probe> {
    vec![
        (
            pod(
                "default-profile",
                security(json!({"seccompProfile": {"type": "RuntimeDefault"}})),
                json!({}),
            ),
            vec![
                (HELD, "NoNewPrivs:0 Seccomp:2"),
                ("unshare -m true 2>&1 | grep -o 'not permitted'", "not permitted"),
            ],
        ),
        (
            pod(
                "admin-profile",
                security(json!({"seccompProfile": {"type": "RuntimeDefault"}})),
                security(json!({"capabilities": {"add": ["SYS_ADMIN"]}})),
            ),
            vec![
                // The profile's own condition: with the capability these calls are allowed.
                (HELD, "NoNewPrivs:0 Seccomp:2"),
                ("unshare -m echo made", "made"),
            ],
        ),
        (
            pod(
                "file-profile",
                security(
                    json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "example-explorer-profile.json"}}),
                ),
                json!({}),
            ),
            vec![
                (HELD, "NoNewPrivs:0 Seccomp:2"),
                ("mkdir /tmp/x 2>&1", "mkdir: can't create directory '/tmp/x': Operation not permitted"),
            ],
        ),
        (
            pod("privileged", json!({}), security(json!({"privileged": true}))),
            vec![
                (HELD, "NoNewPrivs:0 Seccomp:0"),
                ("test -e /dev/full && test -e /dev/loop-control -o -e /dev/kmsg && echo devices", "devices"),
                ("echo 0 > /proc/sys/kernel/panic && echo written", "written"),
            ],
        ),
    ]
}

fn surroundings() -> Vec<Probe> {
    vec![
        (
            pod(
                "sysctls",
                security(
                    json!({"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "80"}]}),
                ),
                json!({}),
            ),
            vec![("cat /proc/sys/net/ipv4/ip_unprivileged_port_start", "80")],
        ),
        (
            pod("shared-pids", json!({"shareProcessNamespace": true}), json!({})),
            vec![("cat /proc/1/comm", "pause")],
        ),
        (
            pod("limits", json!({}), json!({"resources": {"limits": {"memory": "64Mi", "cpu": "500m"}}})),
            vec![(
                "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null",
                "67108864",
            )],
        ),
        (
            pod(
                "memory",
                json!({"volumes": [{"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "2Mi"}}]}),
                at("/v"),
            ),
            vec![("dd if=/dev/zero of=/v/f bs=1M count=3 2>&1 | grep -o 'No space left'", "No space left")],
        ),
        (
            pod(
                "hosts",
                json!({"hostAliases": [{"ip": "10.1.2.3", "hostnames": ["a", "b"]}], "dnsPolicy": "None",
              "dnsConfig": {"nameservers": ["192.0.2.53"], "searches": ["x.example"]}}),
                json!({}),
            ),
            vec![
                ("grep 10.1.2.3 /etc/hosts | tr '\\t' ' '", "10.1.2.3 a b"),
                ("cat /etc/resolv.conf", "search x.example\nnameserver 192.0.2.53"),
            ],
        ),
    ]
}

/// Values that a pod takes from itself and other objects, as variables and files.
fn inputs() -> Vec<Probe> {
    vec![
        (
            pod(
                "environment",
                json!({}),
                json!({"workingDir": "/tmp", "envFrom": [{"prefix": "P_", "configMapRef": {"name": "map"}}],
              "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)2"},
                      {"name": "S", "valueFrom": {"secretKeyRef": {"name": "word", "key": "pass"}}},
                      {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]}),
            ),
            vec![(
                "pwd; echo $B $P_key $S; hostname -i | grep -qF $IP && echo same",
                "/tmp\n12 value secret\nsame",
            )],
        ),
        (
            pod(
                "files",
                json!({"automountServiceAccountToken": true, "volumes": [
                {"name": "m", "configMap": {"name": "map"}}, {"name": "s", "secret": {"secretName": "word", "defaultMode": 256}},
                {"name": "d", "downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}),
                json!({"volumeMounts": [{"name": "m", "mountPath": "/m"}, {"name": "s", "mountPath": "/s"}, {"name": "d", "mountPath": "/d"},
                {"name": "m", "mountPath": "/part", "subPath": "key"}]}),
            ),
            vec![
                ("cat /m/key /s/pass /d/name /part", "valuesecretfilesvalue"),
                (
                    "stat -Lc %a /s/pass; touch /m/x 2>&1; cut -c1-2 /var/run/secrets/kubernetes.io/serviceaccount/token",
                    "400\ntouch: /m/x: Read-only file system\ney",
                ),
                ("cat /var/run/secrets/kubernetes.io/serviceaccount/namespace", "default"),
            ],
        ),
        (
            pod(
                "image-volume",
                json!({"volumes": [{"name": "v", "image": {"reference": "gcr.io/google_containers/explorer:1.0"}}]}),
                json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}, {"name": "v", "mountPath": "/part", "subPath": "bin"}]}),
            ),
            vec![
                ("test -x /v/bin/sh && test -e /part/sh && echo there", "there"),
                ("touch /v/file 2>&1", "touch: /v/file: Read-only file system"),
            ],
        ),
    ]
}

/// Pods that must not run, and a word of the event with the reason.
fn refused() -> Vec<(Value, &'static str)> {
    let host = |path: &str, kind: &str| {
        let volume = json!({"volumes": [{"name": "v", "hostPath": {"path": path, "type": kind}}]});
        (volume, json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}))
    };
    let (missing, mount) = host("/nonexistent/palisade", "Directory");
    let (other, _) = host("/etc/passwd", "Directory");
    vec![
        (
            pod("must-not-be-root", security(json!({"runAsNonRoot": true})), json!({})),
            "image will run as root",
        ),
        (pod("user-namespace", json!({"hostUsers": false}), json!({})), "user namespaces"),
        (pod("no-folder", missing, mount.clone()), "/nonexistent/palisade"),
        (pod("no-directory", other, mount), "is not a directory"),
        (
            pod("no-map", json!({"volumes": [{"name": "v", "configMap": {"name": "none"}}]}), json!({})),
            "not found",
        ),
        (
            pod(
                "other-volume",
                json!({"volumes": [{"name": "v", "nfs": {"server": "s", "path": "/"}}]}),
                json!({}),
            ),
            "nfs",
        ),
        (
            pod(
                "no-profile",
                security(json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "none.json"}})),
                json!({}),
            ),
            "localhost/none.json",
        ),
        (
            pod(
                "linked-profile",
                security(json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "link.json"}})),
                json!({}),
            ),
            "localhost/link.json",
        ),
        (
            pod(
                "escape",
                json!({"volumes": [{"name": "v", "emptyDir": {}}], "initContainers": [{"name": "i", "image": "sotrustworthy:latest",
              "command": ["ln", "-s", "/etc", "/v/link"], "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}),
                json!({"volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "link"}]}),
            ),
            "subPath",
        ),
    ]
}

/// Events report the confinement of a container, and the syscalls that its filter denied.
fn tells_of_filters(up: &Up) {
    let says = |pod: &str, reason: &str, words: &[&str]| {
        let selector = format!("involvedObject.name={pod},reason={reason}");
        let path = "jsonpath={.items[*].message}";
        let said = up.ask(&["get", "events", "--field-selector", &selector, "-o", path]);
        words.iter().all(|word| said.contains(word))
    };
    let profile = "seccomp profile localhost/example-explorer-profile.json, filter sha256:";
    let words = [profile, "Seccomp 2, NoNewPrivs 0, CapEff 00000000a80425fb"];
    up.until("what holds a container is said", |_| says("file-profile", "Confined", &words));
    let words = ["no seccomp profile; Seccomp 0"];
    up.until("what holds none is said", |_| says("privileged", "Confined", &words));
    if let Err(error) = palisade_sys::audit::AuditLog::open() {
        eprintln!("skipped: denied syscalls are not reported here: {error}");
        return;
    }
    let words = ["Syscall mkdir (x86_64) denied", "to let it through, add {"];
    up.until("a denial is told", |up| {
        // Without login ids, a process that ends at once often cannot be attributed to its container: it is tried
        // again.
        up.inside("file-profile", "for _ in 1 2 3 4 5 6 7 8; do mkdir /tmp/x; done");
        says("file-profile", "SeccompDenied", &words)
    });
}

#[test]
fn controls_hold() {
    if is_skipped() {
        return;
    }
    let up = Up::start("10.85.12.0/24");
    std::os::unix::fs::symlink("/etc/hostname", up.node_dir().join("seccomp/link.json")).unwrap();
    let mut objects = vec![
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "map"}, "data": {"key": "value"}}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "word"}, "stringData": {"pass": "secret"}}),
    ];
    let (probes, refused) = (probes(), refused());
    objects.extend(probes.iter().map(|(pod, _)| pod.clone()));
    objects.extend(refused.iter().map(|(pod, _)| pod.clone()));
    objects.extend(escape::objects(&up));
    up.apply(&json!({"apiVersion": "v1", "kind": "List", "items": objects}));
    let mut wrong = Vec::new();
    for (pod, checks) in &probes {
        let name = pod["metadata"]["name"].as_str().unwrap();
        up.until(name, |up| up.ask(&["get", "pod", name, "-o", "jsonpath={.status.phase}"]) == "Running");
        for (script, expected) in checks {
            let got = up.inside(name, script);
            if got.trim() != *expected {
                wrong.push(format!("{name}: {script}\n  expected {expected:?}\n  got      {got:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (pod, why) in &refused {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let selector = format!("involvedObject.name={name},type=Warning");
        up.until(name, |up| up.ask(&["get", "events", "--field-selector", &selector]).contains(why));
        let state = "jsonpath={.status.containerStatuses[*].state.running.startedAt}";
        assert_eq!(up.must(&["get", "pod", name, "-o", state]), "", "{name} runs");
    }
    tells_of_filters(&up);
    tools::check(&up);
    escape::check(&up);
    up.must(&["delete", "pod", "--all", "--grace-period=1", "--timeout=60s"]);
    assert_eq!(std::fs::read_dir(up.node_dir().join("pods")).unwrap().count(), 0, "folders are left");
}
