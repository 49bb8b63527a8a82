//! The status of SCC in a cluster: one line for each check, with a verdict.

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event, Namespace, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DynamicObject, ListParams, PostParams};
use kube::{Api, Client, Error};
use palisade_admission::PolicyKind;
use palisade_k8s::scc::{GROUP, RESOURCE};
use serde_json::{Value, json};

use super::object::{api, name, title};
use super::policies::{Identity, Policies, policies};
use crate::authority::ANNOUNCED;
use crate::install::{NAME, Part, Settings, objects};
use crate::mode::{MODE_LABEL, exempts};
use crate::policy::resource;
use crate::secret::{self, SecretError};
use crate::words::error_text;

/// The maximum age of a replica's data, in seconds.
const STALE: u64 = 60;
/// A field that every SCC has once it is completed.
const COMPLETED: &str = "supplementalGroups";
/// Maximum number of names in a line.
const SHOWN: usize = 8;

/// The verdict on a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As expected.
    Holds,
    /// A hint.
    Note,
    /// SCC is not enforced, or will soon not be.
    Fails,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The verdict.
    pub state: State,
    /// The subject of the check.
    pub topic: &'static str,
    /// The finding.
    pub text: String,
}

#[derive(Default)]
struct Report(Vec<Line>);

impl Report {
    fn line(&mut self, state: State, topic: &'static str, text: impl Into<String>) {
        self.0.push(Line { state, topic, text: text.into() });
    }

    fn check(&mut self, holds: bool, topic: &'static str, text: impl Into<String>) {
        self.line(if holds { State::Holds } else { State::Fails }, topic, text);
    }
}

/// Checks the installation in `namespace`. Objects that cannot be read make their line fail. `compiled` are the admission
/// policies that may decide in place of the webhooks.
///
/// # Errors
///
/// The API server does not answer at all.
pub async fn status(client: &Client, namespace: &str, compiled: &[Identity]) -> Result<Vec<Line>, Error> {
    let version = client.apiserver_version().await?;
    let mut report = Report::default();
    report.line(State::Note, "cluster", format!("Kubernetes {}", version.git_version));
    let is_built_in = serves_sccs_itself(client).await;
    if is_built_in && !has_webhooks(client).await {
        built_in(client, &mut report).await;
        return Ok(report.0);
    }
    definition(client, is_built_in, &mut report).await;
    let by_policies = by_policies(client, compiled, &mut report).await;
    if by_policies && !has_webhooks(client).await {
        let text = "not installed: the admission policies decide";
        report.line(State::Note, "webhooks", text);
    } else {
        let bundles = webhooks(client, &mut report).await;
        authority(client, namespace, &bundles, &mut report).await;
        if !bundles.is_empty() {
            passage(client, &mut report).await;
        }
    }
    replicas(client, namespace, by_policies, &mut report).await;
    guard(client, &mut report).await;
    opt_outs(client, &mut report).await;
    refusals(client, &mut report).await;
    profiles(client, &mut report).await;
    Ok(report.0)
}

/// Whether SCCs are served without a definition.
async fn serves_sccs_itself(client: &Client) -> bool {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    matches!(definitions.get_opt(&format!("{RESOURCE}.{GROUP}")).await, Ok(None))
        && client.list_api_group_resources(&format!("{GROUP}/v1")).await.is_ok()
}

/// Whether the API server itself decides by its SCCs: only then does it complete one.
async fn built_in(client: &Client, report: &mut Report) {
    let (state, text) = match is_completed(client).await {
        Ok(true) => (
            State::Holds,
            "the API server has them built in, as OpenShift and `palisade serve` do: nothing is to be installed"
                .to_owned(),
        ),
        Ok(false) => (
            State::Fails,
            "the API server serves them, but nothing decides by them, as with `palisade serve --scc off`, or `--scc webhook` without webhooks: pods pass without SCC"
                .to_owned(),
        ),
        Err(error) => (
            State::Note,
            format!("the API server has them built in; whether it decides by them is not known: {}", brief(&error)),
        ),
    };
    report.line(state, "SCCs", text);
}

