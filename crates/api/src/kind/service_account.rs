//! Service accounts.

use super::subresource::request;
use super::{AGE, BASE, Credentials, Resource, Serves, age, column, count};

/// Service accounts.
pub static SERVICE_ACCOUNTS: Resource = Resource {
    plural: "serviceaccounts",
    singular: "serviceaccount",
    kind: "ServiceAccount",
    schema: "ServiceAccount",
    short_names: &["sa"],
    subresources: &[request("token", Some(("authentication.k8s.io", "v1", "TokenRequest")), Serves::Token)],
    storage: "serviceaccounts",
    credentials: Credentials::Tokens,
    columns: &[column("Secrets"), AGE],
    cells: |account, now| vec![count(account, "secrets").to_string().into(), age(account, now)],
    ..BASE
};
