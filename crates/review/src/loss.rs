//! What a pod can no longer do after edits: for some pods, that is what they are for.

use std::collections::BTreeSet;

use serde_json::Value;

/// What the first pod may do beyond the second, in words.
pub(crate) fn between(before: &Value, after: &Value) -> Vec<String> {
    let left = powers(after);
    powers(before).into_iter().filter(|power| !left.contains(power)).collect()
}

fn powers(pod: &Value) -> BTreeSet<String> {
    let Some(spec) = pod.get("spec") else { return BTreeSet::new() };
    let shared = [("hostNetwork", "network"), ("hostPID", "processes"), ("hostIPC", "IPC")];
    let shared = shared.into_iter().filter(|(field, _)| spec.get(field) == Some(&Value::Bool(true)));
    let paths = items(spec, "volumes").filter_map(|volume| volume.pointer("/hostPath/path")?.as_str());
    let containers = ["initContainers", "containers"].into_iter().flat_map(|list| items(spec, list));
    let node = shared.map(|(_, what)| what).chain(paths).map(|what| format!("the node's {what}"));
    node.chain(containers.flat_map(|container| of_container(spec, container))).collect()
}

fn of_container(spec: &Value, container: &Value) -> Vec<String> {
    let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
    let own = |field: &str| container.pointer(&format!("/securityContext/{field}"));
    let user = own("runAsUser").or_else(|| spec.pointer("/securityContext/runAsUser"));
    let added = own("capabilities/add").and_then(Value::as_array).into_iter().flatten();
    let mut powers: Vec<String> = added
        .filter_map(Value::as_str)
        .map(|capability| format!("capability {capability} of container {name}"))
        .collect();
    if own("privileged") == Some(&Value::Bool(true)) {
        powers.push(format!("privileged of container {name}"));
    }
    if user.and_then(Value::as_i64) == Some(0) {
        powers.push(format!("root (user 0) of container {name}"));
    }
    powers
}

fn items<'v>(object: &'v Value, list: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    object.get(list).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_only_the_first_pod_may_do_is_named() {
        let pod = |spec: Value| json!({"metadata": {}, "spec": spec});
        let agent = pod(json!({
            "hostPID": true,
            "securityContext": {"runAsUser": 0},
            "volumes": [{"name": "a", "hostPath": {"path": "/var/log"}}, {"name": "b", "emptyDir": {}}],
            "containers": [{"name": "c", "securityContext": {"privileged": true, "capabilities": {"add": ["SYS_ADMIN"]}}}],
        }));
        let plain = pod(json!({"hostPID": false, "containers": [{"name": "c"}]}));
        let all = [
            "capability SYS_ADMIN of container c",
            "privileged of container c",
            "root (user 0) of container c",
            "the node's /var/log",
            "the node's processes",
        ];
        let cases = [(&agent, &plain, &all[..]), (&plain, &agent, &[]), (&agent, &agent, &[])];
        for (before, after, expected) in cases {
            assert_eq!(between(before, after), expected);
        }
    }
}
