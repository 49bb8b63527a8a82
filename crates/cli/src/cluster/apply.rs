//! `palisade apply`.

use http::Method;
use serde_json::Value;

use super::args::ApplyArgs;
use super::create::{DryRun, namespace_of};
use super::file;
use super::kind::{Kinds, encode};
use super::output::{self, Format, text};
use super::session::{ClusterError, Result, Session};
use crate::exit::Exit;

pub(crate) fn run(args: &ApplyArgs) -> crate::Outcome {
    let (format, dry) = (Format::parse(args.output.as_deref())?, DryRun::parse(&args.dry_run)?);
    let objects = file::read(&args.files)?;
    let session = Session::open(&args.connect)?;
    let kinds = Kinds::read(&session)?;
    file::each(&objects, |object| one(args, &session, &kinds, object, dry, &format))?;
    Ok(Exit::Fine)
}

fn one(
    args: &ApplyArgs,
    session: &Session,
    kinds: &Kinds,
    object: &Value,
    dry: DryRun,
    format: &Format,
) -> Result<()> {
    let kind = kinds.of_object(object)?;
    let name = text(object, "/metadata/name");
    if name.is_empty() {
        return Err(ClusterError::Usage("apply needs metadata.name".to_owned()));
    }
    let path = kind.object_path(&namespace_of(session, kind, object)?, name);
    let before = match session.get(&path) {
        Err(error) if error.is_not_found() => None,
        found => Some(found?),
    };
    let applied = if dry == DryRun::Client {
        object.clone()
    } else {
        let query = format!(
            "{path}?fieldManager={}&force={}{}",
            encode(&args.field_manager),
            args.force_conflicts,
            dry.query()
        );
        let body = object.to_string().into_bytes();
        session.send(Method::PATCH, &query, Some(("application/apply-patch+yaml", body)))?
    };
    if !matches!(format, Format::Table { .. }) {
        return output::print(&applied, Some(kind), format);
    }
    let version = |object: &Value| text(object, "/metadata/resourceVersion").to_owned();
    let what = match &before {
        None => "created",
        Some(before) if version(before) == version(&applied) => "unchanged",
        Some(_) => "configured",
    };
    output::write(&format!("{}/{name} {what}{}\n", kind.said(), dry.said()))
}
