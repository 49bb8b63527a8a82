//! `adm policy who-can`: the users and groups that may perform an action, by OpenShift's `ResourceAccessReview`.

use palisade_client::{Kind, Kinds, encode};
use palisade_console::Exit;
use serde_json::{Value, json};

use crate::args::WhoCanArgs;
use crate::error::Outcome;
use crate::output;
use crate::targets;
use crate::value::text;

const GROUP: &str = "/apis/authorization.openshift.io/v1";

pub(crate) async fn run(args: &WhoCanArgs) -> Outcome {
    let session = args.connect.open().await?;
    let kinds = Kinds::read(&session).await?;
    let kind = targets::kind(&kinds, &args.resource)?;
    let (path, review) = if args.all_namespaces {
        (format!("{GROUP}/resourceaccessreviews"), "ResourceAccessReview")
    } else {
        let namespace = encode(&session.namespace);
        (format!("{GROUP}/namespaces/{namespace}/localresourceaccessreviews"), "LocalResourceAccessReview")
    };
    let request = json!({
        "apiVersion": "authorization.openshift.io/v1", "kind": review, "verb": args.verb,
        "resourceAPIGroup": kind.group, "resourceAPIVersion": kind.version, "resource": kind.plural,
        "resourceName": args.name.as_deref().unwrap_or_default(),
    });
    let answer = session.post(&path, &request).await?;
    output::message(&described(&args.verb, kind, &answer))?;
    Ok(Exit::Fine)
}

/// The answer, in oc's layout.
fn described(verb: &str, kind: &Kind, answer: &Value) -> String {
    let resource = match kind.group.as_str() {
        "" => kind.plural.clone(),
        group => format!("{}.{group}", kind.plural),
    };
    let namespace = match text(answer, "/namespace") {
        "" => "<all>",
        namespace => namespace,
    };
    let mut out = format!(
        "resourceaccessreviewresponse.authorization.openshift.io/<unknown> \n\n\
         Namespace: {namespace}\nVerb:      {verb}\nResource:  {resource}\n\n"
    );
    for (head, field) in [("Users:  ", "users"), ("Groups: ", "groups")] {
        let names = answer.get(field).and_then(Value::as_array).into_iter().flatten();
        let names: Vec<&str> = names.filter_map(Value::as_str).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join("\n        ") };
        out.push_str(&format!("{head}{names}\n"));
    }
    out
}
