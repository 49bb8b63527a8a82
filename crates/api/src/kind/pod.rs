//! Pods.

mod row;
mod validate;
mod warn;

use std::borrow::Cow;

use palisade_k8s::workload::add_claims;
use palisade_k8s::{FieldError, put};
use serde_json::{Value, json};

use super::subresource::{STATUS, admitted_part, connection, request};
use super::{
    AGE, Admission, BASE, Counted, Credentials, Deletion, Resource, Row, Serves, Subresource, column,
    default, text, wide,
};

/// Pods.
pub static PODS: Resource = Resource::Row(&Row {
    plural: "pods",
    singular: "pod",
    kind: "Pod",
    schema: "Pod",
    short_names: &["po"],
    categories: &["all"],
    counts_generations: true,
    deletion: Deletion::Graceful,
    admission: Admission::Pod,
    credentials: Credentials::Tokens,
    subresources: &[
        STATUS,
        Subresource { name: "log", verbs: &["get"], kind: None, is_admitted: false, serves: Serves::Log },
        connection("exec", "PodExecOptions", true),
        connection("attach", "PodAttachOptions", true),
        connection("portforward", "PodPortForwardOptions", false),
        request("binding", Some(("", "", "Binding")), Serves::Binding),
        request("eviction", Some(("policy", "v1", "Eviction")), Serves::Eviction),
        admitted_part("ephemeralcontainers", take_ephemeral),
        admitted_part("resize", take_spec),
    ],
    storage: "pods",
    selectable: &[
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ],
    columns: &[
        column("Ready"),
        column("Status"),
        column("Restarts"),
        AGE,
        wide("IP"),
        wide("Node"),
        wide("Nominated Node"),
        wide("Readiness Gates"),
    ],
    cells: row::cells,
    prepare,
    validate: validate::validate,
    check_change: validate::check_change,
    warnings: warn::warnings,
    counted: Counted::Pods,
    ..BASE
});

/// Every list of containers in a pod's spec.
const CONTAINER_LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Replaces the list of ephemeral containers.
fn take_ephemeral(new: &mut Value, old: &Value) {
    let containers = new.pointer("/spec/ephemeralContainers").cloned();
    new.clone_from(old);
    if let Some(containers) = containers {
        put(new, &["spec", "ephemeralContainers"], containers);
    }
    prepare(new, Some(old));
}

/// Replaces the spec, of which validation permits only the resources to change.
fn take_spec(new: &mut Value, old: &Value) {
    let spec = new.get("spec").cloned();
    new.clone_from(old);
    if let Some(spec) = spec {
        put(new, &["spec"], spec);
    }
}

/// Completes the template of a workload's pods, as the pods would be.
pub(super) fn complete_template(template: &mut Value) {
    if !template.is_object() {
        return;
    }
    let metadata = template.get("metadata").cloned();
    let mut pod = json!({"spec": template.get("spec").cloned().unwrap_or_else(|| json!({}))});
    complete(&mut pod);
    put(template, &["spec"], pod.get_mut("spec").map(Value::take).unwrap_or_default());
    if metadata.is_none() {
        put(template, &["metadata"], json!({}));
    }
}

/// Validates the pods that a template makes, with the volumes of the given claim templates.
pub(super) fn validate_template(template: &Value, claims: &[&str]) -> Vec<FieldError> {
    let mut template = Cow::Borrowed(template);
    if !claims.is_empty() {
        add_claims(template.to_mut(), claims.iter().copied(), str::to_owned);
    }
    validate::validate(&template, None)
}

fn prepare(pod: &mut Value, old: Option<&Value>) {
    match old {
        None => pod["status"] = json!({"phase": "Pending"}),
        Some(old) => pod["status"] = old.get("status").cloned().unwrap_or_else(|| json!({})),
    }
    complete(pod);
    let Some(spec) = pod.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    default(spec, "enableServiceLinks", true);
    for list in CONTAINER_LISTS {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        containers.into_iter().flatten().for_each(request_limits);
    }
    let class = quality(spec);
    put(pod, &["status", "qosClass"], class.into());
}

/// Completes the fields that pods and their templates share, as `SetDefaults_PodSpec`.
fn complete(pod: &mut Value) {
    // A pod without a spec gets an empty one, for validation to refuse.
    default(pod, "spec", json!({}));
    let Some(spec) = pod.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    for list in CONTAINER_LISTS {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        containers.into_iter().flatten().for_each(prepare_container);
    }
    default(spec, "restartPolicy", "Always");
    default(spec, "terminationGracePeriodSeconds", 30);
    default(spec, "dnsPolicy", "ClusterFirst");
    prepare_account(spec);
    default(spec, "securityContext", json!({}));
    default(spec, "schedulerName", "default-scheduler");
    if spec.get("hostNetwork") == Some(&Value::Bool(true)) {
        share_ports(spec);
    }
    prepare_volumes(spec);
}

