//! `auth can-i`.

use palisade_client::{Kinds, Session};
use palisade_console::{Exit, terminal};
use serde_json::{Value, json};

use crate::args::CanIArgs;
use crate::error::{Outcome, Result};
use crate::output;
use crate::rules;
use crate::table::Columns;
use crate::value::text;

pub(crate) async fn run(args: &CanIArgs) -> Outcome {
    let session = args.connect.open().await?;
    if args.list {
        return list(&session).await;
    }
    let is_allowed = is_allowed(&session, &spec(args, &session).await?).await?;
    if !args.quiet {
        output::message(if is_allowed { "yes\n" } else { "no\n" })?;
    }
    Ok(if is_allowed { Exit::Fine } else { Exit::Findings })
}

/// The `spec` of the access review that the arguments describe.
async fn spec(args: &CanIArgs, session: &Session) -> Result<Value> {
    let mut words = args.what.iter().map(String::as_str);
    let (verb, what) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if what.starts_with('/') {
        return Ok(json!({"nonResourceAttributes": {"verb": verb, "path": what}}));
    }
    let (word, own_name) = what.split_once('/').unwrap_or((what, ""));
    let name = words.next().unwrap_or(own_name);
    let kinds = Kinds::read(session).await?;
    let (group, resource, namespaced) = match (word, kinds.find(word)) {
        ("*", _) => ("*", "*", true),
        (_, Some(kind)) => (kind.group.as_str(), kind.plural.as_str(), kind.namespaced),
        (word, None) => {
            terminal::warn(format_args!("the server doesn't have a resource type {word:?}"));
            ("", word, true)
        }
    };
    let namespace = if args.all_namespaces || !namespaced { "" } else { session.namespace.as_str() };
    Ok(json!({"resourceAttributes": {"verb": verb, "group": group, "resource": resource, "name": name,
        "namespace": namespace, "subresource": args.subresource.as_deref().unwrap_or_default()}}))
}

/// Whether the user may do what the `spec` of an access review describes.
pub(crate) async fn is_allowed(session: &Session, spec: &Value) -> Result<bool> {
    let review =
        json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec});
    let answer = session.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await?;
    Ok(answer.pointer("/status/allowed") == Some(&Value::Bool(true)))
}

/// All that the user may do in the namespace.
async fn list(session: &Session) -> Outcome {
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
                        "spec": {"namespace": session.namespace}});
    let answer = session.post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", &review).await?;
    if answer.pointer("/status/incomplete") == Some(&Value::Bool(true)) {
        let reason = text(&answer, "/status/evaluationError");
        terminal::warn(format_args!("the list may be incomplete: {reason}"));
    }
    let field = |name: &str| answer.get("status").and_then(|status| status.get(name)?.as_array());
    let rules: Vec<Value> =
        ["resourceRules", "nonResourceRules"].into_iter().filter_map(field).flatten().cloned().collect();
    let mut columns = Columns::default();
    columns.push(["Resources", "Non-Resource URLs", "Resource Names", "Verbs"].map(str::to_owned));
    rules::rows(&rules).into_iter().for_each(|row| columns.push(row));
    output::message(&columns.lines())?;
    Ok(Exit::Fine)
}
