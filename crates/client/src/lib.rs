//! A Kubernetes API client for programs that do not know in advance which kinds they work on.
//!
//! [`Options`] name a server, a user and a namespace; [`Session::open`] finds the rest in the kubeconfig. [`Kinds`] are
//! what the server serves, by every name that people use. Objects are JSON values, paths are texts:
//!
//! ```no_run
//! # async fn run() -> palisade_client::Result<()> {
//! use palisade_client::{Kinds, Options, Session};
//!
//! let session = Session::open(&Options::default()).await?;
//! let kinds = Kinds::read(&session).await?;
//! if let Some(pods) = kinds.find("po") {
//!     let pod = session.get(&pods.object_path(&session.namespace, "web")).await?;
//!     println!("{}", pod["status"]["phase"]);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The connection itself (TLS, client certificates, credential plugins) is the `kube` crate's. What is added here:
//!
//! - credentials are not sent over `http://` ([`Error::InClear`]);
//! - a refusal is a typed [`Status`], whatever the server answered;
//! - answers and the lines of a watch are bounded;
//! - [`kubeconfig::File`] changes a kubeconfig under a lock, as kubectl does;
//! - [`exec`] speaks the channels of `exec` and `attach`.

mod config;
mod discovery;
mod error;
pub mod exec;
pub mod kubeconfig;
mod pages;
mod path;
mod session;
mod stream;

pub use config::{OnWarning, Options, config};
pub use discovery::{Kind, Kinds};
pub use error::{Error, KubeconfigError, Optional, Result, Status};
pub use pages::Pages;
pub use path::encode;
pub use session::{Body, Session, Socket, bounded};
pub use stream::{Events, Pieces};
