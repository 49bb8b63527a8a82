//! Reviews: requests that are answered and not stored, as SelfSubjectReview, SubjectAccessReview and TokenReview.

mod access;
mod connect;
mod pod;
mod project;

use palisade_hooks::Operation;
use palisade_k8s::{FieldError, FieldPath, put};
use serde_json::{Value, json};

use crate::body::{self, Validation};
use crate::call::{Answer, Call};
use crate::error::{ApiError, ApiResult};
use crate::failure;
use crate::identity::Identity;
use crate::limits;
use crate::objects;
use crate::resource::{Review, text};
use crate::token::User;
use crate::verb;
use crate::webhook::attributes;

pub(crate) use connect::{Place, connect};
pub(crate) use pod::{bind, evict};

/// The object sent to a subresource, as admission webhooks see it.
pub(crate) fn admitted(call: &Call<'_>, object: Value) -> ApiResult<Value> {
    verb::check_sent(call, &object)?;
    let request = attributes(call, Operation::Create, None);
    let object = palisade_hooks::admit(request, Some(object))?.unwrap_or_default();
    verb::check_sent(call, &object).map(|()| object)
}

/// `POST` of a review.
pub(crate) fn answer(call: &Call<'_>, review: Review, bytes: &[u8], content_type: &str) -> ApiResult<Answer> {
    let mut object = verb::read_object(call, bytes, content_type)?;
    if !call.target.namespace.is_empty() {
        verb::check_sent(call, &object)?;
    }
    match review {
        Review::Binding => pod::bind(call, text(&object, "/metadata/name"), &object),
        Review::ProjectRequest => project::request(call, &object),
        Review::Token => token(call, object).map(Answer::created),
        Review::SelfSubject => {
            put(&mut object, &["status"], json!({"userInfo": call.identity.to_json()}));
            if object.pointer("/metadata/creationTimestamp").is_none() {
                put(&mut object, &["metadata"], json!({"creationTimestamp": crate::time::now()}));
            }
            Ok(Answer::created(object))
        }
        Review::SubjectAccess | Review::LocalSubjectAccess => access::subject(call, object),
        Review::SelfSubjectAccess => access::own(call, object),
        Review::SelfSubjectRules => access::rules(call, object),
        Review::ResourceAccess | Review::LocalResourceAccess => access::who_can(call, &object),
        Review::OpenShiftSubjectAccess => access::openshift(call, &object),
        Review::PodForAccounts => pod::review_accounts(call, object),
        Review::PodForSubject => pod::review_subject(call, object),
        Review::PodForSelf => pod::review_self(call, object),
    }
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Answers a TokenReview.
fn token(call: &Call<'_>, mut review: Value) -> ApiResult<Value> {
    if text(&review, "/spec/token").is_empty() {
        return Err(ApiError::bad_request("spec.token: a review of a token has one"));
    }
    let audiences = strings(review.pointer("/spec/audiences"));
    let found = call.api.tokens.check(&call.api.store, text(&review, "/spec/token"), &audiences);
    let status = match found {
        Some((identity, audiences)) => {
            let mut status = json!({"authenticated": true, "user": identity.to_json()});
            if !audiences.is_empty() {
                put(&mut status, &["audiences"], audiences.into());
            }
            status
        }
        None => json!({"user": {}, "error": "the token is unknown, or no longer valid"}),
    };
    put(&mut review, &["status"], status);
    // The reviewed token is a secret, and the answer may be logged.
    let spec = if audiences.is_empty() { json!({}) } else { json!({"audiences": audiences}) };
    put(&mut review, &["spec"], spec);
    Ok(review)
}

/// Errors of the requested lifetime of a token.
fn wrong_time(seconds: Option<i64>) -> Option<FieldError> {
    let seconds = seconds?;
    let why = match seconds {
        ..limits::TOKEN_LEAST => "may not specify a duration less than 10 minutes",
        limits::TOKEN_LEAST..=limits::TOKEN_MOST => return None,
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    Some(FieldError::invalid(FieldPath::of("spec.expirationSeconds"), seconds, why))
}

/// `POST` of a request for a service account's token.
pub(crate) fn request_token(call: &Call<'_>, bytes: &[u8], content_type: &str) -> ApiResult<Answer> {
    let mut request = body::read(bytes, content_type, &mut Vec::new())?;
    let message = crate::schema::message("TokenRequest").ok_or_else(ApiError::no_such_path)?;
    body::fit(&mut request, message.into(), Validation::Ignore, Vec::new())?;
    request = admitted(call, request)?;
    body::fit(&mut request, message.into(), Validation::Ignore, Vec::new())?;
    let target = call.target;
    let account = objects::get(&call.api.store, &target.resource, &target.namespace, &target.name)?;
    let audiences = strings(request.pointer("/spec/audiences"));
    let seconds = request.pointer("/spec/expirationSeconds").and_then(Value::as_i64);
    if let Some(error) = wrong_time(seconds).or_else(|| wrong_audiences(&audiences)) {
        return Err(ApiError::invalid(&target.resource, &target.name, &[error]));
    }
    let bound = request.pointer("/spec/boundObjectRef").cloned();
    let said = bound.as_ref().map(|bound| text(bound, "/uid").to_owned());
    let bound = bound.map(|reference| find_bound(call, &reference)).transpose()?;
    let object = bound.as_ref().map(|bound| &bound.object);
    crate::admit::check_token(call, &audiences, object.zip(said.as_deref()))?;
    let reference = bound.as_ref().map(|bound| {
        (bound.kind, text(&bound.object, "/metadata/name"), text(&bound.object, "/metadata/uid"))
    });
    let (mut token, expires) = call.api.tokens.sign(&account.object, &audiences, seconds, reference)?;
    if call.is_dry_run() {
        // The claims of the token are known to be valid by now; a dry run returns no token.
        token.clear();
    }
    put(&mut request, &["kind"], "TokenRequest".into());
    put(&mut request, &["apiVersion"], "authentication.k8s.io/v1".into());
    put(
        &mut request,
        &["metadata"],
        json!({"name": target.name, "namespace": target.namespace,
                                 "creationTimestamp": crate::time::now()}),
    );
    put(&mut request, &["spec", "expirationSeconds"], seconds.unwrap_or(limits::TOKEN_USUAL).into());
    if audiences.is_empty() {
        put(&mut request, &["spec", "audiences"], json!([crate::token::ISSUER]));
    }
    put(&mut request, &["status"], json!({"token": token, "expirationTimestamp": expires}));
    Ok(Answer::created(request))
}

/// A token is remembered with its audiences, so it has few.
fn wrong_audiences(audiences: &[String]) -> Option<FieldError> {
    let why = || format!("may have {} audiences at most", limits::AUDIENCES);
    (audiences.len() > limits::AUDIENCES)
        .then(|| FieldError::forbidden(FieldPath::of("spec.audiences"), why()))
}

/// `POST` of a user's new password.
pub(crate) fn set_password(call: &Call<'_>, bytes: &[u8], content_type: &str) -> ApiResult<Answer> {
    let request = body::read(bytes, content_type, &mut Vec::new())?;
    verb::check_sent(call, &request)?;
    let target = call.target;
    objects::get(&call.api.store, &target.resource, "", &target.name)?;
    let user = User::find(&call.api.store, &target.name)
        .ok_or_else(|| ApiError::bad_request(format!("user {:?} cannot log in", target.name)))?;
    let password = text(&request, "/password");
    if password.chars().count() < limits::PASSWORD {
        return Err(ApiError::bad_request(format!(
            "password: must have at least {} characters",
            limits::PASSWORD
        )));
    }
    if !call.is_dry_run() {
        crate::password::set(&call.api.store, &user, password)
            .map_err(|error| failure::store(&target.resource, &target.name, error))?;
    }
    Ok(Answer::created(
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
    ))
}

/// The pod or secret that a token is bound to.
struct Bound {
    kind: &'static str,
    object: Value,
}

fn find_bound(call: &Call<'_>, reference: &Value) -> ApiResult<Bound> {
    let (kind, name, uid) = (text(reference, "/kind"), text(reference, "/name"), text(reference, "/uid"));
    let (kind, plural) = match kind {
        "Pod" => ("Pod", "pods"),
        "Secret" => ("Secret", "secrets"),
        other => {
            return Err(ApiError::bad_request(format!(
                "cannot bind token for serviceaccount to kind {other:?}"
            )));
        }
    };
    let resource = crate::resource::find("", plural).ok_or_else(ApiError::no_such_path)?;
    let found = objects::get(&call.api.store, resource, &call.target.namespace, name)?;
    let actual = text(&found.object, "/metadata/uid");
    if !uid.is_empty() && uid != actual {
        let why = format!("the UID in the bound object reference ({uid}) does not match the UID in record");
        return Err(ApiError::conflict(resource, name, why));
    }
    let is_of = kind != "Pod" || text(&found.object, "/spec/serviceAccountName") == call.target.name;
    if !is_of {
        return Err(ApiError::bad_request(format!(
            "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name",
            call.target.name
        )));
    }
    Ok(Bound { kind, object: found.object })
}

/// Creates an object as the server itself, whatever the user may do: the result of a project request.
fn create_as_system(
    call: &Call<'_>,
    group: &str,
    plural: &str,
    namespace: &str,
    object: Value,
) -> ApiResult<Value> {
    let resource = crate::resource::find(group, plural).ok_or_else(ApiError::no_such_path)?;
    let target = crate::request::Target {
        resource: resource.clone(),
        namespace: namespace.to_owned(),
        name: text(&object, "/metadata/name").to_owned(),
        subresource: None,
    };
    let system = Identity::system();
    let system = Call { identity: &system, target: &target, ..*call };
    verb::create_object(&system, object)
}
