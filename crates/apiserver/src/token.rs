//! Tokens: of service accounts, which are signed and expire, and of users, of which only a hash is kept.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use palisade_store::{Key, Store, StoreError, Write};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::error::ApiResult;
use crate::failure;
use crate::identity::Identity;
use crate::limits;
use crate::objects;
use crate::resource::{self, text};
use crate::time;

/// The issuer of tokens; also the audience of a token that asks for none.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc";
/// The prefix of opaque tokens, as of OpenShift's.
pub(crate) const PREFIX: &str = "sha256~";
/// The place of their hashes in the store, which is none of an API resource.
pub(crate) const TOKENS: &str = "palisade/tokens";
/// The key that service accounts' tokens are signed with.
pub(crate) struct Tokens {
    signing: EncodingKey,
    checking: DecodingKey,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

/// Keys that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the key of service accounts cannot be used")]
pub(crate) struct KeyError(#[from] jsonwebtoken::errors::Error);

impl Tokens {
    /// From an ECDSA key of P-256, both halves in PEM.
    pub(crate) fn new(private: &str, public: &str) -> Result<Self, KeyError> {
        Ok(Self {
            signing: EncodingKey::from_ec_pem(private.as_bytes())?,
            checking: DecodingKey::from_ec_pem(public.as_bytes())?,
        })
    }

    /// A token of a service account, and when it expires. `bound` is a pod or secret that it dies with.
    pub(crate) fn sign(
        &self,
        account: &Value,
        audiences: &[String],
        seconds: Option<i64>,
        bound: Option<(&str, &str, &str)>,
    ) -> ApiResult<(String, String)> {
        let now = jiff::Timestamp::now().as_second();
        let expires =
            now + seconds.unwrap_or(limits::TOKEN_USUAL).clamp(limits::TOKEN_LEAST, limits::TOKEN_MOST);
        let (namespace, name) = (text(account, "/metadata/namespace"), text(account, "/metadata/name"));
        let mut kubernetes = json!({
            "namespace": namespace,
            "serviceaccount": {"name": name, "uid": text(account, "/metadata/uid")},
        });
        if let Some((kind, name, uid)) = bound {
            palisade_k8s::put(&mut kubernetes, &[&kind.to_lowercase()], json!({"name": name, "uid": uid}));
        }
        let own = [ISSUER.to_owned()];
        let audiences = if audiences.is_empty() { &own } else { audiences };
        let claims = json!({
            "aud": audiences, "exp": expires, "iat": now, "nbf": now, "iss": ISSUER,
            "jti": uuid::Uuid::new_v4().to_string(),
            "kubernetes.io": kubernetes,
            "sub": palisade_rbac::service_account_user(namespace, name),
        });
        let token = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.signing)
            .map_err(|error| failure::internal("a token cannot be signed", &error))?;
        Ok((token, time::format(expires, 0, false).unwrap_or_default()))
    }

    /// The user of a token, and those of the wanted audiences that it is for; `None` for an invalid token, or one for none of them.
    pub(crate) fn check(
        &self,
        store: &Store,
        token: &str,
        audiences: &[String],
    ) -> Option<(Identity, Vec<String>)> {
        let own = [ISSUER.to_owned()];
        let wanted = if audiences.is_empty() { &own } else { audiences };
        if let Some(secret) = token.strip_prefix(PREFIX) {
            // Users' tokens are for this server alone.
            let is_wanted = wanted.iter().any(|audience| audience == ISSUER);
            return opaque(store, secret).filter(|_| is_wanted).map(|identity| (identity, own.to_vec()));
        }
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(wanted);
        validation.validate_nbf = true;
        validation.leeway = 0;
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let claims = jsonwebtoken::decode::<Value>(token, &self.checking, &validation).ok()?.claims;
        let namespace = text(&claims, "/kubernetes.io/namespace");
        let name = text(&claims, "/kubernetes.io/serviceaccount/name");
        let uid = text(&claims, "/kubernetes.io/serviceaccount/uid");
        is_there(store, "serviceaccounts", namespace, name, uid)?;
        for (kind, plural) in [("pod", "pods"), ("secret", "secrets")] {
            if let Some(bound) = claims.get("kubernetes.io").and_then(|claims| claims.get(kind)) {
                is_there(store, plural, namespace, text(bound, "/name"), text(bound, "/uid"))?;
            }
        }
        let found = claims.get("aud").and_then(Value::as_array);
        let found: Vec<String> =
            found.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        let shared = wanted.iter().filter(|audience| found.contains(audience)).cloned().collect();
        Some((Identity::service_account(namespace, name, uid), shared))
    }
}

/// Whether an object is still the one that a token was made for.
fn is_there(store: &Store, plural: &str, namespace: &str, name: &str, uid: &str) -> Option<()> {
    let resource = resource::find("", plural)?;
    let found = objects::get(store, resource, namespace, name).ok()?;
    let is_leaving = found.object.pointer("/metadata/deletionTimestamp").is_some() && plural != "pods";
    (text(&found.object, "/metadata/uid") == uid && !is_leaving).then_some(())
}

fn hash(secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(secret.as_bytes()))
}

/// How many tokens a user may have at once: the oldest ends when there is one more.
const MOST_TOKENS: usize = 64;
/// How many bytes of a token are the UID of its user; the others are secret.
const UID: usize = 16;

