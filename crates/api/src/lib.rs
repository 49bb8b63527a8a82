//! Kubernetes' API machinery: errors, types of objects and their encodings, patches, selectors, tables, and the rules
//! of each kind.

pub mod body;
pub mod discovery;
pub mod error;
pub mod fields;
pub mod kind;
pub mod limits;
pub mod metadata;
pub mod openapi;
pub mod options;
pub mod patch;
pub mod protobuf;
pub mod request;
pub mod schema;
pub mod selector;
pub mod table;
pub mod time;
