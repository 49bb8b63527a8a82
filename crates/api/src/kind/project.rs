//! Projects: OpenShift's view of the namespaces that a user may get.

use super::namespace::IMMORTAL;
use super::{BASE, Deletion, Names, Resource, Review, Row, Visible, column, text};

/// Projects.
pub static PROJECTS: Resource = Resource::Row(&Row {
    group: "project.openshift.io",
    plural: "projects",
    singular: "project",
    kind: "Project",
    schema: "Project",
    namespaced: false,
    verbs: &["delete", "get", "list", "watch"],
    storage: "namespaces",
    is_view: true,
    is_own_scope: true,
    visible: Visible::ToThoseWhoGet("namespaces"),
    hidden: &["managedFields"],
    deletion: Deletion::Emptied,
    undeletable: IMMORTAL,
    names: Names::Label,
    columns: &[column("Display Name"), column("Status")],
    cells: |project, _| {
        let shown = text(project, "/metadata/annotations/openshift.io~1display-name");
        vec![shown.into(), text(project, "/status/phase").into()]
    },
    ..BASE
});

pub(super) static PROJECT_REQUESTS: Resource = Resource::Row(&Row {
    group: "project.openshift.io",
    plural: "projectrequests",
    singular: "projectrequest",
    kind: "ProjectRequest",
    schema: "ProjectRequest",
    namespaced: false,
    verbs: &["create", "list"],
    review: Some(Review::ProjectRequest),
    ..BASE
});
