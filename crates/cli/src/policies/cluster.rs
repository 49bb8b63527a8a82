//! `palisade policies apply`, `status` and `remove`: the policies of a cluster.

use std::io::Write;
use std::time::Duration;

use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::{Api, Client};
use palisade_admission::{Policy, PolicyBuilder};
use palisade_console::terminal;
use palisade_policies::{Compiled, IDENTITIES, compile};
use palisade_webhook::install::{self, Part};
use serde_json::{Value, json};

use super::args::{ApplyArgs, RemoveArgs, Source, StatusArgs};
use super::compile as compiling;
use super::state::State;
use crate::cluster::ClusterArgs;
use crate::exit::Exit;
use crate::policy;

/// The field manager of the policies.
const MANAGER: &str = "palisade-policies";
const GROUP: &str = "admissionregistration.k8s.io";
const MUTATING: &str = "mutatingadmissionpolicies";
/// A user that no cluster has: whatever it may do, everybody may.
const STRANGER: &str = "palisade:nobody";
/// The interval between two reads of the cluster's SCCs.
const PAUSE: Duration = Duration::from_secs(5);
/// Maximum time for a watch to finish after it was told to stop.
const GRACE: Duration = Duration::from_secs(20);

/// The reason why policies cannot be used on a cluster.
#[derive(Debug, thiserror::Error)]
enum ClusterError {
    #[error(
        "the API server, {0}, does not serve MutatingAdmissionPolicy of {GROUP}/v1, as kube-apiserver does from Kubernetes 1.36 on. \
         Nothing was changed"
    )]
    NotServed(String),
    #[error(
        "the cluster has no SecurityContextConstraints (security.openshift.io/v1); name files or --scc-set, or `palisade install --part definitions,policy`"
    )]
    NoSccs,
    #[error(
        "the cluster authorizes everything: {STRANGER}, a user that does not exist, may use the SCC privileged, so everybody may, and \
         the policies would refuse nothing. The API server needs an authorizer, as by --authorization-mode=Node,RBAC. Nothing was applied"
    )]
    AlwaysAllows,
    #[error("{what} cannot be {done}")]
    Request { what: String, done: &'static str, source: kube::Error },
}

pub(super) fn apply(args: &ApplyArgs) -> crate::Outcome {
    in_runtime(async {
        if !args.watch {
            Cluster::connect(&args.cluster).await?.follow(args, &mut Past::default()).await?;
            return Ok(Exit::Fine);
        }
        // Before anything else: a signal during the first requests ends the watch too. Objects are applied completely:
        // half of them would refuse pods until the next `apply`.
        let shutdown = crate::stop::shutdown()?;
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let end = async move {
            shutdown.await;
            stop.send_replace(true);
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            ended = watch(args, stopped) => ended,
            () = end => Ok(Exit::Fine),
        }
    })
}

/// Applies the SCCs of the cluster again and again. Applied policies stay in force: they outlive a restart of the API
/// server, and SCCs that do not compile.
async fn watch(args: &ApplyArgs, mut stopped: tokio::sync::watch::Receiver<bool>) -> crate::Outcome {
    let cluster = Cluster::connect(&args.cluster).await?;
    let mut past = Past::default();
    let mut has_begun = false;
    let mut trouble = String::new();
    loop {
        match cluster.follow(args, &mut past).await {
            Ok(()) => {
                has_begun = true;
                trouble.clear();
            }
            Err(error) if has_begun => {
                let left = match past.applied {
                    Some(_) => "the policies are left as they are",
                    None => "some of the policies may be applied; the watch tries again",
                };
                let error = format!("error: {error}; {left}");
                if error != trouble {
                    terminal::note(format_args!("{error}"));
                    trouble = error;
                }
            }
            Err(error) => return Err(error),
        }
        if tokio::time::timeout(PAUSE, stopped.wait_for(|stopped| *stopped)).await.is_ok() {
            return Ok(Exit::Fine);
        }
    }
}

