//! Seccomp profiles that a pod names and that no node has: its containers would not start.
//!
//! The answer is that of the watch of the nodes' objects ([`NodeProfiles`]). Before it counts against a pod, the API
//! server is asked once whether a node has told something newer.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use json_patch::Patch;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client, Error};
use palisade_k8s::review::{AdmissionResponse, Status};
use palisade_profiles::report::{label, resource};
use palisade_profiles::{Digest, FOLDER, paths};
use serde_json::Value;

use crate::affinity;
use crate::feed::Freshness;
use crate::fit::Fit;
use crate::missing::MissingProfile;
use crate::nodes::{NodeProfiles, Standing};
use crate::request::Request;
use crate::warning::shortened;

/// Maximum time of the API server's answer.
const TIME: Duration = Duration::from_millis(300);
/// Maximum age of the nodes' objects that count.
const STALE: Duration = Duration::from_secs(60);
/// The largest pod that is checked, in bytes of JSON.
const LARGEST: usize = 1 << 20;
/// Maximum number of profiles of a pod that are checked.
const MOST: usize = 16;
/// Number of nodes that are asked for.
const ASKED: u32 = 20;

/// The profiles of nodes, and what is done about a pod that lacks one.
pub(crate) struct Unready {
    client: Client,
    nodes: NodeProfiles,
    freshness: Freshness,
    treatment: MissingProfile,
    /// The namespace of the agents, which write the profile that they themselves name.
    agents: String,
}

/// The reason why a pod would not start.
struct Complaint {
    text: String,
    /// Whether the API server has just been asked, or need not be.
    is_certain: bool,
}

/// The profiles of `palisade/` that a pod names.
struct Wanted {
    pod: Pod,
    digests: Vec<Digest>,
    /// A path of that folder that no file has.
    wrong: Option<String>,
}

impl Wanted {
    /// `None` if it names none. Most pods do, and are not parsed again; nor are large ones, which weigh many times their
    /// text.
    fn of(pod: &str) -> Option<Self> {
        if pod.len() > LARGEST || !pod.contains(FOLDER) {
            return None;
        }
        Self::of_pod(serde_json::from_str(pod).ok()?)
    }

    /// The same of a pod that SCC changes: the profile may be one that the SCC sets.
    fn after(pod: &str, patch: &[u8]) -> Option<Self> {
        let names = |text: &[u8]| text.windows(FOLDER.len()).any(|part| part == FOLDER.as_bytes());
        if patch.is_empty() {
            return Self::of(pod);
        }
        if pod.len() + patch.len() > LARGEST || !(names(pod.as_bytes()) || names(patch)) {
            return None;
        }
        let mut pod: Value = serde_json::from_str(pod).ok()?;
        json_patch::patch(&mut pod, &serde_json::from_slice::<Patch>(patch).ok()?).ok()?;
        Self::of_pod(serde_json::from_value(pod).ok()?)
    }

    fn of_pod(pod: Pod) -> Option<Self> {
        let own = format!("{FOLDER}/");
        let paths: Vec<String> =
            paths(&pod).into_iter().filter(|path| path.starts_with(&own)).take(MOST).collect();
        let digests = paths.iter().filter_map(|path| Digest::of_localhost_profile(path)).collect();
        let wrong = paths.iter().find(|path| Digest::of_localhost_profile(path).is_none()).cloned();
        (!paths.is_empty()).then_some(Self { pod, digests, wrong })
    }
}

impl Unready {
    pub(crate) fn new(
        client: Client,
        nodes: NodeProfiles,
        freshness: Freshness,
        treatment: MissingProfile,
        agents: String,
    ) -> Self {
        Self { client, nodes, freshness, treatment, agents }
    }

    /// The warning about a pod that no node can run, if any.
    pub(crate) async fn warning(&self, namespace: &str, pod: &str) -> Option<String> {
        Some(self.complaint(namespace, pod).await?.text)
    }

    /// The complaint about a pod that no node can run, if any. There is none if neither the watch nor the API server
    /// tells of the nodes.
    async fn complaint(&self, namespace: &str, pod: &str) -> Option<Complaint> {
        if namespace == self.agents {
            return None;
        }
        let wanted = Wanted::of(pod)?;
        if let Some(path) = &wanted.wrong {
            let text = format!(
                "seccomp profile localhost/{path}: files of {FOLDER}/ are named by digests, so no node has it; `kubectl get nodeseccompprofiles -o yaml` lists them"
            );
            return Some(Complaint { text: shortened(&text), is_certain: true });
        }
        let fit = Fit::of(&wanted.pod);
        let told = self.told(&fit, &wanted.digests);
        if matches!(told, Some(Standing::Everywhere | Standing::Somewhere { .. })) {
            return None;
        }
        let live = tokio::time::timeout(TIME, live(&self.client, &fit, &wanted.digests)).await;
        let live = live.ok().and_then(Result::ok);
        let (digest, name, why) = match (told, live) {
            (_, Some(Live::There)) => return None,
            (Some(Standing::Nowhere { digest, name, why }), _) => (digest, name, why),
            (_, Some(Live::Nowhere)) => (None, None, "no node that fits the pod has it".to_owned()),
            (_, Some(Live::Unknown) | None) => return None,
        };
        let path = digest.or(wanted.digests.first().copied())?.localhost_profile();
        let name = name.map_or_else(String::new, |name| format!(" ({name})"));
        let text = format!("seccomp profile localhost/{path}{name}: {why}: its containers would not start");
        Some(Complaint { text: shortened(&text), is_certain: live.is_some() })
    }