/// Whether compiled admission policies decide on pods.
async fn by_policies(client: &Client, compiled: &[Identity], report: &mut Report) -> bool {
    let (state, text) = match policies(client, compiled).await {
        Ok(Policies::Absent) => return false,
        Ok(Policies::Enforced) => (
            State::Holds,
            "admission policies refuse pods that no SCC admits; `palisade policies status` compares them with the SCCs"
                .to_owned(),
        ),
        Ok(Policies::Lenient) => {
            (State::Note, "admission policies warn, or write to the audit log; no pod is refused".to_owned())
        }
        Ok(Policies::Broken(why)) => (State::Fails, format!("{why}; `palisade policies apply` restores it")),
        Err(error) => {
            report.line(State::Note, "policies", format!("cannot be read: {}", error_text(&error)));
            return false;
        }
    };
    report.line(state, "policies", text);
    true
}

/// Whether there is one of the two configurations. One that cannot be read counts as there.
async fn has_webhooks(client: &Client) -> bool {
    let mutating = Api::<MutatingWebhookConfiguration>::all(client.clone()).get_opt(NAME).await;
    let validating = Api::<ValidatingWebhookConfiguration>::all(client.clone()).get_opt(NAME).await;
    !matches!((mutating, validating), (Ok(None), Ok(None)))
}

/// The policy that protects the opt-outs, and its binding.
async fn guard(client: &Client, report: &mut Report) {
    for object in objects(Part::Guard, &Settings::default()) {
        if matches!(api(client, &object).get_opt(name(&object)).await, Ok(None)) {
            let text = format!(
                "{} is missing: users who may label a namespace can turn SCC off in it; `palisade install --part guard` prints it",
                title(&object)
            );
            return report.line(State::Note, "opt-outs", text);
        }
    }
}

async fn definition(client: &Client, is_built_in: bool, report: &mut Report) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = format!("{RESOURCE}.{GROUP}");
    match api.get_opt(&name).await {
        Ok(Some(definition)) => {
            let status = serde_json::to_value(&definition).unwrap_or_default();
            report.check(super::apply::is_established(&status), "SCCs", format!("{name} is defined"));
        }
        Ok(None) if is_built_in => {
            let text = "the API server has them built in, and leaves the decision to webhooks";
            report.line(State::Holds, "SCCs", text);
        }
        Ok(None) => {
            let text = format!("{name} is not defined; `palisade install --apply` installs SCC");
            report.line(State::Fails, "SCCs", text);
        }
        Err(error) => {
            report.line(State::Fails, "SCCs", format!("{name} cannot be read: {}", error_text(&error)))
        }
    }
}

/// The bundles of the webhooks with failure policy `Fail`.
async fn webhooks(client: &Client, report: &mut Report) -> Vec<Option<Vec<u8>>> {
    let mutating = Api::<MutatingWebhookConfiguration>::all(client.clone()).get_opt(NAME).await;
    let validating = Api::<ValidatingWebhookConfiguration>::all(client.clone()).get_opt(NAME).await;
    let mut bundles = Vec::new();
    let mut one = |kind: &str, found: Result<Option<Vec<Hook>>, Error>| match found {
        Ok(Some(hooks)) => {
            let ignored: Vec<&str> = hooks
                .iter()
                .filter(|hook| hook.must_answer() && hook.ignores)
                .map(|hook| &*hook.name)
                .collect();
            let text = match ignored.as_slice() {
                [] => format!("{kind}: requests without an answer are refused"),
                names => format!(
                    "{kind}: without an answer, requests pass {} (failurePolicy Ignore)",
                    names.join(", ")
                ),
            };
            report.line(if ignored.is_empty() { State::Holds } else { State::Note }, "webhooks", text);
            bundles.extend(hooks.into_iter().map(|hook| hook.bundle));
        }
        Ok(None) => report.line(
            State::Fails,
            "webhooks",
            format!("{kind}: not installed, pods pass without SCC; `palisade install --apply` installs it"),
        ),
        Err(error) => {
            report.line(State::Fails, "webhooks", format!("{kind}: cannot be read: {}", error_text(&error)))
        }
    };
    one(
        "mutating",
        mutating.map(|found| {
            found.map(|found| {
                hooks(found.webhooks, |hook| Hook::new(hook.name, hook.failure_policy, hook.client_config))
            })
        }),
    );
    one(
        "validating",
        validating.map(|found| {
            found.map(|found| {
                hooks(found.webhooks, |hook| Hook::new(hook.name, hook.failure_policy, hook.client_config))
            })
        }),
    );
    bundles
}

