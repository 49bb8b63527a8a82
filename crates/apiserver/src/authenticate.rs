//! Who asks: a certificate, a token, or nobody; and as whom they ask to be seen.

use http::HeaderMap;

use crate::api::Api;
use crate::authorize::{Wish, allowed};
use crate::error::{ApiError, ApiResult};
use crate::identity::{AUTHENTICATED, Identity};
use crate::token;

/// The user that a client's certificate names: CN is the name, every O a group.
pub(crate) fn of_certificate(der: &[u8]) -> Option<Identity> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups = subject.iter_organization().filter_map(|group| group.as_str().ok()).map(str::to_owned);
    (!name.is_empty()).then(|| Identity::user(name, groups.collect()))
}

/// Who sends a request. A token that is nobody's is refused, also where nobody would do.
pub(crate) fn of_request(
    api: &Api,
    certificate: Option<&Identity>,
    headers: &HeaderMap,
) -> ApiResult<Identity> {
    let header = headers.get(http::header::AUTHORIZATION);
    let bearer = match header {
        Some(header) => {
            let text = header.to_str().map_err(|_| ApiError::unauthorized())?;
            // Passwords are for the login page only.
            text.strip_prefix("Bearer ").map(str::trim)
        }
        None => None,
    };
    if let Some(token) = bearer.filter(|token| !token.is_empty()) {
        let found = api.tokens.check(&api.store, token, &[]);
        return found.map(|(identity, _)| identity).ok_or_else(ApiError::unauthorized);
    }
    Ok(certificate.cloned().unwrap_or_else(Identity::anonymous))
}

/// The user that a request asks to be seen as, if it may.
pub(crate) fn impersonate(api: &Api, who: Identity, headers: &HeaderMap) -> ApiResult<Identity> {
    let text =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let is_known = |name: &str| matches!(name, "impersonate-user" | "impersonate-group");
    let mut names = headers.keys().map(http::HeaderName::as_str);
    // What is not understood might be a limit on what the user may do.
    if let Some(other) = names.find(|name| name.starts_with("impersonate-") && !is_known(name)) {
        return Err(ApiError::bad_request(format!(
            "{other} is not supported; only users and groups can be impersonated"
        )));
    }
    let user = text("impersonate-user");
    let groups: Vec<String> = headers
        .get_all("impersonate-group")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .map(str::to_owned)
        .collect();
    if user.is_empty() {
        if !groups.is_empty() {
            return Err(ApiError::bad_request("requested a group or more without a user to impersonate"));
        }
        return Ok(who);
    }
    let account = user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    let (resource, namespace, name) = match account {
        Some((namespace, name)) => ("serviceaccounts", namespace, name),
        None => ("users", "", user.as_str()),
    };
    require(api, &who, resource, namespace, name)?;
    for group in &groups {
        require(api, &who, "groups", "", group)?;
    }
    let mut seen = match account {
        Some((namespace, name)) if groups.is_empty() => Identity::service_account(namespace, name, ""),
        _ => Identity { name: user, uid: String::new(), groups, extra: Vec::new() },
    };
    let is_anonymous = seen.name == crate::identity::ANONYMOUS;
    if !is_anonymous && !seen.groups.iter().any(|group| group == AUTHENTICATED) {
        seen.groups.push(AUTHENTICATED.to_owned());
    }
    Ok(seen)
}

fn require(api: &Api, who: &Identity, resource: &str, namespace: &str, name: &str) -> ApiResult<()> {
    let wish = Wish { verb: "impersonate", group: "", resource, namespace, name };
    if allowed(&api.live, who, &wish)?.is_some() {
        return Ok(());
    }
    let mut error = ApiError::forbidden_path(format!(
        "User {:?} cannot impersonate resource {resource:?} in API group \"\" at the cluster scope",
        who.name
    ));
    error.message = format!("{resource} {name:?} is {}", error.message);
    Err(error)
}

/// The user behind a name and a password, of those made with `palisade user`.
pub(crate) fn of_password(api: &Api, header: &str) -> Option<Identity> {
    let (name, password) = token::basic(header)?;
    crate::password::check(&api.store, &name, &password).then(|| token::logged_in(&api.store, &name))
}
