//! Notes about settings of a pod that have no effect, or a harmful one, and are not refused.

use std::collections::HashMap;

use serde_json::Value;

use crate::subject::Subject;

/// Notes about the pod after SCC's changes. `admits` is asked whether the pod as written would be admitted with a change.
pub(crate) fn of_pod(pod: &Value, subject: &Subject, admits: &dyn Fn(&Value) -> bool) -> Vec<String> {
    let mut notes = dead_annotations(&subject.template);
    notes.extend(capabilities(pod));
    notes.extend(never_starts(pod));
    notes.extend(of_image_user(pod));
    notes.extend(images(pod));
    notes.extend(host_paths(pod, &|setting| admits(&with_setting(&subject.pod, setting))));
    notes
}

/// A setting of one container's security context.
struct Setting {
    list: &'static str,
    index: usize,
    path: &'static [&'static str],
    value: Value,
}

/// The pod with a setting.
fn with_setting(pod: &Value, setting: &Setting) -> Value {
    let mut pod = pod.clone();
    let container = pod.pointer_mut(&format!("/spec/{}/{}", setting.list, setting.index));
    if let Some(container) = container {
        palisade_k8s::put(container, setting.path, setting.value.clone());
    }
    pod
}

fn items<'v>(object: &'v Value, list: &str) -> &'v [Value] {
    object.get(list).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The SELinux type of containers that are not kept off the node's files.
pub const UNCONFINED: &str = "spc_t";

/// Whether containers may read a path of the node: the policy of container-selinux (`container.te`) lets `container_t` read
/// sysfs, other file systems that are mounted in it left aside, and kernel modules.
fn is_readable(path: &str) -> bool {
    let is_in =
        |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let mounted = ["/sys/fs", "/sys/kernel"];
    ["/sys", "/lib/modules", "/usr/lib/modules"].into_iter().any(is_in) && !mounted.into_iter().any(is_in)
}

/// A container that SELinux keeps off a path of the node: its list, its index, its name and the path.
type Confined = (&'static str, usize, String, String);

/// SELinux keeps containers off the node's files, whatever SCC admits: a container is confined as `container_t`, unless it is
/// privileged or says `spc_t`.
pub(crate) fn confined(pod: &Value) -> Option<Confined> {
    let spec = pod.get("spec")?;
    let path = |volume: &'_ Value| {
        let path = volume.pointer("/hostPath/path")?.as_str()?;
        Some((volume.get("name")?.as_str()?.to_owned(), path.to_owned()))
    };
    let paths: HashMap<String, String> = items(spec, "volumes").iter().filter_map(path).collect();
    let is_free = |container: &Value| {
        let own = |object: &Value, path: &str| object.pointer(&format!("/securityContext/{path}")).cloned();
        let label = "seLinuxOptions/type";
        let label = own(container, label).or_else(|| own(spec, label)).unwrap_or_default();
        own(container, "privileged") == Some(Value::Bool(true)) || label == UNCONFINED
    };
    let mounted = |container: &Value| {
        let mut mounts = items(container, "volumeMounts").iter();
        mounts.find_map(|mount| paths.get(mount.get("name")?.as_str()?).filter(|path| !is_readable(path)))
    };
    let lists = ["initContainers", "containers"].into_iter();
    let mut containers =
        lists.flat_map(|list| items(spec, list).iter().enumerate().map(move |at| (list, at)));
    containers.find_map(|(list, (index, container))| {
        let path = mounted(container).filter(|_| !is_free(container))?;
        Some((list, index, container.get("name")?.as_str()?.to_owned(), path.clone()))
    })
}

/// The path of the node that SELinux keeps a container of the pod off, unless its SCC gives it the label [`UNCONFINED`].
#[must_use]
pub fn kept_off(pod: &Value) -> Option<String> {
    confined(pod).map(|(.., path)| path)
}

