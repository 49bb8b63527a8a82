//! `palisade describe`.

mod account;
mod config;
mod container;
mod events;
mod namespace;
mod node;
mod object;
mod pod;
mod rbac;
mod scc;
mod sheet;
mod storage;
mod volume;

use serde_json::Value;

use super::args::DescribeArgs;
use super::get;
use super::kind::{Kind, Kinds, encode};
use super::output;
use super::session::{Result, Session};
use crate::exit::Exit;

pub(crate) fn run(args: &DescribeArgs) -> crate::Outcome {
    let session = Session::open(&args.connect)?;
    let kinds = Kinds::read(&session)?;
    let mut said = Vec::new();
    for wanted in get::wanted(&kinds, &args.what)? {
        for object in objects(&session, args, &wanted)? {
            said.push(describe(&session, wanted.kind, &object));
        }
    }
    output::write(&said.join("\n\n"))?;
    Ok(Exit::Fine)
}

fn objects(session: &Session, args: &DescribeArgs, wanted: &get::Wanted<'_>) -> Result<Vec<Value>> {
    if !wanted.names.is_empty() {
        let paths = wanted.names.iter().map(|name| wanted.kind.object_path(&session.namespace, name));
        return paths.map(|path| session.get(&path)).collect();
    }
    let selector = args.selector.as_deref().unwrap_or_default();
    let path = format!("{}?labelSelector={}", wanted.kind.path(Some(&session.namespace)), encode(selector));
    let list = session.get(&path)?;
    Ok(list.get("items").and_then(Value::as_array).cloned().unwrap_or_default())
}

fn describe(session: &Session, kind: &Kind, object: &Value) -> String {
    match kind.kind.as_str() {
        "SecurityContextConstraints" => scc::describe(session, object),
        "ServiceAccount" => account::describe(session, object),
        "Pod" => pod::describe(session, object),
        "Role" | "ClusterRole" => rbac::role(object),
        "RoleBinding" | "ClusterRoleBinding" => rbac::binding(object),
        "ConfigMap" => config::config_map(session, object),
        "Secret" => config::secret(object),
        "PersistentVolumeClaim" => storage::claim(session, object),
        "PersistentVolume" => storage::persistent(session, object),
        "Node" => node::describe(session, object),
        "Namespace" => namespace::namespace(object),
        "Project" => namespace::project(object),
        _ => object::describe(session, kind, object),
    }
}

pub(super) use rbac::rows;

/// A word for what is not there.
fn or_none(text: impl Into<String>) -> String {
    let text = text.into();
    if text.is_empty() { "<none>".to_owned() } else { text }
}
