//! Conversion of a pod's container to the engine's configuration.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{Pod, ResourceRequirements, SecurityContext};
use palisade_k8s::quantity;

use crate::cri::message::{
    Capability, ContainerConfig, ContainerMetadata, ImageSpec, Int64Value, KeyValue, LinuxContainerConfig,
    LinuxContainerResources, LinuxContainerSecurityContext, Mount, NamespaceMode, SecurityProfile,
};
use crate::sandbox::{self, CONTAINER};
use crate::slot::Slot;

/// The file of a container's termination message.
pub(crate) const MESSAGE_PATH: &str = "io.palisade.termination-message";

/// Masked paths of an unprivileged container, as is the default of engines.
const MASKED: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
];
/// Read-only paths of it.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The user of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ImageUser {
    pub(crate) uid: Option<i64>,
    pub(crate) name: String,
}

/// Inputs of a container beside its pod.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    pub(crate) attempt: u32,
    /// The image's ID in the engine.
    pub(crate) image: String,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) command: Vec<String>,
    pub(crate) args: Vec<String>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) seccomp: Option<SecurityProfile>,
    /// The name of the same profile, for an OCI runtime that reads its original form.
    pub(crate) profile: Option<String>,
    /// The container whose process namespace is shared.
    pub(crate) target: Option<String>,
    /// The node's file for the termination message.
    pub(crate) message_file: String,
    pub(crate) has_selinux: bool,
    pub(crate) user: ImageUser,
}

/// Refuses to run a container as root if it must not, including if root is the image's user.
pub(crate) fn check_user(pod: &Pod, slot: &Slot, image: &ImageUser) -> Result<(), String> {
    let of_pod = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    let own = slot.container.security_context.as_ref();
    let must_not =
        own.and_then(|own| own.run_as_non_root).or_else(|| of_pod.and_then(|pod| pod.run_as_non_root));
    if must_not != Some(true) {
        return Ok(());
    }
    match own.and_then(|own| own.run_as_user).or_else(|| of_pod.and_then(|pod| pod.run_as_user)) {
        Some(0) => Err("container's runAsUser breaks non-root policy".to_owned()),
        Some(_) => Ok(()),
        None if image.uid.is_some_and(|uid| uid != 0) => Ok(()),
        None if !image.name.is_empty() && image.uid.is_none() => Err(format!(
            "container has runAsNonRoot and image has non-numeric user ({}), cannot verify user is non-root",
            image.name
        )),
        None => Err("container has runAsNonRoot and image will run as root".to_owned()),
    }
}

fn amount(resources: Option<&ResourceRequirements>, is_limit: bool, name: &str) -> Option<i128> {
    let resources = resources?;
    let list = if is_limit { &resources.limits } else { &resources.requests };
    quantity::billionths(&list.as_ref()?.get(name)?.0)
}

/// CPU and memory, in the kernel's units.
fn resources(pod: &Pod, slot: &Slot, memory_of_node: i64) -> LinuxContainerResources {
    const PERIOD: i128 = 100_000;
    let own = slot.container.resources.as_ref();
    let number = |value: i128| i64::try_from(value).unwrap_or(i64::MAX);
    // A billionth of a CPU is a millionth of a thousandth.
    let milli = |is_limit: bool| amount(own, is_limit, "cpu").map(|billionths| billionths / 1_000_000);
    let shares = milli(false).map_or(2, |milli| (milli * 1024 / 1000).clamp(2, 262_144));
    let quota = milli(true).filter(|milli| *milli > 0).map(|milli| (milli * PERIOD / 1000).max(1000));
    let bytes = |is_limit: bool| amount(own, is_limit, "memory").map(|amount| number(amount / 1_000_000_000));
    let class = pod.status.as_ref().and_then(|status| status.qos_class.as_deref());
    let oom_score_adj = match class {
        Some("Guaranteed") => -997,
        Some("Burstable") => {
            let asked = bytes(false).unwrap_or(0);
            (1000 - asked.saturating_mul(1000) / memory_of_node.max(1)).clamp(3, 999)
        }
        _ => 1000,
    };
    LinuxContainerResources {
        cpu_period: if quota.is_some() { number(PERIOD) } else { 0 },
        cpu_quota: quota.map_or(0, number),
        cpu_shares: number(shares),
        memory_limit_in_bytes: bytes(true).unwrap_or(0),
        oom_score_adj,
    }
}

