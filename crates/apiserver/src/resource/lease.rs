//! Leases, by which controllers elect a leader.

use super::{AGE, BASE, Resource, age, column, text};

pub(super) const LEASES: Resource = Resource {
    group: "coordination.k8s.io",
    plural: "leases",
    singular: "lease",
    kind: "Lease",
    schema: "Lease",
    storage: "coordination.k8s.io/leases",
    columns: &[column("Holder"), AGE],
    cells: |lease| vec![text(lease, "/spec/holderIdentity").into(), age(lease)],
    ..BASE
};
