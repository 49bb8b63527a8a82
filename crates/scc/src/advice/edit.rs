//! Edits of a pod: whole values are set or removed, so that the result is a valid object.

use std::fmt::Display;

use palisade_k8s::field::Segment;
use palisade_k8s::pod::VolumeKind;
use palisade_k8s::scc::annotation::REQUIRED_SCC;
use palisade_k8s::seccomp::POD_ANNOTATION;
use palisade_k8s::{FieldError, FieldPath};
use serde_json::{Value, json};

use crate::plan::Plan;

/// An operation on a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Set it to this.
    Set(Value),
    /// Remove it.
    Remove,
    /// Remove this element of the list, and the list with its last one.
    RemoveItem(Value),
}

/// One change of a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// The field.
    pub path: FieldPath,
    /// The operation.
    pub action: Action,
}

impl Edit {
    fn set(path: FieldPath, value: impl Into<Value>) -> Self {
        Self { path, action: Action::Set(value.into()) }
    }

    fn remove(path: FieldPath) -> Self {
        Self { path, action: Action::Remove }
    }

    /// A user namespace of the pod's own.
    pub(super) fn user_namespace() -> Self {
        Self::set(FieldPath::of("spec.hostUsers"), false)
    }

    /// The SCC that the pod requires.
    pub(super) fn pin(scc: &str) -> Self {
        Self::set(FieldPath::of("metadata.annotations").key(REQUIRED_SCC), scc)
    }

    /// Settings of a whole pod that Pod Security's level `restricted` asks for.
    #[must_use]
    pub fn of_pod(pod: &Value) -> Vec<Self> {
        let context = FieldPath::of("spec.securityContext");
        let settings = [("runAsNonRoot", json!(true)), ("seccompProfile", json!({"type": "RuntimeDefault"}))];
        let open = settings.into_iter().map(|(name, value)| (context.clone().field(name), value));
        open.filter(|(path, _)| value_at(pod, path).is_none())
            .map(|(path, value)| Self::set(path, value))
            .collect()
    }

    /// Whether the pod has a user namespace of its own by this.
    #[must_use]
    pub fn takes_user_namespace(&self) -> bool {
        *self == Self::user_namespace()
    }

    /// Whether it hides what a container has asked to see of /proc.
    #[must_use]
    pub fn masks_proc(&self) -> bool {
        let last = self.path.segments().last();
        self.action == Action::Remove && matches!(last, Some(Segment::Field(name)) if name == "procMount")
    }

    fn item(path: FieldPath, item: impl Into<Value>) -> Self {
        Self { path, action: Action::RemoveItem(item.into()) }
    }

    /// The edit in words, with its field named as `path`.
    #[must_use]
    pub fn words(&self, path: impl Display) -> String {
        match &self.action {
            Action::Set(value) => format!("set {path}: {value}"),
            Action::Remove => format!("remove {path}"),
            Action::RemoveItem(item) => format!("remove {item} from {path}"),
        }
    }

    /// Makes the change in an object whose field is at `path`, and returns whether it changed anything.
    pub fn apply(&self, path: &FieldPath, object: &mut Value) -> bool {
        let Some((last, outer)) = path.segments().split_last() else { return false };
        let Some(parent) = reach(object, outer, matches!(self.action, Action::Set(_))) else { return false };
        match &self.action {
            Action::Set(value) => set(parent, last, value),
            Action::Remove => remove(parent, last),
            Action::RemoveItem(item) => remove_item(parent, last, item),
        }
    }
}

/// The value at a path; missing objects on the way are created if `make` is set.
fn reach<'v>(value: &'v mut Value, path: &[Segment], make: bool) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |value, segment| match segment {
        Segment::Index(index) => value.get_mut(*index),
        Segment::Field(_) | Segment::Key(_) => {
            if make && value.is_null() {
                *value = json!({});
            }
            let name = name_of(segment)?;
            match make {
                true => Some(value.as_object_mut()?.entry(name).or_insert_with(|| json!({}))),
                false => value.get_mut(name),
            }
        }
    })
}

fn name_of(segment: &Segment) -> Option<&str> {
    match segment {
        Segment::Field(name) => Some(name),
        Segment::Key(key) => Some(key),
        Segment::Index(_) => None,
    }
}

