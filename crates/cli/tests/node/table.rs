//! The table of `docs/controls.md`: the grants of each built-in SCC, and what its containers see of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::{Value, json};

use crate::controls::pod;
use crate::up::{Up, is_skipped};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/controls.md");
const NAMESPACE: &str = "table";

/// Prints everything that the table tells of a container.
const LOOK: &str = "echo user=$(id -u):$(id -g); echo groups=$(id -G | tr ' ' '\\n' | sort -n | tr '\\n' ' ')
sed -n 's/^CapBnd:[^0-9a-f]*/capabilities=/p; s/^CapEff:[^0-9a-f]*/effective=/p; s/^CapAmb:[^0-9a-f]*/ambient=/p; s/^NoNewPrivs:[^0-9]*/no_new_privs=/p; s/^Seccomp:[^0-9]*/filter=/p' /proc/self/status
for ns in net pid ipc; do echo $ns=$(readlink /proc/self/ns/$ns); done
sed -n 's|^[^ ]* / [^ ]* \\(r[ow]\\).*|root=\\1|p' /proc/self/mounts
echo masked=$(cat /proc/keys | wc -c) mkdir=$(mkdir /tmp/made 2>&1 | grep -c 'not permitted') | tr ' ' '\\n'
test -e /host/debian_version && echo host=seen
echo label=$(cat /proc/self/attr/current 2>/dev/null | tr -d '\\0')
echo sysctl=$(cat /proc/sys/net/core/somaxconn)";

/// Something that a pod can ask for.
struct Ask {
    name: &'static str,
    spec: Value,
    container: Value,
    annotations: Value,
    /// The pod that requests it: some requests change what others show.
    pod: &'static str,
    /// The view from inside if it is granted.
    seen: fn(&BTreeMap<String, String>) -> bool,
}

fn host(kind: &str) -> String {
    std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string()
}

fn has_group(seen: &BTreeMap<String, String>, group: &str) -> bool {
    seen["groups"].split(' ').any(|one| one == group)
}

fn capability(seen: &BTreeMap<String, String>, bit: u32) -> bool {
    u64::from_str_radix(&seen["capabilities"], 16).unwrap() >> bit & 1 == 1
}

fn none() -> Value {
    json!({})
}

fn own(context: Value) -> Value {
    json!({"securityContext": context})
}

fn ask(
    name: &'static str,
    spec: Value,
    container: Value,
    seen: fn(&BTreeMap<String, String>) -> bool,
) -> Ask {
    Ask { name, spec, container, annotations: json!({}), pod: "most", seen }
}

fn of(pod: &'static str, ask: Ask) -> Ask {
    Ask { pod, ..ask }
}

fn asks() -> Vec<Ask> {
    ids().into_iter().chain(rights()).chain(profiles()).chain(surroundings()).chain(namespaces()).collect()
}

fn ids() -> Vec<Ask> {
    vec![
        ask("user 1000", none(), own(json!({"runAsUser": 1000})), |it| {
            it["user"].starts_with("1000:") || it["user"].starts_with("0:")
        }),
        ask("user 0", none(), own(json!({"runAsUser": 0})), |it| it["user"].starts_with("0:")),
        of(
            "profile",
            ask("runAsGroup 4444", none(), own(json!({"runAsGroup": 4444})), |it| {
                it["user"].ends_with(":4444")
            }),
        ),
        ask("fsGroup 4242", own(json!({"fsGroup": 4242})), none(), |it| has_group(it, "4242")),
        ask("group 4343", own(json!({"supplementalGroups": [4343]})), none(), |it| has_group(it, "4343")),
    ]
}

fn rights() -> Vec<Ask> {
    vec![
        ask("NET_BIND_SERVICE", none(), own(json!({"capabilities": {"add": ["NET_BIND_SERVICE"]}})), |it| {
            capability(it, 10)
        }),
        ask("SYS_ADMIN", none(), own(json!({"capabilities": {"add": ["SYS_ADMIN"]}})), |it| {
            capability(it, 21)
        }),
        ask("escalation", none(), own(json!({"allowPrivilegeEscalation": true})), |it| {
            it["no_new_privs"] == "0"
        }),
        ask("no filter", none(), own(json!({"seccompProfile": {"type": "Unconfined"}})), |it| {
            it["filter"] == "0"
        }),
    ]
}

