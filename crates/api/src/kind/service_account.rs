//! Service accounts.

use super::{AGE, BASE, Resource, age, column, count};

pub(super) const SERVICE_ACCOUNTS: Resource = Resource {
    plural: "serviceaccounts",
    singular: "serviceaccount",
    kind: "ServiceAccount",
    schema: "ServiceAccount",
    short_names: &["sa"],
    subresources: &["token"],
    storage: "serviceaccounts",
    columns: &[column("Secrets"), AGE],
    cells: |account| vec![count(account, "secrets").to_string().into(), age(account)],
    ..BASE
};