fn set(parent: &mut Value, last: &Segment, value: &Value) -> bool {
    if parent.is_null() && name_of(last).is_some() {
        *parent = json!({});
    }
    let place = match last {
        Segment::Index(index) => parent.get_mut(*index),
        Segment::Field(_) | Segment::Key(_) => parent
            .as_object_mut()
            .zip(name_of(last))
            .map(|(object, name)| object.entry(name).or_insert(Value::Null)),
    };
    place.is_some_and(|place| {
        let differs = place != value;
        place.clone_from(value);
        differs
    })
}

fn remove(parent: &mut Value, last: &Segment) -> bool {
    let name = name_of(last);
    parent.as_object_mut().zip(name).is_some_and(|(object, name)| object.shift_remove(name).is_some())
}

fn remove_item(parent: &mut Value, last: &Segment, item: &Value) -> bool {
    let Some(name) = name_of(last) else { return false };
    let Some(list) = parent.get_mut(name).and_then(Value::as_array_mut) else { return false };
    let before = list.len();
    list.retain(|element| element != item);
    let (after, is_empty) = (list.len(), list.is_empty());
    if is_empty && before > 0 {
        remove(parent, last);
    }
    after < before
}

/// Edits that fix `errors`, made in `pod` one after the other. Without errors, those that fix Kubernetes' refusal of a
/// pod that the SCC has completed.
pub(super) fn mend(errors: &[FieldError], plan: &Plan, pod: &mut Value) -> Vec<Edit> {
    if !errors.is_empty() {
        return make(errors.iter().flat_map(|error| edits_of(error, plan, pod)).collect(), pod);
    }
    let valid = make([unescalated(pod), masked(pod)].concat(), pod);
    if valid.is_empty() { make(hardened(pod), pod) } else { valid }
}

/// Makes edits, and gives those that change something.
fn make(mut edits: Vec<Edit>, pod: &mut Value) -> Vec<Edit> {
    edits.retain(|edit| edit.apply(&edit.path, pod));
    edits
}

/// An SCC that forbids privilege escalation sets it to false, which Kubernetes refuses for these.
fn unescalated(pod: &Value) -> Vec<Edit> {
    containers(pod).flat_map(|container| unprivileged(container.field("securityContext"), pod)).collect()
}

/// A container with an unmasked /proc must be in a pod with a user namespace, which not every node supports.
fn masked(pod: &Value) -> Vec<Edit> {
    if value_at(pod, &FieldPath::of("spec.hostUsers")) == Some(&Value::Bool(false)) {
        return Vec::new();
    }
    let mounts = containers(pod).map(|path| path.field("securityContext").field("procMount"));
    mounts.filter(|mount| value_at(pod, mount) == Some(&json!("Unmasked"))).map(Edit::remove).collect()
}

/// The paths of all containers.
fn containers(pod: &Value) -> impl Iterator<Item = FieldPath> {
    ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(|list| {
        let count = pod.pointer(&format!("/spec/{list}")).and_then(Value::as_array).map_or(0, Vec::len);
        (0..count).map(move |index| FieldPath::of("spec").name(list).index(index))
    })
}

/// Edits for the Pod Security level `restricted`, so that a namespace that enforces it admits the pod.
fn hardened(pod: &Value) -> Vec<Edit> {
    let mut edits = Vec::new();
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        let containers =
            pod.pointer(&format!("/spec/{list}")).and_then(Value::as_array).into_iter().flatten();
        for (index, container) in containers.enumerate() {
            let context = FieldPath::of("spec").name(list).index(index).field("securityContext");
            let get = |field: &str| container.get("securityContext").and_then(|context| context.get(field));
            if get("runAsUser") == Some(&json!(0)) {
                edits.push(Edit::remove(context.clone().field("runAsUser")));
            }
            if get("allowPrivilegeEscalation") != Some(&json!(false)) {
                edits.push(Edit::set(context.clone().field("allowPrivilegeEscalation"), false));
            }
            if get("runAsNonRoot") != Some(&json!(true)) {
                edits.push(Edit::set(context.clone().field("runAsNonRoot"), true));
            }
            if get("seccompProfile").is_none() {
                edits.push(Edit::set(
                    context.clone().field("seccompProfile"),
                    json!({"type": "RuntimeDefault"}),
                ));
            }
            if get("capabilities").and_then(|lists| lists.get("drop")) != Some(&json!(["ALL"])) {
                edits.push(Edit::set(context.field("capabilities"), json!({"drop": ["ALL"]})));
            }
        }
    }
    edits
}