fn hooks<W>(webhooks: Option<Vec<W>>, hook: impl Fn(W) -> Hook) -> Vec<Hook> {
    webhooks.into_iter().flatten().map(hook).collect()
}

struct Hook {
    name: String,
    ignores: bool,
    bundle: Option<Vec<u8>>,
}

impl Hook {
    fn new(name: String, failure_policy: Option<String>, config: WebhookClientConfig) -> Self {
        let ignores = failure_policy.as_deref() == Some("Ignore");
        Self { name, ignores, bundle: config.ca_bundle.map(|bundle| bundle.0) }
    }

    /// Whether requests depend on an answer: ranges and warnings may come later, or not at all, without harm.
    fn must_answer(&self) -> bool {
        !self.name.starts_with("namespaces.") && !self.name.starts_with("workloads.")
    }
}

/// Sends an SCC through the webhooks as a dry run, which must come back completed: names, certificates and network are those
/// that every pod meets.
async fn passage(client: &Client, report: &mut Report) {
    let topic = "requests";
    match is_completed(client).await {
        Ok(true) => {
            report.line(State::Holds, topic, "a request comes back from the webhooks (dry run of an SCC)");
        }
        Ok(false) => report.line(State::Fails, topic, "an SCC comes back as it was sent: no webhook answers"),
        Err(Error::Api(status)) if status.code == 403 => {
            report.line(State::Note, topic, "not tried: you may not create SCCs");
        }
        Err(error) => {
            report.line(State::Fails, topic, format!("a request does not come back: {}", brief(&error)));
        }
    }
}

/// Whether an SCC comes back completed from a dry run, as it does wherever somebody decides by SCCs.
async fn is_completed(client: &Client) -> Result<bool, Error> {
    let Some(probe) = probe() else { return Ok(false) };
    let api: Api<DynamicObject> =
        Api::all_with(client.clone(), &resource((GROUP, RESOURCE, PolicyKind::Scc)));
    let answer = api.create(&PostParams { dry_run: true, field_manager: None }, &probe).await?;
    Ok(answer.data.get(COMPLETED).is_some_and(Value::is_object))
}

/// A built-in SCC without a field that the webhook completes.
fn probe() -> Option<DynamicObject> {
    let objects = objects(Part::Policy, &Settings::default());
    let mut scc = objects
        .into_iter()
        .find(|object| object.get("kind").is_some_and(|kind| kind == palisade_k8s::scc::KIND))?;
    let fields = scc.as_object_mut()?;
    fields.insert("metadata".to_owned(), json!({"name": "palisade-probe"}));
    fields.remove(COMPLETED);
    serde_json::from_value(scc).ok()
}

async fn authority(client: &Client, namespace: &str, bundles: &[Option<Vec<u8>>], report: &mut Report) {
    let authority = match secret::read(client, namespace).await {
        Ok(Some(authority)) => authority,
        Ok(None) => {
            return report.line(State::Fails, "certificates", "there is no certificate authority yet");
        }
        Err(error) => {
            let (state, text) = unreadable(&error);
            return report.line(state, "certificates", text);
        }
    };
    let trusted = authority.bundle();
    let strange = bundles.iter().filter(|bundle| bundle.as_deref() != Some(trusted.as_bytes())).count();
    if strange > 0 {
        report.line(State::Fails, "certificates", format!("{strange} webhooks do not trust the authority: the leader puts its certificate there within seconds"));
    }
    match authority.expiry() {
        Ok(expiry) => report.check(
            expiry > Timestamp::now() + ANNOUNCED,
            "certificates",
            format!("the authority is valid until {}", day(expiry)),
        ),
        Err(error) => report.line(State::Fails, "certificates", error.to_string()),
    }
}

