//! A request as webhooks see it: which of them it is for, and the review that one is sent.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use palisade_api::cel::{Authorizer, Scope};
use palisade_api::error::{ApiError, ApiResult};
use palisade_api::identity::Identity;
use palisade_api::kind::{MUTATING_WEBHOOKS, RESOURCES, Resource, text};
use palisade_api::notes::Notes;
use palisade_api::request::{Query, Target};
use palisade_api::webhook::review;
use palisade_k8s::put;
use serde_json::{Value, json};

use crate::client::Client;
use crate::hook::Hook;
use crate::kept::Webhooks;
use crate::operation::Operation;

/// Annotations of the audit log from one answer of a webhook.
const ANNOTATIONS: usize = 20;
/// Length of such an annotation, in characters.
const ANNOTATION: usize = 1024;

/// Answers of webhooks that are on their way.
pub type Answers<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// The server that asks webhooks.
pub trait Host: std::fmt::Debug {
    /// The configured webhooks.
    fn webhooks(&self) -> &Webhooks;

    /// The client that reaches them.
    fn client(&self) -> &Client;

    /// Waits for answers of theirs. The thread that asks may block: it must be outside of an async runtime.
    ///
    /// # Errors
    ///
    /// The request may not wait, or not go on after it.
    fn wait(&self, answers: Answers<'_>) -> ApiResult<()>;

    /// A namespace, for the selectors of namespaces.
    ///
    /// # Errors
    ///
    /// There is none of this name.
    fn namespace(&self, name: &str) -> ApiResult<Value>;

    /// The served versions of a custom resource; none for one that is built in.
    fn versions_of(&self, resource: &Resource) -> Vec<Resource>;

    /// Objects as another version of their resource shows them.
    ///
    /// # Errors
    ///
    /// The webhook that converts them fails.
    fn shown(&self, form: &Resource, objects: Vec<Value>) -> ApiResult<Vec<Value>>;

    /// The authorizer of expressions, for the user of this request.
    fn authorizer(&self) -> Authorizer;

    /// An address of a service.
    fn endpoint(&self, namespace: &str, name: &str, port: u16) -> Option<SocketAddr>;
}

/// The parts of a request that webhooks see.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    /// The server.
    pub host: &'a dyn Host,
    /// The object, or the subresource of one, that the request is for.
    pub target: &'a Target,
    /// The parameters of the request.
    pub query: &'a Query,
    /// The user whose rights count.
    pub user: &'a Identity,
    /// Receiver of warnings and annotations of webhooks.
    pub notes: &'a Notes,
    /// The operation of the request.
    pub operation: Operation,
    /// The object as it was, if it was.
    pub old: Option<&'a Value>,
    /// Whether nothing is kept of what the request does.
    pub is_dry_run: bool,
}

/// A webhook for a request, and the form of the resource that its rules name.
pub(crate) struct Match<'h> {
    pub(crate) hook: &'h Hook,
    pub(crate) resource: Resource,
    /// The object and what it was, as this form shows them.
    pub(crate) shown: Shown,
}

/// The new and the old object; null for an absent one. All webhooks that request the same version share it.
pub(crate) type Shown = Arc<[Value; 2]>;

/// The forms in which webhooks have seen an object so far, with the variables of their conditions.
#[derive(Default)]
pub(crate) struct Forms(Vec<Form>);

struct Form {
    resource: Resource,
    /// None where it could not be shown.
    shown: Option<Shown>,
    scope: Option<Scope>,
}

/// Whether objects of a resource go through no webhooks: webhook configurations, which could otherwise not be repaired
/// (`IsExemptAdmissionConfigurationResource`), and reviews of authentication and authorization
/// (`pkg/kubeapiserver/admission/exclusion`).
pub(crate) fn is_exempt(resource: &Resource) -> bool {
    resource.review.is_some() || resource.group() == MUTATING_WEBHOOKS.group()
}