/// Edits of settings that are invalid beside `allowPrivilegeEscalation: false` in a container's security context.
fn unprivileged(context: FieldPath, pod: &Value) -> Vec<Edit> {
    let mut edits = Vec::new();
    let privileged = context.clone().field("privileged");
    if value_at(pod, &privileged) == Some(&Value::Bool(true)) {
        edits.push(Edit::set(privileged, false));
    }
    edits.push(Edit::item(context.field("capabilities.add"), "CAP_SYS_ADMIN"));
    edits
}

fn value_at<'v>(value: &'v Value, path: &FieldPath) -> Option<&'v Value> {
    path.segments().iter().try_fold(value, |value, segment| match segment {
        Segment::Index(index) => value.get(*index),
        other => value.get(name_of(other)?),
    })
}

/// A path up to its field `name`.
fn up_to(path: &FieldPath, name: &str) -> FieldPath {
    let mut shorter = FieldPath::root();
    for segment in path.segments() {
        shorter = match segment {
            Segment::Field(field) => shorter.name(field),
            Segment::Index(index) => shorter.index(*index),
            Segment::Key(key) => shorter.key(key.clone()),
        };
        if matches!(segment, Segment::Field(field) if field == name) {
            break;
        }
    }
    shorter
}

fn edits_of(error: &FieldError, plan: &Plan, pod: &Value) -> Vec<Edit> {
    let path = error.path.clone();
    let has =
        |name: &str| path.segments().iter().any(|segment| matches!(segment, Segment::Field(f) if f == name));
    let last = path.segments().iter().rev().find_map(|segment| match segment {
        Segment::Field(name) => Some(name.as_ref()),
        _ => None,
    });
    if let Some(Segment::Key(_)) = path.segments().last() {
        return vec![Edit::remove(path)];
    }
    if has("seLinuxOptions") {
        return vec![Edit::remove(up_to(&path, "seLinuxOptions"))];
    }
    if has("sysctls") {
        return sysctl(&path, pod);
    }
    if has("volumes") {
        return volume(&path, plan, pod);
    }
    match last.unwrap_or_default() {
        "privileged" => vec![Edit::set(path, false)],
        "allowPrivilegeEscalation" => {
            let context = up_to(&path, "securityContext");
            [vec![Edit::set(path, false)], unprivileged(context, pod)].concat()
        }
        "readOnlyRootFilesystem" | "runAsNonRoot" => vec![Edit::set(path, true)],
        "hostUsers" => {
            let shared = ["hostNetwork", "hostPID", "hostIPC"]
                .map(|field| Edit::remove(FieldPath::of("spec").field(field)));
            [vec![Edit::set(path, false)], shared.to_vec()].concat()
        }
        "add" => vec![Edit::item(path, error.value.clone())],
        // On the host network every port is a host port: the API server sets it if the pod does not.
        "hostPort" => vec![Edit::remove(FieldPath::of("spec.hostNetwork")), Edit::remove(path)],
        "seccompProfile" if let Some(edit) = renamed(&path, plan, pod) => vec![edit],
        "runAsUser" | "seccompProfile" => own_or_inherited(path, pod),
        _ => vec![Edit::remove(path)],
    }
}

/// The name of a file that is written as an SCC names it, where the SCC allows that file.
fn renamed(path: &FieldPath, plan: &Plan, pod: &Value) -> Option<Edit> {
    let inherited = FieldPath::of("spec.securityContext.seccompProfile");
    let path = [path, &inherited].into_iter().find(|path| value_at(pod, path).is_some())?;
    let field = path.clone().field("localhostProfile");
    let written = value_at(pod, &field)?.as_str()?;
    let is_allowed = plan.seccomp.allowed.iter().any(|allowed| allowed == written);
    written.strip_prefix("localhost/").filter(|_| is_allowed).map(|name| Edit::set(field.clone(), name))
}