/// Makes a token of a user, which is good for a number of seconds.
///
/// It begins with the UID of its user, and is kept under it: so it ends with the user, and is found without a search.
pub(crate) fn issue(store: &Store, user: &User, seconds: i64) -> ApiResult<String> {
    let unkept = |error| failure::internal("a token cannot be kept", &error);
    let mut bytes = user.id.as_bytes().to_vec();
    for _ in 0..2 {
        bytes.extend_from_slice(uuid::Uuid::new_v4().as_bytes());
    }
    let secret = URL_SAFE_NO_PAD.encode(bytes);
    let now = jiff::Timestamp::now().as_second();
    let mut others = store.list(TOKENS, Some(&user.uid), None, None).map_err(unkept)?.objects;
    others.sort_by_key(|other| std::cmp::Reverse(other.created));
    let mut live = 0;
    for other in others {
        live += usize::from(expiry(&other.value) > now);
        if expiry(&other.value) <= now || live >= MOST_TOKENS {
            // Another login may have done it meanwhile.
            drop(store.delete(&other.key, None));
        }
    }
    let value = json!({"user": user.name, "expires": now + seconds});
    let key = Key::new(TOKENS, &user.uid, hash(&secret));
    store.create(&key, value.to_string().as_bytes()).map_err(unkept)?;
    Ok(format!("{PREFIX}{secret}"))
}

/// Ends a user's token, if it is one.
pub(crate) fn end(store: &Store, token: &str) {
    if let Some((secret, uid)) = token.strip_prefix(PREFIX).and_then(|secret| Some((secret, owner(secret)?)))
    {
        // One that has ended already is what was asked for.
        drop(store.delete(&Key::new(TOKENS, &uid, hash(secret)), None));
    }
}

/// The UID of the user whose token it would be.
fn owner(secret: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(secret).ok()?;
    Some(uuid::Uuid::from_slice(bytes.get(..UID)?).ok()?.to_string())
}

/// When a kept token expires; long ago, if it does not say.
fn expiry(kept: &[u8]) -> i64 {
    let kept: Option<Value> = serde_json::from_slice(kept).ok();
    kept.and_then(|kept| kept.get("expires")?.as_i64()).unwrap_or_default()
}

/// Forgets tokens that have expired, of whomever.
pub(crate) fn sweep(store: &Store) -> Result<(), StoreError> {
    let (now, mut after) = (jiff::Timestamp::now().as_second(), None);
    loop {
        let page = store.list(TOKENS, None, Some(limits::PART), after.as_ref())?;
        for token in page.objects.iter().filter(|token| expiry(&token.value) <= now) {
            drop(store.delete(&token.key, Some(token.revision)));
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// The write that ends all tokens of a user.
pub(crate) fn end_all(uid: &str) -> Write {
    Write::Clear { resource: TOKENS.to_owned(), namespace: uid.to_owned() }
}

fn opaque(store: &Store, secret: &str) -> Option<Identity> {
    let uid = owner(secret)?;
    let kept = store.get(&Key::new(TOKENS, &uid, hash(secret))).ok()??;
    if expiry(&kept.value) <= jiff::Timestamp::now().as_second() {
        return None;
    }
    let kept: Value = serde_json::from_slice(&kept.value).ok()?;
    let user = User::find(store, text(&kept, "/user"))?;
    (user.uid == uid).then(|| logged_in(store, &user))
}

/// A user who is there, and may log in.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: String,
    id: uuid::Uuid,
}

impl User {
    /// The user of a name, unless they are on their way out or the name is the system's.
    pub(crate) fn find(store: &Store, name: &str) -> Option<Self> {
        if resource::broken_name(name).is_some() {
            return None;
        }
        let users = resource::find("user.openshift.io", "users")?;
        let found = objects::get(store, users, "", name).ok()?.object;
        let uid = text(&found, "/metadata/uid").to_owned();
        let id = uuid::Uuid::parse_str(&uid).ok()?;
        let is_leaving = found.pointer("/metadata/deletionTimestamp").is_some();
        (!is_leaving).then(|| Self { name: name.to_owned(), uid, id })
    }
}

/// A user who has logged in here, with the groups that they are in now.
pub(crate) fn logged_in(store: &Store, user: &User) -> Identity {
    let mut groups = Vec::new();
    let resource = resource::find("user.openshift.io", "groups");
    let listed = resource.and_then(|resource| objects::list(store, resource, None, None, None).ok());
    for group in listed.into_iter().flat_map(|listed| listed.items) {
        let users = group.get("users").and_then(Value::as_array);
        let name = text(&group, "/metadata/name");
        // The system's groups are nobody's to give, whatever an older store holds.
        let is_users = resource::broken_name(name).is_none();
        if is_users && users.is_some_and(|users| users.iter().any(|member| *member == user.name)) {
            groups.push(name.to_owned());
        }
    }
    groups.push("system:authenticated:oauth".to_owned());
    Identity { uid: user.uid.clone(), ..Identity::user(&user.name, groups) }
}

/// The name and the password of an `Authorization: Basic` header.
pub(crate) fn basic(header: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(header.strip_prefix("Basic ")?.trim()).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}