fn security(pod: &Pod, slot: &Slot, parts: &Parts) -> LinuxContainerSecurityContext {
    let none = SecurityContext::default();
    let own = slot.container.security_context.as_ref().unwrap_or(&none);
    let of_pod = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    let is_privileged = own.privileged == Some(true);
    let mut namespaces = pod.spec.as_ref().map(sandbox::namespaces).unwrap_or_default();
    if let Some(target) = &parts.target {
        namespaces.pid = NamespaceMode::Target as i32;
        namespaces.target_id.clone_from(target);
    }
    let number = |value: Option<i64>| value.map(|value| Int64Value { value });
    // An engine accepts a group only with a user, so that the image's is set too, root if it has none.
    let of_image = parts.user.uid.or_else(|| parts.user.name.is_empty().then_some(0));
    let run_as_user = own.run_as_user.or_else(|| of_pod.and_then(|pod| pod.run_as_user)).or(of_image);
    let run_as_username = if run_as_user.is_none() { parts.user.name.clone() } else { String::new() };
    let names = |list: Option<&Vec<String>>| -> Vec<String> { list.cloned().unwrap_or_default() };
    let capabilities = own.capabilities.as_ref().map(|capabilities| Capability {
        add_capabilities: names(capabilities.add.as_ref()),
        drop_capabilities: names(capabilities.drop.as_ref()),
    });
    let label =
        own.se_linux_options.as_ref().or_else(|| of_pod.and_then(|pod| pod.se_linux_options.as_ref()));
    let is_open = own.proc_mount.as_deref() == Some("Unmasked") || is_privileged;
    let list = |paths: &[&str]| match is_open {
        true => Vec::new(),
        false => paths.iter().map(|path| (*path).to_owned()).collect(),
    };
    LinuxContainerSecurityContext {
        capabilities,
        privileged: is_privileged,
        namespace_options: Some(namespaces),
        selinux_options: label.map(sandbox::selinux).filter(|_| parts.has_selinux),
        run_as_user: number(run_as_user),
        run_as_group: number(own.run_as_group.or_else(|| of_pod.and_then(|pod| pod.run_as_group))),
        run_as_username,
        readonly_rootfs: own.read_only_root_filesystem == Some(true),
        supplemental_groups: of_pod.map(sandbox::groups).unwrap_or_default(),
        no_new_privs: own.allow_privilege_escalation == Some(false),
        masked_paths: list(&MASKED),
        readonly_paths: list(&READ_ONLY),
        seccomp: parts.seccomp.clone(),
    }
}

/// The file of a container's log, below its pod's folder.
pub(crate) fn log_path(name: &str, attempt: u32) -> String {
    format!("{name}/{attempt}.log")
}

fn annotations(parts: &Parts) -> HashMap<String, String> {
    let message = (MESSAGE_PATH.to_owned(), parts.message_file.clone());
    let profile = parts.profile.clone().map(|name| (palisade_oci::annotation::PROFILE.to_owned(), name));
    profile.into_iter().chain([message]).collect()
}

