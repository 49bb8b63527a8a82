//! `apply`: server-side apply.

use http::Method;
use palisade_client::{Body, Kinds, Optional, Session, encode};
use serde_json::Value;

use crate::args::ApplyArgs;
use crate::dry_run::DryRun;
use crate::error::{Error, Outcome, Result};
use crate::format::Format;
use crate::objects;
use crate::output;
use crate::value::text;

pub(crate) async fn run(args: &ApplyArgs) -> Outcome {
    let objects = objects::read(&args.files)?;
    let session = args.connect.open().await?;
    let kinds = Kinds::read(&session).await?;
    Ok(objects::each(&objects, async |object| one(args, &session, &kinds, object).await).await)
}

async fn one(args: &ApplyArgs, session: &Session, kinds: &Kinds, object: &Value) -> Result<()> {
    let kind = objects::kind_of(kinds, object)?;
    let name = text(object, "/metadata/name");
    if name.is_empty() {
        return Err(Error::FieldMissing("metadata.name"));
    }
    let path = kind.object_path(&objects::namespace_of(session, kind, object)?, name);
    let before = session.get(&path).await.optional()?;
    let applied = match args.write.dry_run {
        DryRun::Client => object.clone(),
        _ => send(args, session, &path, object).await?,
    };
    if !matches!(args.write.output, Format::Table { .. }) {
        return output::print(&applied, Some(kind), &args.write.output);
    }
    let version = |object: &Value| text(object, "/metadata/resourceVersion").to_owned();
    let what = match &before {
        None => "created",
        Some(before) if version(before) == version(&applied) => "unchanged",
        Some(_) => "configured",
    };
    output::message(&format!("{}/{name} {what}{}\n", kind.qualified(), args.write.dry_run.suffix()))
}

async fn send(args: &ApplyArgs, session: &Session, path: &str, object: &Value) -> Result<Value> {
    let manager = encode(&args.field_manager);
    let query =
        format!("{path}?fieldManager={manager}&force={}{}", args.force_conflicts, args.write.dry_run.query());
    let body = Body::new("application/apply-patch+yaml", object.to_string().into_bytes());
    Ok(session.send(Method::PATCH, &query, Some(body)).await?)
}
