//! An HTTPS server, independent of what is served: listener, TLS, certificates and their rotation, limits,
//! drain, metrics.
//!
//! A [`Listener`] accepts connections within its [`Limits`] and gives each [`Peer`] to a function of the caller, which
//! returns the handler of that connection's requests: an asynchronous function from a request to a response.
//! [`Tls`] says what the server presents and which client certificates it trusts, and can be replaced while it serves.
//! An [`Authority`] issues certificates for servers that have none from elsewhere.
//!
//! ```
//! use palisade_https::{Authority, Body, Limits, Listener, Tls};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let authority = Authority::new("example-ca")?;
//! let server = authority.server("example", ["localhost"], 90)?;
//! let tls = Tls::new(&server, Some(authority.certificate()))?;
//! let listener = Listener::bind("127.0.0.1:0".parse()?, tls.clone(), Limits::default()).await?;
//! println!("listening on {}", listener.address()?);
//!
//! // The certificate expires some day: connections made from here on see the new one.
//! tls.replace(&authority.server("example", ["localhost"], 90)?, Some(authority.certificate()))?;
//!
//! let connect = |peer: palisade_https::Peer| {
//!     let greeting = format!("hello, {}\n", peer.address.ip());
//!     move |_request| std::future::ready(Body::text(200, greeting.clone()))
//! };
//! listener.run(connect, async { /* ready as soon as the server shall stop */ }).await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod addresses;
mod body;
mod certificates;
mod files;
mod limits;
mod listener;
pub mod metrics;
mod tls;

pub use addresses::Hangup;
pub use body::{Body, ReadError, read};
pub use certificates::{Authority, CertificateError, LONG, Pair, key};
pub use files::{FileError, read_file, write_file};
pub use limits::Limits;
pub use listener::{Listener, Peer};
pub use tls::{Tls, TlsError};
