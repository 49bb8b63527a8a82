//! Host namespaces and host ports of a pod.

use super::Demand;

pub(crate) struct Host {
    pub(crate) privileged: bool,
    pub(crate) network: bool,
    pub(crate) ports: bool,
    pub(crate) pid: bool,
    pub(crate) ipc: bool,
    pub(crate) requires_user_namespace: bool,
    pub(crate) read_only_root: bool,
}

impl Host {
    pub(crate) fn demands(&self) -> Vec<Demand> {
        let flag = |allowed: bool, field: &str, is_set: &str, finding: &str| {
            (!allowed).then(|| Demand::new("flags", format!("{field}: false"), format!("!{is_set}"), finding))
        };
        [
            flag(
                self.privileged,
                "allowPrivilegedContainer",
                "variables.privileged",
                "privileged containers are not allowed",
            ),
            flag(
                self.network,
                "allowHostNetwork",
                "variables.spec.?hostNetwork.orValue(false)",
                "hostNetwork is not allowed",
            ),
            flag(
                self.pid,
                "allowHostPID",
                "variables.spec.?hostPID.orValue(false)",
                "hostPID is not allowed",
            ),
            flag(
                self.ipc,
                "allowHostIPC",
                "variables.spec.?hostIPC.orValue(false)",
                "hostIPC is not allowed",
            ),
            flag(self.ports, "allowHostPorts", "variables.hostPorts", "host ports are not allowed"),
            self.requires_user_namespace.then(|| {
                Demand::new(
                    "flags",
                    "userNamespaceLevel: RequirePodLevel",
                    "!variables.spec.?hostUsers.orValue(true)",
                    "hostUsers must be false",
                )
            }),
            self.read_only_root.then(|| {
                let finding = "readOnlyRootFilesystem must not be false";
                Demand::new("flags", "readOnlyRootFilesystem: true", "!variables.writableRoot", finding)
            }),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    pub(crate) fn settled(&self) -> Option<String> {
        self.read_only_root.then(|| "!variables.lacksReadOnlyRoot".to_owned())
    }
}
