//! Kubernetes' API machinery: errors, types of objects and their encodings, patches, selectors, tables, and the rules
//! of each kind. Pure: the time is an argument, and nothing here depends on a store or a socket.
//!
//! A server parses a [path](request::Path), reads the [body](body::read), [fits](body::fit) the object to its type,
//! completes and validates it by the functions of its [kind](kind::Resource), and answers with the object, a
//! [table](table::of) or a [refusal](error::ApiError):
//!
//! ```
//! use palisade_api::body::{self, Validation};
//! use palisade_api::registry::Registry;
//! use palisade_api::request::Path;
//!
//! let Ok(Path::Resource(target)) = Path::parse("/api/v1/namespaces/shop/configmaps", &Registry::default()) else { panic!() };
//! let text = br#"{"metadata": {"name": "Colours"}, "data": {"sky": "blue"}, "dataa": {}}"#;
//! let mut duplicates = Vec::new();
//! let mut object = body::read(text, "application/json", &mut duplicates).unwrap();
//! let warnings = body::fit(&mut object, target.resource.shape(), Validation::Warn, duplicates).unwrap();
//! assert_eq!(warnings, ["unknown field \"dataa\""]);
//!
//! target.resource.prepare(&mut object, None);
//! let errors = palisade_api::metadata::check(&target.resource, &object, None);
//! assert_eq!(errors[0].path.to_string(), "metadata.name");
//! ```

pub mod amount;
pub mod body;
pub mod cel;
pub mod cron;
pub mod discovery;
pub mod error;
pub mod fields;
mod format;
#[doc(hidden)]
pub mod fuzz;
pub mod identity;
mod jsonpath;
pub mod kind;
mod labels;
pub mod limits;
pub mod list;
pub mod metadata;
pub mod notes;
pub mod openapi;
pub mod options;
pub mod patch;
mod place;
pub mod protobuf;
pub mod registry;
pub mod request;
pub mod schema;
pub mod selector;
pub mod shape;
pub mod structural;
pub mod table;
pub mod time;
pub mod webhook;
pub mod weight;
