//! Pods that violate the Pod Security level of their namespace, by users whom SCC permits anything.

use serde_json::{Value, json};

use super::world::Who::Admin;
use super::world::{Reply, World};

fn pod(name: &str, container: Value) -> Value {
    let mut pod =
        json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}});
    for (field, value) in container.as_object().into_iter().flatten() {
        pod["spec"]["containers"][0][field] = value.clone();
    }
    pod
}

async fn namespace(world: &World, name: &str, labels: Value) -> Reply {
    world.send(Admin, "POST /api/v1/namespaces", &json!({"metadata": {"name": name, "labels": labels}})).await
}

fn says(reply: &Reply, code: u16, text: &str) {
    assert_eq!(reply.code, code, "{}", reply.text());
    assert!(
        reply.text().contains(text) || reply.head.contains(text),
        "{text}:\n{}{}",
        reply.head,
        reply.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_refuses_what_its_level_forbids_and_warns_of_what_it_warns_of() {
    let world = World::new().await;
    let labels = json!({"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/audit": "restricted",
                        "pod-security.kubernetes.io/audit-version": "v1.24", "pod-security.kubernetes.io/warn": "restricted"});
    says(&namespace(&world, "strict", labels).await, 201, "");
    let privileged = json!({"securityContext": {"privileged": true}});
    for query in ["", "?dryRun=All"] {
        let line = format!("POST /api/v1/namespaces/strict/pods{query}");
        let refused = world.send(Admin, &line, &pod("p", privileged.clone())).await;
        assert_eq!(refused.code, 403);
        assert_eq!(
            refused.json()["message"],
            "pods \"p\" is forbidden: violates PodSecurity \"baseline:latest\": privileged (container \"c\" must not set securityContext.privileged=true)"
        );
        assert_eq!(refused.json()["details"], json!({"name": "p", "kind": "pods"}));
    }
    let warned = world.send(Admin, "POST /api/v1/namespaces/strict/pods", &pod("q", json!({}))).await;
    says(
        &warned,
        201,
        "warning: 299 - \"would violate PodSecurity 'restricted:latest': allowPrivilegeEscalation != false",
    );
    let annotations: Vec<Value> = world.audit().iter().map(|event| event["annotations"].clone()).collect();
    let has = |key: &str, text: &str| {
        let value = |annotations: &Value| {
            annotations[format!("pod-security.kubernetes.io/{key}")].as_str().map(str::to_owned)
        };
        annotations.iter().filter_map(value).any(|value| value.contains(text))
    };
    assert!(has("enforce-policy", "baseline:latest"), "{annotations:?}");
    assert!(has("audit-violations", "would violate PodSecurity \"restricted:v1.24\": "), "{annotations:?}");
    assert!(has("enforce-policy", "privileged:latest") || annotations.iter().any(Value::is_null));
}

/// A workload is not refused, and its author is warned, each time, of the pods that will be.
#[tokio::test(flavor = "multi_thread")]
async fn a_workload_whose_pods_break_a_level_is_warned_of() {
    let world = World::new().await;
    let labels = json!({"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/warn": "baseline"});
    says(&namespace(&world, "strict", labels).await, 201, "");
    let job = |spec: Value| json!({"metadata": {"name": "w"}, "spec": spec});
    let template = |container: Value| {
        let mut template = pod("", container);
        template["metadata"] = json!({"labels": {"app": "w"}});
        template
    };
    let privileged = template(json!({"securityContext": {"privileged": true}}));
    let mut once = privileged.clone();
    once["spec"]["restartPolicy"] = json!("Never");
    let selector = json!({"matchLabels": {"app": "w"}});
    let workloads = [
        ("apis/apps/v1", "deployments", job(json!({"selector": selector, "template": privileged}))),
        ("apis/apps/v1", "daemonsets", job(json!({"selector": selector, "template": privileged}))),
        ("api/v1", "replicationcontrollers", job(json!({"selector": {"app": "w"}, "template": privileged}))),
        ("apis/batch/v1", "jobs", job(json!({"template": once}))),
        (
            "apis/batch/v1",
            "cronjobs",
            job(json!({"schedule": "* * * * *", "jobTemplate": {"spec": {"template": once}}})),
        ),
    ];
    let warning = "would violate PodSecurity 'baseline:latest': privileged (container 'c' must not set securityContext.privileged=true)";
    for (group, resource, workload) in workloads {
        let path = format!("/{group}/namespaces/strict/{resource}");
        says(&world.send(Admin, &format!("POST {path}"), &workload).await, 201, warning);
        let label = json!({"metadata": {"labels": {"x": "y"}}});
        says(&world.send(Admin, &format!("PATCH {path}/w"), &label).await, 200, warning);
    }
    let fine = job(json!({"selector": selector, "template": template(json!({}))}));
    let made = world.send(Admin, "POST /apis/apps/v1/namespaces/strict/statefulsets", &fine).await;
    assert!(made.code == 201 && !made.head.contains("PodSecurity"), "{}{}", made.head, made.text());
}

/// Running pods may stay and be labelled; changes of their images are held to the level.
#[tokio::test(flavor = "multi_thread")]
async fn a_level_that_is_raised_later_holds_for_every_change_of_what_runs() {
    let world = World::new().await;
    says(&namespace(&world, "late", json!({})).await, 201, "");
    let pods = "/api/v1/namespaces/late/pods";
    for name in ["a", "b"] {
        let privileged = json!({"securityContext": {"privileged": true}});
        world.must(Admin, &format!("POST {pods}"), pod(name, privileged)).await;
    }
    let enforce =
        |level: &str| json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": level}}});
    let raised = world.send(Admin, "PATCH /api/v1/namespaces/late", &enforce("baseline")).await;
    says(
        &raised,
        200,
        "existing pods in namespace 'late' violate the new PodSecurity enforce level 'baseline:latest'",
    );
    says(&raised, 200, "a (and 1 other pod): privileged");
    let label = json!({"metadata": {"labels": {"x": "y"}}});
    says(&world.send(Admin, &format!("PATCH {pods}/a"), &label).await, 200, "");
    let image = json!([{"op": "replace", "path": "/spec/containers/0/image", "value": "evil:1"}]).to_string();
    let kind = [("content-type", "application/json-patch+json")];
    let changed = async || world.send_as(Admin, &format!("PATCH {pods}/a"), &kind, image.as_bytes()).await;
    says(&changed().await, 403, "violates PodSecurity");
    let debug = json!({"spec": {"ephemeralContainers": [{"name": "d", "image": "i:1"}]}});
    says(
        &world.send(Admin, &format!("PATCH {pods}/b/ephemeralcontainers"), &debug).await,
        403,
        "violates PodSecurity",
    );
    // Its node may write its status, and its deletion cannot be refused.
    let status = json!({"status": {"phase": "Running"}});
    says(&world.send(Admin, &format!("PATCH {pods}/b/status"), &status).await, 200, "");
    says(&world.send(Admin, &format!("DELETE {pods}/b"), &Value::Null).await, 200, "");
    says(&world.send(Admin, "PATCH /api/v1/namespaces/late", &enforce("privileged")).await, 200, "");
    says(&changed().await, 200, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_that_name_no_level_are_refused_and_old_ones_fail_closed() {
    let world = World::new().await;
    let wrong = json!({"pod-security.kubernetes.io/enforce": "Baseline", "pod-security.kubernetes.io/warn-version": "1.30"});
    let refused = namespace(&world, "wrong", wrong).await;
    says(&refused, 422, "must be one of privileged, baseline, restricted");
    says(&refused, 422, "metadata.labels[pod-security.kubernetes.io/warn-version]");
    says(&namespace(&world, "right", json!({})).await, 201, "");
    let wrong = json!({"metadata": {"labels": {"pod-security.kubernetes.io/audit": "strict"}}});
    says(&world.send(Admin, "PATCH /api/v1/namespaces/right", &wrong).await, 422, "must be one of");
}

/// `pkg/api/pod/warnings.go` of Kubernetes, and its like for other kinds.
#[tokio::test(flavor = "multi_thread")]
async fn ineffective_and_duplicate_values_are_warned_of_and_kept() {
    let world = World::new().await;
    let twice = json!({"ports": [{"containerPort": 80}, {"containerPort": 80, "name": "again"}],
                       "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]});
    let mut object = pod("twice", twice);
    object["metadata"]["annotations"] = json!({"security.alpha.kubernetes.io/sysctls": "kernel.msgmax=1"});
    object["spec"]["nodeSelector"] = json!({"beta.kubernetes.io/os": "linux"});
    let made = world.send(Admin, "POST /api/v1/namespaces/shop/pods", &object).await;
    for text in [
        "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
        "spec.containers[0].env[1]: hides previous definition of 'A', which may be dropped when using apply",
        "metadata.annotations[security.alpha.kubernetes.io/sysctls]: non-functional in v1.11+; use the 'sysctls' field instead",
        "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use 'kubernetes.io/os' instead",
    ] {
        says(&made, 201, text);
    }
    assert!(
        !world
            .send(Admin, "POST /api/v1/namespaces/shop/pods", &pod("plain", json!({})))
            .await
            .head
            .contains("warning:")
    );
    let account = json!({"metadata": {"name": "old", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}});
    let made = world.send(Admin, "POST /api/v1/namespaces/shop/serviceaccounts", &account).await;
    says(&made, 201, "deprecated in v1.32+");
}