/// A value of a container may come from the pod, or from an annotation.
fn own_or_inherited(path: FieldPath, pod: &Value) -> Vec<Edit> {
    if value_at(pod, &path).is_some() {
        return vec![Edit::remove(path)];
    }
    let Some(Segment::Field(name)) = path.segments().last() else { return Vec::new() };
    let inherited = FieldPath::of("spec.securityContext").name(name);
    if value_at(pod, &inherited).is_some() {
        return vec![Edit::remove(inherited)];
    }
    match name.as_ref() {
        "seccompProfile" => vec![Edit::remove(FieldPath::of("metadata.annotations").key(POD_ANNOTATION))],
        _ => Vec::new(),
    }
}

/// The whole entry, name and value.
fn sysctl(path: &FieldPath, pod: &Value) -> Vec<Edit> {
    let list = up_to(path, "sysctls");
    let index = path.segments().iter().find_map(|segment| match segment {
        Segment::Index(index) => Some(*index),
        _ => None,
    });
    let entry = index.and_then(|index| value_at(pod, &list.clone().index(index)));
    entry.map(|entry| Edit::item(list, entry.clone())).into_iter().collect()
}

/// Volumes whose data outlive the pod.
const KEPT: [VolumeKind; 19] = [
    VolumeKind::AwsElasticBlockStore,
    VolumeKind::AzureDisk,
    VolumeKind::AzureFile,
    VolumeKind::CephFs,
    VolumeKind::Cinder,
    VolumeKind::Fc,
    VolumeKind::FlexVolume,
    VolumeKind::Flocker,
    VolumeKind::GcePersistentDisk,
    VolumeKind::Glusterfs,
    VolumeKind::Iscsi,
    VolumeKind::Nfs,
    VolumeKind::PhotonPersistentDisk,
    VolumeKind::PortworxVolume,
    VolumeKind::Quobyte,
    VolumeKind::Rbd,
    VolumeKind::ScaleIo,
    VolumeKind::StorageOs,
    VolumeKind::Vsphere,
];

/// The account's own token is not mounted. A volume that keeps data becomes a claim, and another an empty folder; one for which
/// that is not permitted is removed with its mounts.
fn volume(path: &FieldPath, plan: &Plan, pod: &Value) -> Vec<Edit> {
    let list = FieldPath::of("spec.volumes");
    let index = path.segments().iter().find_map(|segment| match segment {
        Segment::Index(index) => Some(*index),
        _ => None,
    });
    let at = list.clone().index(index.unwrap_or(usize::MAX));
    let Some(entry) = value_at(pod, &at) else { return Vec::new() };
    let name = entry.get("name").cloned().unwrap_or_default();
    if name.as_str().is_some_and(|name| name.starts_with(super::TOKEN_VOLUME)) {
        let mount = Edit::set(FieldPath::of("spec.automountServiceAccountToken"), false);
        return [vec![mount, Edit::item(list, entry.clone())], unmount(pod, &name)].concat();
    }
    let claim = VolumeKind::PersistentVolumeClaim;
    let keeps = |field: &str| KEPT.contains(&VolumeKind::from_pod_field(field));
    let is_kept = entry.as_object().is_some_and(|fields| fields.keys().any(|field| keeps(field)));
    if is_kept && plan.volumes.allows_kind(claim) {
        return vec![Edit::set(at, json!({"name": name, "persistentVolumeClaim": {"claimName": name}}))];
    }
    if plan.volumes.allows_kind(VolumeKind::EmptyDir) {
        return vec![Edit::set(at, json!({"name": name, "emptyDir": {}}))];
    }
    [vec![Edit::item(list, entry.clone())], unmount(pod, &name)].concat()
}

/// Removes the mounts of a volume.
fn unmount(pod: &Value, volume: &Value) -> Vec<Edit> {
    let mut edits = Vec::new();
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        let containers =
            pod.pointer(&format!("/spec/{list}")).and_then(Value::as_array).into_iter().flatten();
        for (index, container) in containers.enumerate() {
            let mounts = container.get("volumeMounts").and_then(Value::as_array).into_iter().flatten();
            let path = FieldPath::of("spec").name(list).index(index).field("volumeMounts");
            let ours = mounts.filter(|mount| mount.get("name") == Some(volume));
            edits.extend(ours.map(|mount| Edit::item(path.clone(), mount.clone())));
        }
    }
    edits
}
