//! Admission webhooks: HTTPS servers that change objects, admit them or refuse them, as configurations of
//! `admissionregistration.k8s.io/v1` say.
//!
//! [`hooks`](crate::hooks) keeps the configurations and reaches the webhooks. Here those that match a request are asked: those
//! that change objects one after another, by name, those that only validate at once. A [`review`] is what one is sent and
//! what it answers.
//!
//! The rules are those of kube-apiserver (`k8s.io/apiserver/pkg/admission/plugin/webhook`), and its wording.

mod review;

use std::collections::HashSet;
use std::fmt::Display;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use palisade_api::cel::{Authorizer, Check, Decision, Scope};
use palisade_k8s::put;
use palisade_rbac::Action;
use serde_json::{Value, json};

use crate::authorize::allowed;
use crate::call::Call;
use crate::error::{ApiError, ApiResult, Reason};
use crate::hooks::{Hook, Webhooks};

pub(crate) use crate::hooks::Operation;
use crate::identity::Identity;
use crate::resource::{self, RESOURCES, Resource, text};
use crate::{limits, objects, patch};

/// The parts of a request that webhooks see.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes<'a> {
    pub(crate) call: &'a Call<'a>,
    pub(crate) operation: Operation,
    /// The object as it was, if it was.
    pub(crate) old: Option<&'a Value>,
    pub(crate) is_dry_run: bool,
}

/// The webhooks that were asked, and those to be asked again.
#[derive(Debug, Default)]
pub(crate) struct Reinvocation {
    asked: Vec<String>,
    again: HashSet<String>,
    /// Whether the webhooks are asked a second time, which is the last.
    is_second: bool,
    /// Whether one of them has changed the object.
    pub(crate) has_changed: bool,
}

impl Reinvocation {
    /// All that were asked are to be asked again: the server has changed the object since.
    pub(crate) fn require(&mut self) {
        self.again.extend(self.asked.iter().cloned());
    }

    pub(crate) fn is_required(&self) -> bool {
        !self.again.is_empty()
    }
}

/// A webhook for a request, and the form of the resource that its rules name.
struct Match<'h> {
    hook: &'h Hook,
    resource: Resource,
}

/// Resources whose objects go through no webhooks: those that could lock everybody out of the configurations
/// (`IsExemptAdmissionConfigurationResource`), and those that ask who somebody is and what they may
/// (`pkg/kubeapiserver/admission/exclusion`).
fn is_exempt(resource: &Resource) -> bool {
    resource.review.is_some() || resource.group() == resource::MUTATING_WEBHOOKS.group()
}

