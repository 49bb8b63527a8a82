//! `palisade adm policy add-scc-to-user` and its like: a cluster role of the SCC, and a binding of its name.

use http::Method;
use palisade_k8s::put;
use palisade_k8s::rbac::GROUP;
use palisade_k8s::scc;
use serde_json::{Value, json};

use super::args::GrantArgs;
use super::create::DryRun;
use super::kind::encode;
use super::output::{self, text};
use super::session::{ClusterError, Result, Session};
use crate::exit::Exit;

pub(crate) fn add_to_users(args: &GrantArgs) -> crate::Outcome {
    let session = Session::open(&args.connect)?;
    add(args, &session, users(args, &session)?)
}

pub(crate) fn add_to_groups(args: &GrantArgs) -> crate::Outcome {
    let session = Session::open(&args.connect)?;
    add(args, &session, groups(args))
}

pub(crate) fn remove_from_users(args: &GrantArgs) -> crate::Outcome {
    let session = Session::open(&args.connect)?;
    remove(args, &session, users(args, &session)?)
}

pub(crate) fn remove_from_groups(args: &GrantArgs) -> crate::Outcome {
    let session = Session::open(&args.connect)?;
    remove(args, &session, groups(args))
}

/// Service accounts are named as such in the binding, however they are named here.
fn users(args: &GrantArgs, session: &Session) -> Result<Vec<Value>> {
    let account =
        |namespace: &str, name: &str| json!({"kind": "ServiceAccount", "namespace": namespace, "name": name});
    let mut subjects = Vec::new();
    for name in &args.names {
        subjects.push(match name.strip_prefix("system:serviceaccount:") {
            Some(rest) => {
                let (namespace, name) = rest.split_once(':').ok_or_else(|| {
                    ClusterError::Usage(format!("{name:?} is no system:serviceaccount:NAMESPACE:NAME"))
                })?;
                account(namespace, name)
            }
            None => json!({"kind": "User", "apiGroup": GROUP, "name": name}),
        });
    }
    for name in &args.accounts {
        let name = name.rsplit_once(':').map_or(name.as_str(), |(_, name)| name);
        subjects.push(account(&session.namespace, name));
    }
    Ok(subjects)
}

fn groups(args: &GrantArgs) -> Vec<Value> {
    args.names.iter().map(|name| json!({"kind": "Group", "apiGroup": GROUP, "name": name})).collect()
}

/// The binding is of one namespace only where the command line names one.
fn binding_kind(session: &Session) -> (&'static str, String) {
    let base = format!("/apis/{GROUP}/v1");
    if session.has_namespace {
        ("RoleBinding", format!("{base}/namespaces/{}/rolebindings", encode(&session.namespace)))
    } else {
        ("ClusterRoleBinding", format!("{base}/clusterrolebindings"))
    }
}

fn same(one: &Value, other: &Value) -> bool {
    ["/kind", "/name", "/namespace"].iter().all(|pointer| text(one, pointer) == text(other, pointer))
}

fn said(subjects: &[Value]) -> String {
    let names: Vec<String> = subjects.iter().map(|subject| format!("{:?}", text(subject, "/name"))).collect();
    if let [one] = names.as_slice() { one.clone() } else { format!("[{}]", names.join(" ")) }
}

fn name_of(scc: &str) -> String {
    format!("system:openshift:scc:{scc}")
}

fn add(args: &GrantArgs, session: &Session, subjects: Vec<Value>) -> crate::Outcome {
    if subjects.is_empty() {
        return Err(ClusterError::Usage(
            "you must specify at least one user, group or service account".to_owned(),
        )
        .into());
    }
    let dry = DryRun::parse(&args.dry_run)?;
    let name = name_of(&args.scc);
    let roles = format!("/apis/{GROUP}/v1/clusterroles");
    let query = |path: &str| format!("{path}?fieldManager=palisade{}", dry.query());
    let is_missing = |found: Result<Value>| match found {
        Err(error) if error.is_not_found() => Ok(None),
        found => found.map(Some),
    };
    let write = |method: Method, path: &str, object: &Value| match dry {
        DryRun::Client => Ok(()),
        _ => session
            .send(method, &query(path), Some(("application/json", object.to_string().into_bytes())))
            .map(drop),
    };
    if is_missing(session.get(&format!("{roles}/{}", encode(&name))))?.is_none() {
        let role = json!({"apiVersion": format!("{GROUP}/v1"), "kind": "ClusterRole", "metadata": {"name": name},
            "rules": [{"verbs": ["use"], "apiGroups": [scc::GROUP], "resources": [scc::RESOURCE],
                       "resourceNames": [args.scc]}]});
        write(Method::POST, &roles, &role)?;
    }
    let (kind, bindings) = binding_kind(session);
    let path = format!("{bindings}/{}", encode(&name));
    match is_missing(session.get(&path))? {
        None => {
            let binding = json!({"apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": {"name": name},
                "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": name}, "subjects": subjects});
            write(Method::POST, &bindings, &binding)?;
        }
        Some(mut binding) => {
            let mut all = binding.get("subjects").and_then(Value::as_array).cloned().unwrap_or_default();
            let new: Vec<Value> = subjects
                .iter()
                .filter(|subject| !all.iter().any(|old| same(old, subject)))
                .cloned()
                .collect();
            if !new.is_empty() {
                all.extend(new);
                put(&mut binding, &["subjects"], all.into());
                write(Method::PUT, &path, &binding)?;
            }
        }
    }
    output::write(&format!("clusterrole.{GROUP}/{name} added: {}{}\n", said(&subjects), dry.said()))?;
    Ok(Exit::Fine)
}

fn remove(args: &GrantArgs, session: &Session, subjects: Vec<Value>) -> crate::Outcome {
    let dry = DryRun::parse(&args.dry_run)?;
    let name = name_of(&args.scc);
    let (_, bindings) = binding_kind(session);
    let path = format!("{bindings}/{}", encode(&name));
    let missing = || ClusterError::Usage(format!("unable to find target {}", said(&subjects)));
    let mut binding = match session.get(&path) {
        Err(error) if error.is_not_found() => return Err(missing().into()),
        found => found?,
    };
    let mut all = binding.get("subjects").and_then(Value::as_array).cloned().unwrap_or_default();
    let before = all.len();
    all.retain(|old| !subjects.iter().any(|subject| same(old, subject)));
    if all.len() == before {
        return Err(missing().into());
    }
    // A binding of nobody is no use to anybody.
    let is_empty = all.is_empty();
    put(&mut binding, &["subjects"], all.into());
    match (dry, is_empty) {
        (DryRun::Client, _) => {}
        (_, true) => {
            let query = format!("{path}?fieldManager=palisade{}", dry.query());
            session.send(Method::DELETE, &query, None)?;
        }
        (_, false) => {
            let query = format!("{path}?fieldManager=palisade{}", dry.query());
            session.put(&query, &binding)?;
        }
    }
    output::write(&format!("clusterrole.{GROUP}/{name} removed: {}{}\n", said(&subjects), dry.said()))?;
    Ok(Exit::Fine)
}
