//! Fields of a pod that give it rights: Kubernetes' rules of `ValidatePodSpec`, then SCC.

use serde_json::{Value, json};

use super::world::Who::{Admin, Mallory};
use super::world::World;

/// A pod with some of its spec, and some of its container, as given.
fn pod(spec: &Value, container: &Value) -> Value {
    let mut object =
        json!({"metadata": {"generateName": "p-"}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}});
    for (field, value) in spec.as_object().into_iter().flatten() {
        object["spec"][field] = value.clone();
    }
    for (field, value) in container.as_object().into_iter().flatten() {
        object["spec"]["containers"][0][field] = value.clone();
    }
    object
}

/// Pods, each with what is special about its spec and its container, and the code of the answer.
struct Rows(Vec<(&'static str, Value, Value, u16)>);

impl Rows {
    fn case(&mut self, what: &'static str, spec: &Value, container: &Value, code: u16) {
        self.0.push((what, spec.clone(), container.clone(), code));
    }
}

fn windows(mut spec: Value) -> Value {
    spec["os"] = json!({"name": "windows"});
    spec
}

fn context(context: Value) -> Value {
    json!({"securityContext": context})
}

/// The operating system, and what a pod for Windows has not.
fn systems(rows: &mut Rows) {
    let none = json!({});
    rows.case("a plain pod", &none, &none, 201);
    rows.case("for linux", &json!({"os": {"name": "linux"}}), &none, 201);
    rows.case("for windows", &windows(json!({})), &none, 201);
    rows.case("for no system", &json!({"os": {"name": ""}}), &none, 422);
    rows.case("for no system", &json!({"os": {}}), &none, 422);
    rows.case("for another system", &json!({"os": {"name": "plan9"}}), &none, 422);
    rows.case(
        "windows options on linux",
        &json!({"os": {"name": "linux"}, "securityContext": {"windowsOptions": {}}}),
        &none,
        422,
    );
    rows.case(
        "windows options on linux",
        &json!({"os": {"name": "linux"}}),
        &context(json!({"windowsOptions": {}})),
        422,
    );
    for field in ["hostPID", "hostIPC", "shareProcessNamespace"] {
        rows.case("what a windows pod shares", &windows(json!({field: true})), &none, 422);
    }
    rows.case("users of a windows pod", &windows(json!({"hostUsers": false})), &none, 422);
    for (field, value) in [
        ("appArmorProfile", json!({"type": "Unconfined"})),
        ("seLinuxOptions", json!({"type": "spc_t"})),
        ("seccompProfile", json!({"type": "Unconfined"})),
        ("fsGroup", json!(0)),
        ("fsGroupChangePolicy", json!("Always")),
        ("sysctls", json!([{"name": "kernel.msgmax", "value": "1"}])),
        ("runAsUser", json!(0)),
        ("runAsGroup", json!(0)),
        ("supplementalGroups", json!([0])),
        ("supplementalGroupsPolicy", json!("Merge")),
        ("seLinuxChangePolicy", json!("Recursive")),
    ] {
        rows.case("what a windows pod has", &windows(context(json!({field: value}))), &none, 422);
    }
    for (field, value) in [
        ("privileged", json!(true)),
        ("privileged", json!(false)),
        ("capabilities", json!({"add": ["SYS_ADMIN"]})),
        ("allowPrivilegeEscalation", json!(true)),
        ("readOnlyRootFilesystem", json!(false)),
        ("procMount", json!("Default")),
        ("runAsUser", json!(0)),
        ("runAsGroup", json!(0)),
        ("seLinuxOptions", json!({"type": "spc_t"})),
        ("seccompProfile", json!({"type": "Unconfined"})),
        ("appArmorProfile", json!({"type": "Unconfined"})),
    ] {
        rows.case("what a windows container has", &windows(json!({})), &context(json!({field: value})), 422);
    }
}

/// Processes of a Windows host, and users of Windows.
fn host_processes(rows: &mut Rows) {
    let none = json!({});
    let host = json!({"windowsOptions": {"hostProcess": true}});
    rows.case(
        "a process of the host on its own network",
        &windows(json!({"securityContext": host.clone()})),
        &none,
        422,
    );
    rows.case(
        "a process of the host",
        &windows(json!({"hostNetwork": true, "securityContext": host.clone()})),
        &none,
        201,
    );
    rows.case("a process of the host, unsaid system", &context(host.clone()), &none, 422);
    rows.case("a process of the host by the container", &none, &context(host.clone()), 422);
    rows.case(
        "a process that is and is not",
        &windows(json!({"hostNetwork": true, "securityContext": host.clone()})),
        &context(json!({"windowsOptions": {"hostProcess": false}})),
        422,
    );
    rows.case(
        "one process of the host of two",
        &windows(json!({"hostNetwork": true, "initContainers": [{"name": "i", "image": "i:1"}]})),
        &context(host),
        422,
    );
    rows.case(
        "a user of windows",
        &windows(context(json!({"windowsOptions": {"runAsUserName": "CORP\\joe"}}))),
        &none,
        201,
    );
    for name in ["", "a\\b\\c", "joe/x", "..", "j\u{7}"] {
        rows.case(
            "a user of windows",
            &windows(context(json!({"windowsOptions": {"runAsUserName": name}}))),
            &none,
            422,
        );
    }
}

/// A user namespace, and the node's namespaces.
fn user_namespaces(rows: &mut Rows) {
    let none = json!({});
    rows.case("proc unmasked", &none, &context(json!({"procMount": "Unmasked"})), 422);
    rows.case("proc unmasked", &json!({"hostUsers": true}), &context(json!({"procMount": "Unmasked"})), 422);
    rows.case(
        "proc unmasked in a user namespace",
        &json!({"hostUsers": false}),
        &context(json!({"procMount": "Unmasked"})),
        201,
    );
    rows.case("another proc", &json!({"hostUsers": false}), &context(json!({"procMount": "Other"})), 422);
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        rows.case(
            "the node's namespace in a user namespace",
            &json!({"hostUsers": false, field: true}),
            &none,
            422,
        );
    }
    rows.case(
        "a device in a user namespace",
        &json!({"hostUsers": false, "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}),
        &json!({"volumeDevices": [{"name": "v", "devicePath": "/dev/x"}]}),
        422,
    );
    rows.case(
        "processes of all and of the node",
        &json!({"hostPID": true, "shareProcessNamespace": true}),
        &none,
        422,
    );
}

/// Privileges and seccomp profiles.
fn privileges(rows: &mut Rows) {
    let none = json!({});
    rows.case(
        "privileged and no escalation",
        &none,
        &context(json!({"privileged": true, "allowPrivilegeEscalation": false})),
        422,
    );
    rows.case(
        "SYS_ADMIN and no escalation",
        &none,
        &context(json!({"capabilities": {"add": ["CAP_SYS_ADMIN"]}, "allowPrivilegeEscalation": false})),
        422,
    );
    rows.case(
        "a profile elsewhere",
        &none,
        &context(json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "../x"}})),
        422,
    );
    rows.case(
        "a profile elsewhere",
        &none,
        &context(json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "/x"}})),
        422,
    );
    rows.case(
        "a profile and none",
        &none,
        &context(json!({"seccompProfile": {"type": "Unconfined", "localhostProfile": "x"}})),
        422,
    );
}