    /// The same as a refusal, or as a warning: always the latter if the API server did not answer.
    pub(crate) async fn judge(
        &self,
        request: &Request<'_>,
        mut response: AdmissionResponse,
    ) -> AdmissionResponse {
        let Some(complaint) = self.complaint(request.namespace(), request.object()).await else {
            return response;
        };
        if self.treatment == MissingProfile::Refuse && complaint.is_certain {
            let status = Some(Status::forbidden(complaint.text));
            return AdmissionResponse { allowed: false, status, ..response };
        }
        response.warnings.push(complaint.text);
        response
    }

    /// The answer to a new pod, which is also to keep to nodes that have its profiles, if some do not.
    pub(crate) fn steer(&self, request: &Request<'_>, response: AdmissionResponse) -> AdmissionResponse {
        if self.treatment != MissingProfile::Affinity || request.namespace() == self.agents {
            return response;
        }
        let patch = STANDARD.decode(response.patch.as_deref().unwrap_or_default()).unwrap_or_default();
        let wanted = Wanted::after(request.object(), &patch);
        match wanted.and_then(|wanted| self.operation(&wanted)) {
            Some(operation) => with(response, &patch, operation),
            None => response,
        }
    }

    fn operation(&self, wanted: &Wanted) -> Option<Value> {
        if wanted.wrong.is_some() {
            return None;
        }
        let fit = Fit::of(&wanted.pod);
        match self.told(&fit, &wanted.digests) {
            // A pod that is bound to a node is not scheduled.
            Some(Standing::Somewhere { having, lacking }) if fit.node.is_none() => {
                affinity::operation(wanted.pod.spec.as_ref()?, &having, &lacking)
            }
            _ => None,
        }
    }

    /// What nodes tell; `None` if that is not known, or too long ago.
    fn told(&self, fit: &Fit<'_>, digests: &[Digest]) -> Option<Standing> {
        let is_fresh = || self.freshness.age().is_some_and(|age| age <= STALE);
        // Again afterwards, since all nodes may be forgotten meanwhile.
        let standing = is_fresh().then(|| self.nodes.standing(fit, digests));
        standing.filter(|_| is_fresh())
    }
}

/// A response with one more operation than its patch has.
fn with(mut response: AdmissionResponse, patch: &[u8], operation: Value) -> AdmissionResponse {
    let mut operations: Vec<Value> = serde_json::from_slice(patch).unwrap_or_default();
    operations.push(operation);
    response.patch = Some(STANDARD.encode(Value::from(operations).to_string()));
    response.patch_type = Some("JSONPatch");
    response
}

/// What the API server knows now of profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Live {
    /// A node that fits the pod has them.
    There,
    /// None has.
    Nowhere,
    /// More than [`ASKED`] nodes have them, and of so many none fits the pod.
    Unknown,
}

async fn live(client: &Client, fit: &Fit<'_>, digests: &[Digest]) -> Result<Live, Error> {
    let selector = fit.selector.iter().map(|(key, value)| format!("{key}={value}"));
    let labels: Vec<String> = selector.chain(digests.iter().copied().map(label)).collect();
    let mut params = ListParams::default().labels(&labels.join(",")).limit(ASKED);
    if let Some(node) = fit.node {
        params = params.fields(&format!("metadata.name={node}"));
    }
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource());
    let found = api.list_metadata(&params).await?;
    let is_part = found.metadata.continue_.is_some_and(|token| !token.is_empty());
    let fits = found.items.iter().any(|object| {
        let labels = object.metadata.labels.as_ref();
        fit.fits(object.metadata.name.as_deref().unwrap_or_default(), |key| {
            labels.and_then(|labels| labels.get(key)).map(String::as_str)
        })
    });
    Ok(match (fits, is_part) {
        (true, _) => Live::There,
        (false, true) => Live::Unknown,
        (false, false) => Live::Nowhere,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_operation_is_added_to_a_patch() {
        let of = |response: &AdmissionResponse| -> Value {
            let patch = STANDARD.decode(response.patch.as_deref().unwrap()).unwrap();
            serde_json::from_slice(&patch).unwrap()
        };
        let alone = with(AdmissionResponse::default(), b"", json!({"op": "add"}));
        assert_eq!((of(&alone), alone.patch_type), (json!([{"op": "add"}]), Some("JSONPatch")));
        assert_eq!(
            of(&with(alone, br#"[{"op": "add"}]"#, json!({"op": "x"}))),
            json!([{"op": "add"}, {"op": "x"}])
        );
    }

    #[test]
    fn a_profile_that_the_patch_sets_is_wanted() {
        let path = format!("{FOLDER}/{}.json", "1".repeat(64));
        let profile = json!({"type": "Localhost", "localhostProfile": path});
        let plain = json!({"spec": {"containers": []}}).to_string();
        let own =
            json!({"spec": {"containers": [], "securityContext": {"seccompProfile": profile}}}).to_string();
        let sets =
            json!([{"op": "add", "path": "/spec/securityContext", "value": {"seccompProfile": profile}}]);
        let other = json!([{"op": "add", "path": "/spec/hostNetwork", "value": false}]);
        for (pod, patch, expected) in [
            (&plain, String::new(), 0),
            (&plain, other.to_string(), 0),
            (&plain, sets.to_string(), 1),
            (&own, String::new(), 1),
            (&own, other.to_string(), 1),
            (&own, "{".to_owned(), 0),
        ] {
            let wanted = Wanted::after(pod, patch.as_bytes());
            assert_eq!(wanted.map_or(0, |wanted| wanted.digests.len()), expected, "{pod} {patch}");
        }
    }
}
