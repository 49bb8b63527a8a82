//! `adm policy add-scc-to-user` and related commands: a cluster role that permits the use of an SCC, and a binding of
//! the same name.

mod absent;

use http::Method;
use palisade_client::{Body, Optional, Session, encode};
use palisade_console::{Exit, terminal};
use palisade_k8s::put;
use palisade_k8s::rbac::GROUP;
use palisade_k8s::scc;
use serde_json::{Value, json};

use crate::args::GrantArgs;
use crate::dry_run::DryRun;
use crate::error::{Error, Outcome, Result};
use crate::output;
use crate::value::text;

pub(crate) async fn add_to_users(args: &GrantArgs) -> Outcome {
    let session = args.connect.open().await?;
    Grant::new(args, &session, users(args, &session)?).add().await
}

pub(crate) async fn add_to_groups(args: &GrantArgs) -> Outcome {
    let session = args.connect.open().await?;
    Grant::new(args, &session, groups(args)).add().await
}

pub(crate) async fn remove_from_users(args: &GrantArgs) -> Outcome {
    let session = args.connect.open().await?;
    Grant::new(args, &session, users(args, &session)?).remove().await
}

pub(crate) async fn remove_from_groups(args: &GrantArgs) -> Outcome {
    let session = args.connect.open().await?;
    Grant::new(args, &session, groups(args)).remove().await
}

/// The subjects of users and service accounts. `system:serviceaccount:…` becomes a `ServiceAccount` subject, as in oc.
fn users(args: &GrantArgs, session: &Session) -> Result<Vec<Value>> {
    let account =
        |namespace: &str, name: &str| json!({"kind": "ServiceAccount", "namespace": namespace, "name": name});
    let mut subjects = Vec::new();
    for user in &args.names {
        subjects.push(match user.strip_prefix("system:serviceaccount:") {
            Some(rest) => {
                let parts = rest.split_once(':').ok_or_else(|| Error::NotAnAccount(user.clone()))?;
                account(parts.0, parts.1)
            }
            None => json!({"kind": "User", "apiGroup": GROUP, "name": user}),
        });
    }
    for name in &args.accounts {
        let name = name.rsplit_once(':').map_or(name.as_str(), |(_, name)| name);
        subjects.push(account(&session.namespace, name));
    }
    Ok(subjects)
}

fn groups(args: &GrantArgs) -> Vec<Value> {
    args.names.iter().map(|name| json!({"kind": "Group", "apiGroup": GROUP, "name": name})).collect()
}

fn is_same(one: &Value, other: &Value) -> bool {
    ["/kind", "/name", "/namespace"].iter().all(|pointer| text(one, pointer) == text(other, pointer))
}

/// The right to use one SCC, of some subjects.
struct Grant<'a> {
    args: &'a GrantArgs,
    session: &'a Session,
    subjects: Vec<Value>,
    /// The name of the cluster role and of the binding.
    name: String,
}

impl<'a> Grant<'a> {
    fn new(args: &'a GrantArgs, session: &'a Session, subjects: Vec<Value>) -> Self {
        Self { args, session, subjects, name: format!("system:openshift:scc:{}", args.scc) }
    }

    async fn add(&self) -> Outcome {
        if self.subjects.is_empty() {
            return Err(Error::NoSubject);
        }
        self.ensure_role().await?;
        self.bind().await?;
        let warnings = absent::warnings(self.session, &self.args.scc, &self.subjects).await;
        warnings.iter().for_each(terminal::warn);
        self.report("added")
    }

    async fn ensure_role(&self) -> Result<()> {
        let roles = format!("/apis/{GROUP}/v1/clusterroles");
        let role = self.session.get(&format!("{roles}/{}", encode(&self.name))).await.optional()?;
        if role.is_some() {
            return Ok(());
        }
        let role = json!({"apiVersion": format!("{GROUP}/v1"), "kind": "ClusterRole",
            "metadata": {"name": self.name},
            "rules": [{"verbs": ["use"], "apiGroups": [scc::GROUP], "resources": [scc::RESOURCE],
                       "resourceNames": [self.args.scc]}]});
        self.write(Method::POST, &roles, Some(&role)).await
    }

    async fn bind(&self) -> Result<()> {
        let (kind, bindings) = self.bindings();
        let path = format!("{bindings}/{}", encode(&self.name));
        let Some(mut binding) = self.session.get(&path).await.optional()? else {
            let role = json!({"apiGroup": GROUP, "kind": "ClusterRole", "name": self.name});
            let binding = json!({"apiVersion": format!("{GROUP}/v1"), "kind": kind,
                "metadata": {"name": self.name}, "roleRef": role, "subjects": self.subjects});
            return self.write(Method::POST, &bindings, Some(&binding)).await;
        };
        let mut all = binding.get("subjects").and_then(Value::as_array).cloned().unwrap_or_default();
        let is_new = |subject: &&Value| !all.iter().any(|old| is_same(old, subject));
        let new: Vec<Value> = self.subjects.iter().filter(is_new).cloned().collect();
        if new.is_empty() {
            return Ok(());
        }
        all.extend(new);
        put(&mut binding, &["subjects"], all.into());
        self.write(Method::PUT, &path, Some(&binding)).await
    }

    /// A binding that has no subjects left is deleted.
    async fn remove(&self) -> Outcome {
        let path = format!("{}/{}", self.bindings().1, encode(&self.name));
        let missing = || Error::NotBound(self.names());
        let mut binding = self.session.get(&path).await.optional()?.ok_or_else(missing)?;
        let mut all = binding.get("subjects").and_then(Value::as_array).cloned().unwrap_or_default();
        let before = all.len();
        all.retain(|old| !self.subjects.iter().any(|subject| is_same(old, subject)));
        if all.len() == before {
            return Err(missing());
        }
        if all.is_empty() {
            self.write(Method::DELETE, &path, None).await?;
        } else {
            put(&mut binding, &["subjects"], all.into());
            self.write(Method::PUT, &path, Some(&binding)).await?;
        }
        self.report("removed")
    }

    /// The kind and the path of bindings: of one namespace only if the command line names one, as in oc.
    fn bindings(&self) -> (&'static str, String) {
        let base = format!("/apis/{GROUP}/v1");
        if self.session.has_namespace {
            ("RoleBinding", format!("{base}/namespaces/{}/rolebindings", encode(&self.session.namespace)))
        } else {
            ("ClusterRoleBinding", format!("{base}/clusterrolebindings"))
        }
    }

    async fn write(&self, method: Method, path: &str, object: Option<&Value>) -> Result<()> {
        if self.args.dry_run != DryRun::Client {
            let query = format!("{path}?fieldManager=palisade{}", self.args.dry_run.query());
            self.session.send(method, &query, object.map(Body::json)).await?;
        }
        Ok(())
    }

    fn names(&self) -> String {
        let names: Vec<String> =
            self.subjects.iter().map(|subject| format!("{:?}", text(subject, "/name"))).collect();
        if let [one] = names.as_slice() { one.clone() } else { format!("[{}]", names.join(" ")) }
    }

    fn report(&self, done: &str) -> Outcome {
        let suffix = self.args.dry_run.suffix();
        output::message(&format!("clusterrole.{GROUP}/{} {done}: {}{suffix}\n", self.name, self.names()))?;
        Ok(Exit::Fine)
    }
}