/// The account has an old and a new field; both are set to the same value.
fn prepare_account(spec: &mut Value) {
    let name = match text(spec, "/serviceAccountName") {
        "" => text(spec, "/serviceAccount").to_owned(),
        name => name.to_owned(),
    };
    if !name.is_empty() {
        put(spec, &["serviceAccountName"], name.clone().into());
        put(spec, &["serviceAccount"], name.into());
    }
}

fn prepare_container(container: &mut Value) {
    let ports = container.get_mut("ports").and_then(Value::as_array_mut);
    ports.into_iter().flatten().for_each(|port| default(port, "protocol", "TCP"));
    default(container, "resources", json!({}));
    default(container, "terminationMessagePath", "/dev/termination-log");
    default(container, "terminationMessagePolicy", "File");
    let image = text(container, "/image");
    let name = image.rsplit_once('/').map_or(image, |(_, name)| name);
    let is_moving = !image.contains('@') && name.split_once(':').is_none_or(|(_, tag)| tag == "latest");
    default(container, "imagePullPolicy", if is_moving { "Always" } else { "IfNotPresent" });
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(probe).filter(|probe| probe.is_object()) {
            default(probe, "timeoutSeconds", 1);
            default(probe, "periodSeconds", 10);
            default(probe, "successThreshold", 1);
            default(probe, "failureThreshold", 3);
            prepare_handler(probe);
        }
    }
    for hook in ["/lifecycle/postStart", "/lifecycle/preStop"] {
        if let Some(hook) = container.pointer_mut(hook) {
            prepare_handler(hook);
        }
    }
    let variables = container.get_mut("env").and_then(Value::as_array_mut);
    for reference in variables.into_iter().flatten().filter_map(|env| env.pointer_mut("/valueFrom/fieldRef"))
    {
        default(reference, "apiVersion", "v1");
    }
}

/// Requests default to the limits of the same resources.
fn request_limits(container: &mut Value) {
    if let Some(limits) = container.pointer("/resources/limits").and_then(Value::as_object).cloned() {
        for (name, value) in limits {
            if container.pointer("/resources/requests").and_then(|requests| requests.get(&name)).is_none() {
                put(container, &["resources", "requests", &name], value);
            }
        }
    }
}

fn prepare_handler(handler: &mut Value) {
    if let Some(get) = handler.get_mut("httpGet") {
        default(get, "path", "/");
        default(get, "scheme", "HTTP");
    }
    if let Some(grpc) = handler.get_mut("grpc") {
        default(grpc, "service", "");
    }
}

/// On the host network a container's port is the node's.
fn share_ports(spec: &mut Value) {
    for list in CONTAINER_LISTS {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        let ports = containers.filter_map(|container| container.get_mut("ports")?.as_array_mut()).flatten();
        for port in ports {
            if let Some(number) = port.get("containerPort").cloned() {
                default(port, "hostPort", number);
            }
        }
    }
}

fn prepare_volumes(spec: &mut Value) {
    let volumes = spec.get_mut("volumes").and_then(Value::as_array_mut);
    for volume in volumes.into_iter().flatten().filter(|volume| volume.is_object()) {
        if volume.as_object().is_some_and(|map| map.keys().all(|key| key == "name")) {
            put(volume, &["emptyDir"], json!({}));
        }
        for source in ["secret", "configMap", "downwardAPI", "projected"] {
            if let Some(source) = volume.get_mut(source).filter(|source| source.is_object()) {
                default(source, "defaultMode", 0o644);
            }
        }
        if let Some(path) = volume.get_mut("hostPath").filter(|path| path.is_object()) {
            default(path, "type", "");
        }
    }
}

/// The quality of service class, by which the node chooses pods to evict.
fn quality(spec: &Value) -> &'static str {
    let containers =
        ["containers", "initContainers"].iter().filter_map(|list| spec.get(list)?.as_array()).flatten();
    let (mut any, mut all) = (false, true);
    for container in containers {
        let amount =
            |list: &str, name: &str| container.pointer(&format!("/resources/{list}/{name}")).cloned();
        for name in ["cpu", "memory"] {
            let (limit, request) = (amount("limits", name), amount("requests", name));
            any |= limit.is_some() || request.is_some();
            all &= limit.is_some() && limit == request;
        }
    }
    match (any, all) {
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
        (false, _) => "BestEffort",
    }
}