/// The configuration of the container for the engine.
pub(crate) fn config(pod: &Pod, slot: &Slot, parts: &Parts, memory_of_node: i64) -> ContainerConfig {
    let container = &slot.container;
    let security = security(pod, slot, parts);
    let mut labels: HashMap<String, String> = sandbox::labels(pod);
    labels.insert(CONTAINER.to_owned(), container.name.clone());
    ContainerConfig {
        metadata: Some(ContainerMetadata { name: container.name.clone(), attempt: parts.attempt }),
        image: Some(ImageSpec { image: parts.image.clone() }),
        command: parts.command.clone(),
        args: parts.args.clone(),
        working_dir: container.working_dir.clone().unwrap_or_default(),
        envs: parts
            .env
            .iter()
            .map(|(key, value)| KeyValue { key: key.clone(), value: value.clone() })
            .collect(),
        mounts: parts.mounts.clone(),
        labels,
        annotations: annotations(parts),
        log_path: log_path(&container.name, parts.attempt),
        stdin: container.stdin == Some(true),
        stdin_once: container.stdin_once == Some(true),
        tty: container.tty == Some(true),
        linux: Some(LinuxContainerConfig {
            resources: Some(resources(pod, slot, memory_of_node)),
            security_context: Some(security),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn made(
        spec: serde_json::Value,
        security: serde_json::Value,
        parts: &Parts,
    ) -> LinuxContainerSecurityContext {
        let mut spec = spec;
        spec["containers"] = json!([{"name": "c", "securityContext": security}]);
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap();
        let slot = crate::slot::slots(&pod).remove(0);
        config(&pod, &slot, parts, 1 << 30).linux.unwrap().security_context.unwrap()
    }

    #[test]
    fn each_field_of_a_security_context_has_its_place() {
        let parts = Parts::default();
        let plain = made(json!({}), json!({}), &parts);
        assert!(!plain.privileged && !plain.no_new_privs && !plain.readonly_rootfs);
        assert_eq!((plain.masked_paths.len(), plain.readonly_paths.len()), (MASKED.len(), READ_ONLY.len()));
        let open = made(json!({}), json!({"procMount": "Unmasked"}), &parts);
        assert!(open.masked_paths.is_empty() && open.readonly_paths.is_empty());
        let held = json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}});
        let held = made(json!({}), held, &parts);
        assert!(held.no_new_privs && held.readonly_rootfs);
        let capabilities = held.capabilities.unwrap();
        assert_eq!(
            (capabilities.add_capabilities, capabilities.drop_capabilities),
            (vec!["NET_ADMIN".to_owned()], vec!["ALL".to_owned()])
        );
        assert!(made(json!({}), json!({"privileged": true}), &parts).privileged);
    }

    #[test]
    fn a_containers_ids_go_before_its_pods_and_its_images() {
        let user = |uid, name: &str| ImageUser { uid, name: name.to_owned() };
        for (of_pod, own, image, uid, name, gid) in [
            (json!({}), json!({}), user(Some(0), ""), Some(0), "", None),
            (json!({}), json!({}), user(None, "www"), None, "www", None),
            (json!({"runAsUser": 5}), json!({}), user(None, "www"), Some(5), "", None),
            (
                json!({"runAsUser": 5, "runAsGroup": 6}),
                json!({"runAsUser": 7}),
                user(Some(0), ""),
                Some(7),
                "",
                Some(6),
            ),
            (json!({}), json!({"runAsGroup": 9}), user(None, ""), Some(0), "", Some(9)),
            // A group alone does not make the image's user root.
            (json!({}), json!({"runAsGroup": 9}), user(Some(8), ""), Some(8), "", Some(9)),
        ] {
            let parts = Parts { user: image, ..Default::default() };
            let got = made(json!({"securityContext": of_pod}), own, &parts);
            let number = |value: Option<Int64Value>| value.map(|value| value.value);
            assert_eq!(
                (number(got.run_as_user), got.run_as_username.as_str(), number(got.run_as_group)),
                (uid, name, gid)
            );
        }
    }

    #[test]
    fn what_must_not_be_root_is_checked_against_the_image() {
        for (of_pod, own, uid, name, is_fine) in [
            (json!({"runAsNonRoot": true}), json!({}), Some(0), "", false),
            (json!({"runAsNonRoot": true}), json!({}), None, "", false),
            (json!({"runAsNonRoot": true}), json!({}), None, "www", false),
            (json!({"runAsNonRoot": true}), json!({}), Some(1), "", true),
            (json!({"runAsNonRoot": true}), json!({"runAsUser": 1}), None, "www", true),
            (json!({"runAsNonRoot": true, "runAsUser": 1}), json!({"runAsUser": 0}), Some(1), "", false),
            (json!({"runAsNonRoot": true}), json!({"runAsNonRoot": false}), Some(0), "", true),
            (json!({}), json!({}), Some(0), "", true),
        ] {
            let spec =
                json!({"securityContext": of_pod, "containers": [{"name": "c", "securityContext": own}]});
            let pod: Pod = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
            let slot = crate::slot::slots(&pod).remove(0);
            let image = ImageUser { uid, name: name.to_owned() };
            assert_eq!(check_user(&pod, &slot, &image).is_ok(), is_fine, "{spec} {image:?}");
        }
    }

    #[test]
    fn amounts_are_in_the_kernels_units() {
        let pod = json!({"metadata": {}, "status": {"qosClass": "Burstable"}, "spec": {"containers": [{"name": "c",
            "resources": {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"cpu": "1500m", "memory": "1Gi"}}}]}});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let got = resources(&pod, &crate::slot::slots(&pod).remove(0), 1 << 30);
        assert_eq!((got.cpu_period, got.cpu_quota, got.cpu_shares), (100_000, 150_000, 256));
        assert_eq!((got.memory_limit_in_bytes, got.oom_score_adj), (1 << 30, 500));
    }
}