/// An administrator need not have the right to read the Secret; replicas that cannot use it end with their certificates.
fn unreadable(error: &SecretError) -> (State, String) {
    match error {
        SecretError::Content(_) => (
            State::Fails,
            format!(
                "{error}: new replicas do not start, and no certificate is renewed; a new authority is made within seconds \
                 after the secret is deleted"
            ),
        ),
        SecretError::Api(_) => (State::Note, format!("the authority cannot be read: {}", error_text(error))),
    }
}

fn day(time: Timestamp) -> String {
    time.to_string().chars().take_while(|c| *c != 'T').collect()
}

async fn replicas(client: &Client, namespace: &str, by_policies: bool, report: &mut Report) {
    let deployment = Api::<Deployment>::namespaced(client.clone(), namespace).get_opt(NAME).await;
    let wanted = match deployment {
        Ok(Some(deployment)) => {
            if let Some(mode) = default_mode(&deployment) {
                report.line(State::Note, "modes", format!("namespaces without label {MODE_LABEL}: {mode}"));
            }
            deployment.spec.replicas.unwrap_or(1)
        }
        Ok(None) if by_policies => {
            let text = "none: the ranges of new namespaces are not allocated; annotate them, or `palisade install --part server`";
            return report.line(State::Note, "replicas", text);
        }
        Ok(None) => {
            return report.line(
                State::Fails,
                "replicas",
                format!("there is no Deployment {NAME} in {namespace}"),
            );
        }
        Err(error) => {
            return report.line(State::Fails, "replicas", format!("cannot be read: {}", error_text(&error)));
        }
    };
    let label = format!("app.kubernetes.io/name={NAME},app.kubernetes.io/component=webhook");
    let pods =
        Api::<Pod>::namespaced(client.clone(), namespace).list(&ListParams::default().labels(&label)).await;
    let pods = match pods {
        Ok(pods) => pods.items,
        Err(error) => {
            return report.line(
                State::Fails,
                "replicas",
                format!("cannot be listed: {}", error_text(&error)),
            );
        }
    };
    let (leaving, staying): (Vec<&Pod>, Vec<&Pod>) =
        pods.iter().partition(|pod| pod.metadata.deletion_timestamp.is_some());
    let ready = staying.iter().filter(|pod| is_ready(pod)).count();
    let way_out = match ready {
        0 if has_webhooks(client).await => {
            ": if pods must start before one is, `palisade uninstall --break-glass` lets them pass without SCC"
        }
        _ => "",
    };
    report.check(
        ready > 0 && i32::try_from(ready).unwrap_or(i32::MAX) >= wanted,
        "replicas",
        format!("{ready} of {wanted} are ready{way_out}"),
    );
    if let Some(node) = only_node(&staying) {
        let text = format!("all run on {node}: while that node is down, pods are refused");
        report.line(State::Note, "replicas", text);
    }
    for pod in staying {
        let (state, text) = replica(client, namespace, pod).await;
        report.line(state, "replica", text);
    }
    if !leaving.is_empty() {
        report.line(State::Note, "replicas", format!("{} more are stopping", leaving.len()));
    }
}

/// The node that several replicas share, if there is no other.
fn only_node<'a>(pods: &[&'a Pod]) -> Option<&'a str> {
    let mut nodes = pods.iter().map(|pod| pod.spec.as_ref()?.node_name.as_deref());
    let first = nodes.next()??;
    (pods.len() > 1 && nodes.all(|node| node == Some(first))).then_some(first)
}

