//! Service accounts.

use super::{AGE, BASE, Resource, age};

pub(super) const SERVICE_ACCOUNTS: Resource = Resource {
    plural: "serviceaccounts",
    singular: "serviceaccount",
    kind: "ServiceAccount",
    schema: "ServiceAccount",
    short_names: &["sa"],
    subresources: &["token"],
    storage: "serviceaccounts",
    columns: &[AGE],
    cells: |account| vec![age(account)],
    ..BASE
};
