//! Bindings of pods to nodes.

use super::{BASE, Resource, Review};

/// Written to `pods/binding`, or to `bindings` with the pod's name.
pub(super) static BINDINGS: Resource = Resource {
    plural: "bindings",
    singular: "binding",
    kind: "Binding",
    schema: "Binding",
    verbs: &["create"],
    review: Some(Review::Binding),
    ..BASE
};
