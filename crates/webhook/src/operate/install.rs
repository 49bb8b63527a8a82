//! The installation, in an order that locks nobody out: definitions, policy, ready replicas, webhooks that may fail, a
//! probe through them, and only then webhooks that must answer.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client};
use palisade_k8s::scc::{GROUP, RESOURCE};
use serde_json::Value;
use tokio::time::Instant;

use super::apply::{self, Applied};
use super::object::{api, name, title};
use super::probe::probe;
use crate::install::{FailurePolicy, Part, Settings, objects};
use crate::mode::Mode;
use crate::secret::{self, SecretError};

/// API groups that only OpenShift and its derivatives have.
const OPENSHIFT: [&str; 3] = ["config.openshift.io", "operator.openshift.io", "route.openshift.io"];
/// The oldest minor version of Kubernetes 1 that has ValidatingAdmissionPolicy.
const OLDEST: u32 = 30;

/// The reason why an installation stops. Objects that were applied before stay, and do no harm.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The cluster has SCC itself.
    #[error("this is OpenShift (it serves {0}), which has SCC itself: nothing was changed")]
    OpenShift(String),
    /// Its SCCs belong to another installation.
    #[error(
        "CustomResourceDefinition {RESOURCE}.{GROUP} exists already and is not Palisade's: nothing was changed"
    )]
    Foreign,
    /// It lacks an API that the guard needs.
    #[error("Kubernetes {0} is older than 1.{OLDEST}: nothing was changed")]
    Old(String),
    /// The API server refused an object.
    #[error("{0}")]
    Object(String, #[source] kube::Error),
    /// The API server refused or did not answer.
    #[error("the API server")]
    Api(#[from] kube::Error),
    /// The certificate authority cannot be read or created.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// An object does not become ready.
    #[error("{what} is not ready after {} s: {hint}", waited.as_secs())]
    NotReady {
        /// Its kind and name.
        what: String,
        /// The time waited.
        waited: Duration,
        /// A command for further information.
        hint: String,
    },
    /// The webhooks do not answer. New ones are left with `Ignore`, so that nobody is locked out.
    #[error("the webhooks, with failurePolicy {policy} for now, do not decide on pods: {why}")]
    Probe {
        /// The effect on pods meanwhile.
        policy: &'static str,
        /// The answer of the probe.
        why: String,
    },
}

/// A running installation.
pub struct Installation<'a> {
    client: &'a Client,
    settings: &'a Settings,
    deadline: Instant,
    waited: Duration,
    say: &'a mut dyn FnMut(&str),
}

/// Installs everything, or updates it; `say` is called with each finished step.
///
/// # Errors
///
/// See [`InstallError`].
pub async fn apply(
    client: &Client,
    settings: &Settings,
    waited: Duration,
    say: &mut dyn FnMut(&str),
) -> Result<(), InstallError> {
    let deadline = Instant::now() + waited;
    Installation { client, settings, deadline, waited, say }.run().await
}

