//! `palisade up` with running pods, as root with Debian's containerd: the workshop's page, and the confinement of
//! containers, seen from inside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that cannot go on has failed"
)]

mod controls;
mod crash;
mod escape;
mod kubelet;
mod leftover;
mod lives;
mod lost;
mod registry;
mod service;
mod table;
mod tools;
mod up;
mod workshop;