impl<'a> Attributes<'a> {
    fn resource(&self) -> &'a Resource {
        &self.call.target.resource
    }

    /// The webhooks of a list that are for this request. One that cannot be decided on stops it, unless its failure does
    /// not count.
    fn matching<'h>(
        &self,
        hooks: impl Iterator<Item = &'h Hook>,
        object: Option<&Value>,
    ) -> ApiResult<Vec<Match<'h>>> {
        let mut found = Vec::new();
        let mut namespace = None;
        for hook in hooks {
            let Some(resource) = self.form(hook) else { continue };
            if !self.selects_namespace(hook, object, &mut namespace)? || !self.selects_object(hook, object) {
                continue;
            }
            if self.meets(hook, &resource, object)? {
                found.push(Match { hook, resource });
            }
        }
        Ok(found)
    }

    /// The form of the resource that a webhook's rules name: that of the request, or an equivalent.
    fn form(&self, hook: &Hook) -> Option<Resource> {
        let (resource, part) = (self.resource(), self.call.target.subresource_name());
        let is_own = resource.group().is_empty() && resource.plural() == "namespaces";
        let in_namespace = !self.call.target.namespace.is_empty() || is_own;
        let matches = |form: &Resource| {
            hook.rules.iter().any(|rule| rule.matches(self.operation, form, part, in_namespace))
        };
        if matches(resource) {
            return Some(resource.clone());
        }
        if !hook.matches_equivalent {
            return None;
        }
        let registry = self.call.api.definitions.now();
        let mut others: Vec<Resource> = RESOURCES.iter().map(|other| (*other).clone()).collect();
        others.extend(registry.versions_of(resource));
        others
            .into_iter()
            .filter(|other| {
                other.storage() == resource.storage()
                    && other.plural() == resource.plural()
                    && other.api_version() != resource.api_version()
            })
            .find(|other| matches(other))
    }

    fn selects_namespace(
        &self,
        hook: &Hook,
        object: Option<&Value>,
        known: &mut Option<Value>,
    ) -> ApiResult<bool> {
        let target = self.call.target;
        if hook.namespaces.is_empty {
            return Ok(true);
        }
        if self.resource().is("", "namespaces") {
            return Ok(object.or(self.old).is_some_and(|namespace| hook.namespaces.matches(namespace)));
        }
        if target.namespace.is_empty() {
            return Ok(true);
        }
        let namespace = match known {
            Some(namespace) => namespace,
            None => known.insert(
                objects::get(&self.call.api.store, &resource::NAMESPACES, "", &target.namespace)?.object,
            ),
        };
        Ok(hook.namespaces.matches(namespace))
    }

    fn selects_object(&self, hook: &Hook, object: Option<&Value>) -> bool {
        hook.objects.is_empty
            || [object, self.old].into_iter().flatten().any(|object| hook.objects.matches(object))
    }

    /// Whether the conditions of a webhook hold. One that does not counts before one that cannot be evaluated.
    fn meets(&self, hook: &Hook, form: &Resource, object: Option<&Value>) -> ApiResult<bool> {
        if hook.conditions.is_empty() {
            return Ok(true);
        }
        let shown = |object: Option<&Value>| object.map_or(Value::Null, |object| form.show(object.clone()));
        let scope = Scope::default()
            .with("object", &shown(object))
            .with("oldObject", &shown(self.old))
            .with("request", &self.request("", form, object, false))
            .with_authorizer(self.authorizer());
        let mut failed = None;
        for (name, condition) in &hook.conditions {
            let held = condition.as_ref().map_err(Clone::clone).and_then(|condition| condition.holds(&scope));
            match held {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(why) => {
                    failed = failed.or(Some(format!("failed to evaluate match condition {name:?}: {why}")))
                }
            }
        }
        match failed {
            None => Ok(true),
            Some(_) if hook.ignores_failure => Ok(false),
            Some(why) => Err(ApiError::forbidden(self.resource(), self.name(object), why)),
        }
    }

    fn authorizer(&self) -> Authorizer {
        let (policy, author) = (Arc::clone(&self.call.api.policy), self.call.who.clone());
        Authorizer::new(move |check: &Check| decide(&policy, &author, check))
    }

    /// The name in the path, or that of the object, which may have none yet.
    fn name<'v>(&self, object: Option<&'v Value>) -> &'v str
    where
        'a: 'v,
    {
        match self.call.target.name.as_str() {
            "" => object.map_or("", |object| text(object, "/metadata/name")),
            name => name,
        }
    }

    /// The review that a webhook is sent.
    fn request(&self, uid: &str, form: &Resource, object: Option<&Value>, with_objects: bool) -> Value {
        let (target, call) = (self.call.target, self.call);
        let kind = |form: &Resource| match target.subresource.and_then(|part| part.kind) {
            Some((_, "", kind)) => json!({"group": form.group(), "version": form.version(), "kind": kind}),
            Some((group, version, kind)) => json!({"group": group, "version": version, "kind": kind}),
            None => json!({"group": form.group(), "version": form.version(), "kind": form.kind()}),
        };
        let place = |form: &Resource| json!({"group": form.group(), "version": form.version(), "resource": form.plural()});
        let (own, part) = (self.resource(), target.subresource_name());
        let mut request = json!({"uid": uid, "kind": kind(form), "resource": place(form)});
        let mut set = |field: &str, value: Value| put(&mut request, &[field], value);
        if !part.is_empty() {
            set("subResource", part.into());
        }
        set("requestKind", kind(own));
        set("requestResource", place(own));
        if !part.is_empty() {
            set("requestSubResource", part.into());
        }
        let name = self.name(object);
        if !name.is_empty() {
            set("name", name.into());
        }
        let namespace = if own.is("", "namespaces") { name } else { target.namespace.as_str() };
        if !namespace.is_empty() {
            set("namespace", namespace.into());
        }
        set("operation", self.operation.name().into());
        set("userInfo", call.who.to_json());
        if with_objects {
            let is_whole = target.subresource.is_none_or(|part| part.kind.is_none());
            let shown = |object: Option<&Value>| match object {
                Some(object) if is_whole => form.show(object.clone()),
                Some(object) => object.clone(),
                None => Value::Null,
            };
            set("object", shown(object));
            set("oldObject", shown(self.old));
        }
        set("dryRun", self.is_dry_run.into());
        set("options", self.options());
        request
    }

    fn options(&self) -> Value {
        let Some(kind) = self.operation.options() else { return Value::Null };
        let mut options = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
        if self.is_dry_run {
            put(&mut options, &["dryRun"], json!(["All"]));
        }
        for field in ["fieldManager", "fieldValidation", "propagationPolicy"] {
            if let Some(value) = self.call.query.get(field).filter(|value| !value.is_empty()) {
                put(&mut options, &[field], value.into());
            }
        }
        options
    }

    /// Asks one webhook.
    async fn ask(
        &self,
        matched: &Match<'_>,
        is_mutating: bool,
        object: Option<&Value>,
    ) -> Result<review::Answer, String> {
        let hook = matched.hook;
        let version =
            ["v1", "v1beta1"].into_iter().find(|version| hook.versions.iter().any(|v| v == version));
        let version =
            version.ok_or("webhook does not accept known AdmissionReview versions (v1, v1beta1)")?;
        let uid = uuid::Uuid::new_v4().to_string();
        let body = review::write(version, &self.request(&uid, &matched.resource, object, true));
        let answer = self.call.api.webhook_client.post(&self.call.api.store, hook, Bytes::from(body)).await?;
        review::read(version, &uid, is_mutating, &answer)
    }

    /// Notes what a webhook says beside its answer.
    fn note(&self, hook: &Hook, answer: &review::Answer) {
        self.call.notes.warn(answer.warnings.iter().cloned());
        for (key, value) in answer.annotations.iter().take(limits::WEBHOOK_ANNOTATIONS) {
            let value: String = value.chars().take(limits::WEBHOOK_ANNOTATION).collect();
            self.call.notes.annotate(format!("{}/{key}", hook.name), value);
        }
    }

    fn check_dry_run(&self, hook: &Hook) -> ApiResult<()> {
        if self.is_dry_run && !hook.takes_dry_runs {
            let why = format!("admission webhook {:?} does not support dry run", hook.name);
            return Err(ApiError::bad_request(why));
        }
        Ok(())
    }
}

