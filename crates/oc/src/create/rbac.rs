//! `create role`, `clusterrole`, `rolebinding`, `clusterrolebinding`.

use palisade_client::{Kind, Kinds};
use palisade_k8s::put;
use palisade_k8s::rbac::GROUP;
use serde_json::{Value, json};

use super::create;
use crate::args::{BindingArgs, RoleArgs};
use crate::error::{Error, Result};
use crate::targets;
use crate::value::text;

pub(super) async fn role(args: &RoleArgs) -> Result<()> {
    if !args.non_resource_url.is_empty() {
        return Err(Error::UrlInRole);
    }
    with_rules(args, &Kind::v1(GROUP, "roles", "role", "Role", true)).await
}

pub(super) async fn cluster_role(args: &RoleArgs) -> Result<()> {
    with_rules(args, &Kind::v1(GROUP, "clusterroles", "clusterrole", "ClusterRole", false)).await
}

async fn with_rules(args: &RoleArgs, kind: &Kind) -> Result<()> {
    if args.resource.is_empty() && args.non_resource_url.is_empty() {
        return Err(Error::NoResource);
    }
    let mut rules = Vec::new();
    if !args.resource.is_empty() {
        let session = args.make.connect.open().await?;
        rules = resource_rules(args, &Kinds::read(&session).await?)?;
    }
    if !args.non_resource_url.is_empty() {
        rules.push(json!({"verbs": args.verb, "nonResourceURLs": args.non_resource_url}));
    }
    create(&args.make, kind, json!({ "rules": rules })).await
}

/// The rules of `--resource`, one for each API group.
fn resource_rules(args: &RoleArgs, kinds: &Kinds) -> Result<Vec<Value>> {
    let mut rules: Vec<Value> = Vec::new();
    for word in &args.resource {
        let (group, resource) = resource(word, kinds)?;
        let same = rules.iter_mut().find(|rule| text(rule, "/apiGroups/0") == group);
        match same.and_then(|rule| rule.get_mut("resources")).and_then(Value::as_array_mut) {
            Some(resources) => resources.push(resource.into()),
            None => {
                let mut rule = json!({"verbs": args.verb, "apiGroups": [group], "resources": [resource]});
                if !args.resource_name.is_empty() {
                    put(&mut rule, &["resourceNames"], json!(args.resource_name));
                }
                rules.push(rule);
            }
        }
    }
    Ok(rules)
}

/// The group and the resource of `RESOURCE[/SUBRESOURCE]`.
fn resource(word: &str, kinds: &Kinds) -> Result<(String, String)> {
    let (word, subresource) = word.split_once('/').map_or((word, None), |(word, sub)| (word, Some(sub)));
    let (group, plural) = match word {
        "*" => ("*", "*"),
        word => {
            let kind = targets::kind(kinds, word)?;
            (kind.group.as_str(), kind.plural.as_str())
        }
    };
    let resource = match subresource {
        Some(subresource) => format!("{plural}/{subresource}"),
        None => plural.to_owned(),
    };
    Ok((group.to_owned(), resource))
}

pub(super) async fn role_binding(args: &BindingArgs) -> Result<()> {
    let role = match (&args.role, &args.clusterrole) {
        (Some(role), None) => ("Role", role),
        (None, Some(role)) => ("ClusterRole", role),
        _ => return Err(Error::RoleOrClusterRole),
    };
    binding(args, &Kind::v1(GROUP, "rolebindings", "rolebinding", "RoleBinding", true), role).await
}

pub(super) async fn cluster_role_binding(args: &BindingArgs) -> Result<()> {
    let kind = Kind::v1(GROUP, "clusterrolebindings", "clusterrolebinding", "ClusterRoleBinding", false);
    match (&args.role, &args.clusterrole) {
        (None, Some(role)) => binding(args, &kind, ("ClusterRole", role)).await,
        _ => Err(Error::RoleOrClusterRole),
    }
}

async fn binding(args: &BindingArgs, kind: &Kind, (role_kind, role): (&str, &String)) -> Result<()> {
    let mut subjects = Vec::new();
    for (kind, names) in [("User", &args.user), ("Group", &args.group)] {
        subjects.extend(names.iter().map(|name| json!({"kind": kind, "apiGroup": GROUP, "name": name})));
    }
    subjects.extend(args.serviceaccount.iter().map(
        |account| json!({"kind": "ServiceAccount", "namespace": account.namespace, "name": account.name}),
    ));
    let reference = json!({"apiGroup": GROUP, "kind": role_kind, "name": role});
    create(&args.make, kind, json!({"roleRef": reference, "subjects": subjects})).await
}