/// Volumes, ports, IDs and ephemeral containers.
fn volumes_and_ports(rows: &mut Rows) {
    let none = json!({});
    let volume = json!([{"name": "v", "emptyDir": {}}]);
    rows.case(
        "a path out of a volume",
        &json!({"volumes": volume}),
        &json!({"volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "../x"}]}),
        422,
    );
    rows.case(
        "a path out of a volume",
        &json!({"volumes": volume}),
        &json!({"volumeMounts": [{"name": "v", "mountPath": "/v", "subPathExpr": "$(A)/../x"}]}),
        422,
    );
    rows.case(
        "mounts that leave the container",
        &json!({"volumes": volume}),
        &json!({"volumeMounts": [{"name": "v", "mountPath": "/v", "mountPropagation": "Bidirectional"}]}),
        422,
    );
    rows.case(
        "a path up on the node",
        &json!({"volumes": [{"name": "v", "hostPath": {"path": "/tmp/../etc"}}]}),
        &none,
        422,
    );
    rows.case(
        "another port of the node",
        &json!({"hostNetwork": true}),
        &json!({"ports": [{"containerPort": 80, "hostPort": 81}]}),
        422,
    );
    rows.case("an ID below all", &none, &context(json!({"runAsUser": -1})), 422);
    rows.case(
        "a volume of two kinds",
        &json!({"volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]}),
        &none,
        422,
    );
    rows.case(
        "an ephemeral container from the start",
        &json!({"ephemeralContainers": [{"name": "e", "image": "i:1"}]}),
        &none,
        422,
    );
}

/// The administrator may use every SCC, so refusals here are by Kubernetes' rules alone.
#[tokio::test(flavor = "multi_thread")]
async fn all_that_gives_rights_has_its_rule() {
    let world = World::new().await;
    let mut rows = Rows(Vec::new());
    for add in [systems, host_processes, user_namespaces, privileges, volumes_and_ports] {
        add(&mut rows);
    }
    let Rows(cases) = rows;
    let mut wrong = Vec::new();
    for (what, spec, container, code) in &cases {
        let reply = world.send(Admin, "POST /api/v1/namespaces/shop/pods", &pod(spec, container)).await;
        if reply.code != *code {
            wrong.push(format!(
                "{what}: {spec} {container}: {code} wanted, not {} {}",
                reply.code,
                reply.text()
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// Settings that a user without rights over SCCs must not get, however they are written.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_gets_no_rights_over_the_node() {
    let world = World::new().await;
    let context = |context: Value| json!({"securityContext": context});
    let path = |path: &str| json!({"volumes": [{"name": "v", "hostPath": {"path": path}}]});
    let none = json!({});
    let mut wrong = Vec::new();
    for (spec, container) in [
        (none.clone(), context(json!({"privileged": true}))),
        (none.clone(), context(json!({"runAsUser": 0}))),
        (none.clone(), context(json!({"capabilities": {"add": ["SYS_ADMIN"]}}))),
        (none.clone(), context(json!({"procMount": "Unmasked"}))),
        (none.clone(), context(json!({"seccompProfile": {"type": "Unconfined"}}))),
        (none.clone(), context(json!({"windowsOptions": {"hostProcess": true}}))),
        (json!({"hostPID": true}), none.clone()),
        (json!({"hostIPC": true}), none.clone()),
        (json!({"hostNetwork": true}), none.clone()),
        (path("/"), none.clone()),
        (json!({"os": {"name": "windows"}, "hostPID": true}), none.clone()),
        (json!({"os": {"name": "windows"}}), context(json!({"privileged": true}))),
        (json!({"os": {"name": "windows"}, "hostUsers": true}), none.clone()),
        (json!({"securityContext": {"seLinuxOptions": {"type": "spc_t"}}}), none.clone()),
        (json!({"securityContext": {"fsGroup": 0}}), none.clone()),
        (
            json!({"securityContext": {"sysctls": [{"name": "kernel.core_pattern", "value": "|/x"}]}}),
            none.clone(),
        ),
        (none.clone(), json!({"ports": [{"containerPort": 80, "hostPort": 80}]})),
        (
            json!({"initContainers": [{"name": "i", "image": "i:1", "securityContext": {"privileged": true}}]}),
            none.clone(),
        ),
    ] {
        let reply = world.send(Mallory, "POST /api/v1/namespaces/lair/pods", &pod(&spec, &container)).await;
        if !matches!(reply.code, 403 | 422) {
            wrong.push(format!("{spec} {container}: {} {}", reply.code, reply.text()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let reply = world.send(Mallory, "POST /api/v1/namespaces/lair/pods", &pod(&none, &none)).await;
    assert_eq!(
        (reply.code, &reply.json()["metadata"]["annotations"]["openshift.io/scc"]),
        (201, &json!("restricted-v2"))
    );
    // A pod for Windows, which SCC leaves alone, comes to no node that is not one.
    let escape = json!({"nodeName": "n1", "os": {"name": "windows"}, "volumes": [{"name": "v", "hostPath": {"path": "/"}}]});
    let refused = world.send(Mallory, "POST /api/v1/namespaces/lair/pods", &pod(&escape, &none)).await;
    assert_eq!(refused.code, 403, "{}", refused.text());
    let mut waiting = escape.clone();
    waiting["nodeName"] = Value::Null;
    let made = world.must(Mallory, "POST /api/v1/namespaces/lair/pods", pod(&waiting, &none)).await;
    let bind =
        format!("POST /api/v1/namespaces/lair/pods/{}/binding", made["metadata"]["name"].as_str().unwrap());
    let binding = json!({"target": {"name": "n1"}});
    for (labels, code) in
        [(json!({"kubernetes.io/os": "linux"}), 403), (json!({"kubernetes.io/os": "windows"}), 201)]
    {
        let node = json!({"metadata": {"name": "n1", "labels": labels}});
        drop(world.send(Admin, "DELETE /api/v1/nodes/n1", &Value::Null).await);
        world.must(Admin, "POST /api/v1/nodes", node).await;
        let reply = world.send(Admin, &bind, &binding).await;
        assert_eq!(reply.code, code, "{labels}: {}", reply.text());
    }
    // Nor later.
    let name = reply.json()["metadata"]["name"].as_str().unwrap().to_owned();
    let line = format!("PATCH /api/v1/namespaces/lair/pods/{name}");
    for patch in [
        json!({"spec": {"hostPID": true}}),
        json!({"spec": {"os": {"name": "windows"}}}),
        json!({"spec": {"securityContext": {"runAsUser": 0}}}),
    ] {
        let reply = world.send(Mallory, &line, &patch).await;
        assert!(matches!(reply.code, 403 | 422), "{patch}: {} {}", reply.code, reply.text());
    }
    let line = format!("PATCH /api/v1/namespaces/lair/pods/{name}/ephemeralcontainers");
    for container in [
        json!({"securityContext": {"privileged": true}}),
        json!({"volumeMounts": [{"name": "kube-api-access", "mountPath": "/x", "subPath": "token"}]}),
    ] {
        let mut ephemeral = json!({"name": "e", "image": "i:1"});
        for (field, value) in container.as_object().unwrap() {
            ephemeral[field] = value.clone();
        }
        let reply = world.send(Mallory, &line, &json!({"spec": {"ephemeralContainers": [ephemeral]}})).await;
        assert!(matches!(reply.code, 403 | 422), "{container}: {} {}", reply.code, reply.text());
    }
}
