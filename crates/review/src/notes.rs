//! Notes about settings of a pod that have no effect, or a harmful one, and are not refused.

use serde_json::Value;

use crate::subject::Subject;

/// Notes about the pod after SCC's changes.
pub(crate) fn of_pod(pod: &Value, subject: &Subject) -> Vec<String> {
    let mut notes = dead_annotations(&subject.template);
    notes.extend(capabilities(pod));
    notes.extend(images(pod));
    notes
}

/// Kubernetes refuses a container without an image, which only a controller may fill in.
fn images(pod: &Value) -> Vec<String> {
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array).into_iter().flatten();
    let names = |container: &Value| {
        container.get("image").and_then(Value::as_str).is_some_and(|image| !image.is_empty())
    };
    let mut without = containers.filter(|container| !names(container));
    let first = without.next().and_then(|container| container.get("name")?.as_str().map(str::to_owned));
    first
        .map(|name| {
            format!("container {name} names no image: Kubernetes refuses it unless that is filled in")
        })
        .into_iter()
        .collect()
}

/// Annotations as they were written: what SCC adds beside a field is not the author's.
fn dead_annotations(template: &Value) -> Vec<String> {
    let annotations = template.pointer("/metadata/annotations").and_then(Value::as_object);
    annotations
        .into_iter()
        .flatten()
        .filter_map(|(key, _)| palisade_admission::dead_annotation(key))
        .collect()
}

/// Capabilities that no runtime knows, with which a container does not start.
fn capabilities(pod: &Value) -> Vec<String> {
    let lists = ["initContainers", "containers"];
    let containers =
        lists.iter().filter_map(|list| pod.pointer(&format!("/spec/{list}"))?.as_array()).flatten();
    let added = containers.filter_map(|container| {
        Some((
            container.get("name")?.as_str()?,
            container.pointer("/securityContext/capabilities/add")?.as_array()?,
        ))
    });
    added
        .flat_map(|(container, names)| names.iter().filter_map(move |name| Some((container, name.as_str()?))))
        .filter(|(_, name)| !palisade_scc::is_runtime_capability(name))
        .map(|(container, name)| {
            format!("container {container} gets capability {name:?}, which no runtime knows: it is admitted, and does not start")
        })
        .collect()
}
