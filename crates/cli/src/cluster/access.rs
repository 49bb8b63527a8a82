//! `palisade auth can-i`, `adm policy who-can`, `scc-subject-review`, `scc-review`.

use palisade_k8s::put;
use palisade_k8s::workload::WorkloadKind;
use serde_json::{Value, json};

use super::args::{CanIArgs, SubjectReviewArgs, WhoCanArgs};
use super::describe;
use super::file;
use super::kind::{Kinds, encode};
use super::output::{self, Columns, text};
use super::session::{ClusterError, Result, Session};
use crate::exit::Exit;

/// All that one may do in a namespace.
fn list(args: &CanIArgs) -> crate::Outcome {
    let session = Session::open(&args.connect)?;
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
                        "spec": {"namespace": session.namespace}});
    let answer = session.post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", &review)?;
    if answer.pointer("/status/incomplete") == Some(&Value::Bool(true)) {
        let why = text(&answer, "/status/evaluationError");
        anstream::eprintln!("{}: the list may be incomplete: {why}", crate::paint::warning("warning"));
    }
    let mut rules = Vec::new();
    for field in ["resourceRules", "nonResourceRules"] {
        rules.extend(
            answer
                .pointer(&format!("/status/{field}"))
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default(),
        );
    }
    let mut columns = Columns::default();
    columns.push(["Resources", "Non-Resource URLs", "Resource Names", "Verbs"].map(str::to_owned));
    describe::rows(&rules).into_iter().for_each(|row| columns.push(row));
    output::write(&columns.lines())?;
    Ok(Exit::Fine)
}

pub(crate) fn can_i(args: &CanIArgs) -> crate::Outcome {
    if args.list {
        return list(args);
    }
    let (verb, what) = match args.what.as_slice() {
        [verb, what, rest @ ..] => {
            (verb, rest.first().map_or_else(|| what.clone(), |name| format!("{what}/{name}")))
        }
        _ => return Err(ClusterError::Usage("give a verb and a type".to_owned()).into()),
    };
    let session = Session::open(&args.connect)?;
    let spec = if what.starts_with('/') {
        json!({"nonResourceAttributes": {"verb": verb, "path": what}})
    } else {
        let (word, name) = what.split_once('/').unwrap_or((&what, ""));
        let kinds = Kinds::read(&session)?;
        let (group, resource, namespaced) = match (word, kinds.find(word)) {
            ("*", _) => ("*".to_owned(), "*".to_owned(), true),
            (_, Ok(kind)) => (kind.group.clone(), kind.plural.clone(), kind.namespaced),
            (word, Err(error)) => {
                anstream::eprintln!("{}: {error}", crate::paint::warning("Warning"));
                (String::new(), word.to_owned(), true)
            }
        };
        let namespace = if args.all_namespaces || !namespaced { "" } else { session.namespace.as_str() };
        json!({"resourceAttributes": {"verb": verb, "group": group, "resource": resource, "name": name,
               "namespace": namespace, "subresource": args.subresource.as_deref().unwrap_or_default()}})
    };
    let may = may(&session, &spec)?;
    if !args.quiet {
        output::write(if may { "yes\n" } else { "no\n" })?;
    }
    Ok(if may { Exit::Fine } else { Exit::Findings })
}

/// Whether who asks may do what the spec of an access review says.
pub(crate) fn may(session: &Session, spec: &Value) -> Result<bool> {
    let review =
        json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec});
    let answer = session.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review)?;
    Ok(answer.pointer("/status/allowed") == Some(&Value::Bool(true)))
}

