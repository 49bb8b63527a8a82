//! `delete`.

use std::time::Duration;

use http::Method;
use palisade_client::{Body, Kind, Kinds, Session, encode};
use palisade_k8s::put;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::args::DeleteArgs;
use crate::dry_run::DryRun;
use crate::error::{Error, Failures, Outcome, Result};
use crate::objects::{self, Placed};
use crate::output;
use crate::targets::{self, Wanted};
use crate::value::text;

/// Maximum time to wait until a deleted object is removed.
const PATIENCE: Duration = Duration::from_secs(120);
/// Interval between two checks.
const PAUSE: Duration = Duration::from_millis(100);

/// An object to delete.
struct Doomed<'k> {
    kind: &'k Kind,
    namespace: String,
    name: String,
}

pub(crate) async fn run(args: &DeleteArgs) -> Outcome {
    let session = args.connect.open().await?;
    let kinds = Kinds::read(&session).await?;
    let doomed = doomed(args, &session, &kinds).await?;
    if doomed.is_empty() {
        output::message("No resources found\n")?;
    }
    let mut failures = Failures::default();
    for object in doomed {
        match one(args, &session, &object).await {
            Err(error) if error.is_not_found() && args.ignore_not_found => {}
            result => failures.note(result),
        }
    }
    Ok(failures.exit())
}

/// All objects that files, names and selectors name.
async fn doomed<'k>(args: &DeleteArgs, session: &Session, kinds: &'k Kinds) -> Result<Vec<Doomed<'k>>> {
    let mut doomed = Vec::new();
    for Placed { object, place } in objects::read(&args.files)? {
        let kind = objects::kind_of(kinds, &object).map_err(|error| error.at(&place))?;
        let namespace = objects::namespace_of(session, kind, &object).map_err(|error| error.at(&place))?;
        doomed.push(Doomed { kind, namespace, name: text(&object, "/metadata/name").to_owned() });
    }
    if args.what.is_empty() {
        return Ok(doomed);
    }
    for Wanted { kind, mut names } in targets::wanted(kinds, &args.what)? {
        if names.is_empty() {
            names = selected(args, session, kind).await?;
        }
        let namespace = || session.namespace.clone();
        doomed.extend(names.into_iter().map(|name| Doomed { kind, namespace: namespace(), name }));
    }
    Ok(doomed)
}

/// The names of the objects of a kind that `--selector` or `--all` select.
async fn selected(args: &DeleteArgs, session: &Session, kind: &Kind) -> Result<Vec<String>> {
    if !args.all && args.selector.is_none() {
        return Err(Error::NothingToDelete);
    }
    let selector = encode(args.selector.as_deref().unwrap_or_default());
    let path = format!("{}?labelSelector={selector}", kind.path(Some(&session.namespace)));
    let list = session.get(&path).await?;
    let items = list.get("items").and_then(Value::as_array).into_iter().flatten();
    Ok(items.map(|object| text(object, "/metadata/name").to_owned()).collect())
}

async fn one(args: &DeleteArgs, session: &Session, object: &Doomed<'_>) -> Result<()> {
    let path = object.kind.object_path(&object.namespace, &object.name);
    let done = format!("{} {:?} deleted{}\n", object.kind.qualified(), object.name, args.dry_run.suffix());
    if args.dry_run == DryRun::Client {
        session.get(&path).await?;
        return output::message(&done);
    }
    let query = format!("{path}?{}", args.dry_run.query());
    let answer = session.send(Method::DELETE, &query, Some(Body::json(&options(args)))).await?;
    output::message(&done)?;
    if args.dry_run == DryRun::Server || !args.wait {
        return Ok(());
    }
    // The answer is the object while it terminates, else a Status that names it.
    let uid = [text(&answer, "/metadata/uid"), text(&answer, "/details/uid")].concat();
    wait(session, &path, &uid, &object.name).await
}

/// The `DeleteOptions` of the request.
fn options(args: &DeleteArgs) -> Value {
    let policy = args.cascade.policy();
    let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy});
    if let Some(seconds) = args.grace_period.or(args.now.then_some(1)) {
        put(&mut options, &["gracePeriodSeconds"], seconds.into());
    }
    options
}

/// Waits until the object is removed, or another one has its name.
async fn wait(session: &Session, path: &str, uid: &str, name: &str) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        match session.get(path).await {
            Err(error) if error.is_not_found() || error.is_forbidden() => return Ok(()),
            Ok(found) if text(&found, "/metadata/uid") != uid => return Ok(()),
            Ok(_) => tokio::time::sleep(PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::NotGone(name.to_owned()))
}
