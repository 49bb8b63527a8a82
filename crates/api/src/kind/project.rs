//! Projects: namespaces as OpenShift shows them to whoever may see them.

use super::{BASE, Names, Resource, Review, column, text};

pub(super) const PROJECTS: Resource = Resource {
    group: "project.openshift.io",
    plural: "projects",
    singular: "project",
    kind: "Project",
    schema: "Project",
    namespaced: false,
    verbs: &["delete", "get", "list", "watch"],
    storage: "namespaces",
    names: Names::Label,
    columns: &[column("Display Name"), column("Status")],
    cells: |project| {
        let shown = text(project, "/metadata/annotations/openshift.io~1display-name");
        vec![shown.into(), text(project, "/status/phase").into()]
    },
    ..BASE
};

pub(super) const PROJECT_REQUESTS: Resource = Resource {
    group: "project.openshift.io",
    plural: "projectrequests",
    singular: "projectrequest",
    kind: "ProjectRequest",
    schema: "ProjectRequest",
    namespaced: false,
    verbs: &["create", "list"],
    review: Some(Review::ProjectRequest),
    ..BASE
};