pub(super) fn status(args: &StatusArgs) -> crate::Outcome {
    in_runtime(async {
        let cluster = Cluster::connect(&args.cluster).await?;
        let policy = cluster.policy(&args.source, args.choices.kernel).await?;
        let compiled = compile(policy.sccs(), &compiling::settings(&args.choices, &policy))?;
        let mut exit = Exit::Fine;
        for object in &compiled.objects {
            let found = cluster.read(object).await?;
            let state = State::of(found.as_ref(), object);
            if state != State::Current {
                exit = Exit::Findings;
            }
            writeln!(terminal::out(), "{}: {}", name_of(object), state.text())?;
        }
        for (kind, name) in superfluous(&compiled) {
            if cluster.exists(kind, name).await? {
                exit = Exit::Findings;
                writeln!(terminal::out(), "{} {name}: left from other options", kind.to_lowercase())?;
            }
        }
        Ok(exit)
    })
}

pub(super) fn remove(args: &RemoveArgs) -> crate::Outcome {
    in_runtime(async {
        let cluster = Cluster::connect(&args.cluster).await?;
        // Policies that refuse are removed last, so that no pod is admitted undecided.
        for (kind, name) in IDENTITIES.into_iter().rev() {
            let done = if cluster.delete(kind, name).await? { "removed" } else { "was not there" };
            progress(format_args!("{} {name}: {done}", kind.to_lowercase()));
        }
        Ok(Exit::Fine)
    })
}

/// Prints progress. The work goes on if nobody reads it: half of the policies would refuse pods.
fn progress(line: std::fmt::Arguments<'_>) {
    drop(writeln!(terminal::out(), "{line}"));
}

fn roles(kind: &str) -> ApiResource {
    ApiResource {
        group: "rbac.authorization.k8s.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "rbac.authorization.k8s.io/v1".to_owned(),
        kind: kind.to_owned(),
        plural: format!("{}s", kind.to_lowercase()),
    }
}

fn in_runtime(work: impl Future<Output = crate::Outcome>) -> crate::Outcome {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// Objects of other options, which another command may have left, in reverse order.
fn superfluous(compiled: &Compiled) -> impl Iterator<Item = (&'static str, &'static str)> {
    IDENTITIES.into_iter().rev().filter(|(kind, name)| compiled.get(kind, name).is_none())
}

fn text<'x>(object: &'x Value, pointer: &str) -> &'x str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn name_of(object: &Value) -> String {
    format!("{} {}", text(object, "/kind").to_lowercase(), text(object, "/metadata/name"))
}

/// The past of a watch.
#[derive(Default)]
struct Past {
    /// The policies that it was told to apply last, whether or not it could.
    compiled: Option<Compiled>,
    /// The objects as the API server stored them; `None` while some may not be applied.
    applied: Option<Vec<DynamicObject>>,
}

struct Cluster {
    client: Client,
}

impl Cluster {
    /// A cluster that supports both kinds of policy.
    async fn connect(cluster: &ClusterArgs) -> Result<Self, crate::Failure> {
        let client = cluster.reach().await?;
        let failed = |source| ClusterError::Request {
            what: format!("the API {GROUP}/v1 of the API server"),
            done: "discovered",
            source,
        };
        let served = match client.list_api_group_resources(&format!("{GROUP}/v1")).await {
            Ok(served) => served.resources,
            Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
            Err(source) => return Err(failed(source).into()),
        };
        if !served.iter().any(|resource| resource.name == MUTATING) {
            let version = client.apiserver_version().await.map_err(failed)?;
            return Err(ClusterError::NotServed(version.git_version).into());
        }
        Ok(Self { client })
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        let plural = match kind.to_lowercase() {
            lower if lower.ends_with('y') => format!("{}ies", lower.trim_end_matches('y')),
            lower => format!("{lower}s"),
        };
        let resource = ApiResource {
            group: GROUP.to_owned(),
            version: "v1".to_owned(),
            api_version: format!("{GROUP}/v1"),
            kind: kind.to_owned(),
            plural,
        };
        Api::all_with(self.client.clone(), &resource)
    }

