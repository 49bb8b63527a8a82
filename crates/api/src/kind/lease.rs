//! Leases, by which controllers elect a leader.

use super::at::At;
use super::{AGE, Admission, BASE, Resource, Row, age, column, text};

pub(super) static LEASES: Resource = Resource::Row(&Row {
    group: "coordination.k8s.io",
    plural: "leases",
    singular: "lease",
    kind: "Lease",
    schema: "Lease",
    storage: "coordination.k8s.io/leases",
    columns: &[column("Holder"), AGE],
    cells: |lease, now| vec![text(lease, "/spec/holderIdentity").into(), age(lease, now)],
    validate: |lease, _| {
        let spec = At::root(lease, "spec");
        let duration = spec.field("leaseDurationSeconds").outside(1..=i64::MAX);
        duration.into_iter().chain(spec.field("leaseTransitions").outside(0..=i64::MAX)).collect()
    },
    admission: Admission::Lease,
    is_made_by_put: true,
    ..BASE
});
