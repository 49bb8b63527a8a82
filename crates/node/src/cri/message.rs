//! Messages of the container runtime interface, as far as this agent uses them: field numbers are those of
//! `runtime.v1` in kubernetes/cri-api, `pkg/apis/runtime/v1/api.proto`.
//!
//! Written by hand, since generating them requires a protobuf compiler; fields that are not here are skipped when read
//! and left at their default when sent.

use std::collections::HashMap;

use prost::Message;

/// The owner of the namespace that a container uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum NamespaceMode {
    /// One for the pod.
    Pod = 0,
    /// One for the container.
    Container = 1,
    /// The node's.
    Node = 2,
    /// The namespace of another container of the pod.
    Target = 3,
}

/// The kind of a container's seccomp profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum ProfileType {
    /// The engine's own.
    RuntimeDefault = 0,
    /// None.
    Unconfined = 1,
    /// A file of the node.
    Localhost = 2,
}

/// Propagation of mounts below a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum MountPropagation {
    /// None.
    Private = 0,
    /// From the node to the container.
    HostToContainer = 1,
    /// In both directions.
    Bidirectional = 2,
}

/// The state of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum ContainerState {
    /// Created, not started.
    Created = 0,
    /// Started.
    Running = 1,
    /// Ended.
    Exited = 2,
    /// Unknown to the engine.
    Unknown = 3,
}

/// The state of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum SandboxState {
    /// Ready.
    Ready = 0,
    /// Stopped.
    NotReady = 1,
}

/// The transport of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Protocol {
    /// TCP.
    Tcp = 0,
    /// UDP.
    Udp = 1,
    /// SCTP.
    Sctp = 2,
}

/// Declares messages: `name { field: type = number, }`.
macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident { $( #[$($kind:tt)*] $field:ident: $type:ty, )* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, PartialEq, Message)]
            pub(crate) struct $name {
                $( #[prost($($kind)*)] pub(crate) $field: $type, )*
            }
        )*
    };
}

