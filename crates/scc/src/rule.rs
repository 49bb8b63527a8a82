//! The rules of an SCC: each gives a pod its defaults, and checks the resulting values.
//!
//! | module | fields of the SCC |
//! |---|---|
//! | `capabilities` | `defaultAddCapabilities`, `requiredDropCapabilities`, `allowedCapabilities` |
//! | `group` | `fsGroup`, `supplementalGroups` |
//! | `seccomp` | `seccompProfiles` |
//! | `selinux` | `seLinuxContext` |
//! | `sysctl` | `allowedUnsafeSysctls`, `forbiddenSysctls` |
//! | `user` | `runAsUser` |
//! | `volume` | `volumes` (`hostPath` among them), `allowedFlexVolumes` |
//!
//! Boolean fields, such as `allowHostNetwork`, are checked in the [evaluation](crate::attempt) itself.

pub(crate) mod capabilities;
pub(crate) mod group;
pub(crate) mod seccomp;
pub(crate) mod selinux;
pub(crate) mod sysctl;
pub(crate) mod user;
pub(crate) mod volume;

pub use capabilities::{CapabilityChange, CapabilityRule};
pub use group::GroupRule;
pub use seccomp::SeccompRule;
pub use selinux::{Labels, SeLinuxRule};
pub use sysctl::{SysctlRule, safe_sysctls};
pub use user::UserRule;
pub use volume::VolumeRule;
