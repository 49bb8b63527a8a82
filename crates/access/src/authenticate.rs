//! Authentication: client certificate, bearer token or anonymous; impersonation.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use jiff::Timestamp;
use palisade_k8s::metadata;

use crate::authorize::allowed;
use crate::error::{ApiError, ApiResult};
use crate::identity::{AUTHENTICATED, Identity, Requester, UNAUTHENTICATED};
use crate::request::decode;
use crate::resource;
use crate::token::Tokens;
use palisade_admission::PolicyCache;
use palisade_rbac::Action;
use palisade_store::Store;
use x509_parser::certificate::X509Certificate;

/// The source of users.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// Tokens of users, and the accounts, pods and secrets that tokens end with.
    pub store: &'a Store,
    /// The rights to impersonate.
    pub policy: &'a PolicyCache,
    /// The key of service accounts' tokens.
    pub tokens: &'a Tokens,
}

/// A client's certificate: its user, for as long as it is valid. A connection may last longer; its requests are refused then.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    identity: Identity,
    /// The last second of its validity.
    not_after: i64,
}

impl ClientCertificate {
    /// A certificate that names a user; `None` if no user can have that name.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        let not_after = certificate.validity().not_after.timestamp();
        Some(Self { identity: user_of(&certificate)?, not_after })
    }

    /// The user that it names.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The user, at a second.
    fn identity_at(&self, now: i64) -> ApiResult<&Identity> {
        if now > self.not_after { Err(ApiError::unauthorized()) } else { Ok(&self.identity) }
    }
}

/// The user that a client's certificate names: CN is the name, every O a group. None, if they are not those of a user or
/// of a part of the system: service accounts and strangers have no certificates.
fn user_of(certificate: &X509Certificate<'_>) -> Option<Identity> {
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups = subject.iter_organization().map(|group| group.as_str().ok().map(str::to_owned));
    let groups: Vec<String> = groups.collect::<Option<_>>()?;
    let is_machine = |name: &str| MACHINES.iter().any(|prefix| name.starts_with(prefix));
    let is_usable = |name: &String| is_name(name) && !is_machine(name);
    (is_usable(&name) && groups.iter().all(is_usable)).then(|| Identity::user(name, groups))
}

/// Prefixes of the names and groups that the server itself gives, by a token or for lack of one.
const MACHINES: [&str; 3] = ["system:serviceaccount", "system:anonymous", "system:unauthenticated"];

/// Whether a user or a group can have a name: as OpenShift rules, or as a part of the system.
fn is_name(name: &str) -> bool {
    let is_system = name.starts_with("system:") && !name.chars().any(char::is_control);
    is_system || resource::broken_name(name).is_none()
}

/// The credentials and impersonation headers of a request; a watch keeps them, to identify its user again.
#[derive(Clone, Debug)]
pub struct Shown {
    certificate: Option<Arc<ClientCertificate>>,
    headers: HeaderMap,
}

impl Shown {
    /// From the connection's certificate and a request's headers, of which only those are kept that say who it is from.
    pub fn new(certificate: Option<Arc<ClientCertificate>>, headers: &HeaderMap) -> Self {
        let is_wanted =
            |name: &HeaderName| *name == AUTHORIZATION || name.as_str().starts_with("impersonate-");
        let kept = headers.iter().filter(|(name, _)| is_wanted(name));
        Self { certificate, headers: kept.map(|(name, value)| (name.clone(), value.clone())).collect() }
    }

    /// The same with the token of a session, unless a token is shown already.
    pub fn with_session(mut self, token: &str) -> Self {
        if let (false, Ok(value)) =
            (self.headers.contains_key(AUTHORIZATION), HeaderValue::from_str(&format!("Bearer {token}")))
        {
            self.headers.insert(AUTHORIZATION, value);
        }
        self
    }

    /// The requester as of now.
    pub fn identify(&self, sources: &Sources<'_>) -> ApiResult<Requester> {
        let own = of_request(sources, self.certificate.as_deref(), &self.headers)?;
        match impersonate(sources.policy, &own, &self.headers) {
            Ok(Some(identity)) => Ok(Requester { identity, impersonator: Some(own) }),
            Ok(None) => Ok(Requester { identity: own, impersonator: None }),
            Err(error) => Err(error),
        }
    }
}

