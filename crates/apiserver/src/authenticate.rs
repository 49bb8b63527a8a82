//! Who asks: a certificate, a token, or nobody; and as whom they ask to be seen.

use std::collections::BTreeMap;

use http::HeaderMap;

use crate::api::Api;
use crate::authorize::{Wish, allowed};
use crate::error::{ApiError, ApiResult};
use crate::identity::{AUTHENTICATED, Identity};
use crate::request::decode;
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

/// The user that a request asks to be seen as, if it may: each part of who that is wants a right of its own.
pub(crate) fn impersonate(api: &Api, who: Identity, headers: &HeaderMap) -> ApiResult<Identity> {
    let Some(wanted) = Wanted::read(headers)? else { return Ok(who) };
    let account = wanted.user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    match account {
        Some((namespace, name)) => require(api, &who, "", "serviceaccounts", namespace, name)?,
        None => require(api, &who, "", "users", "", &wanted.user)?,
    }
    for group in &wanted.groups {
        require(api, &who, "", "groups", "", group)?;
    }
    const GROUP: &str = "authentication.k8s.io";
    if !wanted.uid.is_empty() {
        require(api, &who, GROUP, "uids", "", &wanted.uid)?;
    }
    for (key, values) in &wanted.extra {
        for value in values {
            require(api, &who, GROUP, &format!("userextras/{key}"), "", value)?;
        }
    }
    let mut seen = match account {
        Some((namespace, name)) if wanted.groups.is_empty() => {
            Identity::service_account(namespace, name, &wanted.uid)
        }
        _ => {
            Identity { name: wanted.user, uid: wanted.uid.clone(), groups: wanted.groups, extra: Vec::new() }
        }
    };
    seen.extra = wanted.extra.into_iter().collect();
    let is_anonymous = seen.name == crate::identity::ANONYMOUS;
    if !is_anonymous && !seen.groups.iter().any(|group| group == AUTHENTICATED) {
        seen.groups.push(AUTHENTICATED.to_owned());
    }
    Ok(seen)
}

/// Who a request asks to be seen as.
struct Wanted {
    user: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

impl Wanted {
    fn read(headers: &HeaderMap) -> ApiResult<Option<Self>> {
        let mut wanted =
            Self { user: String::new(), uid: String::new(), groups: Vec::new(), extra: BTreeMap::new() };
        for (name, value) in headers {
            let Some(what) = name.as_str().strip_prefix("impersonate-") else { continue };
            let value = value
                .to_str()
                .map_err(|_| {
                    ApiError::bad_request(format!("{name}: a text without special characters is expected"))
                })?
                .to_owned();
            match (what, what.strip_prefix("extra-")) {
                ("user", _) if wanted.user.is_empty() => wanted.user = value,
                ("uid", _) if wanted.uid.is_empty() => wanted.uid = value,
                ("user" | "uid", _) => return Err(ApiError::bad_request(format!("{name} is given twice"))),
                ("group", _) => wanted.groups.push(value),
                // A header's name has no case, and no letters but these: a key with others comes encoded.
                (_, Some(key)) => wanted.extra.entry(decode(key, false)).or_default().push(value),
                // What is not understood might be a limit on what the user may do.
                _ => return Err(ApiError::bad_request(format!("{name} is not known"))),
            }
        }
        let has_more = !(wanted.uid.is_empty() && wanted.groups.is_empty() && wanted.extra.is_empty());
        if has_more && wanted.user.is_empty() {
            return Err(ApiError::bad_request(
                "requested groups, a UID or extra information without a user to impersonate",
            ));
        }
        Ok(Some(wanted).filter(|wanted| !wanted.user.is_empty()))
    }
}

fn require(
    api: &Api,
    who: &Identity,
    group: &str,
    resource: &str,
    namespace: &str,
    name: &str,
) -> ApiResult<()> {
    let wish = Wish { verb: "impersonate", group, resource, namespace, name };
    if allowed(&api.live, who, &wish)?.is_some() {
        return Ok(());
    }
    let mut error = ApiError::forbidden_path(format!(
        "User {:?} cannot impersonate resource {resource:?} in API group {group:?} at the cluster scope",
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
