//! Service accounts.

use serde_json::Value;

use super::subresource::request;
use super::{AGE, BASE, Credentials, Resource, Row, Serves, age, column, count};

/// Service accounts.
pub static SERVICE_ACCOUNTS: Resource = Resource::Row(&Row {
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
    warnings,
    ..BASE
});

const MOUNTABLE: &str = "kubernetes.io/enforce-mountable-secrets";

/// Authors of the annotation are warned that it is deprecated.
fn warnings(account: &Value, old: Option<&Value>) -> Vec<String> {
    let has = |account: &Value| {
        account.get("metadata").and_then(|data| data.get("annotations")?.get(MOUNTABLE)).is_some()
    };
    let is_new = has(account) && !old.is_some_and(has);
    let what = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets";
    is_new.then(|| format!("metadata.annotations[{MOUNTABLE}]: {what}")).into_iter().collect()
}