    /// The SCCs of files and built-in sets; without any, those of the cluster and its cluster roles.
    async fn policy(
        &self,
        source: &Source,
        kernel: Option<palisade_k8s::KernelVersion>,
    ) -> Result<Policy, crate::Failure> {
        if !source.files.is_empty() || source.scc_set.is_some() {
            return Ok(policy::load(&compiling::arguments(source, kernel))?.build());
        }
        let resource = ApiResource {
            group: palisade_k8s::scc::GROUP.to_owned(),
            version: "v1".to_owned(),
            api_version: format!("{}/v1", palisade_k8s::scc::GROUP),
            kind: palisade_k8s::scc::KIND.to_owned(),
            plural: palisade_k8s::scc::RESOURCE.to_owned(),
        };
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let listed = match api.list(&ListParams::default()).await {
            Ok(listed) => listed,
            Err(kube::Error::Api(status)) if status.code == 404 => return Err(ClusterError::NoSccs.into()),
            Err(source) => {
                return Err(
                    ClusterError::Request { what: "the SCCs".to_owned(), done: "listed", source }.into()
                );
            }
        };
        if listed.items.is_empty() {
            return Err(ClusterError::NoSccs.into());
        }
        let mut builder = PolicyBuilder::default();
        for mut object in listed.items {
            object.types = Some(kube::api::TypeMeta {
                api_version: resource.api_version.clone(),
                kind: resource.kind.clone(),
            });
            builder.add(&serde_json::to_value(object)?)?;
        }
        self.add_roles(&mut builder).await?;
        Ok(builder.build())
    }

