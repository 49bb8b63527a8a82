//! `palisade delete`.

use palisade_k8s::put;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use super::args::DeleteArgs;
use super::create::DryRun;
use super::file;
use super::get;
use super::kind::{Kind, Kinds, encode};
use super::output::{self, text};
use super::session::{ClusterError, Result, Session};
use crate::exit::Exit;

/// How long to wait for what is deleted to be gone.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn run(args: &DeleteArgs) -> crate::Outcome {
    let policy = match args.cascade.as_str() {
        "background" | "true" => "Background",
        "foreground" => "Foreground",
        "orphan" | "false" => "Orphan",
        other => {
            return Err(ClusterError::Usage(format!(
                "--cascade: {other:?} is none of background, foreground and orphan"
            ))
            .into());
        }
    };
    let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy});
    if let Some(seconds) = args.grace_period.or(args.now.then_some(1)) {
        put(&mut options, &["gracePeriodSeconds"], seconds.into());
    }
    let session = Session::open(&args.connect)?;
    let kinds = Kinds::read(&session)?;
    let dry = DryRun::parse(&args.dry_run)?;
    let mut failed: Option<ClusterError> = None;
    let targets = targets(args, &session, &kinds)?;
    if targets.is_empty() {
        output::write("No resources found\n")?;
    }
    for (kind, namespace, name) in targets {
        match one(args, &session, kind, (&namespace, &name), &options, dry) {
            Err(error) if error.is_not_found() && args.ignore_not_found => {}
            Err(error) => {
                if let Some(earlier) = failed.replace(error) {
                    crate::exit::report(&earlier);
                }
            }
            Ok(()) => {}
        }
    }
    failed.map_or(Ok(Exit::Fine), |error| Err(error.into()))
}

fn targets<'k>(
    args: &DeleteArgs,
    session: &Session,
    kinds: &'k Kinds,
) -> Result<Vec<(&'k Kind, String, String)>> {
    let mut targets = Vec::new();
    for (object, place) in file::read(&args.files)? {
        let kind =
            kinds.of_object(&object).map_err(|error| ClusterError::Usage(format!("{place}: {error}")))?;
        let namespace = super::create::namespace_of(session, kind, &object)?;
        targets.push((kind, namespace, text(&object, "/metadata/name").to_owned()));
    }
    if args.what.is_empty() {
        return Ok(targets);
    }
    for wanted in get::wanted(kinds, &args.what)? {
        if wanted.names.is_empty() {
            if !args.all && args.selector.is_none() {
                return Err(ClusterError::Usage("give names, --selector or --all".to_owned()));
            }
            let selector = args.selector.as_deref().unwrap_or_default();
            let path =
                format!("{}?labelSelector={}", wanted.kind.path(Some(&session.namespace)), encode(selector));
            let list = session.get(&path)?;
            let items = list.get("items").and_then(Value::as_array).into_iter().flatten();
            let names = items.map(|object| text(object, "/metadata/name").to_owned());
            targets.extend(names.map(|name| (wanted.kind, session.namespace.clone(), name)));
        }
        let named = wanted.names.iter().map(|name| (wanted.kind, session.namespace.clone(), name.clone()));
        targets.extend(named);
    }
    Ok(targets)
}

fn one(
    args: &DeleteArgs,
    session: &Session,
    kind: &Kind,
    (namespace, name): (&str, &str),
    options: &Value,
    dry: DryRun,
) -> Result<()> {
    let path = kind.object_path(namespace, name);
    let said = format!("{} {name:?} deleted{}\n", kind.said(), dry.said());
    if dry == DryRun::Client {
        session.get(&path)?;
        return output::write(&said);
    }
    let body = options.to_string().into_bytes();
    let asked = format!("{path}?{}", dry.query());
    let answer = session.send(Method::DELETE, &asked, Some(("application/json", body)))?;
    output::write(&said)?;
    if dry == DryRun::Server {
        return Ok(());
    }
    let uid = [text(&answer, "/metadata/uid"), text(&answer, "/details/uid")].join("");
    if args.wait { wait(session, &path, &uid) } else { Ok(()) }
}

/// Waits until the object is gone, or another has its name.
fn wait(session: &Session, path: &str, uid: &str) -> Result<()> {
    let start = Instant::now();
    loop {
        match session.get(path) {
            Err(error) if error.is_not_found() || error.code() == Some(403) => return Ok(()),
            Ok(found) if text(&found, "/metadata/uid") != uid => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(error),
        }
        if start.elapsed() > PATIENCE {
            return Err(ClusterError::Usage(
                "it is deleted but not yet gone: something holds it by a finalizer".to_owned(),
            ));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