/// The authorizer's questions of an expression about its author, or about a service account.
fn decide(policy: &palisade_admission::PolicyCache, author: &Identity, check: &Check) -> Decision {
    let account =
        check.account.as_ref().map(|(namespace, name)| Identity::service_account(namespace, name, ""));
    let who = account.as_ref().unwrap_or(author);
    if !check.path.is_empty() {
        let allowed = crate::authorize::allowed_path(policy, who, &check.verb, &check.path);
        return Decision { allowed, reason: String::new() };
    }
    let resource = match check.subresource.as_str() {
        "" => check.resource.clone(),
        part => format!("{}/{part}", check.resource),
    };
    let action = Action {
        verb: &check.verb,
        group: &check.group,
        resource: &resource,
        namespace: &check.namespace,
        name: &check.name,
    };
    let reason = allowed(policy, who, &action);
    Decision { allowed: reason.is_some(), reason: reason.unwrap_or_default() }
}

/// A call that failed, where its failure counts.
fn failed(hook: &Hook, why: impl Display) -> Box<ApiError> {
    let why = format!("failed calling webhook {:?}: {why}", hook.name);
    let mut error = ApiError::internal(&why);
    error.details = Some(json!({"causes": [{"message": why}]}));
    error
}

/// Asks the webhooks that change objects, one after another: all that match, or those that are to be asked again. What one
/// makes of the object is made to fit by `settle` before the next one sees it.
pub(crate) fn mutate(
    request: Attributes<'_>,
    object: &mut Option<Value>,
    round: &mut Reinvocation,
    settle: &dyn Fn(Value) -> ApiResult<Value>,
) -> ApiResult<()> {
    let all = Webhooks::all(&request.call.api.webhooks.mutating);
    if all.is_empty() || is_exempt(request.resource()) {
        return Ok(());
    }
    let only = std::mem::take(&mut round.again);
    let is_again = std::mem::replace(&mut round.is_second, true);
    round.has_changed = false;
    for (index, hook) in all.values().flat_map(|hooks| hooks.iter()).enumerate() {
        if is_again && !only.contains(&hook.id) {
            continue;
        }
        let matched = request.matching(std::iter::once(hook), object.as_ref())?;
        let Some(matched) = matched.first() else { continue };
        request.check_dry_run(hook)?;
        let at = format!("round_{}_index_{index}", u8::from(is_again));
        let answer = request.call.api.runtime.block_on(request.ask(matched, true, object.as_ref()));
        let applied = answer
            .map_err(Stop::Failed)
            .and_then(|answer| apply(&request, matched, answer, object.as_ref(), settle));
        let changed = match applied {
            Ok(changed) => changed,
            Err(Stop::Refused(error)) => return Err(error),
            Err(Stop::Failed(why)) if hook.ignores_failure => {
                tracing::warn!("failed calling webhook {:?}, failing open: {why}", hook.name);
                request.call.notes.annotate(
                    format!("failed-open.mutating.webhook.admission.k8s.io/{at}"),
                    hook.name.clone(),
                );
                None
            }
            Err(Stop::Failed(why)) => return Err(failed(hook, why)),
        };
        let said =
            json!({"configuration": hook.configuration, "webhook": hook.name, "mutated": changed.is_some()});
        request.call.notes.annotate(format!("mutation.webhook.admission.k8s.io/{at}"), said.to_string());
        if let Some(changed) = changed {
            round.has_changed = true;
            round.require();
            *object = Some(changed);
        }
        if hook.reinvoked && !is_again {
            round.asked.push(hook.id.clone());
        }
    }
    Ok(())
}

