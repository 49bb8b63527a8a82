//! `adm policy scc-subject-review` and `scc-review`: which SCC admits the pods of files, for a user or for service accounts.

use palisade_client::{Session, encode};
use palisade_console::Exit;
use palisade_k8s::put;
use palisade_k8s::workload::WorkloadKind;
use serde_json::{Value, json};

use crate::args::SubjectReviewArgs;
use crate::error::{Error, Outcome, Result};
use crate::objects::{self, Placed};
use crate::output;
use crate::table::Columns;
use crate::value::text;

/// The pod template of a workload, with its name in the table.
struct Template {
    title: String,
    template: Value,
}

fn templates(args: &SubjectReviewArgs) -> Result<Vec<Template>> {
    objects::read(&args.files)?.iter().map(template).collect()
}

fn template(Placed { object, place }: &Placed) -> Result<Template> {
    let word = text(object, "/kind");
    let kind = WorkloadKind::of(text(object, "/apiVersion"), word)
        .ok_or_else(|| Error::NoTemplate { kind: word.to_owned() }.at(place))?;
    let path = kind.template_path().to_string();
    let pointer: String =
        path.split('.').filter(|part| !part.is_empty()).flat_map(|part| ["/", part]).collect();
    let template = object.pointer(&pointer).cloned().unwrap_or_default();
    let annotations = template.pointer("/metadata/annotations").cloned().unwrap_or_else(|| json!({}));
    let spec = template.get("spec").cloned().unwrap_or_default();
    Ok(Template {
        title: format!("{}/{}", kind.kind, text(object, "/metadata/name")),
        template: json!({"metadata": {"annotations": annotations}, "spec": spec}),
    })
}

/// Sends a review and returns the answer.
async fn review(session: &Session, plural: &str, kind: &str, spec: Value) -> Result<Value> {
    let review = json!({"apiVersion": "security.openshift.io/v1", "kind": kind, "spec": spec});
    let namespace = encode(&session.namespace);
    let path = format!("/apis/security.openshift.io/v1/namespaces/{namespace}/{plural}");
    Ok(session.post(&path, &review).await?)
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "<none>".to_owned() } else { text.to_owned() }
}

/// `scc-subject-review`. Exit code 1 if a pod is not admitted.
pub(crate) async fn by_subject(args: &SubjectReviewArgs) -> Outcome {
    let session = args.connect.open().await?;
    let mut columns = Columns::default();
    columns.push(["RESOURCE", "ALLOWED BY", "REASON"].map(str::to_owned));
    let mut all = true;
    for Template { title, template } in templates(args)? {
        let answer = subject_review(args, &session, template).await?;
        let scc = text(&answer, "/status/allowedBy/name");
        all &= !scc.is_empty();
        columns.push([title, or_none(scc), text(&answer, "/status/reason").to_owned()]);
    }
    output::message(&columns.lines())?;
    Ok(if all { Exit::Fine } else { Exit::Findings })
}

async fn subject_review(args: &SubjectReviewArgs, session: &Session, mut template: Value) -> Result<Value> {
    // A given service account replaces the template's own.
    if let Some(account) = args.accounts.first() {
        let name = account.rsplit(':').next().unwrap_or(account);
        put(&mut template, &["spec", "serviceAccountName"], name.into());
    }
    let is_self = args.user.is_none() && args.groups.is_empty() && args.accounts.is_empty();
    if is_self {
        let spec = json!({"template": template});
        return review(
            session,
            "podsecuritypolicyselfsubjectreviews",
            "PodSecurityPolicySelfSubjectReview",
            spec,
        )
        .await;
    }
    let account = text(&template, "/spec/serviceAccountName");
    let own = format!("system:serviceaccount:{}:{account}", session.namespace);
    let user = args.user.clone().unwrap_or(if args.groups.is_empty() { own } else { String::new() });
    let spec = json!({"user": user, "groups": args.groups, "template": template});
    review(session, "podsecuritypolicysubjectreviews", "PodSecurityPolicySubjectReview", spec).await
}

/// `scc-review`. Exit code 1 if no service account may run any of the pods.
pub(crate) async fn by_account(args: &SubjectReviewArgs) -> Outcome {
    let session = args.connect.open().await?;
    let mut columns = Columns::default();
    columns.push(["RESOURCE", "SERVICE ACCOUNT", "ALLOWED BY"].map(str::to_owned));
    let mut any = false;
    for Template { title, template } in templates(args)? {
        let spec = json!({"template": template, "serviceAccountNames": args.accounts});
        let answer = review(&session, "podsecuritypolicyreviews", "PodSecurityPolicyReview", spec).await?;
        let allowed = answer.pointer("/status/allowedServiceAccounts").and_then(Value::as_array);
        let allowed = allowed.map(Vec::as_slice).unwrap_or_default();
        any |= !allowed.is_empty();
        if allowed.is_empty() {
            columns.push([title.clone(), "<none>".to_owned(), "<none>".to_owned()]);
        }
        for entry in allowed {
            let (account, scc) = (text(entry, "/name"), text(entry, "/allowedBy/name"));
            columns.push([title.clone(), account.to_owned(), scc.to_owned()]);
        }
    }
    output::message(&columns.lines())?;
    Ok(if any { Exit::Fine } else { Exit::Findings })
}
