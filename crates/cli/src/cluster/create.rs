//! `palisade create`.

mod config;

use palisade_k8s::put;
use serde_json::{Value, json};

use super::args::{BindingArgs, CreateArgs, CreateCommand, MakeArgs, RoleArgs, TokenArgs};
use super::file;
use super::kind::{Kind, Kinds, encode};
use super::output::{self, Format, text};
use super::session::{ClusterError, Result, Session};
use crate::exit::Exit;

const RBAC: &str = palisade_k8s::rbac::GROUP;

/// How much of a write is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DryRun {
    None,
    Client,
    Server,
}

impl DryRun {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        match text {
            "none" => Ok(Self::None),
            "client" => Ok(Self::Client),
            "server" => Ok(Self::Server),
            other => {
                Err(ClusterError::Usage(format!("--dry-run: {other:?} is none of none, client and server")))
            }
        }
    }

    pub(crate) fn query(self) -> &'static str {
        if self == Self::Server { "&dryRun=All" } else { "" }
    }

    pub(crate) fn said(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Client => " (dry run)",
            Self::Server => " (server dry run)",
        }
    }
}

pub(crate) fn run(args: &CreateArgs) -> crate::Outcome {
    match &args.command {
        Some(command) => by_name(command)?,
        None if args.files.is_empty() => {
            return Err(ClusterError::Usage("give --filename, or what to create".to_owned()).into());
        }
        None => from_files(args)?,
    }
    Ok(Exit::Fine)
}

fn from_files(args: &CreateArgs) -> Result<()> {
    let (format, dry) = (Format::parse(args.output.as_deref())?, DryRun::parse(&args.dry_run)?);
    let objects = file::read(&args.files)?;
    let session = Session::open(&args.connect)?;
    let kinds = Kinds::read(&session)?;
    file::each(&objects, |object| {
        let kind = kinds.of_object(object)?;
        let namespace = namespace_of(&session, kind, object)?;
        post(&session, kind, &namespace, object, dry, &format)
    })
}

/// The namespace that an object goes into; a file and the command line must not disagree.
pub(crate) fn namespace_of(session: &Session, kind: &Kind, object: &Value) -> Result<String> {
    let own = text(object, "/metadata/namespace");
    if kind.namespaced && session.has_namespace && !own.is_empty() && own != session.namespace {
        return Err(ClusterError::Usage(format!(
            "the namespace from the provided object {own:?} does not match the namespace {:?}",
            session.namespace
        )));
    }
    Ok(if own.is_empty() { session.namespace.clone() } else { own.to_owned() })
}

fn post(
    session: &Session,
    kind: &Kind,
    namespace: &str,
    object: &Value,
    dry: DryRun,
    format: &Format,
) -> Result<()> {
    let made = match dry {
        DryRun::Client => object.clone(),
        _ => {
            let path = format!("{}?fieldManager=palisade-create{}", kind.path(Some(namespace)), dry.query());
            session.post(&path, object)?
        }
    };
    match format {
        Format::Table { .. } => output::write(&format!(
            "{}/{} created{}\n",
            kind.said(),
            text(&made, "/metadata/name"),
            dry.said()
        )),
        format => output::print(&made, Some(kind), format),
    }
}

fn by_name(command: &CreateCommand) -> Result<()> {
    match command {
        CreateCommand::Serviceaccount(make) => {
            let kind = kind("", "serviceaccounts", "serviceaccount", "ServiceAccount", true);
            made(make, &kind, json!({}))
        }
        CreateCommand::Namespace(make) => {
            made(make, &kind("", "namespaces", "namespace", "Namespace", false), json!({}))
        }
        CreateCommand::Role(args) => role(args, &kind(RBAC, "roles", "role", "Role", true)),
        CreateCommand::Clusterrole(args) => {
            role(args, &kind(RBAC, "clusterroles", "clusterrole", "ClusterRole", false))
        }
        CreateCommand::Rolebinding(args) => {
            binding(args, &kind(RBAC, "rolebindings", "rolebinding", "RoleBinding", true))
        }
        CreateCommand::Clusterrolebinding(args) => {
            let kind = kind(RBAC, "clusterrolebindings", "clusterrolebinding", "ClusterRoleBinding", false);
            binding(args, &kind)
        }
        CreateCommand::Token(args) => token(args),
        CreateCommand::Configmap(args) => config::config_map(args),
        CreateCommand::Secret { command } => config::secret(command),
    }
}

