//! Compiled admission policies, which may decide on pods in place of the webhooks.

use kube::{Client, Error};
use serde_json::{Value, json};

use super::object::api;

/// The kind and the name of an admission policy or binding.
pub type Identity = (&'static str, &'static str);

/// The effect of compiled policies in a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policies {
    /// There are none.
    Absent,
    /// They refuse pods that no SCC admits.
    Enforced,
    /// They only warn, or write to the audit log.
    Lenient,
    /// They do not decide as they were compiled, for this reason.
    Broken(String),
}

/// The object of an identity, without content.
pub(super) fn named((kind, name): Identity) -> Value {
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}})
}

/// Reads the compiled policies. The first two of `identities` are the validating policy and its binding, and the next
/// four are needed too if these refuse.
///
/// # Errors
///
/// The API server refuses or does not answer.
pub async fn policies(client: &Client, identities: &[Identity]) -> Result<Policies, Error> {
    let mut found = Vec::new();
    for identity in identities.iter().take(6) {
        let read = match api(client, &named(*identity)).get_opt(identity.1).await {
            // A kind that the cluster lacks.
            Err(Error::Api(status)) if status.code == 404 => None,
            read => read?,
        };
        let spec = read.map(|mut object| object.data.get_mut("spec").map(Value::take).unwrap_or_default());
        found.push((*identity, spec));
    }
    Ok(judged(&found))
}

fn judged(found: &[(Identity, Option<Value>)]) -> Policies {
    if found.iter().all(|(_, spec)| spec.is_none()) {
        return Policies::Absent;
    }
    let text = |spec: &Value, field: &str| spec.get(field).and_then(Value::as_str).map(str::to_owned);
    let actions = found.get(1).and_then(|(_, spec)| spec.as_ref()?.get("validationActions")?.as_array());
    let refuses = actions.is_none_or(|actions| actions.iter().any(|action| action == "Deny"));
    let (validating, mutating) = found.split_at_checked(2).unwrap_or((found, &[]));
    let needed = if refuses { found } else { validating };
    let missing = needed.iter().find(|(_, spec)| spec.is_none());
    if let Some(((kind, name), _)) = missing {
        return Policies::Broken(format!("{kind} {name} is missing"));
    }
    let ignoring = needed.iter().find(|(_, spec)| {
        spec.as_ref().and_then(|spec| text(spec, "failurePolicy")).is_some_and(|policy| policy != "Fail")
    });
    // Policies that only warn are compiled without one that changes pods.
    let changing = mutating.iter().find(|(_, spec)| spec.is_some());
    if let (false, Some(((changing, _), _)), [_, ((kind, name), _)]) = (refuses, changing, validating) {
        return Policies::Broken(format!(
            "{kind} {name} refuses nothing, although there is a {changing}: it was edited"
        ));
    }
    match ignoring {
        Some(((kind, name), _)) if refuses => {
            Policies::Broken(format!("{kind} {name} admits what it cannot decide (failurePolicy Ignore)"))
        }
        _ if refuses => Policies::Enforced,
        _ => Policies::Lenient,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [&str; 6] = ["V", "VB", "M", "MB", "G", "GB"];

    #[test]
    fn policies_are_in_force_when_all_that_refuse_are_there() {
        let whole = |actions: Value| {
            KINDS.map(|kind| {
                let spec = match kind {
                    "VB" => json!({"policyName": "p", "validationActions": actions}),
                    _ => json!({"failurePolicy": "Fail"}),
                };
                ((kind, "p"), Some(spec))
            })
        };
        let deny = || whole(json!(["Deny"]));
        let without = |names: &[&str], mut found: [(Identity, Option<Value>); 6]| {
            found.iter_mut().filter(|((kind, _), _)| names.contains(kind)).for_each(|(_, spec)| *spec = None);
            judged(&found)
        };
        assert_eq!(without(&[], deny()), Policies::Enforced);
        assert_eq!(without(&KINDS, deny()), Policies::Absent);
        assert_eq!(without(&KINDS[2..], whole(json!(["Warn"]))), Policies::Lenient);
        assert_eq!(
            without(&[], whole(json!(["Warn"]))),
            Policies::Broken("VB p refuses nothing, although there is a M: it was edited".to_owned())
        );
        for kind in KINDS {
            assert_eq!(without(&[kind], deny()), Policies::Broken(format!("{kind} p is missing")));
        }
        let mut ignoring = deny();
        ignoring[0].1 = Some(json!({"failurePolicy": "Ignore"}));
        assert!(
            matches!(without(&[], ignoring), Policies::Broken(why) if why.contains("failurePolicy Ignore"))
        );
    }
}
