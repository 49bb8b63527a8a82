//! The node agent: pods that are bound to this machine, run by a container engine, and their status, logs and streams.
//! It enforces a pod's settings on its containers; which settings a user may request is decided elsewhere.
//!
//! ```no_run
//! use palisade_node::{Claim, Config, DefaultSeccomp, EngineChoice, Layout};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let claim = Claim::new(Layout::new("/var/lib/palisade".as_ref()))?;
//! let config = Config {
//!     engine: EngineChoice::Start(claim.network("10.85.0.0/24".parse()?)?),
//!     claim,
//!     name: "here".to_owned(),
//!     ip: "192.0.2.7".parse()?,
//!     listen: "192.0.2.7:0".parse()?,
//!     server: "https://192.0.2.1:6443".to_owned(),
//!     tls: None, // without certificates nobody reaches the node for logs and streams
//!     runtime: None,
//!     handler_state: None, // containers have filters of the engine's making
//!     default_seccomp: DefaultSeccomp::RuntimeDefault,
//!     default_profile: palisade_seccomp::builtin::DEFAULT,
//! };
//! let client = kube::Client::try_default().await?;
//! palisade_node::run(config, client, std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! `agent` follows the pods and has a `worker` for each, which reconciles the actual with the desired state: `plan`
//! computes the next steps, and `sandbox` and `container` convert a pod to the engine's configuration. All three are
//! pure. `volume` prepares volumes, `image` pulls, `probe` probes containers, `status` builds the pod's status. `cri`
//! is the engine's interface, `engine` starts one, `down` removes a node's objects. `sweep` removes leftovers of
//! crashes, `denial` and `confined` report denied syscalls and the confinement of containers. `server` answers the API
//! server alone, and `proxy` forwards connections of pods to it; `open` counts connections.

mod agent;
mod chain;
mod claim;
mod config;
mod confined;
mod container;
mod cri;
mod denial;
mod down;
mod engine;
mod env;
mod event;
pub mod image;
mod iptables;
mod layout;
mod log;
mod node;
mod open;
mod pause;
mod pids;
mod plan;
mod private;
mod probe;
mod proxy;
mod query;
mod range;
mod register;
mod sandbox;
mod schedule;
mod seccomp;
mod server;
mod shim;
mod slot;
mod status;
mod sweep;
mod tls;
mod volume;
mod within;
mod worker;

pub use agent::{NodeError, run};
pub use claim::{Claim, ClaimError};
pub use config::{Config, EngineChoice};
pub use down::down;
pub use engine::{EngineError, find_program};
pub use layout::Layout;
pub use range::{Network, PodRange, PodRangeError, RangeError};
pub use schedule::{schedule, schedule_once_there_are_nodes};
pub use seccomp::DefaultSeccomp;
pub use server::Certificates;

/// Whether this process can create containers.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