/// The configured mode of the replicas.
fn default_mode(deployment: &Deployment) -> Option<String> {
    let containers = &deployment.spec.template.spec.as_ref()?.containers;
    let args = containers.first()?.args.as_ref()?;
    args.iter().find_map(|arg| arg.strip_prefix("--mode=")).map(str::to_owned)
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The state that one replica reports, through the API server.
async fn replica(client: &Client, namespace: &str, pod: &Pod) -> (State, String) {
    let name = pod.metadata.name.clone().unwrap_or_default();
    let ports = pod.spec.as_ref().and_then(|spec| spec.containers.first()?.ports.as_ref()?.first());
    let port = ports.map_or(0, |port| port.container_port);
    let path = format!("/api/v1/namespaces/{namespace}/pods/https:{name}:{port}/proxy/status");
    let Ok(request) = http::Request::get(path).body(Vec::new()) else {
        return (State::Fails, format!("{name}: has no name that a path can hold"));
    };
    match client.request::<Value>(request).await {
        Ok(said) => said_of(&name, &said),
        Err(error) => {
            (State::Fails, format!("{name}: {}, and does not answer: {}", phase(pod), brief(&error)))
        }
    }
}

fn said_of(name: &str, said: &Value) -> (State, String) {
    let text = |key: &str| said.get(key).and_then(Value::as_str).unwrap_or_default();
    let ages = said.get("snapshotAgeSeconds").and_then(Value::as_object);
    let oldest = ages.into_iter().flatten().map(|(_, age)| age.as_u64().unwrap_or(u64::MAX)).max();
    let oldest = oldest.unwrap_or(u64::MAX);
    let age = match oldest {
        u64::MAX => "has not read the policy yet".to_owned(),
        seconds => format!("policy {seconds} s old"),
    };
    let mut line = format!(
        "{name}: version {}, {age}, certificate until {}",
        text("version"),
        text("certificateExpires")
    );
    if said.get("leads").is_some_and(|leads| leads == true) {
        line.push_str(", leads");
    }
    let unready = text("unready");
    if !unready.is_empty() {
        line.push_str(&format!(", not ready: {unready}"));
    }
    let holds = unready.is_empty() && oldest <= STALE;
    (if holds { State::Holds } else { State::Fails }, line)
}

/// The phase of a pod, or the reason why its container waits.
fn phase(pod: &Pod) -> String {
    let status = pod.status.as_ref();
    let waiting = status.and_then(|status| {
        let containers = status.container_statuses.as_ref()?;
        containers.iter().find_map(|container| container.state.as_ref()?.waiting.as_ref()?.reason.clone())
    });
    waiting.or_else(|| status?.phase.clone()).unwrap_or_else(|| "not scheduled".to_owned())
}

fn brief(error: &Error) -> String {
    error_text(error).chars().take(300).collect()
}

async fn opt_outs(client: &Client, report: &mut Report) {
    let namespaces = match Api::<Namespace>::all(client.clone()).list(&ListParams::default()).await {
        Ok(namespaces) => namespaces.items,
        Err(error) => {
            return report.line(
                State::Fails,
                "opt-outs",
                format!("cannot be listed: {}", error_text(&error)),
            );
        }
    };
    let labelled = |matches: &dyn Fn(&str, &str) -> bool| {
        let names = namespaces.iter().filter(|namespace| {
            let labels = namespace.metadata.labels.iter().flatten();
            labels.into_iter().any(|(key, value)| matches(key, value))
        });
        names.filter_map(|namespace| namespace.metadata.name.clone()).collect::<Vec<_>>()
    };
    let out = labelled(&exempts);
    let lenient = labelled(&|key, value| key == MODE_LABEL && (value == "warn" || value == "audit"));
    report.line(State::Note, "opt-outs", format!("namespaces without SCC by label: {}", listed(&out)));
    report.line(
        State::Note,
        "modes",
        format!("namespaces that only warn or audit by label: {}", listed(&lenient)),
    );
}

fn listed(names: &[String]) -> String {
    match names.len() {
        0 => "none".to_owned(),
        count if count > SHOWN => {
            format!("{}, … ({count})", names.get(..SHOWN).unwrap_or_default().join(", "))
        }
        _ => names.join(", "),
    }
}

/// Pods that controllers could not create because SCC refused them.
async fn refusals(client: &Client, report: &mut Report) {
    let params = ListParams::default().fields("reason=FailedCreate").limit(500);
    let Ok(events) = Api::<Event>::all(client.clone()).list(&params).await else { return };
    let mut owners: Vec<String> = events
        .items
        .into_iter()
        .filter(|event| {
            event.message.as_deref().is_some_and(|message| message.contains("security context constraint"))
        })
        .map(|event| {
            let owner = event.involved_object;
            format!("{}/{}", owner.namespace.unwrap_or_default(), owner.name.unwrap_or_default())
        })
        .collect();
    owners.sort();
    owners.dedup();
    report.line(State::Note, "refusals", format!("workloads whose pods SCC refuses: {}", listed(&owners)));
}

/// The nodes whose agents report seccomp profiles.
async fn profiles(client: &Client, report: &mut Report) {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &palisade_profiles::report::resource());
    let Ok(nodes) = api.list(&ListParams::default().limit(500)).await else { return };
    let failing = nodes.items.iter().filter(|node| {
        node.data.pointer("/status/failed").and_then(Value::as_u64).is_some_and(|failed| failed > 0)
    });
    let failing: Vec<String> = failing.filter_map(|node| node.metadata.name.clone()).collect();
    let more = if nodes.metadata.continue_.is_some_and(|token| !token.is_empty()) { " or more" } else { "" };
    let count = nodes.items.len();
    report.line(
        State::Note,
        "profiles",
        format!(
            "{count}{more} nodes keep seccomp profiles; nodes that cannot keep all: {}",
            listed(&failing)
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::{Authority, Data};
    use serde_json::json;

    #[test]
    fn replicas_on_one_node_are_reported() {
        let pods = |nodes: &[Option<&str>]| -> Vec<Pod> {
            let pod = |node: &Option<&str>| json!({"spec": {"containers": [], "nodeName": node}});
            nodes.iter().map(|node| serde_json::from_value(pod(node)).unwrap()).collect()
        };
        for (nodes, expected) in [
            (&[Some("a"), Some("a"), Some("a")][..], Some("a")),
            (&[Some("a"), Some("b"), Some("a")], None),
            (&[Some("a"), None], None),
            (&[None, None], None),
            (&[Some("a")], None),
            (&[], None),
        ] {
            let pods = pods(nodes);
            assert_eq!(only_node(&pods.iter().collect::<Vec<_>>()), expected, "{nodes:?}");
        }
    }

    /// A user without the right to read it is no fault of the installation.
    #[test]
    fn a_damaged_authority_is_a_fault() {
        let damaged = Authority::read(&Data::default()).unwrap_err();
        let (state, text) = unreadable(&damaged.into());
        assert!(state == State::Fails && text.contains("ca.crt of the secret"), "{text}");
        let status = kube::core::Status::failure("no", "Forbidden").with_code(403).boxed();
        assert_eq!(unreadable(&Error::Api(status).into()).0, State::Note);
    }

    #[test]
    fn a_replica_is_judged_by_what_it_says() {
        let said = |age: Value, unready: Value| {
            json!({"version": "1", "certificateExpires": "x", "leads": true, "unready": unready,
                "snapshotAgeSeconds": {"roles": 1, "namespaces": age}})
        };
        for (said, expected) in [
            (said(json!(3), Value::Null), State::Holds),
            (said(json!(61), Value::Null), State::Fails),
            (said(Value::Null, Value::Null), State::Fails),
            (said(json!(3), json!("it is stopping")), State::Fails),
            (json!({}), State::Fails),
        ] {
            assert_eq!(said_of("p", &said).0, expected, "{said}");
        }
    }
}