fn profiles() -> Vec<Ask> {
    let profile =
        |kind: &str, name: Value| own(json!({"seccompProfile": {"type": kind, "localhostProfile": name}}));
    let explorer = "example-explorer-profile.json";
    let annotated =
        json!({"container.seccomp.security.alpha.kubernetes.io/c": format!("localhost/{explorer}")});
    vec![
        of(
            "other",
            ask("RuntimeDefault", none(), profile("RuntimeDefault", Value::Null), |it| {
                it["filter"] == "2" && it["mkdir"] == "0"
            }),
        ),
        of(
            "profile",
            ask("Localhost", none(), profile("Localhost", json!(explorer)), |it| {
                it["filter"] == "2" && it["mkdir"] == "1"
            }),
        ),
        Ask {
            annotations: annotated,
            ..of(
                "annotated",
                ask("Localhost by annotation", none(), none(), |it| {
                    it["filter"] == "2" && it["mkdir"] == "1"
                }),
            )
        },
    ]
}

fn surroundings() -> Vec<Ask> {
    vec![
        of(
            "other",
            ask("read-only root", none(), own(json!({"readOnlyRootFilesystem": true})), |it| {
                it["root"] == "ro"
            }),
        ),
        of(
            "annotated",
            ask("SELinux level", none(), own(json!({"seLinuxOptions": {"level": "s0:c1,c2"}})), |it| {
                it["selinux"] == "said to have no effect" || it["label"].ends_with(":s0:c1,c2")
            }),
        ),
        of(
            "profile",
            ask("hostPort", none(), json!({"ports": [{"containerPort": 1, "hostPort": 1}]}), |it| {
                it["port"] == "of the node"
            }),
        ),
    ]
}

fn namespaces() -> Vec<Ask> {
    let at = json!({"volumeMounts": [{"name": "h", "mountPath": "/host", "readOnly": true}]});
    vec![
        of("users", ask("hostUsers: false", json!({"hostUsers": false}), none(), |_| true)),
        of(
            "unmasked",
            ask(
                "procMount: Unmasked",
                json!({"hostUsers": false}),
                own(json!({"procMount": "Unmasked"})),
                |it| it["masked"] != "0",
            ),
        ),
        ask("hostNetwork", json!({"hostNetwork": true}), none(), |it| it["net"] == host("net")),
        ask("hostPID", json!({"hostPID": true}), none(), |it| it["pid"] == host("pid")),
        ask("hostIPC", json!({"hostIPC": true}), none(), |it| it["ipc"] == host("ipc")),
        ask("hostPath", json!({"volumes": [{"name": "h", "hostPath": {"path": "/etc"}}]}), at, |it| {
            it.contains_key("host")
        }),
        of(
            "privileged",
            ask("privileged", none(), own(json!({"privileged": true})), |it| {
                capability(it, 16) && it["filter"] == "0" && it["masked"] != "0"
            }),
        ),
        of(
            "other",
            ask(
                "sysctl net.core.somaxconn",
                own(json!({"sysctls": [{"name": "net.core.somaxconn", "value": "99"}]})),
                none(),
                |it| it["sysctl"] == "99",
            ),
        ),
    ]
}

/// Joins two objects, and their lists.
fn join(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                join(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(from)) => into.extend(from.iter().cloned()),
        (into, from) => *into = from.clone(),
    }
}

/// A pod that only an SCC may admit, with everything that some asks ask for.
fn under(scc: &str, base: &Value, name: &str, asks: &[&Ask]) -> Value {
    let (mut spec, mut container) = (base.clone(), json!({}));
    let mut annotations = json!({"openshift.io/required-scc": scc});
    for ask in asks {
        join(&mut spec, &ask.spec);
        join(&mut container, &ask.container);
        join(&mut annotations, &ask.annotations);
    }
    if container["ports"].is_array() {
        let port = port(scc);
        container["ports"] = json!([{"containerPort": port, "hostPort": port}]);
    }
    let mut made = pod(&format!("{scc}-{name}"), spec, container);
    made["metadata"]["namespace"] = json!(NAMESPACE);
    made["metadata"]["annotations"] = annotations;
    made
}

/// A host port for a pod of an SCC: no process listens there, CNI's rules forward it.
fn port(scc: &str) -> u32 {
    20_000 + scc.bytes().fold(0, |sum, byte| (sum * 31 + u32::from(byte)) % 9_973)
}

