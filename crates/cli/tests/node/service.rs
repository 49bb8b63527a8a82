//! The API, asked from inside of pods as operators do: at the service's address, with the pod's token, and the server's
//! certificate verified.

use std::process::Command;

use serde_json::{Value, json};

use crate::controls::pod;
use crate::up::Up;

const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Pods with kubectl, a client of client-go, and Palisade, one of kube-rs, on the pods' network and on the machine's.
pub(crate) fn objects() -> Vec<Value> {
    let found = |path: &str| std::fs::canonicalize(path).unwrap().display().to_string();
    let kubectl = Command::new("sh").args(["-c", "command -v kubectl"]).output().unwrap();
    let kubectl = found(String::from_utf8(kubectl.stdout).unwrap().trim());
    let mounts = [
        ("kubectl", kubectl, "/bin/kubectl"),
        ("palisade", found(env!("CARGO_BIN_EXE_palisade")), "/bin/palisade"),
        ("lib", found("/lib"), "/lib"),
        ("lib64", found("/lib64"), "/lib64"),
    ];
    let volumes: Vec<Value> =
        mounts.iter().map(|(name, from, _)| json!({"name": name, "hostPath": {"path": from}})).collect();
    let places: Vec<Value> =
        mounts.iter().map(|(name, _, at)| json!({"name": name, "mountPath": at, "readOnly": true})).collect();
    let asking = |name: &str, is_on_host: bool| {
        let spec = json!({"automountServiceAccountToken": true, "enableServiceLinks": false,
            "hostNetwork": is_on_host, "volumes": volumes});
        pod(name, spec, json!({"volumeMounts": places, "env": [{"name": "HOME", "value": "/tmp"}]}))
    };
    vec![asking("asks", false), asking("asks-on-host", true)]
}

pub(crate) fn check(up: &Up) {
    for name in ["asks", "asks-on-host"] {
        up.until(name, |up| up.ask(&["get", "pod", name, "-o", "jsonpath={.status.phase}"]) == "Running");
    }
    let variables = "env | grep -E '^KUBERNETES_SERVICE_(HOST|PORT|PORT_HTTPS)=' | sort";
    let expected =
        "KUBERNETES_SERVICE_HOST=10.96.0.1\nKUBERNETES_SERVICE_PORT=443\nKUBERNETES_SERVICE_PORT_HTTPS=443";
    assert_eq!(up.inside("asks", variables), expected);
    assert!(up.inside("asks-on-host", variables).contains("HOST=127.0.0.1\n"));
    // The pod is who it says it is, and has the rights of its account: none, then some.
    let refused = "User \"system:serviceaccount:default:default\" cannot list resource \"pods\"";
    for client in ["kubectl", "palisade"] {
        for name in ["asks", "asks-on-host"] {
            let said = up.inside(name, &format!("{client} get pods -o name 2>&1"));
            assert!(said.contains(refused), "{client} in {name}: {said}");
        }
    }
    up.must(&["create", "rolebinding", "asks", "--clusterrole=view", "--serviceaccount=default:default"]);
    for client in ["kubectl", "palisade"] {
        up.until(client, |up| {
            up.inside("asks", &format!("{client} get pod asks -o name 2>&1")) == "pod/asks"
        });
    }
    let by_name = format!(
        "kubectl -s https://kubernetes.default.svc --certificate-authority {ACCOUNT}/ca.crt --token $(cat {ACCOUNT}/token) get pod asks -o name 2>&1"
    );
    assert_eq!(up.inside("asks", &by_name), "pod/asks");
    let stranger = format!(
        "kubectl -s https://10.96.0.1 --certificate-authority {ACCOUNT}/ca.crt --token wrong get pods 2>&1 | tail -n 1"
    );
    assert!(up.inside("asks", &stranger).contains("You must be logged in"));
    is_restored(up);
}

/// The rule for a node's pods is restored if others flush it, and so is the service if it is deleted.
fn is_restored(up: &Up) {
    let own = rules(up);
    let [rule] = own.as_slice() else { panic!("one rule: {own:?}") };
    assert!(rule.contains("-d 10.96.0.1/32") && rule.contains("-p tcp -m tcp --dport 443 "), "{rule}");
    let script = format!("iptables -w 5 -t nat {}", rule.replacen("-A", "-D", 1));
    assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    let uid = || up.ask(&["get", "service", "kubernetes", "-o", "jsonpath={.metadata.uid}"]);
    let before = uid();
    up.must(&["delete", "service", "kubernetes"]);
    up.until("the service is restored", |_| uid().len() == before.len() && uid() != before);
    up.until("the rule is restored", |up| rules(up) == own);
    up.until("asks again", |up| up.inside("asks", "kubectl get pod asks -o name 2>&1") == "pod/asks");
}

/// The rules of a node, as iptables prints them.
pub(crate) fn rules(up: &Up) -> Vec<String> {
    let out = Command::new("iptables").args(["-w", "5", "-t", "nat", "-S", "PREROUTING"]).output().unwrap();
    let node = format!("-i pal{} ", up.id());
    let text = String::from_utf8(out.stdout).unwrap();
    text.lines().filter(|line| line.contains(&node)).map(str::to_owned).collect()
}
