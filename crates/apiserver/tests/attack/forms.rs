//! One pod in several forms is one pod; and what can be read in two ways is refused, or read as what SCC decides on.

use serde_json::{Value, json};

use super::world::Who::Mallory;
use super::world::{Reply, World};

const PATH: &str = "/api/v1/namespaces/lair/pods";

/// Requested settings in the security context of a container, or in the spec.
fn asked() -> Vec<Value> {
    let container =
        |context: Value| json!({"containers": [{"name": "c", "image": "i:1", "securityContext": context}]});
    let spec =
        |field: &str, value: Value| json!({"containers": [{"name": "c", "image": "i:1"}], field: value});
    vec![
        json!({"containers": [{"name": "c", "image": "i:1"}]}),
        container(json!({})),
        container(json!({"privileged": true})),
        container(json!({"privileged": false})),
        container(json!({"runAsUser": 0})),
        container(json!({"runAsUser": 1})),
        container(json!({"runAsUser": 1_000_660_000})),
        container(json!({"runAsNonRoot": true})),
        container(json!({"runAsNonRoot": false})),
        container(json!({"allowPrivilegeEscalation": true})),
        container(json!({"allowPrivilegeEscalation": false})),
        container(json!({"capabilities": {"add": ["SYS_ADMIN"]}})),
        container(json!({"capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]}})),
        container(json!({"capabilities": {"drop": ["KILL"]}})),
        container(json!({"seLinuxOptions": {"level": "s0:c1,c2"}})),
        container(json!({"seLinuxOptions": {"type": "spc_t"}})),
        container(json!({"seccompProfile": {"type": "RuntimeDefault"}})),
        container(json!({"seccompProfile": {"type": "Unconfined"}})),
        container(json!({"readOnlyRootFilesystem": true})),
        spec("hostNetwork", json!(true)),
        spec("hostPID", json!(true)),
        spec("hostIPC", json!(false)),
        spec("securityContext", json!({"fsGroup": 1})),
        spec("securityContext", json!({"supplementalGroups": [0, 7]})),
        spec("securityContext", json!({"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]})),
        spec("volumes", json!([{"name": "v", "hostPath": {"path": "/"}}])),
        spec("volumes", json!([{"name": "v", "emptyDir": {"medium": "Memory"}}])),
    ]
}

/// The decision: the code, the SCC, and the resulting security contexts.
fn decided(reply: &Reply) -> (u16, Vec<Value>) {
    let pod = reply.json();
    let at = |pointer: &str| pod.pointer(pointer).cloned().unwrap_or_default();
    (
        reply.code,
        [
            "/metadata/annotations/openshift.io~1scc",
            "/spec/securityContext",
            "/spec/containers/0/securityContext",
            "/spec/hostNetwork",
            "/spec/hostPID",
        ]
        .map(at)
        .to_vec(),
    )
}

/// Letters of field names as JSON may escape them, with insignificant whitespace and the like in between.
fn disguised(text: &str) -> String {
    text.replace("\"spec\"", "\n\t\"\\u0073pe\\u0063\" ")
        .replace("\"privileged\"", "\"\\u0070rivileged\"")
        .replace(':', " : ")
        .replace("\"i : 1\"", "\"i:1\"")
        .replace("s0 : c1", "s0:c1")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_the_same_in_every_form() {
    let world = World::new().await;
    let message = palisade_api::schema::message("Pod").unwrap();
    let pods = asked();
    assert_eq!(pods.len(), 27);
    for (number, spec) in pods.into_iter().enumerate() {
        let pod = |form: &str| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("p{number}-{form}")}, "spec": spec});
        let apply = format!("PATCH {PATH}/p{number}-apply?fieldManager=m");
        let post = format!("POST {PATH}");
        let forms: [(&str, &str, Vec<u8>); 5] = [
            (&post, "application/json", pod("json").to_string().into_bytes()),
            (&post, "application/json", disguised(&pod("odd").to_string()).into_bytes()),
            (&post, "application/yaml", serde_saphyr::to_string(&pod("yaml")).unwrap().into_bytes()),
            (
                &post,
                "application/vnd.kubernetes.protobuf",
                palisade_api::protobuf::encode(&pod("proto"), message),
            ),
            (&apply, "application/apply-patch+yaml", pod("apply").to_string().into_bytes()),
        ];
        let mut answers = Vec::new();
        for (line, kind, body) in &forms {
            let reply = world
                .send_as(Mallory, line, &[("content-type", kind), ("accept", "application/json")], body)
                .await;
            answers.push((decided(&reply), *kind, reply.text()));
        }
        for (answer, kind, text) in &answers {
            assert_eq!(*answer, answers[0].0, "{spec} as {kind}: {text}");
        }
    }
}

/// Every body is either refused, or the resulting pod has what an SCC granted.
#[tokio::test(flavor = "multi_thread")]
async fn ambiguous_pods_get_no_rights() {
    let world = World::new().await;
    let pod = |container: &str, spec: &str| {
        format!(r#"{{"metadata": {{"generateName": "p-"}}, "spec": {{{spec} "containers": [{{"name": "c", "image": "i:1"{container}}}]}}}}"#).into_bytes()
    };
    let context = |text: &str| pod(&format!(r#", "securityContext": {{{text}}}"#), "");
    let mut cases = vec![
        context(r#""privileged": false, "privileged": true"#),
        context(r#""privileged": true, "privileged": false"#),
        context(r#""Privileged": true"#),
        context(r#""PRIVILEGED": true, "privileged": false"#),
        context(r#""privileged\u0000": true"#),
        context(r#""privileged": "true""#),
        context(r#""privileged": 1"#),
        context(r#""privileged": [true]"#),
        context(r#""runAsUser": 0.0"#),
        context(r#""runAsUser": -0"#),
        context(r#""runAsUser": 1e30"#),
        context(r#""runAsUser": 4294967296"#),
        context(r#""runAsUser": 18446744073709551616"#),
        context(r#""runAsUser": "0""#),
        context(r#""runAsUser": 9223372036854775808"#),
        pod(r#", "securityContext": {"privileged": true}, "securityContext": {}"#, ""),
        pod(r#", "securityContext": {}, "securityContext": {"privileged": true}"#, ""),
        pod("", r#""hostPID": false, "hostPID": true,"#),
        pod("", r#""HostPID": true,"#),
        pod("", r#""containers": [{"name": "x", "image": "i:1", "securityContext": {"privileged": true}}],"#),
        pod("", r#""securityContext": {"hostPID": true, "hostNetwork": true},"#),
    ];
    let mut bad = context(r#""privileged": true"#);
    bad.extend_from_slice(b"\xff\xfe");
    cases.push(bad);
    cases.push([&b"\xef\xbb\xbf"[..], &context(r#""privileged": true"#)].concat());
    cases.push(b"\xff\xfe{\0}\0".to_vec());
    cases.push([context(r#""privileged": false"#), context(r#""privileged": true"#)].concat());
    cases.push(format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000)).into_bytes());
    cases.push(
        format!(
            r#"{{"metadata": {{"generateName": "p-"}}, "spec": {}{}}}"#,
            r#"{"a":"#.repeat(5000),
            "}".repeat(5001)
        )
        .into_bytes(),
    );
    let mut wrong = Vec::new();
    for body in &cases {
        for query in ["", "?fieldValidation=Ignore", "?fieldValidation=Warn", "?fieldValidation=Strict"] {
            for kind in ["application/json", "application/yaml"] {
                let reply = world
                    .send_as(Mallory, &format!("POST {PATH}{query}"), &[("content-type", kind)], body)
                    .await;
                let pod = reply.json();
                let text = pod["spec"].to_string();
                let is_safe = pod["metadata"]["annotations"]["openshift.io/scc"] == "restricted-v2"
                    && !text.contains("\"privileged\":true")
                    && !text.contains("\"hostPID\":true")
                    && !text.contains("\"runAsUser\":0");
                if !(matches!(reply.code, 400 | 403 | 413 | 422) || reply.code == 201 && is_safe) {
                    let shown: String = String::from_utf8_lossy(body).chars().take(200).collect();
                    wrong.push(format!("{shown} {kind} {query}: {} {text}", reply.code));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let bomb = format!(
        "a: &a [x,x,x,x,x,x,x,x]\n{}",
        (0..20)
            .map(|n| format!(
                "b{n}: &b{n} [*{p},*{p},*{p},*{p},*{p},*{p},*{p},*{p}]\n",
                p = if n == 0 { "a".to_owned() } else { format!("b{}", n - 1) }
            ))
            .collect::<String>()
    );
    let reply = world
        .send_as(Mallory, &format!("POST {PATH}"), &[("content-type", "application/yaml")], bomb.as_bytes())
        .await;
    assert!(reply.code == 400 && reply.text().contains("more than 60000 values"), "{}", reply.text());
}