/// The user of a request: of its client certificate or bearer token, else anonymous. An invalid token and an expired certificate
/// are refused, even where anonymous would do.
fn of_request(
    sources: &Sources<'_>,
    certificate: Option<&ClientCertificate>,
    headers: &HeaderMap,
) -> ApiResult<Identity> {
    let header = headers.get(AUTHORIZATION);
    let bearer = match header {
        Some(header) => {
            let text = header.to_str().map_err(|_| ApiError::unauthorized())?;
            // Passwords are for the login page only.
            let parts = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
            parts.map(|(_, token)| token.trim())
        }
        None => None,
    };
    if let Some(token) = bearer.filter(|token| !token.is_empty()) {
        let found = sources.tokens.check(sources.store, token, &[]);
        return found.map(|(identity, _)| identity).ok_or_else(ApiError::unauthorized);
    }
    match certificate {
        Some(certificate) => certificate.identity_at(Timestamp::now().as_second()).cloned(),
        None => Ok(Identity::anonymous()),
    }
}

/// The user that a request asks to be seen as, if it may: each part of who that is wants a right of its own.
fn impersonate(
    policy: &PolicyCache,
    identity: &Identity,
    headers: &HeaderMap,
) -> ApiResult<Option<Identity>> {
    let Some(wanted) = Wanted::read(headers)? else { return Ok(None) };
    wanted.check()?;
    let account = service_account(&wanted.user);
    match account {
        Some((namespace, name)) => require(policy, identity, "", "serviceaccounts", namespace, name)?,
        None => require(policy, identity, "", "users", "", &wanted.user)?,
    }
    for group in &wanted.groups {
        require(policy, identity, "", "groups", "", group)?;
    }
    const GROUP: &str = "authentication.k8s.io";
    if !wanted.uid.is_empty() {
        require(policy, identity, GROUP, "uids", "", &wanted.uid)?;
    }
    for (key, values) in &wanted.extra {
        for value in values {
            require(policy, identity, GROUP, &format!("userextras/{key}"), "", value)?;
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
    // As Kubernetes adds them: an anonymous user gets no other groups.
    let is_anonymous = seen.name == crate::identity::ANONYMOUS;
    let has = |wanted: &str| seen.groups.iter().any(|group| group == wanted);
    if !has(AUTHENTICATED) && !has(UNAUTHENTICATED) {
        seen.groups.push(if is_anonymous { UNAUTHENTICATED } else { AUTHENTICATED }.to_owned());
    }
    Ok(Some(seen))
}

/// The namespace and the name of a service account, by its name as a user.
pub fn service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    (metadata::is_label(namespace) && metadata::is_subdomain(name)).then_some((namespace, name))
}

/// The user that a request impersonates.
struct Wanted {
    user: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

impl Wanted {
    /// Refuses names that no user or group can have.
    fn check(&self) -> ApiResult<()> {
        let is_account = self.user.starts_with("system:serviceaccount:");
        if !is_name(&self.user) || is_account && service_account(&self.user).is_none() {
            return Err(ApiError::bad_request(format!(
                "Impersonate-User: {:?} is not a user's name",
                self.user
            )));
        }
        match self.groups.iter().find(|group| !is_name(group)) {
            Some(group) => {
                Err(ApiError::bad_request(format!("Impersonate-Group: {group:?} is not a group's name")))
            }
            None => Ok(()),
        }
    }

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
                // An unknown Impersonate-* header is refused: it might restrict the user's rights.
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
    policy: &PolicyCache,
    identity: &Identity,
    group: &str,
    resource: &str,
    namespace: &str,
    name: &str,
) -> ApiResult<()> {
    let action = Action { verb: "impersonate", group, resource, namespace, name };
    if allowed(policy, identity, &action).is_some() {
        return Ok(());
    }
    let mut error = ApiError::forbidden_path(format!(
        "User {:?} cannot impersonate resource {resource:?} in API group {group:?} at the cluster scope",
        identity.name
    ));
    error.message = format!("{resource} {name:?} is {}", error.message);
    Err(error)
}

#[cfg(test)]
mod tests {
    use palisade_https::Authority;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    use super::ClientCertificate;

    fn certificate(name: &str, groups: &[&str]) -> Option<ClientCertificate> {
        let pair = Authority::new("test").unwrap().client(name, groups, 1).unwrap();
        ClientCertificate::read(&CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap())
    }

    #[test]
    fn a_certificate_names_a_user_until_it_ends() {
        let alice = certificate("alice", &["team"]).unwrap();
        let user = alice.identity_at(alice.not_after).unwrap();
        assert_eq!((user.name.as_str(), user.groups.first().map(String::as_str)), ("alice", Some("team")));
        assert!(alice.identity_at(0).is_ok() && alice.identity_at(alice.not_after + 1).is_err());
    }

    #[test]
    fn names_that_the_server_gives_are_in_no_certificate() {
        for (name, groups) in [
            ("system:serviceaccount:a:b", &["x"][..]),
            ("system:anonymous", &[]),
            ("a:b", &[]),
            ("alice", &["system:serviceaccounts"]),
        ] {
            assert!(certificate(name, groups).is_none(), "{name} {groups:?}");
        }
        assert!(certificate("system:node:n", &["system:nodes"]).is_some());
    }
}