/// A kind that every server has.
pub(crate) fn kind(group: &str, plural: &str, singular: &str, kind: &str, namespaced: bool) -> Kind {
    Kind {
        group: group.to_owned(),
        version: "v1".to_owned(),
        plural: plural.to_owned(),
        singular: singular.to_owned(),
        kind: kind.to_owned(),
        namespaced,
        short_names: Vec::new(),
        categories: Vec::new(),
    }
}

fn made(make: &MakeArgs, kind: &Kind, rest: Value) -> Result<()> {
    let (format, dry) = (Format::parse(make.output.as_deref())?, DryRun::parse(&make.dry_run)?);
    let session = Session::open(&make.connect)?;
    let mut object =
        json!({"apiVersion": kind.api_version(), "kind": kind.kind, "metadata": {"name": make.name}});
    if kind.namespaced {
        put(&mut object, &["metadata", "namespace"], session.namespace.as_str().into());
    }
    for (field, value) in rest.as_object().into_iter().flatten() {
        put(&mut object, &[field], value.clone());
    }
    post(&session, kind, &session.namespace, &object, dry, &format)
}

fn role(args: &RoleArgs, kind: &Kind) -> Result<()> {
    if args.resource.is_empty() && args.non_resource_url.is_empty() {
        return Err(ClusterError::Usage("at least one --resource must be specified".to_owned()));
    }
    if kind.namespaced && !args.non_resource_url.is_empty() {
        return Err(ClusterError::Usage("--non-resource-url is for cluster roles".to_owned()));
    }
    let session = Session::open(&args.make.connect)?;
    let mut rules: Vec<Value> = Vec::new();
    if !args.resource.is_empty() {
        let kinds = Kinds::read(&session)?;
        for word in &args.resource {
            let (word, sub) =
                word.split_once('/').map_or((word.as_str(), None), |(word, sub)| (word, Some(sub)));
            let (group, mut resource) = if word == "*" {
                ("*".to_owned(), "*".to_owned())
            } else {
                let found = kinds.find(word)?;
                (found.group.clone(), found.plural.clone())
            };
            if let Some(sub) = sub {
                resource = format!("{resource}/{sub}");
            }
            // Resources of one group stand in one rule.
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
    }
    if !args.non_resource_url.is_empty() {
        rules.push(json!({"verbs": args.verb, "nonResourceURLs": args.non_resource_url}));
    }
    made(&args.make, kind, json!({ "rules": rules }))
}

fn binding(args: &BindingArgs, kind: &Kind) -> Result<()> {
    let (role_kind, role) = match (&args.role, &args.clusterrole) {
        (Some(role), None) if kind.namespaced => ("Role", role),
        (None, Some(role)) => ("ClusterRole", role),
        _ => {
            return Err(ClusterError::Usage(
                "exactly one of --clusterrole or --role must be specified".to_owned(),
            ));
        }
    };
    let mut subjects = Vec::new();
    for (kind, names) in [("User", &args.user), ("Group", &args.group)] {
        subjects.extend(names.iter().map(|name| json!({"kind": kind, "apiGroup": RBAC, "name": name})));
    }
    for account in &args.serviceaccount {
        let (namespace, name) = account.split_once(':').ok_or_else(|| {
            ClusterError::Usage(format!("--serviceaccount: {account:?} is no NAMESPACE:NAME"))
        })?;
        subjects.push(json!({"kind": "ServiceAccount", "namespace": namespace, "name": name}));
    }
    let reference = json!({"apiGroup": RBAC, "kind": role_kind, "name": role});
    made(&args.make, kind, json!({"roleRef": reference, "subjects": subjects}))
}

fn token(args: &TokenArgs) -> Result<()> {
    let session = Session::open(&args.connect)?;
    let mut spec = json!({"audiences": args.audience});
    if let Some(text) = &args.duration {
        put(&mut spec, &["expirationSeconds"], seconds(text)?.into());
    }
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    let path = format!(
        "/api/v1/namespaces/{}/serviceaccounts/{}/token",
        encode(&session.namespace),
        encode(&args.name)
    );
    let answer = session.post(&path, &request)?;
    output::write(&format!("{}\n", text(&answer, "/status/token")))
}

/// `90s`, `10m`, `1h` as seconds.
fn seconds(text: &str) -> Result<u64> {
    let bad = || ClusterError::Usage(format!("--duration: {text:?} is no time, as 600s, 10m or 1h"));
    let unit = text.chars().last().ok_or_else(bad)?;
    let number: u64 = text.trim_end_matches(unit).parse().map_err(|_| bad())?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return Err(bad()),
    };
    number.checked_mul(factor).ok_or_else(bad)
}
