//! `create`: objects of files, or one by name.

mod config;
mod rbac;

use palisade_client::{Kind, Kinds, Session, encode};
use palisade_console::Exit;
use palisade_k8s::put;
use serde_json::{Value, json};

use crate::args::{CreateArgs, CreateCommand, MakeArgs, TokenArgs};
use crate::dry_run::DryRun;
use crate::error::{Error, Outcome, Result};
use crate::format::Format;
use crate::objects;
use crate::output;
use crate::value::text;

pub(crate) async fn run(args: &CreateArgs) -> Outcome {
    match &args.command {
        Some(command) => by_name(command).await.map(|()| Exit::Fine),
        None if args.files.is_empty() => Err(Error::NothingToCreate),
        None => from_files(args).await,
    }
}

async fn from_files(args: &CreateArgs) -> Outcome {
    let objects = objects::read(&args.files)?;
    let session = args.connect.open().await?;
    let kinds = Kinds::read(&session).await?;
    let exit = objects::each(&objects, async |object| {
        let kind = objects::kind_of(&kinds, object)?;
        let namespace = objects::namespace_of(&session, kind, object)?;
        post(&session, kind, &namespace, object, args.write.dry_run, &args.write.output).await
    });
    Ok(exit.await)
}

/// Creates an object and reports it.
async fn post(
    session: &Session,
    kind: &Kind,
    namespace: &str,
    object: &Value,
    dry_run: DryRun,
    format: &Format,
) -> Result<()> {
    let created = match dry_run {
        DryRun::Client => object.clone(),
        _ => {
            let path = format!(
                "{}?fieldManager=palisade-create&fieldValidation=Strict{}",
                kind.path(Some(namespace)),
                dry_run.query()
            );
            session.post(&path, object).await?
        }
    };
    if !matches!(format, Format::Table { .. }) {
        return output::print(&created, Some(kind), format);
    }
    let name = text(&created, "/metadata/name");
    output::message(&format!("{}/{name} created{}\n", kind.qualified(), dry_run.suffix()))
}

async fn by_name(command: &CreateCommand) -> Result<()> {
    match command {
        CreateCommand::Serviceaccount(make) => {
            let kind = Kind::v1("", "serviceaccounts", "serviceaccount", "ServiceAccount", true);
            create(make, &kind, json!({})).await
        }
        CreateCommand::Namespace(make) => {
            create(make, &Kind::v1("", "namespaces", "namespace", "Namespace", false), json!({})).await
        }
        CreateCommand::Role(args) => rbac::role(args).await,
        CreateCommand::Clusterrole(args) => rbac::cluster_role(args).await,
        CreateCommand::Rolebinding(args) => rbac::role_binding(args).await,
        CreateCommand::Clusterrolebinding(args) => rbac::cluster_role_binding(args).await,
        CreateCommand::Token(args) => token(args).await,
        CreateCommand::Configmap(args) => config::config_map(args).await,
        CreateCommand::Secret { command } => config::secret(command).await,
    }
}

/// Creates an object of a kind and a name, with further fields.
async fn create(make: &MakeArgs, kind: &Kind, fields: Value) -> Result<()> {
    let session = make.connect.open().await?;
    let mut object =
        json!({"apiVersion": kind.api_version(), "kind": kind.kind, "metadata": {"name": make.name}});
    if kind.namespaced {
        put(&mut object, &["metadata", "namespace"], session.namespace.as_str().into());
    }
    for (field, value) in fields.as_object().into_iter().flatten() {
        put(&mut object, &[field], value.clone());
    }
    post(&session, kind, &session.namespace, &object, make.write.dry_run, &make.write.output).await
}

async fn token(args: &TokenArgs) -> Result<()> {
    let session = args.connect.open().await?;
    let mut spec = json!({"audiences": args.audience});
    if let Some(duration) = args.duration {
        put(&mut spec, &["expirationSeconds"], duration.0.into());
    }
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    let (namespace, name) = (encode(&session.namespace), encode(&args.name));
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
    let answer = session.post(&path, &request).await?;
    output::message(&format!("{}\n", text(&answer, "/status/token")))
}
