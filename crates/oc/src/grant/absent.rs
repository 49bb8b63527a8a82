//! Subjects and SCCs of a grant that do not exist: the grant is made all the same, as in oc, with a warning.

use palisade_client::{Optional, Session, encode};
use palisade_k8s::scc;
use palisade_scc::{Meant, meant, suggestion};
use serde_json::Value;

use crate::value::text;

/// Warns of each subject and SCC of a grant that does not exist. Objects that cannot be read, for lack of rights, are
/// not reported as missing.
pub(super) async fn warnings(session: &Session, scc: &str, subjects: &[Value]) -> Vec<String> {
    let mut warnings: Vec<String> = of_scc(session, scc).await.into_iter().collect();
    for subject in subjects {
        warnings.extend(of_subject(session, subject).await);
    }
    warnings
}

async fn is_absent(session: &Session, path: &str) -> bool {
    matches!(session.get(path).await.optional(), Ok(None))
}

async fn of_scc(session: &Session, name: &str) -> Option<String> {
    let all = format!("/apis/{}/v1/{}", scc::GROUP, scc::RESOURCE);
    if !is_absent(session, &format!("{all}/{}", encode(name))).await {
        return None;
    }
    let listed = session.get(&all).await.unwrap_or_default();
    let names = listed.get("items").and_then(Value::as_array).into_iter().flatten();
    let names = names.map(|item| text(item, "/metadata/name"));
    let hint = suggestion(name, names, "the right to use it counts once it is there");
    Some(format!("SecurityContextConstraints '{name}' not found; {hint}"))
}

/// Whether the session's namespace has a service account of this name.
async fn is_account(session: &Session, name: &str) -> bool {
    let namespace = encode(&session.namespace);
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{}", encode(name));
    matches!(session.get(&path).await.optional(), Ok(Some(_)))
}

async fn of_subject(session: &Session, subject: &Value) -> Option<String> {
    let (kind, name) = (text(subject, "/kind"), text(subject, "/name"));
    match kind {
        "ServiceAccount" => {
            let namespace = text(subject, "/namespace");
            let path = |namespace| {
                format!("/api/v1/namespaces/{}/serviceaccounts/{}", encode(namespace), encode(name))
            };
            if !is_absent(session, &path(namespace)).await {
                return None;
            }
            let is_here =
                namespace != session.namespace && !is_absent(session, &path(&session.namespace)).await;
            let hint = match is_here {
                true => format!("; there is one of that name in namespace '{}'", session.namespace),
                false => String::new(),
            };
            Some(format!("ServiceAccount '{name}' not found in namespace '{namespace}'{hint}"))
        }
        // System users and groups, and those of certificates and identity providers, have no objects; one can be
        // missing only if others have objects.
        "User" | "Group" if meant(name, kind == "Group").is_some() => {
            let is = match meant(name, kind == "Group") {
                Some(Meant::Account { namespace, name }) => {
                    format!("'-z {name} -n {namespace}' names the service account")
                }
                Some(Meant::AccountsOf(namespace)) => {
                    format!("the group of its accounts is 'system:serviceaccounts:{namespace}'")
                }
                Some(Meant::Group(group)) => format!("it is a group: add-scc-to-group names '{group}'"),
                Some(Meant::SomeGroup) => {
                    "the group of a namespace's accounts is 'system:serviceaccounts:NAMESPACE'".to_owned()
                }
                Some(Meant::SomeAccount) | None => {
                    "'-z NAME -n NAMESPACE' names a service account".to_owned()
                }
            };
            Some(format!("{kind} '{name}' does not exist; {is}"))
        }
        "User" if !name.contains(':') && is_account(session, name).await => Some(format!(
            "User '{name}' is not the service account of that name in namespace '{namespace}'; '-z {name}' names that",
            namespace = session.namespace
        )),
        "User" | "Group" if !name.starts_with("system:") => {
            let all = format!("/apis/user.openshift.io/v1/{}s", kind.to_lowercase());
            let listed = session.get(&all).await.ok()?;
            let items = listed.get("items").and_then(Value::as_array)?;
            let is_there = items.iter().any(|item| text(item, "/metadata/name") == name);
            (!items.is_empty() && !is_there).then(|| format!("{kind} '{name}' not found"))
        }
        _ => None,
    }
}