/// The container that SELinux keeps off the node, with what the SCCs permit to change that.
fn host_paths(pod: &Value, admits: &dyn Fn(&Setting) -> bool) -> Option<String> {
    let (list, index, container, path) = confined(pod)?;
    let permitted = |path, value| admits(&Setting { list, index, path, value });
    let label = permitted(&["securityContext", "seLinuxOptions", "type"], UNCONFINED.into());
    let remedy = match (label, permitted(&["securityContext", "privileged"], true.into())) {
        (true, true) => "set its securityContext.seLinuxOptions.type: spc_t, or privileged: true",
        (true, false) => "set its securityContext.seLinuxOptions.type: spc_t",
        (false, true) => "set its securityContext.privileged: true",
        (false, false) => {
            "it needs an SCC with seLinuxContext: {type: MustRunAs, seLinuxOptions: {type: spc_t}}, which gives it that label"
        }
    };
    Some(format!(
        "container {container} mounts {path} of the node and is not privileged: where SELinux is enforced, as on OpenShift, it gets \"permission denied\" on most files there; {remedy}"
    ))
}

/// A container with the users set by its pod and itself: its name, whether it may not be root, its user.
fn users(pod: &Value) -> impl Iterator<Item = (&str, bool, Option<i64>)> {
    let own = |object: &Value, field: &str| object.pointer(&format!("/securityContext/{field}")).cloned();
    let spec = pod.get("spec").unwrap_or(&Value::Null);
    let lists = ["initContainers", "containers"].into_iter().filter_map(|list| spec.get(list)?.as_array());
    lists.flatten().map(move |container| {
        let field = |name: &str| own(container, name).or_else(|| own(spec, name)).unwrap_or_default();
        let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
        (name, field("runAsNonRoot") == true, field("runAsUser").as_i64())
    })
}

/// The privileged containers for which no user is set, by name.
pub(crate) fn privileged_of_any_user(pod: &Value) -> impl Iterator<Item = &str> {
    let lists = ["initContainers", "containers"].into_iter();
    let containers = lists.filter_map(|list| pod.pointer(&format!("/spec/{list}"))?.as_array()).flatten();
    let is_privileged =
        |container: &&Value| container.pointer("/securityContext/privileged") == Some(&Value::Bool(true));
    let names = containers.filter(is_privileged).filter_map(|container| container.get("name")?.as_str());
    names.filter(|name| user_of(pod, name).is_none())
}

/// Whether a container has no user of its pod or its own.
pub(crate) fn has_open_user(pod: &Value) -> bool {
    users(pod).any(|(.., user)| user.is_none())
}

/// The user of a container, set by its pod or itself.
pub(crate) fn user_of(pod: &Value, container: &str) -> Option<i64> {
    users(pod).find(|(name, ..)| *name == container)?.2
}

/// Whether a container that is not privileged runs as root and keeps capabilities, unless its SCC drops them.
#[must_use]
pub fn is_root_with_capabilities(pod: &Value) -> bool {
    let lists = ["initContainers", "containers"].into_iter();
    let mut containers = lists.filter_map(|list| pod.pointer(&format!("/spec/{list}"))?.as_array()).flatten();
    containers.any(|container| {
        let own = |path: &str| container.pointer(&format!("/securityContext/{path}"));
        let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
        let dropped = own("capabilities/drop").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        own("privileged") != Some(&Value::Bool(true))
            && user_of(pod, name) == Some(0)
            && !dropped.iter().any(|name| name == "ALL")
    })
}

/// Containers that the kubelet refuses to start (`pkg/kubelet/kuberuntime/security_context.go`, `verifyRunAsNonRoot`).
pub(crate) fn never_starts(pod: &Value) -> Vec<String> {
    let roots = users(pod).filter(|(_, is_not_root, user)| *is_not_root && *user == Some(0));
    roots
        .map(|(name, ..)| {
            format!("container {name} has runAsNonRoot and runAsUser 0: whatever admits it, it does not start; remove one of them")
        })
        .collect()
}

/// Containers that start only if their image has a suitable user.
fn of_image_user(pod: &Value) -> Option<String> {
    let named: Vec<&str> = users(pod)
        .filter_map(|(name, is_not_root, user)| (is_not_root && user.is_none()).then_some(name))
        .collect();
    let (first, others) = named.split_first()?;
    let more = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
    Some(format!(
        "container {first}{more} has runAsNonRoot and no runAsUser: it starts only if its image's USER is a number other than 0"
    ))
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

/// Annotations as they were written: those that SCC adds beside a field are not the author's.
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
