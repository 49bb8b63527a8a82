//! The table of `docs/controls.md`: what each built-in SCC grants, and what its containers see of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::{Value, json};

use crate::controls::pod;
use crate::up::{Up, missing};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/controls.md");
const NAMESPACE: &str = "table";

/// Prints everything that the table tells of a container.
const LOOK: &str = "echo user=$(id -u):$(id -g); echo groups=$(id -G | tr ' ' '\\n' | sort -n | tr '\\n' ' ')
sed -n 's/^CapBnd:[^0-9a-f]*/capabilities=/p; s/^NoNewPrivs:[^0-9]*/no_new_privs=/p; s/^Seccomp:[^0-9]*/filter=/p' /proc/self/status
for ns in net pid ipc; do echo $ns=$(readlink /proc/self/ns/$ns); done
(echo x >/file) 2>/dev/null && echo root=writable
test -e /host/debian_version && echo host=seen
echo sysctl=$(cat /proc/sys/net/core/somaxconn)";

/// Something that a pod can ask for.
struct Ask {
    name: &'static str,
    spec: Value,
    container: Value,
    /// What is seen inside where it is granted.
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

fn asks() -> Vec<Ask> {
    let none = || json!({});
    let own = |context: Value| json!({"securityContext": context});
    let ask = |name, spec, container, seen| Ask { name, spec, container, seen };
    let at = json!({"volumeMounts": [{"name": "h", "mountPath": "/host", "readOnly": true}]});
    vec![
        ask("user 1000", none(), own(json!({"runAsUser": 1000})), |it| {
            it["user"].starts_with("1000:") || it["user"].starts_with("0:")
        }),
        ask("user 0", none(), own(json!({"runAsUser": 0})), |it| it["user"].starts_with("0:")),
        ask("fsGroup 4242", own(json!({"fsGroup": 4242})), none(), |it| has_group(it, "4242")),
        ask("group 4343", own(json!({"supplementalGroups": [4343]})), none(), |it| has_group(it, "4343")),
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
        ask("hostNetwork", json!({"hostNetwork": true}), none(), |it| it["net"] == host("net")),
        ask("hostPID", json!({"hostPID": true}), none(), |it| it["pid"] == host("pid")),
        ask("hostIPC", json!({"hostIPC": true}), none(), |it| it["ipc"] == host("ipc")),
        ask("hostPath", json!({"volumes": [{"name": "h", "hostPath": {"path": "/etc"}}]}), at, |it| {
            it.contains_key("host")
        }),
        ask("privileged", none(), own(json!({"privileged": true})), |it| {
            capability(it, 16) && it["filter"] == "0"
        }),
        ask(
            "sysctl net.core.somaxconn",
            own(json!({"sysctls": [{"name": "net.core.somaxconn", "value": "99"}]})),
            none(),
            |it| it["sysctl"] == "99",
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
    for ask in asks {
        join(&mut spec, &ask.spec);
        join(&mut container, &ask.container);
    }
    let mut made = pod(&format!("{scc}-{name}"), spec, container);
    made["metadata"]["namespace"] = json!(NAMESPACE);
    made["metadata"]["annotations"] = json!({"openshift.io/required-scc": scc});
    made
}

/// The names of those pods that the API admits.
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

/// Waits until every pod runs or has said why it does not; gives the reasons.
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

/// What a pod's container sees, or why it does not run.
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
    Ok(pairs.map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect())
}

#[test]
fn every_scc_grants_what_the_table_says() {
    if let Some(why) = missing() {
        eprintln!("skipped: {why}");
        return;
    }
    let up = Up::start_with("10.85.15.0/24", "4");
    up.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "annotations": {
        "openshift.io/sa.scc.uid-range": "1000620000/10000", "openshift.io/sa.scc.supplemental-groups": "1000620000/10000",
        "openshift.io/sa.scc.mcs": "s0:c25,c5"}}}));
    let names = up.must(&["get", "scc", "-o", "jsonpath={.items[*].metadata.name}"]);
    let asks = asks();
    // Some SCCs admit only pods in a user namespace.
    let (none, user) = (json!({}), json!({"hostUsers": false}));
    let asking = names.split(' ').map(|scc| under(scc, &none, "asks", &[]));
    let free = admitted(&up, &asking.collect::<Vec<_>>());
    let base = |scc: &str| if free.contains(&format!("{scc}-asks")) { &none } else { &user };
    let all = names.split(' ').flat_map(|scc| {
        let pods = asks.iter().enumerate();
        pods.map(move |(place, ask)| under(scc, base(scc), &format!("asks-{place}"), &[ask]))
    });
    let may = admitted(&up, &all.collect::<Vec<_>>());
    let (mut objects, mut granted) = (Vec::new(), BTreeMap::new());
    for scc in names.split(' ') {
        let base = base(scc);
        let own = asks.iter().enumerate().filter(|(place, _)| may.contains(&format!("{scc}-asks-{place}")));
        let own: Vec<&Ask> = own.map(|(_, ask)| ask).collect();
        // These change what the others show, and have pods of their own.
        let (apart, together): (Vec<&Ask>, Vec<&Ask>) = own
            .iter()
            .copied()
            .partition(|ask| matches!(ask.name, "privileged" | "sysctl net.core.somaxconn"));
        objects.push(under(scc, base, "plain", &[]));
        objects.push(under(scc, base, "most", &together));
        objects.extend(
            apart.iter().enumerate().map(|(place, ask)| under(scc, base, &format!("apart-{place}"), &[ask])),
        );
        granted.insert(scc, (together, apart));
    }
    up.apply(&json!({"apiVersion": "v1", "kind": "List", "items": objects}));
    let held = settle(&up, objects.len());
    let mut page = String::from(HEAD);
    let heads: Vec<&str> = asks.iter().map(|ask| ask.name).collect();
    writeln!(page, "| SCC | {} |\n|---|{}", heads.join(" | "), "---|".repeat(heads.len())).unwrap();
    let mut plain = String::new();
    for (scc, (together, apart)) in &granted {
        let seen = look(&up, &held, &format!("{scc}-plain"));
        writeln!(plain, "{}", row(scc, &seen)).unwrap();
        let most = look(&up, &held, &format!("{scc}-most"));
        let mut yes = BTreeMap::new();
        for ask in together {
            let shown = most.as_ref().map_or_else(
                |why| why.clone(),
                |seen| {
                    assert!((ask.seen)(seen), "{scc}: {} was granted, and is not seen: {seen:?}", ask.name);
                    "yes".to_owned()
                },
            );
            yes.insert(ask.name, shown);
        }
        for (place, ask) in apart.iter().enumerate() {
            let seen = look(&up, &held, &format!("{scc}-apart-{place}")).unwrap();
            assert!((ask.seen)(&seen), "{scc}: {} was granted, and is not seen: {seen:?}", ask.name);
            yes.insert(ask.name, "yes".to_owned());
        }
        let cells: Vec<&str> = asks.iter().map(|ask| yes.get(ask.name).map_or("–", String::as_str)).collect();
        writeln!(page, "| `{scc}` | {} |", cells.join(" | ")).unwrap();
        // What was refused is not there either.
        for ask in asks.iter().filter(|ask| !yes.contains_key(ask.name) && ask.name != "user 1000") {
            for seen in [&seen, &most].into_iter().flatten() {
                let by_default = matches!(ask.name, "escalation" | "no filter" | "NET_BIND_SERVICE");
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
        Err(why) => return format!("| `{scc}` | {why} | | | | |"),
    };
    let yes = |is: bool| if is { "yes" } else { "no" };
    format!(
        "| `{scc}` | {} | {} | `{}` | {} | {} |",
        seen["user"],
        seen["groups"],
        seen["capabilities"],
        yes(seen["no_new_privs"] == "1"),
        yes(seen["filter"] == "2"),
    )
}

const HEAD: &str = "# Controls, by SCC, as containers see them

Written by `crates/cli/tests/node/table.rs` from containers that run: for each SCC of the current set, pods that only it may admit
(`openshift.io/required-scc`), in a namespace whose user IDs begin at 1000620000, on a node of `palisade up` without SELinux.

## What a pod may ask for

Where the table says yes, the pod was admitted, and a process in its container has it: IDs by `id`, capabilities, `no_new_privs` and
filters by `/proc/self/status`, namespaces by `/proc/self/ns`, files of the machine by looking. Where it says –, the API refused the pod.

";

const PLAIN: &str = "
## What a pod has that asks for nothing

Its image's user is root; the node gives no filter to whoever names none (`--default-seccomp unconfined`).

| SCC | user:group | groups | bounding set | no_new_privs | filter |
|---|---|---|---|---|---|
";
