//! `describe`: the details of objects, each kind laid out as kubectl and oc do.

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

use palisade_client::{Kind, Kinds, Session, encode};
use palisade_console::Exit;
use serde_json::Value;

use crate::args::DescribeArgs;
use crate::error::{Outcome, Result};
use crate::output;
use crate::targets::{self, Wanted};

pub(crate) async fn run(args: &DescribeArgs) -> Outcome {
    let session = args.connect.open().await?;
    let kinds = Kinds::read(&session).await?;
    let mut sheets = Vec::new();
    for wanted in targets::wanted(&kinds, &args.what)? {
        for object in objects(&session, args, &wanted).await? {
            sheets.push(describe(&session, wanted.kind, &object).await);
        }
    }
    output::message(&sheets.join("\n\n"))?;
    Ok(Exit::Fine)
}

async fn objects(session: &Session, args: &DescribeArgs, wanted: &Wanted<'_>) -> Result<Vec<Value>> {
    let Wanted { kind, names } = wanted;
    let mut objects = Vec::new();
    for name in names {
        objects.push(session.get(&kind.object_path(&session.namespace, name)).await?);
    }
    if !names.is_empty() {
        return Ok(objects);
    }
    let selector = encode(args.selector.as_deref().unwrap_or_default());
    let list =
        session.get(&format!("{}?labelSelector={selector}", kind.path(Some(&session.namespace)))).await?;
    Ok(list.get("items").and_then(Value::as_array).cloned().unwrap_or_default())
}

async fn describe(session: &Session, kind: &Kind, object: &Value) -> String {
    match kind.kind.as_str() {
        "SecurityContextConstraints" => scc::describe(session, object).await,
        "ServiceAccount" => account::describe(session, object).await,
        "Pod" => pod::describe(session, object).await,
        "Role" | "ClusterRole" => rbac::role(object),
        "RoleBinding" | "ClusterRoleBinding" => rbac::binding(object),
        "ConfigMap" => config::config_map(session, object).await,
        "Secret" => config::secret(object),
        "PersistentVolumeClaim" => storage::claim(session, object).await,
        "PersistentVolume" => storage::persistent(session, object).await,
        "Node" => node::describe(session, object).await,
        "Namespace" => namespace::namespace(object),
        "Project" => namespace::project(object),
        _ => object::describe(session, kind, object).await,
    }
}

/// A string, or `<none>` for an empty one.
fn or_none(text: impl Into<String>) -> String {
    let text = text.into();
    if text.is_empty() { "<none>".to_owned() } else { text }
}