/// The names of the pods that the API admits.
fn admitted(up: &Up, pods: &[Value]) -> BTreeSet<String> {
    use std::io::Write;
    use std::process::Stdio;
    let mut command = up.kubectl();
    command.args(["create", "--dry-run=server", "-o", "name", "-f", "-"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": pods});
    let mut input = child.stdin.take().unwrap();
    let written = std::thread::spawn(move || input.write_all(list.to_string().as_bytes()));
    let out = child.wait_with_output().unwrap();
    written.join().unwrap().unwrap();
    for line in String::from_utf8_lossy(&out.stderr).lines() {
        assert!(line.contains("security context constraint") || line.contains("Warning"), "{line}");
    }
    let said = String::from_utf8(out.stdout).unwrap();
    said.lines().map(|line| line.trim_start_matches("pod/").to_owned()).collect()
}

/// Waits until every pod runs or has an event with the reason why not; returns the reasons.
fn settle(up: &Up, count: usize) -> BTreeMap<String, &'static str> {
    let mut held = BTreeMap::new();
    up.until("every pod runs, or says why not", |up| {
        let said = up.must(&["get", "pods", "-n", NAMESPACE, "-o", "json"]);
        let list: Value = serde_json::from_str(&said).unwrap();
        held.clear();
        let pods = list["items"].as_array().unwrap().iter();
        let settled = pods.filter(|pod| {
            let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
            let waits = &pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"];
            if pod["status"]["reason"] == "UserNamespacesNotSupported" {
                held.insert(name, "not run: no user namespaces");
            } else if waits == "CreateContainerConfigError" {
                held.insert(name, "not run: the image's user is root");
            } else {
                return pod["status"]["phase"] == "Running";
            }
            true
        });
        settled.count() == count
    });
    held
}

/// The view of a pod's container, or the reason why it does not run.
fn look(
    up: &Up,
    held: &BTreeMap<String, &'static str>,
    name: &str,
) -> Result<BTreeMap<String, String>, String> {
    if let Some(why) = held.get(name) {
        return Err((*why).to_owned());
    }
    let said = up.must(&["exec", "-n", NAMESPACE, name, "--", "sh", "-c", LOOK]);
    let pairs = said.lines().filter_map(|line| line.split_once('='));
    let mut seen: BTreeMap<String, String> =
        pairs.map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect();
    for (key, words) in outside(up, name) {
        seen.insert(key.to_owned(), words.to_owned());
    }
    Ok(seen)
}

/// The view of a pod from its node and in its events.
fn outside(up: &Up, name: &str) -> [(&'static str, &'static str); 2] {
    let port = up.must(&[
        "get",
        "pod",
        "-n",
        NAMESPACE,
        name,
        "-o",
        "jsonpath={.spec.containers[0].ports[0].hostPort}",
    ]);
    let rules = std::process::Command::new("iptables").args(["-t", "nat", "-S"]).output().unwrap();
    let rules = String::from_utf8_lossy(&rules.stdout).into_owned();
    let leads = !port.is_empty() && rules.lines().any(|line| line.contains(&format!("--dport {port} ")));
    let selector = format!("involvedObject.name={name},reason=SELinuxNotSupported");
    let events = up.must(&["get", "events", "-n", NAMESPACE, "--field-selector", &selector, "-o", "name"]);
    [
        ("port", if leads { "of the node" } else { "none" }),
        ("selinux", if events.is_empty() { "none" } else { "said to have no effect" }),
    ]
}

#[test]
fn every_scc_grants_what_the_table_says() {
    if is_skipped() {
        return;
    }
    let up = Up::start_with("10.85.15.0/24", "4");
    up.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "annotations": {
        "openshift.io/sa.scc.uid-range": "1000620000/10000", "openshift.io/sa.scc.supplemental-groups": "1000620000/10000",
        "openshift.io/sa.scc.mcs": "s0:c25,c5"}}}));
    let names = up.must(&["get", "scc", "-o", "jsonpath={.items[*].metadata.name}"]);
    let asks = asks();
    // Some SCCs admit only pods in a user namespace, others only start where the pod says whose processes it has.
    let (none, user) = (json!({}), json!({"hostUsers": false}));
    let other = json!({"securityContext": {"runAsUser": 1000}});
    let strategy = "jsonpath={range .items[?(@.runAsUser.type=='MustRunAsNonRoot')]}{.metadata.name} {end}";
    let named = up.must(&["get", "scc", "-o", strategy]);
    let asking = names.split(' ').map(|scc| under(scc, &none, "asks", &[]));
    let free = admitted(&up, &asking.collect::<Vec<_>>());
    let base = |scc: &str| match free.contains(&format!("{scc}-asks")) {
        false => &user,
        true if named.split(' ').any(|name| name == scc) => &other,
        true => &none,
    };
    let all = names.split(' ').flat_map(|scc| {
        let pods = asks.iter().enumerate();
        pods.map(move |(place, ask)| under(scc, base(scc), &format!("asks-{place}"), &[ask]))
    });
    let may = admitted(&up, &all.collect::<Vec<_>>());
    let (mut objects, mut granted) = (Vec::new(), BTreeMap::new());
    for scc in names.split(' ') {
        let base = base(scc);
        let own = asks.iter().enumerate().filter(|(place, _)| may.contains(&format!("{scc}-asks-{place}")));
        let mut pods: BTreeMap<&str, Vec<&Ask>> = [("most", Vec::new())].into();
        own.for_each(|(_, ask)| pods.entry(ask.pod).or_default().push(ask));
        objects.push(under(scc, base, "plain", &[]));
        objects.extend(pods.iter().map(|(name, asks)| under(scc, base, name, asks)));
        granted.insert(scc, pods);
    }
    up.apply(&json!({"apiVersion": "v1", "kind": "List", "items": objects}));
    let held = settle(&up, objects.len());
    let mut page = String::from(HEAD);
    let heads: Vec<&str> = asks.iter().map(|ask| ask.name).collect();
    writeln!(page, "| SCC | {} |\n|---|{}", heads.join(" | "), "---|".repeat(heads.len())).unwrap();
    let mut plain = String::new();
    for (scc, pods) in &granted {
        let seen = look(&up, &held, &format!("{scc}-plain"));
        writeln!(plain, "{}", row(scc, &seen)).unwrap();
        let mut yes = BTreeMap::new();
        let mut most = Err(String::new());
        for (pod, asks) in pods {
            let found = look(&up, &held, &format!("{scc}-{pod}"));
            for ask in asks {
                let shown = found.as_ref().map_or_else(
                    |why| why.clone(),
                    |seen| {
                        assert!(
                            (ask.seen)(seen),
                            "{scc}: {} was granted, and is not seen: {seen:?}",
                            ask.name
                        );
                        let is_label = ask.name == "SELinux level";
                        if is_label { "allowed" } else { "yes" }.to_owned()
                    },
                );
                yes.insert(ask.name, shown);
            }
            if *pod == "most" {
                most = found;
            }
        }
        let cells: Vec<&str> = asks.iter().map(|ask| yes.get(ask.name).map_or("–", String::as_str)).collect();
        writeln!(page, "| `{scc}` | {} |", cells.join(" | ")).unwrap();
        // Refused pods do not exist either.
        for ask in asks.iter().filter(|ask| !yes.contains_key(ask.name) && ask.name != "user 1000") {
            for seen in [&seen, &most].into_iter().flatten() {
                let by_default = matches!(
                    ask.name,
                    "escalation" | "no filter" | "NET_BIND_SERVICE" | "RuntimeDefault" | "SELinux level"
                );
                assert!(
                    by_default || !(ask.seen)(seen),
                    "{scc}: {} was refused, and is seen: {seen:?}",
                    ask.name
                );
            }
        }
    }
    page.push_str(PLAIN);
    page.push_str(&plain);
    if std::env::var_os("PALISADE_WRITE").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(PAGE).unwrap_or_default(), page, "write it with PALISADE_WRITE=1");
}

