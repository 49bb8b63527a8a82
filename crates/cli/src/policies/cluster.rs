//! `palisade policies apply`, `status` and `remove`: the policies of a cluster.

use std::io::Write;
use std::time::Duration;

use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::{Api, Client};
use palisade_admission::{Policy, PolicyBuilder};
use palisade_console::terminal;
use palisade_policies::{Compiled, HASH, IDENTITIES, compile};
use serde_json::Value;

use super::args::{ApplyArgs, RemoveArgs, Source, StatusArgs};
use super::compile as compiling;
use crate::cluster::ClusterArgs;
use crate::exit::Exit;
use crate::policy;

/// The field manager of the policies.
const MANAGER: &str = "palisade-policies";
const GROUP: &str = "admissionregistration.k8s.io";
const MUTATING: &str = "mutatingadmissionpolicies";
/// The interval between two reads of the cluster's SCCs.
const PAUSE: Duration = Duration::from_secs(5);
/// Maximum time for a watch to finish after it was told to stop.
const GRACE: Duration = Duration::from_secs(20);

/// The reason why policies cannot be used on a cluster.
#[derive(Debug, thiserror::Error)]
enum ClusterError {
    #[error(
        "the API server is {0}, which has no MutatingAdmissionPolicy of {GROUP}/v1: that came with Kubernetes 1.36. Nothing was applied"
    )]
    TooOld(String),
    #[error(
        "the cluster has no SecurityContextConstraints (security.openshift.io/v1); name files or --scc-set, or `palisade install --part definitions,policy`"
    )]
    NoSccs,
    #[error("{what} cannot be {done}")]
    Request { what: String, done: &'static str, source: kube::Error },
}

pub(super) fn apply(args: &ApplyArgs) -> crate::Outcome {
    in_runtime(async {
        if !args.watch {
            Cluster::connect(&args.cluster).await?.follow(args, &mut None).await?;
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
    let mut last = None;
    let mut trouble = String::new();
    loop {
        match cluster.follow(args, &mut last).await {
            Ok(()) => trouble.clear(),
            Err(error) if last.is_some() => {
                let error = error.to_string();
                if error != trouble {
                    terminal::note(format_args!("error: {error}; the policies are left as they are"));
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
            let state = cluster.state(object).await?;
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

/// The result for an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Current,
    Missing,
    /// The SCCs or the options are not those that it was compiled from.
    Outdated,
    /// It was edited.
    Edited,
}

impl State {
    fn text(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Missing => "missing",
            Self::Outdated => "applied from other SCCs or with other options",
            Self::Edited => "edited since it was applied",
        }
    }
}

struct Cluster {
    client: Client,
}

impl Cluster {
    /// A cluster that supports both kinds of policy.
    async fn connect(cluster: &ClusterArgs) -> Result<Self, crate::Failure> {
        let client = cluster.reach().await?;
        let failed = |source| ClusterError::Request {
            what: "the API of the server".to_owned(),
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
            return Err(ClusterError::TooOld(version.git_version).into());
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

    /// Applies the objects of the SCCs, if they differ from those that were applied last.
    async fn follow(&self, args: &ApplyArgs, last: &mut Option<Compiled>) -> Result<(), crate::Failure> {
        let policy = self.policy(&args.source, args.choices.kernel).await?;
        let settings = compiling::settings(&args.choices, &policy);
        let compiled = compile(policy.sccs(), &settings)?;
        if last.as_ref() != Some(&compiled) {
            compiling::tell(&compiled, &settings);
            self.apply(&compiled).await?;
            *last = Some(compiled);
        }
        Ok(())
    }

    /// Applies all objects in order, after a dry run of each on the API server.
    async fn apply(&self, compiled: &Compiled) -> Result<(), crate::Failure> {
        for object in &compiled.objects {
            self.put(object, true).await?;
        }
        for object in &compiled.objects {
            self.put(object, false).await?;
            progress(format_args!("{}: applied", name_of(object)));
        }
        for (kind, name) in superfluous(compiled) {
            if self.delete(kind, name).await? {
                progress(format_args!("{} {name}: removed", kind.to_lowercase()));
            }
        }
        Ok(())
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

    /// Compares an object with the result of a dry-run replacement.
    async fn state(&self, object: &Value) -> Result<State, ClusterError> {
        let asked = self.api(text(object, "/kind")).get_opt(text(object, "/metadata/name")).await;
        let found =
            asked.map_err(|source| ClusterError::Request { what: name_of(object), done: "read", source })?;
        let Some(found) = found else { return Ok(State::Missing) };
        let planned = self.put(object, true).await?;
        let hash = |object: &DynamicObject| object.metadata.annotations.as_ref()?.get(HASH).cloned();
        let is_same = found.data.get("spec") == planned.data.get("spec");
        Ok(match hash(&found) == hash(&planned) {
            true if is_same => State::Current,
            true => State::Edited,
            false => State::Outdated,
        })
    }
}