    /// Adds roles and bindings that grant SCCs in all namespaces. A role that cannot be read is left out: it only
    /// avoids warnings.
    async fn add_roles(&self, builder: &mut PolicyBuilder) -> Result<(), crate::Failure> {
        for kind in ["ClusterRole", "ClusterRoleBinding"] {
            let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &roles(kind));
            let listed = api.list(&ListParams::default()).await.map_err(|source| ClusterError::Request {
                what: format!("objects of kind {kind}"),
                done: "listed",
                source,
            })?;
            for mut object in listed.items {
                object.types =
                    Some(kube::api::TypeMeta { api_version: roles(kind).api_version, kind: kind.to_owned() });
                object.metadata.managed_fields = None;
                drop(builder.add(&serde_json::to_value(object)?));
            }
        }
        Ok(())
    }

    /// Applies the objects of the SCCs, if they differ from those that were applied last, or the cluster's objects do.
    async fn follow(&self, args: &ApplyArgs, past: &mut Past) -> Result<(), crate::Failure> {
        let policy = self.policy(&args.source, args.choices.kernel).await?;
        let settings = compiling::settings(&args.choices, &policy);
        let compiled = compile(policy.sccs(), &settings)?;
        if past.compiled.as_ref() != Some(&compiled) {
            compiling::tell(&compiled, &settings, args.watch);
            self.warn_unguarded().await;
            past.applied = None;
        }
        if let Some(applied) = &past.applied
            && self.is_intact(&compiled, applied).await?
        {
            return Ok(());
        }
        // Before the first write: objects of which some cannot be applied are applied again, even if the SCCs return to
        // what they were.
        past.applied = None;
        let compiled = past.compiled.insert(compiled);
        past.applied = Some(self.apply(compiled).await?);
        Ok(())
    }

    /// Compares the objects of the cluster with those that it stored; says which differ.
    async fn is_intact(&self, compiled: &Compiled, applied: &[DynamicObject]) -> Result<bool, ClusterError> {
        let mut is_intact = true;
        for (object, stored) in compiled.objects.iter().zip(applied) {
            let state = match self.read(object).await? {
                None => State::Missing,
                Some(found) if found.data.get("spec") != stored.data.get("spec") => State::Edited,
                Some(_) => continue,
            };
            is_intact = false;
            progress(format_args!("{}: {}; all are applied again", name_of(object), state.text()));
        }
        Ok(is_intact)
    }

    /// Applies all objects in order, after a dry run of each on the API server; returns them as they are stored.
    async fn apply(&self, compiled: &Compiled) -> Result<Vec<DynamicObject>, crate::Failure> {
        self.check_authorizer().await?;
        for object in &compiled.objects {
            self.put(object, true).await?;
        }
        let mut stored = Vec::new();
        for object in &compiled.objects {
            stored.push(self.put(object, false).await?);
            progress(format_args!("{}: applied", name_of(object)));
        }
        for (kind, name) in superfluous(compiled) {
            if self.delete(kind, name).await? {
                progress(format_args!("{} {name}: removed", kind.to_lowercase()));
            }
        }
        Ok(stored)
    }

    /// Refuses a cluster whose authorizer grants everything to everybody.
    async fn check_authorizer(&self) -> Result<(), ClusterError> {
        let resource = ApiResource {
            group: "authorization.k8s.io".to_owned(),
            version: "v1".to_owned(),
            api_version: "authorization.k8s.io/v1".to_owned(),
            kind: "SubjectAccessReview".to_owned(),
            plural: "subjectaccessreviews".to_owned(),
        };
        let failed = |source| ClusterError::Request {
            what: "a SubjectAccessReview".to_owned(),
            done: "created; nothing was changed",
            source,
        };
        let attributes = json!({"verb": "use", "group": palisade_k8s::scc::GROUP, "resource": palisade_k8s::scc::RESOURCE,
            "name": "privileged"});
        let mut review = DynamicObject::new("", &resource);
        review.metadata.name = None;
        review.data = json!({"spec": {"user": STRANGER, "resourceAttributes": attributes}});
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        match api.create(&PostParams::default(), &review).await {
            Ok(answer) if answer.data.pointer("/status/allowed") == Some(&Value::Bool(true)) => {
                Err(ClusterError::AlwaysAllows)
            }
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 403 => {
                terminal::note(format_args!(
                    "note: you may not create SubjectAccessReviews, so it was not checked that the cluster's authorizer refuses anything"
                ));
                Ok(())
            }
            Err(source) => Err(failed(source)),
        }
    }

    /// Warns if every user who may label namespaces may turn SCC off in them. An object that cannot be read counts as there.
    async fn warn_unguarded(&self) {
        for object in install::objects(Part::Guard, &install::Settings::default()) {
            if matches!(self.read(&object).await, Ok(None)) {
                terminal::note(format_args!(
                    "warning: {} is missing, so every user who may label a namespace may turn SCC off in it: \
                     `palisade install --part guard | kubectl apply --server-side -f -`",
                    name_of(&object)
                ));
                return;
            }
        }
    }

    /// Deletes an object; returns whether it existed.
    async fn delete(&self, kind: &str, name: &str) -> Result<bool, ClusterError> {
        match self.api(kind).delete(name, &DeleteParams::default()).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            Err(source) => {
                let what = format!("{} {name}", kind.to_lowercase());
                Err(ClusterError::Request { what, done: "removed", source })
            }
        }
    }

    async fn exists(&self, kind: &str, name: &str) -> Result<bool, ClusterError> {
        let asked = self.api(kind).get_opt(name).await;
        let what = format!("{} {name}", kind.to_lowercase());
        asked.map(|found| found.is_some()).map_err(|source| ClusterError::Request {
            what,
            done: "read",
            source,
        })
    }

    /// Replaces an object. Server-side apply does not serve: variables that another manager has applied, as kubectl
    /// does, would be merged with ours, in an order that the API server refuses.
    async fn put(&self, object: &Value, dry: bool) -> Result<DynamicObject, ClusterError> {
        let params = PostParams { dry_run: dry, field_manager: Some(MANAGER.to_owned()) };
        let (api, name) = (self.api(text(object, "/kind")), text(object, "/metadata/name"));
        let done = if dry { "applied; nothing was changed" } else { "applied" };
        let failed = |source| ClusterError::Request { what: name_of(object), done, source };
        let mut new: DynamicObject =
            serde_json::from_value(object.clone()).map_err(|error| failed(kube::Error::SerdeError(error)))?;
        let put = match api.get_opt(name).await.map_err(failed)? {
            Some(known) => {
                new.metadata.resource_version = known.metadata.resource_version;
                api.replace(name, &params, &new).await
            }
            None => api.create(&params, &new).await,
        };
        put.map_err(failed)
    }

    /// The cluster's object of the same kind and name.
    async fn read(&self, object: &Value) -> Result<Option<DynamicObject>, ClusterError> {
        let found = self.api(text(object, "/kind")).get_opt(text(object, "/metadata/name")).await;
        found.map_err(|source| ClusterError::Request { what: name_of(object), done: "read", source })
    }
}
