//! `label` and `annotate`.

use http::Method;
use palisade_client::{Body, Kinds, Session};
use palisade_console::Exit;
use palisade_k8s::put;
use serde_json::{Value, json};

use crate::args::LabelArgs;
use crate::dry_run::DryRun;
use crate::error::{Error, Outcome, Result};
use crate::output;
use crate::targets::{self, Target};

/// A map of the metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Map {
    Labels,
    Annotations,
}

impl Map {
    fn field(self) -> &'static str {
        match self {
            Self::Labels => "labels",
            Self::Annotations => "annotations",
        }
    }

    /// The participle for a message, such as `labeled`.
    fn done(self, changes: &[Change<'_>]) -> &'static str {
        let only_removes = changes.iter().all(|change| change.value.is_none());
        match self {
            Self::Labels if only_removes => "unlabeled",
            Self::Labels => "labeled",
            Self::Annotations => "annotated",
        }
    }
}

/// `KEY=VALUE` or `KEY-`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change<'a> {
    key: &'a str,
    /// None: the key is removed.
    value: Option<&'a str>,
}

impl<'a> Change<'a> {
    fn parse(word: &'a str) -> Option<Self> {
        match word.split_once('=') {
            Some((key, value)) => Some(Self { key, value: Some(value) }),
            None => word.strip_suffix('-').map(|key| Self { key, value: None }),
        }
    }
}

pub(crate) async fn run(args: &LabelArgs, map: Map) -> Outcome {
    let changes: Vec<Change<'_>> = args.what.iter().filter_map(|word| Change::parse(word)).collect();
    if changes.is_empty() {
        return Err(Error::NoMapChange(map.field()));
    }
    let words: Vec<String> = args.what.iter().filter(|word| Change::parse(word).is_none()).cloned().collect();
    let session = args.connect.open().await?;
    let kinds = Kinds::read(&session).await?;
    for target in targets::targets(&session, &kinds, &words)? {
        one(args, &session, &target, map, &changes).await?;
    }
    Ok(Exit::Fine)
}

async fn one(
    args: &LabelArgs,
    session: &Session,
    target: &Target<'_>,
    map: Map,
    changes: &[Change<'_>],
) -> Result<()> {
    let object = session.get(&target.path).await?;
    let entries = patch(&object, map, changes, args.overwrite)?;
    if args.dry_run != DryRun::Client {
        let patch = json!({"metadata": {map.field(): entries}}).to_string().into_bytes();
        let path = format!("{}?{}", target.path, args.dry_run.query());
        let body = Body::new("application/merge-patch+json", patch);
        session.send(Method::PATCH, &path, Some(body)).await?;
    }
    let (kind, done) = (target.kind.qualified(), map.done(changes));
    output::message(&format!("{kind}/{} {done}{}\n", target.name, args.dry_run.suffix()))
}

/// The merge patch of the map.
fn patch(object: &Value, map: Map, changes: &[Change<'_>], overwrite: bool) -> Result<Value> {
    let entries = object.get("metadata").and_then(|metadata| metadata.get(map.field()));
    let mut patch = json!({});
    for Change { key, value } in changes {
        let before = entries.and_then(|entries| entries.get(*key)?.as_str());
        match (before, value) {
            (Some(before), Some(value)) if before != *value && !overwrite => {
                return Err(Error::HasValue { key: (*key).to_owned(), value: before.to_owned() });
            }
            _ => put(&mut patch, &[key], value.map_or(Value::Null, Value::from)),
        }
    }
    Ok(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_become_a_merge_patch() {
        let object = json!({"metadata": {"labels": {"a": "1"}}});
        let changes = ["a=2", "b=x=y", "c-"].map(|word| Change::parse(word).unwrap());
        let made = patch(&object, Map::Labels, &changes, true).unwrap();
        assert_eq!(made, json!({"a": "2", "b": "x=y", "c": null}));
        assert!(matches!(patch(&object, Map::Labels, &changes, false), Err(Error::HasValue { .. })));
        assert!(patch(&object, Map::Annotations, &changes, false).is_ok());
        assert_eq!(Change::parse("pod/web"), None);
    }
}
