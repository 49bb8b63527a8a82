//! `logs`.

use palisade_client::encode;
use palisade_console::Exit;

use crate::args::LogsArgs;
use crate::error::{Error, Outcome, Result};
use crate::output;

/// Prints the log as the container wrote it, its escape sequences included, as kubectl does.
pub(crate) async fn run(args: &LogsArgs) -> Outcome {
    let session = args.connect.open().await?;
    let number = |name: &str, value: Option<u64>| value.map(|value| format!("{name}={value}"));
    let flag = |name: &str, is_set: bool| is_set.then(|| format!("{name}=true"));
    let query: Vec<String> = [
        args.container.as_ref().map(|container| format!("container={}", encode(container))),
        number("tailLines", args.tail),
        number("sinceSeconds", args.since_seconds),
        flag("follow", args.follow),
        flag("previous", args.previous),
        flag("timestamps", args.timestamps),
    ]
    .into_iter()
    .flatten()
    .collect();
    let (namespace, pod) = (encode(&session.namespace), encode(pod_name(&args.pod)?));
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/log?{}", query.join("&"));
    let mut pieces = session.pieces(&path).await?;
    while let Some(piece) = pieces.next().await? {
        output::exact(&piece)?;
    }
    Ok(Exit::Fine)
}

/// The name in `NAME`, `pod/NAME`, `pods/NAME` and `po/NAME`.
pub(crate) fn pod_name(word: &str) -> Result<&str> {
    match word.split_once('/') {
        Some(("pod" | "pods" | "po", name)) => Ok(name),
        Some(_) => Err(Error::NotAPod(word.to_owned())),
        None => Ok(word),
    }
}