impl<'a> Attributes<'a> {
    pub(crate) fn resource(&self) -> &'a Resource {
        &self.target.resource
    }

    /// The webhooks of a list that are for this request. One that cannot be decided on stops it, unless its failure does
    /// not count.
    pub(crate) fn matching<'h>(
        &self,
        hooks: impl Iterator<Item = &'h Hook>,
        object: Option<&Value>,
        forms: &mut Forms,
    ) -> ApiResult<Vec<Match<'h>>> {
        let mut found = Vec::new();
        let mut namespace = None;
        for hook in hooks {
            let Some(resource) = self.form(hook) else { continue };
            if !self.selects_namespace(hook, object, &mut namespace)? || !self.selects_object(hook, object) {
                continue;
            }
            let Some(form) = self.seen_as(&resource, hook, object, forms)? else { continue };
            let Some(shown) = form.shown.clone() else { continue };
            if self.meets(hook, form, object, &shown)? {
                found.push(Match { hook, resource, shown });
            }
        }
        Ok(found)
    }

    /// The object in a form, made once for all webhooks. None where what cannot be shown goes past a webhook whose failure
    /// does not count.
    fn seen_as<'f>(
        &self,
        resource: &Resource,
        hook: &Hook,
        object: Option<&Value>,
        Forms(forms): &'f mut Forms,
    ) -> ApiResult<Option<&'f mut Form>> {
        let at = forms.iter().position(|form| form.resource.api_version() == resource.api_version());
        let is_known = at.is_some_and(|at| forms.get(at).is_some_and(|form| form.shown.is_some()));
        let at = match at {
            Some(at) if is_known || hook.ignores_failure => at,
            _ => {
                let shown = match self.shown(resource, object) {
                    Ok(shown) => Some(Arc::new(shown)),
                    Err(error) if hook.ignores_failure => {
                        tracing::warn!(
                            "no {} for webhook {:?}, failing open: {}",
                            resource.api_version(),
                            hook.name,
                            error.message
                        );
                        None
                    }
                    Err(error) => return Err(error),
                };
                forms.retain(|form| form.resource.api_version() != resource.api_version());
                forms.push(Form { resource: resource.clone(), shown, scope: None });
                forms.len() - 1
            }
        };
        Ok(forms.get_mut(at).filter(|form| form.shown.is_some()))
    }

    /// The object and what it was, as a form of the resource shows them; null for what is not there.
    fn shown(&self, form: &Resource, object: Option<&Value>) -> ApiResult<[Value; 2]> {
        let is_whole = self.target.subresource.is_none_or(|part| part.kind.is_none());
        let both = [object, self.old];
        if !is_whole {
            return Ok(both.map(|object| object.cloned().unwrap_or_default()));
        }
        let there = both.into_iter().flatten().cloned().collect();
        let mut shown = self.host.shown(form, there)?.into_iter();
        Ok(both.map(|object| object.and_then(|_| shown.next()).unwrap_or_default()))
    }

    /// The form of the resource that a webhook's rules name: that of the request, or an equivalent.
    fn form(&self, hook: &Hook) -> Option<Resource> {
        let (resource, part) = (self.resource(), self.target.subresource_name());
        let is_own = resource.group().is_empty() && resource.plural() == "namespaces";
        let in_namespace = !self.target.namespace.is_empty() || is_own;
        let matches = |form: &Resource| {
            hook.rules.iter().any(|rule| rule.matches(self.operation, form, part, in_namespace))
        };
        if matches(resource) {
            return Some(resource.clone());
        }
        if !hook.matches_equivalent {
            return None;
        }
        let versions = self.host.versions_of(resource);
        let mut others = RESOURCES.iter().copied().chain(&versions);
        let is_other = |other: &Resource| {
            other.storage() == resource.storage()
                && other.plural() == resource.plural()
                && other.api_version() != resource.api_version()
        };
        others.find(|other| is_other(other) && matches(other)).cloned()
    }

    fn selects_namespace(
        &self,
        hook: &Hook,
        object: Option<&Value>,
        known: &mut Option<Value>,
    ) -> ApiResult<bool> {
        let target = self.target;
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
            None => known.insert(self.host.namespace(&target.namespace)?),
        };
        Ok(hook.namespaces.matches(namespace))
    }

    fn selects_object(&self, hook: &Hook, object: Option<&Value>) -> bool {
        hook.objects.is_empty
            || [object, self.old].into_iter().flatten().any(|object| hook.objects.matches(object))
    }

    /// Whether the conditions of a webhook hold. A condition that is false takes precedence over one that cannot be evaluated.
    fn meets(
        &self,
        hook: &Hook,
        form: &mut Form,
        object: Option<&Value>,
        shown: &[Value; 2],
    ) -> ApiResult<bool> {
        if hook.conditions.is_empty() {
            return Ok(true);
        }
        let resource = &form.resource;
        let scope = form.scope.get_or_insert_with(|| self.scope(resource, object, shown));
        let mut failed = None;
        for (name, condition) in &hook.conditions {
            let held = condition.as_ref().map_err(Clone::clone).and_then(|condition| condition.holds(scope));
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

    /// The variables of conditions.
    fn scope(&self, form: &Resource, object: Option<&Value>, [new, old]: &[Value; 2]) -> Scope {
        Scope::default()
            .with("object", new)
            .with("oldObject", old)
            .with("request", &self.request("", form, object, None))
            .with_authorizer(self.host.authorizer())
    }

    /// The name in the path, or that of the object, which may have none yet.
    fn name<'v>(&self, object: Option<&'v Value>) -> &'v str
    where
        'a: 'v,
    {
        match self.target.name.as_str() {
            "" => object.map_or("", |object| text(object, "/metadata/name")),
            name => name,
        }
    }

    /// The review that a webhook is sent.
    fn request(
        &self,
        uid: &str,
        form: &Resource,
        object: Option<&Value>,
        shown: Option<&[Value; 2]>,
    ) -> Value {
        let target = self.target;
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
        set("userInfo", self.user.to_json());
        if let Some([new, old]) = shown {
            set("object", new.clone());
            set("oldObject", old.clone());
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
            if let Some(value) = self.query.get(field).filter(|value| !value.is_empty()) {
                put(&mut options, &[field], value.into());
            }
        }
        options
    }

    /// Asks one webhook.
    pub(crate) async fn ask(
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
        let body =
            review::write(version, &self.request(&uid, &matched.resource, object, Some(&matched.shown)));
        let resolve = |namespace: &str, name: &str, port: u16| self.host.endpoint(namespace, name, port);
        let answer = self.host.client().post(&resolve, hook, Bytes::from(body)).await?;
        review::read(version, &uid, is_mutating, &answer)
    }

    /// Notes what a webhook says beside its answer.
    pub(crate) fn note(&self, hook: &Hook, answer: &review::Answer) {
        self.notes.warn(answer.warnings.iter().cloned());
        let is_key = |key: &str| palisade_k8s::metadata::qualified_name(key).is_empty();
        let annotations = answer.annotations.iter().filter(|(key, _)| is_key(key));
        for (key, value) in annotations.take(ANNOTATIONS) {
            let value: String = value.chars().take(ANNOTATION).collect();
            self.notes.annotate(format!("{}/{key}", hook.name), value);
        }
    }

    pub(crate) fn check_dry_run(&self, hook: &Hook) -> ApiResult<()> {
        if self.is_dry_run && !hook.takes_dry_runs {
            let why = format!("admission webhook {:?} does not support dry run", hook.name);
            return Err(ApiError::bad_request(why));
        }
        Ok(())
    }
}
