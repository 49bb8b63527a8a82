//! Terms of other policies, and their equivalents in an SCC.

/// Keys of PodSecurityPolicy, of pods and of older drafts, and the SCC's own.
const KEYS: &[(&str, &str)] = &[
    ("allowHostDir", "write allowHostDirVolumePlugin"),
    ("allowedHostPaths", "an SCC allows host paths or none: allowHostDirVolumePlugin and volumes"),
    ("allowedVolumes", "write volumes"),
    ("allowedVolumeTypes", "write volumes"),
    ("allowedCSIDrivers", "an SCC allows all CSI drivers or none: volumes"),
    ("allowedProcMountTypes", "an SCC does not look at procMount"),
    ("allowedRunAsUser", "write runAsUser"),
    ("capabilities", "write allowedCapabilities, defaultAddCapabilities or requiredDropCapabilities"),
    ("hostIPC", "write allowHostIPC"),
    ("hostNetwork", "write allowHostNetwork"),
    ("hostPID", "write allowHostPID"),
    ("hostPorts", "write allowHostPorts: an SCC allows all ports or none"),
    ("privileged", "write allowPrivilegedContainer"),
    ("runAsGroup", "an SCC has no rule for runAsGroup"),
    ("runAsNonRoot", "write runAsUser: {type: MustRunAsNonRoot}"),
    ("runtimeClass", "an SCC has no rule for runtime classes"),
    ("seLinux", "PodSecurityPolicy's word: write seLinuxContext"),
    ("seLinuxOptions", "write seLinuxContext: {type: MustRunAs, seLinuxOptions: …}"),
    ("seccompProfile", "write seccompProfiles, a list"),
    ("spec", "an SCC has no spec: its fields stand beside metadata"),
    ("sysctls", "write allowedUnsafeSysctls or forbiddenSysctls"),
    ("unsafeSysctls", "write allowedUnsafeSysctls"),
];

/// Keys of strategies.
const STRATEGY_KEYS: &[(&str, &str)] = &[
    ("rule", "PodSecurityPolicy's word: write type"),
    ("range", "write ranges, or uidRangeMin and uidRangeMax in runAsUser"),
    ("ranges", "runAsUser has one range: write uidRangeMin and uidRangeMax"),
    ("uidRangeMin", "write ranges: [{min: …, max: …}]"),
    ("uidRangeMax", "write ranges: [{min: …, max: …}]"),
    ("user", "write it in seLinuxOptions"),
    ("role", "write it in seLinuxOptions"),
    ("level", "write it in seLinuxOptions"),
];

/// The name in an SCC for a key of the object.
pub(super) fn of_key(key: &str) -> Option<&'static str> {
    find(KEYS, key)
}

/// The name in an SCC for a key of a strategy.
pub(super) fn of_strategy_key(key: &str) -> Option<&'static str> {
    find(STRATEGY_KEYS, key)
}

/// The name in an SCC for a strategy of another policy.
pub(super) fn of_strategy(name: &str) -> Option<&'static str> {
    match name {
        "MayRunAs" => {
            Some("PodSecurityPolicy's word, which an SCC does not have: MustRunAs with ranges is the nearest")
        }
        "MustRunAsRoot" | "RunAsRoot" => Some("write MustRunAs with uid: 0"),
        "MustRunAsNonroot" | "RunAsNonRoot" | "NonRoot" => Some("write MustRunAsNonRoot"),
        "Any" | "RunAsany" | "Unrestricted" => Some("write RunAsAny"),
        _ => None,
    }
}

fn find(list: &[(&str, &'static str)], key: &str) -> Option<&'static str> {
    list.iter().find(|(other, _)| *other == key).map(|(_, word)| *word)
}