/// Why the work of one webhook ends.
enum Stop {
    /// It, or a rule that its change breaks, refuses the request.
    Refused(Box<ApiError>),
    /// It does not do what a webhook does.
    Failed(String),
}

/// The object after an answer; none where that is what it was.
fn apply(
    request: &Attributes<'_>,
    matched: &Match<'_>,
    answer: review::Answer,
    object: Option<&Value>,
    settle: &dyn Fn(Value) -> ApiResult<Value>,
) -> Result<Option<Value>, Stop> {
    let hook = matched.hook;
    request.note(hook, &answer);
    if !answer.allowed {
        return Err(Stop::Refused(review::refusal(&hook.name, answer.status.as_ref())));
    }
    if answer.patch.is_empty() {
        return Ok(None);
    }
    let Some(object) = object else {
        let why = format!(
            "admission webhook {:?} attempted to modify the object, which is not supported for this operation",
            hook.name
        );
        return Err(Stop::Refused(ApiError::internal(&why)));
    };
    let form = &matched.resource;
    let is_whole = request.call.target.subresource.is_none_or(|part| part.kind.is_none());
    let mut changed = if is_whole { form.show(object.clone()) } else { object.clone() };
    let message = form.shape();
    patch::change(&mut changed, patch::PatchKind::Json, &Value::Array(answer.patch), message)
        .map_err(|error| Stop::Failed(error.message))?;
    // What was shown in another form goes on in its own.
    if is_whole {
        put(&mut changed, &["apiVersion"], object["apiVersion"].clone());
        put(&mut changed, &["kind"], object["kind"].clone());
    }
    let changed = settle(changed).map_err(|error| match error.reason {
        Reason::BadRequest => Stop::Failed(error.message),
        _ => Stop::Refused(error),
    })?;
    Ok((changed != *object).then_some(changed))
}

/// Asks all webhooks that validate, at once; the first refusal by the order of their names counts.
pub(crate) fn validate(request: Attributes<'_>, object: Option<&Value>) -> ApiResult<()> {
    let all = Webhooks::all(&request.call.api.webhooks.validating);
    if all.is_empty() || is_exempt(request.resource()) {
        return Ok(());
    }
    let matched = request.matching(all.values().flat_map(|hooks| hooks.iter()), object)?;
    matched.iter().try_for_each(|matched| request.check_dry_run(matched.hook))?;
    let mut answers = Vec::with_capacity(matched.len());
    for part in matched.chunks(limits::WEBHOOKS_AT_ONCE) {
        let asked = part.iter().map(|matched| request.ask(matched, false, object));
        answers.extend(request.call.api.runtime.block_on(join_all(asked)));
    }
    let mut refused = Ok(());
    for (index, (matched, answer)) in matched.iter().zip(answers).enumerate() {
        let hook = matched.hook;
        let decided = match answer {
            Ok(answer) => {
                request.note(hook, &answer);
                if answer.allowed { Ok(()) } else { Err(review::refusal(&hook.name, answer.status.as_ref())) }
            }
            Err(why) if hook.ignores_failure => {
                tracing::warn!("failed calling webhook {:?}, failing open: {why}", hook.name);
                let key = format!("failed-open.validating.webhook.admission.k8s.io/round_0_index_{index}");
                request.call.notes.annotate(key, hook.name.clone());
                Ok(())
            }
            Err(why) => Err(failed(hook, why)),
        };
        refused = refused.and(decided);
    }
    refused
}

/// Both, for what is decided on before there is more to do: deletions and what is sent to a subresource. Gives the object
/// as the webhooks made it.
pub(crate) fn admit(request: Attributes<'_>, object: Option<Value>) -> ApiResult<Option<Value>> {
    let mut object = object;
    let mut round = Reinvocation::default();
    let settle = |object| Ok(object);
    mutate(request, &mut object, &mut round, &settle)?;
    if round.is_required() {
        mutate(request, &mut object, &mut round, &settle)?;
    }
    validate(request, object.as_ref())?;
    Ok(object)
}

/// Decides on a connection to an object.
pub(crate) fn connect(call: &Call<'_>, options: Value) -> ApiResult<()> {
    let request = Attributes { call, operation: Operation::Connect, old: None, is_dry_run: false };
    admit(request, Some(options)).map(drop)
}