fn row(scc: &str, seen: &Result<BTreeMap<String, String>, String>) -> String {
    let seen = match seen {
        Ok(seen) => seen,
        Err(why) => return format!("| `{scc}` | {why} | | | | | | | |"),
    };
    let yes = |is: bool| if is { "yes" } else { "no" };
    format!(
        "| `{scc}` | {} | {} | `{}` | `{}` | `{}` | {} | {} | {} |",
        seen["user"],
        seen["groups"],
        seen["capabilities"],
        seen["effective"],
        seen["ambient"],
        yes(seen["masked"] == "0"),
        yes(seen["no_new_privs"] == "1"),
        yes(seen["filter"] == "2"),
    )
}

const HEAD: &str = "# Controls, by SCC, as containers see them

Generated by `crates/cli/tests/node/table.rs` from running containers: for each SCC of the current set, pods that require it
(`openshift.io/required-scc`), in a namespace whose user IDs begin at 1000620000, on a node of `palisade up` without SELinux.

## Settings that a pod may request

`yes`: the pod was admitted, and a process in its container has the setting. IDs were read by `id`; capabilities, `no_new_privs` and
filters from `/proc/self/status`; namespaces from `/proc/self/ns`. Files of the node and masked paths were opened; profiles were tried by a syscall that only they deny;
ports of the node were found in the firewall's rules. `–`: the API refused the pod. `allowed`: the pod was
admitted with the SELinux label and runs, and an event says that this kernel has no SELinux; on a kernel with SELinux the process gets the label.
`no user namespaces`: the pod has `hostUsers: false`, as its SCC or, with `procMount: Unmasked`, the API requires; containerd 1.6 would ignore it silently, so the agent
does not run the pod, and an event says so.

";

const PLAIN: &str = "
## A pod without settings

The image's user is root; under SCCs that require another user and set none, the pod has `runAsUser: 1000`. The node gives no filter to pods without a profile (`--default-seccomp unconfined`).

| SCC | user:group | groups | bounding set | effective | ambient | masked paths | no_new_privs | filter |
|---|---|---|---|---|---|---|---|---|
";
