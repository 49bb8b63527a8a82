//! Bindings of pods to nodes.

use super::{BASE, Resource, Review, Row};

/// Written to `pods/binding`, or to `bindings` with the pod's name.
pub(super) static BINDINGS: Resource = Resource::Row(&Row {
    plural: "bindings",
    singular: "binding",
    kind: "Binding",
    schema: "Binding",
    verbs: &["create"],
    review: Some(Review::Binding),
    ..BASE
});
