//! `patch`.

use http::Method;
use palisade_client::{Body, Kinds, Session};
use palisade_console::{Exit, input};
use palisade_k8s::manifest;
use serde_json::Value;

use crate::args::PatchArgs;
use crate::dry_run::DryRun;
use crate::error::{Error, Outcome, Result};
use crate::format::Format;
use crate::output;
use crate::targets::{self, Target};
use crate::value::text;

pub(crate) async fn run(args: &PatchArgs) -> Outcome {
    if args.write.dry_run == DryRun::Client {
        return Err(Error::PatchClientDryRun);
    }
    let patch = patch(args)?.to_string().into_bytes();
    let session = args.connect.open().await?;
    let kinds = Kinds::read(&session).await?;
    for target in targets::targets(&session, &kinds, &args.what)? {
        one(args, &session, &target, &patch).await?;
    }
    Ok(Exit::Fine)
}

/// The patch of `--patch` or `--patch-file`.
fn patch(args: &PatchArgs) -> Result<Value> {
    let source = match (&args.patch, &args.patch_file) {
        (None, Some(path)) => {
            let bytes = input::read(path).map_err(|error| Error::file(path, error))?;
            String::from_utf8(bytes).map_err(|_| Error::NotUtf8 { path: path.clone(), line: 1 })?
        }
        (patch, _) => patch.clone().unwrap_or_default(),
    };
    let documents = manifest::read(&source).map_err(Error::PatchSyntax)?;
    let [document] = documents.as_slice() else { return Err(Error::PatchCount) };
    Ok(document.to_json())
}

async fn one(args: &PatchArgs, session: &Session, target: &Target<'_>, patch: &[u8]) -> Result<()> {
    let before = session.get(&target.path).await?;
    let subresource = args.subresource.iter().map(|name| format!("/{name}")).collect::<String>();
    let path = format!("{}{subresource}?{}", target.path, args.write.dry_run.query());
    let body = Body::new(args.kind.media_type(), patch.to_vec());
    let after = session.send(Method::PATCH, &path, Some(body)).await?;
    if !matches!(args.write.output, Format::Table { .. }) {
        return output::print(&after, Some(target.kind), &args.write.output);
    }
    let version = |object: &Value| text(object, "/metadata/resourceVersion").to_owned();
    let is_same = version(&before) == version(&after) && args.write.dry_run == DryRun::None;
    let suffix = if is_same { " (no change)" } else { args.write.dry_run.suffix() };
    output::message(&format!("{}/{} patched{suffix}\n", target.kind.qualified(), target.name))
}
