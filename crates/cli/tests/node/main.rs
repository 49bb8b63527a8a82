//! `palisade up` with pods that run, as root with Debian's containerd: the workshop's page, and what holds containers,
//! seen from inside them.

mod controls;
mod crash;
mod lives;
mod up;
mod workshop;
