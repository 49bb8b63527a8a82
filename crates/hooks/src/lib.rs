//! Admission webhooks: HTTPS servers that change objects, admit them or refuse them, as configurations of
//! `admissionregistration.k8s.io/v1` say. This is the side of the API server that asks them.
//!
//! [`Webhooks`] keeps the configurations, parsed. A request is a set of [`Attributes`]; [`mutate`] and [`validate`] ask the
//! webhooks that match it, by rules, selectors and conditions, over the [`Client`]. What they need of the server is a [`Host`].
//! [`convert`] asks the webhook of a CustomResourceDefinition that turns objects of one version into those of another.
//! The rules and the wording are those of kube-apiserver (`k8s.io/apiserver/pkg/admission/plugin/webhook`).
//!
//! ```
//! use palisade_hooks::Webhooks;
//! use serde_json::json;
//!
//! let webhooks = Webhooks::default();
//! let storage = palisade_api::kind::VALIDATING_WEBHOOKS.storage();
//! let configuration = json!({"webhooks": [{
//!     "name": "pods.example.com",
//!     "clientConfig": {"url": "https://192.0.2.7/validate"},
//!     "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
//!     "sideEffects": "None",
//!     "admissionReviewVersions": ["v1"],
//! }]});
//! let hooks = Some(Webhooks::parse("example", &configuration));
//! webhooks.set(storage, "example", hooks);
//! ```

mod attributes;
mod client;
mod convert;
mod dispatch;
mod hook;
mod kept;
mod operation;

pub use attributes::{Answers, Attributes, Host};
pub use client::{Client, Resolve};
pub use convert::convert;
pub use dispatch::{Reinvocation, admit, mutate, validate};
pub use hook::Hook;
pub use kept::Webhooks;
pub use operation::Operation;