impl Installation<'_> {
    async fn run(&mut self) -> Result<(), InstallError> {
        self.recognise().await?;
        let definitions = self.part(Part::Definitions, self.settings).await?;
        for definition in &definitions {
            self.wait(definition, apply::is_established, "see its conditions".to_owned()).await?;
        }
        self.part(Part::Policy, self.settings).await?;
        let server = self.part(Part::Server, self.settings).await?;
        for deployment in server.iter().filter(|object| object["kind"] == "Deployment") {
            let hint = format!("kubectl -n {} get pods,events shows why", self.settings.namespace);
            self.wait(deployment, apply::is_rolled_out, hint).await?;
        }
        self.part(Part::Guard, self.settings).await?;
        if self.settings.node_profiles {
            self.part(Part::Profiles, self.settings).await?;
        }
        self.webhooks().await
    }

    /// Refuses a cluster that has SCC itself, or is too old.
    async fn recognise(&mut self) -> Result<(), InstallError> {
        let groups = self.client.list_api_groups().await?;
        if let Some(group) = groups.groups.iter().find(|group| OPENSHIFT.contains(&group.name.as_str())) {
            return Err(InstallError::OpenShift(group.name.clone()));
        }
        let version = self.client.apiserver_version().await?;
        let minor: String = version.minor.chars().take_while(char::is_ascii_digit).collect();
        if version.major == "1" && minor.parse().is_ok_and(|minor: u32| minor < OLDEST) {
            return Err(InstallError::Old(version.git_version));
        }
        let definitions: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let found = definitions.get_opt(&format!("{RESOURCE}.{GROUP}")).await?;
        let ours = |definition: CustomResourceDefinition| {
            definition
                .metadata
                .labels
                .is_some_and(|labels| labels.contains_key("app.kubernetes.io/managed-by"))
        };
        if found.is_some_and(|definition| !ours(definition)) {
            return Err(InstallError::Foreign);
        }
        (self.say)(&format!("Kubernetes {}, without SCC of its own", version.git_version));
        Ok(())
    }

    /// Applies one part. Parts of the built-in policy that an administrator has changed are left as they are.
    async fn part(&mut self, part: Part, settings: &Settings) -> Result<Vec<Value>, InstallError> {
        let objects = objects(part, settings);
        let mut kept = Vec::new();
        for object in &objects {
            let applied = apply::object(self.client, object, part != Part::Policy).await;
            match applied.map_err(|error| InstallError::Object(title(object), error))? {
                Applied::Done => {}
                Applied::Kept => kept.push(title(object)),
            }
        }
        let suffix =
            if kept.is_empty() { String::new() } else { format!("; left as changed: {}", kept.join(", ")) };
        (self.say)(&format!("{}: {} objects{suffix}", part.name(), objects.len()));
        Ok(objects)
    }

    async fn wait(
        &mut self,
        object: &Value,
        is_ready: fn(&Value) -> bool,
        hint: String,
    ) -> Result<(), InstallError> {
        if !apply::until(self.client, object, self.deadline, is_ready).await? {
            return Err(InstallError::NotReady { what: title(object), waited: self.waited, hint });
        }
        (self.say)(&format!("{} is ready", title(object)));
        Ok(())
    }

    /// Webhooks that are strict stay so meanwhile: an update opens no gap.
    async fn webhooks(&mut self) -> Result<(), InstallError> {
        let lenient = Settings { failure_policy: FailurePolicy::Ignore, ..self.settings.clone() };
        let first = if self.is_strict().await? { self.settings } else { &lenient };
        self.part(Part::Webhooks, first).await?;
        let authority = secret::authority(self.client, &self.settings.namespace).await?;
        secret::publish(self.client, &authority.bundle()).await?;
        if self.settings.mode == Mode::Enforce {
            let policy = first.failure_policy.as_str();
            let probed = probe(self.client, self.deadline).await;
            probed.map_err(|why| InstallError::Probe { policy, why })?;
            (self.say)("pods are changed and refused through the webhooks");
        }
        if first.failure_policy != self.settings.failure_policy {
            self.part(Part::Webhooks, self.settings).await?;
        }
        Ok(())
    }

    /// Whether both configurations refuse pods without an answer already. Those of an installation whose probe has failed do
    /// not.
    async fn is_strict(&self) -> Result<bool, InstallError> {
        for object in objects(Part::Webhooks, self.settings) {
            let found = api(self.client, &object).get_opt(name(&object)).await?;
            if !found.is_some_and(|found| refuses_pods(&found.data)) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn refuses_pods(configuration: &Value) -> bool {
    let webhooks = configuration.get("webhooks").and_then(Value::as_array);
    let text = |webhook: &Value, field: &str| webhook.get(field).and_then(Value::as_str).map(str::to_owned);
    webhooks.into_iter().flatten().any(|webhook| {
        text(webhook, "name").is_some_and(|name| name.starts_with("pods."))
            && text(webhook, "failurePolicy").is_some_and(|policy| policy == "Fail")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those of a first attempt, whose probe has failed: a second one must not set Fail before its own probe.
    #[test]
    fn webhooks_that_let_pods_pass_are_not_strict() {
        for (failure_policy, expected) in [(FailurePolicy::Fail, true), (FailurePolicy::Ignore, false)] {
            let settings = Settings { failure_policy, ..Settings::default() };
            for configuration in objects(Part::Webhooks, &settings) {
                assert_eq!(refuses_pods(&configuration), expected, "{configuration}");
            }
        }
        assert!(!refuses_pods(&Value::Null));
    }
}
