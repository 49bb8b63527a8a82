//! The handler with real runtimes and engines, seen from inside of containers. They need root, and Debian's crun,
//! runc, busybox-static, podman and containerd.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod denials;
mod enforced;
mod engines;
mod recording;
mod runtime;