messages! {
    /// The version of the interface that the agent uses.
    VersionRequest {
        #[string, tag = "1"] version: String,
    }
    /// The engine's name and version.
    VersionResponse {
        #[string, tag = "2"] runtime_name: String,
        #[string, tag = "3"] runtime_version: String,
    }
    /// The DNS settings of a pod.
    DnsConfig {
        #[string, repeated, tag = "1"] servers: Vec<String>,
        #[string, repeated, tag = "2"] searches: Vec<String>,
        #[string, repeated, tag = "3"] options: Vec<String>,
    }
    /// A port of the node that is forwarded to a pod's.
    PortMapping {
        #[enumeration = "Protocol", tag = "1"] protocol: i32,
        #[int32, tag = "2"] container_port: i32,
        #[int32, tag = "3"] host_port: i32,
        #[string, tag = "4"] host_ip: String,
    }
    /// A file or folder of the node in a container.
    Mount {
        #[string, tag = "1"] container_path: String,
        #[string, tag = "2"] host_path: String,
        #[bool, tag = "3"] readonly: bool,
        #[bool, tag = "4"] selinux_relabel: bool,
        #[enumeration = "MountPropagation", tag = "5"] propagation: i32,
    }
    /// The namespaces that are shared.
    NamespaceOption {
        #[enumeration = "NamespaceMode", tag = "1"] network: i32,
        #[enumeration = "NamespaceMode", tag = "2"] pid: i32,
        #[enumeration = "NamespaceMode", tag = "3"] ipc: i32,
        #[string, tag = "4"] target_id: String,
    }
    /// An optional number.
    Int64Value {
        #[int64, tag = "1"] value: i64,
    }
    /// A profile.
    SecurityProfile {
        #[enumeration = "ProfileType", tag = "1"] profile_type: i32,
        #[string, tag = "2"] localhost_ref: String,
    }
    /// A label of SELinux.
    SeLinuxOption {
        #[string, tag = "1"] user: String,
        #[string, tag = "2"] role: String,
        #[string, tag = "3"] r#type: String,
        #[string, tag = "4"] level: String,
    }
    /// The security settings of a sandbox.
    LinuxSandboxSecurityContext {
        #[message, optional, tag = "1"] namespace_options: Option<NamespaceOption>,
        #[message, optional, tag = "2"] selinux_options: Option<SeLinuxOption>,
        #[message, optional, tag = "3"] run_as_user: Option<Int64Value>,
        #[message, optional, tag = "8"] run_as_group: Option<Int64Value>,
        #[bool, tag = "4"] readonly_rootfs: bool,
        #[int64, repeated, tag = "5"] supplemental_groups: Vec<i64>,
        #[bool, tag = "6"] privileged: bool,
        #[message, optional, tag = "9"] seccomp: Option<SecurityProfile>,
    }
    /// A sandbox on Linux.
    LinuxPodSandboxConfig {
        #[string, tag = "1"] cgroup_parent: String,
        #[message, optional, tag = "2"] security_context: Option<LinuxSandboxSecurityContext>,
        #[map = "string, string", tag = "3"] sysctls: HashMap<String, String>,
    }
    /// The pod of a sandbox.
    PodSandboxMetadata {
        #[string, tag = "1"] name: String,
        #[string, tag = "2"] uid: String,
        #[string, tag = "3"] namespace: String,
        #[uint32, tag = "4"] attempt: u32,
    }
    /// The configuration of a sandbox.
    PodSandboxConfig {
        #[message, optional, tag = "1"] metadata: Option<PodSandboxMetadata>,
        #[string, tag = "2"] hostname: String,
        #[string, tag = "3"] log_directory: String,
        #[message, optional, tag = "4"] dns_config: Option<DnsConfig>,
        #[message, repeated, tag = "5"] port_mappings: Vec<PortMapping>,
        #[map = "string, string", tag = "6"] labels: HashMap<String, String>,
        #[map = "string, string", tag = "7"] annotations: HashMap<String, String>,
        #[message, optional, tag = "8"] linux: Option<LinuxPodSandboxConfig>,
    }
    /// Create a sandbox.
    RunPodSandboxRequest {
        #[message, optional, tag = "1"] config: Option<PodSandboxConfig>,
        #[string, tag = "2"] runtime_handler: String,
    }
    /// The ID of a sandbox.
    SandboxId {
        #[string, tag = "1"] pod_sandbox_id: String,
    }
    /// The address of a pod.
    PodIp {
        #[string, tag = "1"] ip: String,
    }
    /// The network of a pod.
    PodSandboxNetworkStatus {
        #[string, tag = "1"] ip: String,
        #[message, repeated, tag = "2"] additional_ips: Vec<PodIp>,
    }
    /// The status of a sandbox.
    PodSandboxStatus {
        #[string, tag = "1"] id: String,
        #[message, optional, tag = "2"] metadata: Option<PodSandboxMetadata>,
        #[enumeration = "SandboxState", tag = "3"] state: i32,
        #[int64, tag = "4"] created_at: i64,
        #[message, optional, tag = "5"] network: Option<PodSandboxNetworkStatus>,
    }
    /// The response with the status of a sandbox.
    PodSandboxStatusResponse {
        #[message, optional, tag = "1"] status: Option<PodSandboxStatus>,
        #[map = "string, string", tag = "2"] info: HashMap<String, String>,
    }
    /// Selects sandboxes.
    PodSandboxFilter {
        #[string, tag = "1"] id: String,
        #[map = "string, string", tag = "3"] label_selector: HashMap<String, String>,
    }
    /// List sandboxes.
    ListPodSandboxRequest {
        #[message, optional, tag = "1"] filter: Option<PodSandboxFilter>,
    }
    /// A sandbox in a list.
    PodSandbox {
        #[string, tag = "1"] id: String,
        #[message, optional, tag = "2"] metadata: Option<PodSandboxMetadata>,
        #[enumeration = "SandboxState", tag = "3"] state: i32,
        #[int64, tag = "4"] created_at: i64,
        #[map = "string, string", tag = "5"] labels: HashMap<String, String>,
    }
    /// All sandboxes.
    ListPodSandboxResponse {
        #[message, repeated, tag = "1"] items: Vec<PodSandbox>,
    }
    /// The name of an image.
    ImageSpec {
        #[string, tag = "1"] image: String,
    }
    /// An environment variable.
    KeyValue {
        #[string, tag = "1"] key: String,
        #[string, tag = "2"] value: String,
    }
    /// The resources of a container.
    LinuxContainerResources {
        #[int64, tag = "1"] cpu_period: i64,
        #[int64, tag = "2"] cpu_quota: i64,
        #[int64, tag = "3"] cpu_shares: i64,
        #[int64, tag = "4"] memory_limit_in_bytes: i64,
        #[int64, tag = "5"] oom_score_adj: i64,
    }
    /// Capabilities to add and to drop, without `CAP_`.
    Capability {
        #[string, repeated, tag = "1"] add_capabilities: Vec<String>,
        #[string, repeated, tag = "2"] drop_capabilities: Vec<String>,
    }
    /// The security settings of a container.
    LinuxContainerSecurityContext {
        #[message, optional, tag = "1"] capabilities: Option<Capability>,
        #[bool, tag = "2"] privileged: bool,
        #[message, optional, tag = "3"] namespace_options: Option<NamespaceOption>,
        #[message, optional, tag = "4"] selinux_options: Option<SeLinuxOption>,
        #[message, optional, tag = "5"] run_as_user: Option<Int64Value>,
        #[message, optional, tag = "12"] run_as_group: Option<Int64Value>,
        #[string, tag = "6"] run_as_username: String,
        #[bool, tag = "7"] readonly_rootfs: bool,
        #[int64, repeated, tag = "8"] supplemental_groups: Vec<i64>,
        #[bool, tag = "11"] no_new_privs: bool,
        #[string, repeated, tag = "13"] masked_paths: Vec<String>,
        #[string, repeated, tag = "14"] readonly_paths: Vec<String>,
        #[message, optional, tag = "15"] seccomp: Option<SecurityProfile>,
    }
    /// A container on Linux.
    LinuxContainerConfig {
        #[message, optional, tag = "1"] resources: Option<LinuxContainerResources>,
        #[message, optional, tag = "2"] security_context: Option<LinuxContainerSecurityContext>,
    }
    /// A container's name in its pod, and the number of the attempt.
    ContainerMetadata {
        #[string, tag = "1"] name: String,
        #[uint32, tag = "2"] attempt: u32,
    }
    /// The configuration of a container.
    ContainerConfig {
        #[message, optional, tag = "1"] metadata: Option<ContainerMetadata>,
        #[message, optional, tag = "2"] image: Option<ImageSpec>,
        #[string, repeated, tag = "3"] command: Vec<String>,
        #[string, repeated, tag = "4"] args: Vec<String>,
        #[string, tag = "5"] working_dir: String,
        #[message, repeated, tag = "6"] envs: Vec<KeyValue>,
        #[message, repeated, tag = "7"] mounts: Vec<Mount>,
        #[map = "string, string", tag = "9"] labels: HashMap<String, String>,
        #[map = "string, string", tag = "10"] annotations: HashMap<String, String>,
        #[string, tag = "11"] log_path: String,
        #[bool, tag = "12"] stdin: bool,
        #[bool, tag = "13"] stdin_once: bool,
        #[bool, tag = "14"] tty: bool,
        #[message, optional, tag = "15"] linux: Option<LinuxContainerConfig>,
    }
    /// Create a container.
    CreateContainerRequest {
        #[string, tag = "1"] pod_sandbox_id: String,
        #[message, optional, tag = "2"] config: Option<ContainerConfig>,
        #[message, optional, tag = "3"] sandbox_config: Option<PodSandboxConfig>,
    }
    /// The ID of a container.
    ContainerId {
        #[string, tag = "1"] container_id: String,
    }
    /// End a container, by force after a number of seconds.
    StopContainerRequest {
        #[string, tag = "1"] container_id: String,
        #[int64, tag = "2"] timeout: i64,
    }
    /// An empty message.
    Empty {}
    /// Selects containers.
    ContainerFilter {
        #[string, tag = "1"] id: String,
        #[string, tag = "3"] pod_sandbox_id: String,
        #[map = "string, string", tag = "4"] label_selector: HashMap<String, String>,
    }
    /// List containers.
    ListContainersRequest {
        #[message, optional, tag = "1"] filter: Option<ContainerFilter>,
    }
    /// A container in a list.
    Container {
        #[string, tag = "1"] id: String,
        #[string, tag = "2"] pod_sandbox_id: String,
        #[message, optional, tag = "3"] metadata: Option<ContainerMetadata>,
        #[enumeration = "ContainerState", tag = "6"] state: i32,
        #[int64, tag = "7"] created_at: i64,
        #[map = "string, string", tag = "8"] labels: HashMap<String, String>,
        #[map = "string, string", tag = "9"] annotations: HashMap<String, String>,
    }
    /// All containers.
    ListContainersResponse {
        #[message, repeated, tag = "1"] containers: Vec<Container>,
    }
    /// Request the status of a container.
    ContainerStatusRequest {
        #[string, tag = "1"] container_id: String,
        #[bool, tag = "2"] verbose: bool,
    }
    /// The status of a container.
    ContainerStatus {
        #[string, tag = "1"] id: String,
        #[message, optional, tag = "2"] metadata: Option<ContainerMetadata>,
        #[enumeration = "ContainerState", tag = "3"] state: i32,
        #[int64, tag = "4"] created_at: i64,
        #[int64, tag = "5"] started_at: i64,
        #[int64, tag = "6"] finished_at: i64,
        #[int32, tag = "7"] exit_code: i32,
        #[message, optional, tag = "8"] image: Option<ImageSpec>,
        #[string, tag = "9"] image_ref: String,
        #[string, tag = "10"] reason: String,
        #[string, tag = "11"] message: String,
        #[map = "string, string", tag = "12"] labels: HashMap<String, String>,
        #[map = "string, string", tag = "13"] annotations: HashMap<String, String>,
        #[string, tag = "15"] log_path: String,
    }
    /// The response with the status of a container.
    ContainerStatusResponse {
        #[message, optional, tag = "1"] status: Option<ContainerStatus>,
        #[map = "string, string", tag = "2"] info: HashMap<String, String>,
    }
    /// Run a command in a container and wait for its end.
    ExecSyncRequest {
        #[string, tag = "1"] container_id: String,
        #[string, repeated, tag = "2"] cmd: Vec<String>,
        #[int64, tag = "3"] timeout: i64,
    }
    /// The command's output and exit code.
    ExecSyncResponse {
        #[bytes = "vec", tag = "1"] stdout: Vec<u8>,
        #[bytes = "vec", tag = "2"] stderr: Vec<u8>,
        #[int32, tag = "3"] exit_code: i32,
    }
    /// Run a command in a container, with its streams at a URL.
    ExecRequest {
        #[string, tag = "1"] container_id: String,
        #[string, repeated, tag = "2"] cmd: Vec<String>,
        #[bool, tag = "3"] tty: bool,
        #[bool, tag = "4"] stdin: bool,
        #[bool, tag = "5"] stdout: bool,
        #[bool, tag = "6"] stderr: bool,
    }
    /// The streams of a container itself.
    AttachRequest {
        #[string, tag = "1"] container_id: String,
        #[bool, tag = "2"] stdin: bool,
        #[bool, tag = "3"] tty: bool,
        #[bool, tag = "4"] stdout: bool,
        #[bool, tag = "5"] stderr: bool,
    }
    /// Connections to ports of a sandbox.
    PortForwardRequest {
        #[string, tag = "1"] pod_sandbox_id: String,
        #[int32, repeated, tag = "2"] port: Vec<i32>,
    }
    /// The URL of the streams.
    StreamUrl {
        #[string, tag = "1"] url: String,
    }
    /// An image of the node.
    Image {
        #[string, tag = "1"] id: String,
        #[string, repeated, tag = "2"] repo_tags: Vec<String>,
        #[string, repeated, tag = "3"] repo_digests: Vec<String>,
        #[uint64, tag = "4"] size: u64,
        #[message, optional, tag = "5"] uid: Option<Int64Value>,
        #[string, tag = "6"] username: String,
        #[bool, tag = "8"] pinned: bool,
    }
    /// List images.
    ListImagesRequest {}
    /// All images.
    ListImagesResponse {
        #[message, repeated, tag = "1"] images: Vec<Image>,
    }
    /// Request the status of an image.
    ImageStatusRequest {
        #[message, optional, tag = "1"] image: Option<ImageSpec>,
        #[bool, tag = "2"] verbose: bool,
    }
    /// The response with the status of an image.
    ImageStatusResponse {
        #[message, optional, tag = "1"] image: Option<Image>,
        #[map = "string, string", tag = "2"] info: HashMap<String, String>,
    }
    /// Credentials for a registry.
    AuthConfig {
        #[string, tag = "1"] username: String,
        #[string, tag = "2"] password: String,
        #[string, tag = "3"] auth: String,
        #[string, tag = "4"] server_address: String,
        #[string, tag = "5"] identity_token: String,
        #[string, tag = "6"] registry_token: String,
    }
    /// Pull an image.
    PullImageRequest {
        #[message, optional, tag = "1"] image: Option<ImageSpec>,
        #[message, optional, tag = "2"] auth: Option<AuthConfig>,
        #[message, optional, tag = "3"] sandbox_config: Option<PodSandboxConfig>,
    }
    /// The pulled image.
    PullImageResponse {
        #[string, tag = "1"] image_ref: String,
    }
    /// Remove an image.
    RemoveImageRequest {
        #[message, optional, tag = "1"] image: Option<ImageSpec>,
    }
    /// Request the status of the engine.
    StatusRequest {
        #[bool, tag = "1"] verbose: bool,
    }
    /// A condition of the engine.
    RuntimeCondition {
        #[string, tag = "1"] r#type: String,
        #[bool, tag = "2"] status: bool,
        #[string, tag = "3"] reason: String,
        #[string, tag = "4"] message: String,
    }
    /// All conditions.
    RuntimeStatus {
        #[message, repeated, tag = "1"] conditions: Vec<RuntimeCondition>,
    }
    /// The response with the status of the engine.
    StatusResponse {
        #[message, optional, tag = "1"] status: Option<RuntimeStatus>,
        #[map = "string, string", tag = "2"] info: HashMap<String, String>,
    }
}
