//! The strategies of an SCC, resolved: what each gives to a pod, and what it demands of one.

pub(crate) mod capabilities;
pub(crate) mod group;
pub(crate) mod seccomp;
pub(crate) mod selinux;
pub(crate) mod sysctl;
pub(crate) mod user;
pub(crate) mod volume;

pub use capabilities::CapabilityChange;
pub use selinux::Labels;
