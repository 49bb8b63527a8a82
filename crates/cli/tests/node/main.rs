//! `palisade up` with pods that run, as root with Debian's containerd: the workshop's page, and what holds containers,
//! seen from inside them.
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
mod lives;
mod lost;
mod registry;
mod table;
mod up;
mod workshop;
