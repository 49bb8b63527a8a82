//! Calls of the webhooks that match a request: mutating ones one after another, by name, validating ones at the same
//! time.

use std::collections::HashSet;

use futures::future::join_all;
use palisade_api::error::{ApiError, ApiResult, Reason};
use palisade_api::patch;
use palisade_api::webhook::{self, review};
use palisade_k8s::put;
use serde_json::{Value, json};

use crate::attributes::{Attributes, Forms, Host, Match, is_exempt};
use crate::hook::Hook;

/// Webhooks that are asked at once for one request.
const AT_ONCE: usize = 32;

/// The webhooks that were asked, and those to be asked again.
#[derive(Debug, Default)]
pub struct Reinvocation {
    asked: Vec<String>,
    again: HashSet<String>,
    /// Whether the webhooks are asked a second time, which is the last.
    is_second: bool,
    /// Whether one of them has changed the object.
    pub has_changed: bool,
}

impl Reinvocation {
    /// All that were asked are to be asked again: the server has changed the object since.
    pub fn require(&mut self) {
        self.again.extend(self.asked.iter().cloned());
    }

    /// Whether a webhook is to be asked again.
    pub fn is_required(&self) -> bool {
        !self.again.is_empty()
    }
}

/// A call that failed, where its failure counts.
fn failed(hook: &Hook, why: &str) -> Box<ApiError> {
    let why = format!("failed calling webhook {:?}: {}", hook.name, webhook::brief(why));
    let mut error = ApiError::internal(&why);
    error.details = Some(json!({"causes": [{"message": why}]}));
    error
}

/// Waits for an answer.
fn wait<T>(host: &dyn Host, asked: impl Future<Output = T>) -> ApiResult<T> {
    let mut answer = None;
    host.wait(Box::pin(async { answer = Some(asked.await) }))?;
    answer.ok_or_else(|| ApiError::internal("nobody waited for a webhook"))
}

/// Asks the webhooks that change objects, one after another: all that match, or those that are to be asked again. What one
/// makes of the object is made to fit by `settle` before the next one sees it.
pub fn mutate(
    request: Attributes<'_>,
    object: &mut Option<Value>,
    round: &mut Reinvocation,
    settle: &dyn Fn(Value) -> ApiResult<Value>,
) -> ApiResult<()> {
    let all = request.host.webhooks().mutating.all();
    if all.is_empty() || is_exempt(request.resource()) {
        return Ok(());
    }
    let only = std::mem::take(&mut round.again);
    let is_again = std::mem::replace(&mut round.is_second, true);
    round.has_changed = false;
    let mut forms = Forms::default();
    for (index, hook) in all.values().flat_map(|hooks| hooks.iter()).enumerate() {
        if is_again && !only.contains(&hook.id) {
            continue;
        }
        let matched = request.matching(std::iter::once(hook), object.as_ref(), &mut forms)?;
        let Some(matched) = matched.first() else { continue };
        request.check_dry_run(hook)?;
        let at = format!("round_{}_index_{index}", u8::from(is_again));
        let answer = wait(request.host, request.ask(matched, true, object.as_ref()))?;
        let applied = answer
            .map_err(Stop::Failed)
            .and_then(|answer| apply(&request, matched, answer, object.as_ref(), settle));
        let changed = match applied {
            Ok(changed) => changed,
            Err(Stop::Refused(error)) => return Err(error),
            Err(Stop::Failed(why)) if hook.ignores_failure => {
                tracing::warn!(
                    "failed calling webhook {:?}, failing open: {}",
                    hook.name,
                    webhook::brief(&why)
                );
                request.notes.annotate(
                    format!("failed-open.mutating.webhook.admission.k8s.io/{at}"),
                    hook.name.clone(),
                );
                None
            }
            Err(Stop::Failed(why)) => return Err(failed(hook, &why)),
        };
        let said =
            json!({"configuration": hook.configuration, "webhook": hook.name, "mutated": changed.is_some()});
        request.notes.annotate(format!("mutation.webhook.admission.k8s.io/{at}"), said.to_string());
        if let Some(changed) = changed {
            round.has_changed = true;
            round.require();
            *object = Some(changed);
            forms = Forms::default();
        }
        if hook.reinvoked && !is_again {
            round.asked.push(hook.id.clone());
        }
    }
    Ok(())
}

/// The reason why the call of a webhook ends.
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
    let is_whole = request.target.subresource.is_none_or(|part| part.kind.is_none());
    let [shown, _] = &*matched.shown;
    let mut changed = shown.clone();
    let message = form.shape();
    patch::change(&mut changed, patch::PatchKind::Json, &Value::Array(answer.patch), message)
        .map_err(|error| Stop::Failed(error.message))?;
    // An object that was converted is converted back.
    if is_whole && form.api_version() != request.resource().api_version() {
        let back = request
            .host
            .shown(request.resource(), vec![changed])
            .map_err(|error| Stop::Failed(error.message))?;
        changed = back.into_iter().next().unwrap_or_default();
    }
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
pub fn validate(request: Attributes<'_>, object: Option<&Value>) -> ApiResult<()> {
    let all = request.host.webhooks().validating.all();
    if all.is_empty() || is_exempt(request.resource()) {
        return Ok(());
    }
    let matched =
        request.matching(all.values().flat_map(|hooks| hooks.iter()), object, &mut Forms::default())?;
    matched.iter().try_for_each(|matched| request.check_dry_run(matched.hook))?;
    let mut answers = Vec::with_capacity(matched.len());
    for part in matched.chunks(AT_ONCE) {
        let asked = part.iter().map(|matched| request.ask(matched, false, object));
        answers.extend(wait(request.host, join_all(asked))?);
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
                tracing::warn!(
                    "failed calling webhook {:?}, failing open: {}",
                    hook.name,
                    webhook::brief(&why)
                );
                let key = format!("failed-open.validating.webhook.admission.k8s.io/round_0_index_{index}");
                request.notes.annotate(key, hook.name.clone());
                Ok(())
            }
            Err(why) => Err(failed(hook, &why)),
        };
        refused = refused.and(decided);
    }
    refused
}

/// Sends deletions and bodies of subresources to mutating, then to validating webhooks. Returns the object as the webhooks
/// changed it.
pub fn admit(request: Attributes<'_>, object: Option<Value>) -> ApiResult<Option<Value>> {
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