pub(crate) fn who_can(args: &WhoCanArgs) -> crate::Outcome {
    let session = Session::open(&args.connect)?;
    let kinds = Kinds::read(&session)?;
    let kind = kinds.find(&args.resource)?;
    let (path, review) = if args.all_namespaces {
        ("resourceaccessreviews".to_owned(), "ResourceAccessReview")
    } else {
        (
            format!("namespaces/{}/localresourceaccessreviews", encode(&session.namespace)),
            "LocalResourceAccessReview",
        )
    };
    let request = json!({
        "apiVersion": "authorization.openshift.io/v1", "kind": review, "verb": args.verb,
        "resourceAPIGroup": kind.group, "resourceAPIVersion": kind.version, "resource": kind.plural,
        "resourceName": args.name.as_deref().unwrap_or_default(),
    });
    let answer = session.post(&format!("/apis/authorization.openshift.io/v1/{path}"), &request)?;
    let mut resource = kind.plural.clone();
    if !kind.group.is_empty() {
        resource = format!("{resource}.{}", kind.group);
    }
    let list = |field: &str| -> Vec<String> {
        let items = answer.get(field).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut said = String::from("resourceaccessreviewresponse.authorization.openshift.io/<unknown> \n\n");
    match text(&answer, "/namespace") {
        "" => said.push_str("Namespace: <all>\n"),
        namespace => said.push_str(&format!("Namespace: {namespace}\n")),
    }
    said.push_str(&format!("Verb:      {}\nResource:  {resource}\n\n", args.verb));
    for (head, names) in [("Users:  ", list("users")), ("Groups: ", list("groups"))] {
        let names = if names.is_empty() { vec!["none".to_owned()] } else { names };
        said.push_str(&format!("{head}{}\n", names.join("\n        ")));
    }
    output::write(&said)?;
    Ok(Exit::Fine)
}

/// The pod templates of files: word for the table, name, template.
fn templates(args: &SubjectReviewArgs) -> Result<Vec<(String, Value)>> {
    let mut templates = Vec::new();
    for (object, place) in file::read(&args.files)? {
        let kind =
            WorkloadKind::of(text(&object, "/apiVersion"), text(&object, "/kind")).ok_or_else(|| {
                ClusterError::Usage(format!("{place}: {} holds no pod template", text(&object, "/kind")))
            })?;
        let pointer: String = kind
            .template_path()
            .to_string()
            .split('.')
            .filter(|part| !part.is_empty())
            .map(|part| format!("/{part}"))
            .collect();
        let template = object.pointer(&pointer).cloned().unwrap_or_default();
        let word = format!("{}/{}", kind.kind, text(&object, "/metadata/name"));
        let metadata = template.get("metadata").cloned().unwrap_or_else(|| json!({}));
        let template = json!({"metadata": {"annotations": metadata.get("annotations").cloned().unwrap_or_else(|| json!({}))},
                              "spec": template.get("spec").cloned().unwrap_or_default()});
        templates.push((word, template));
    }
    Ok(templates)
}

pub(crate) fn subject_review(args: &SubjectReviewArgs) -> crate::Outcome {
    let session = Session::open(&args.connect)?;
    let mut columns = Columns::default();
    columns.push(["RESOURCE", "ALLOWED BY", "REASON"].map(str::to_owned));
    let mut all = true;
    for (word, mut template) in templates(args)? {
        // An account given here is asked about as what it is: the template's account.
        if let Some(account) = args.accounts.first() {
            put(
                &mut template,
                &["spec", "serviceAccountName"],
                account.rsplit(':').next().unwrap_or(account).into(),
            );
        }
        let account = text(&template, "/spec/serviceAccountName").to_owned();
        let is_self = args.user.is_none() && args.groups.is_empty() && args.accounts.is_empty();
        let (plural, kind, mut spec) = if is_self {
            ("podsecuritypolicyselfsubjectreviews", "PodSecurityPolicySelfSubjectReview", json!({}))
        } else {
            let own = format!("system:serviceaccount:{}:{account}", session.namespace);
            let user = args.user.clone().unwrap_or(if args.groups.is_empty() { own } else { String::new() });
            (
                "podsecuritypolicysubjectreviews",
                "PodSecurityPolicySubjectReview",
                json!({"user": user, "groups": args.groups}),
            )
        };
        put(&mut spec, &["template"], template);
        let review = json!({"apiVersion": "security.openshift.io/v1", "kind": kind, "spec": spec});
        let path =
            format!("/apis/security.openshift.io/v1/namespaces/{}/{plural}", encode(&session.namespace));
        let answer = session.post(&path, &review)?;
        let (scc, why) = (text(&answer, "/status/allowedBy/name"), text(&answer, "/status/reason"));
        all &= !scc.is_empty();
        let or_none = |said: &str| if said.is_empty() { "<none>".to_owned() } else { said.to_owned() };
        columns.push([word, or_none(scc), why.to_owned()]);
    }
    output::write(&columns.lines())?;
    Ok(if all { Exit::Fine } else { Exit::Findings })
}

pub(crate) fn review(args: &SubjectReviewArgs) -> crate::Outcome {
    let session = Session::open(&args.connect)?;
    let mut columns = Columns::default();
    columns.push(["RESOURCE", "SERVICE ACCOUNT", "ALLOWED BY"].map(str::to_owned));
    let mut any = false;
    for (word, template) in templates(args)? {
        let review = json!({"apiVersion": "security.openshift.io/v1", "kind": "PodSecurityPolicyReview",
            "spec": {"template": template, "serviceAccountNames": args.accounts}});
        let path = format!(
            "/apis/security.openshift.io/v1/namespaces/{}/podsecuritypolicyreviews",
            encode(&session.namespace)
        );
        let answer = session.post(&path, &review)?;
        let allowed = answer.pointer("/status/allowedServiceAccounts").and_then(Value::as_array);
        let mut found = allowed.into_iter().flatten().peekable();
        any |= found.peek().is_some();
        if found.peek().is_none() {
            columns.push([word.clone(), "<none>".to_owned(), "<none>".to_owned()]);
        }
        for entry in found {
            columns.push([
                word.clone(),
                text(entry, "/name").to_owned(),
                text(entry, "/allowedBy/name").to_owned(),
            ]);
        }
    }
    output::write(&columns.lines())?;
    Ok(if any { Exit::Fine } else { Exit::Findings })
}
