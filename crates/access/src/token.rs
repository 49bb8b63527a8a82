//! Tokens: of service accounts, which are signed and expire, and of users, of which only a hash is kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use palisade_store::{Key, Store, StoreError, Write};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::error::ApiResult;
use crate::failure;
use crate::identity::Identity;
use crate::limits;
use crate::members::Members;
use crate::objects;
use crate::resource::{self, text};
use crate::time;
use crate::uids::Uids;

/// The issuer of tokens; also the audience of a token that asks for none.
pub const ISSUER: &str = "https://kubernetes.default.svc";
/// The prefix of opaque tokens, as of OpenShift's.
pub const PREFIX: &str = "sha256~";
/// The place of token hashes in the store, outside of the API's resources.
pub const TOKENS: &str = "palisade/tokens";
/// The key that service accounts' tokens are signed with, and the groups of users who have others.
pub struct Tokens {
    signing: EncodingKey,
    checking: DecodingKey,
    members: Arc<Members>,
    /// Claims of tokens whose signature is ours, by a hash of the token.
    verified: Mutex<HashMap<[u8; 32], Arc<Claims>>>,
    uids: Uids,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

/// Keys that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the key of service accounts cannot be used")]
pub struct KeyError(#[from] jsonwebtoken::errors::Error);

impl Tokens {
    /// From an ECDSA key of P-256, both halves in PEM.
    pub fn new(private: &str, public: &str) -> Result<Self, KeyError> {
        Ok(Self {
            members: Arc::default(),
            verified: Mutex::default(),
            uids: Uids::default(),
            signing: EncodingKey::from_ec_pem(private.as_bytes())?,
            checking: DecodingKey::from_ec_pem(public.as_bytes())?,
        })
    }

    /// The groups that users are in; the code that writes groups updates it.
    pub fn members(&self) -> &Arc<Members> {
        &self.members
    }

    /// A token of a service account, and when it expires. `bound` is a pod or secret that it dies with.
    pub fn sign(
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
    pub fn check(&self, store: &Store, token: &str, audiences: &[String]) -> Option<(Identity, Vec<String>)> {
        let own = [ISSUER.to_owned()];
        let wanted = if audiences.is_empty() { &own } else { audiences };
        if let Some(secret) = token.strip_prefix(PREFIX) {
            // Users' tokens are for this server alone.
            let is_wanted = wanted.iter().any(|audience| audience == ISSUER);
            return opaque(store, &self.members, secret)
                .filter(|_| is_wanted)
                .map(|identity| (identity, own.to_vec()));
        }
        let claims = self.verified(token)?;
        let now = jiff::Timestamp::now().as_second();
        if now >= claims.expires || now < claims.not_before {
            return None;
        }
        let shared: Vec<String> =
            wanted.iter().filter(|audience| claims.audiences.contains(audience)).cloned().collect();
        if shared.is_empty() {
            return None;
        }
        let Claims { namespace, name, uid, .. } = claims.as_ref();
        let account = ("serviceaccounts", name.as_str(), uid.as_str());
        let bound = claims.bound.iter().map(|(plural, name, uid)| (*plural, name.as_str(), uid.as_str()));
        for (plural, name, uid) in bound.chain([account]) {
            let key = objects::key(resource::find("", plural)?, namespace, name);
            if !self.uids.is_there(store, &key, uid, plural == "pods") {
                return None;
            }
        }
        Some((Identity::service_account(namespace, name, uid), shared))
    }

    /// The claims of a token with our signature. Each signature is checked once: a watch authenticates its user again and
    /// again.
    fn verified(&self, token: &str) -> Option<Arc<Claims>> {
        let key: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let lock = || self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(claims) = lock().get(&key) {
            return Some(Arc::clone(claims));
        }
        let claims = Arc::new(self.verify(token)?);
        if token.len() > limits::TOKEN_KEPT {
            return Some(claims);
        }
        let mut verified = lock();
        if verified.len() >= limits::TOKENS_VERIFIED {
            verified.clear();
        }
        verified.insert(key, Arc::clone(&claims));
        Some(claims)
    }

    fn verify(&self, token: &str) -> Option<Claims> {
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[ISSUER]);
        validation.validate_aud = false;
        validation.leeway = 0;
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let claims = jsonwebtoken::decode::<Value>(token, &self.checking, &validation).ok()?.claims;
        Claims::of(&claims)
    }
}

/// The claims of a service account's token.
#[derive(Debug)]
struct Claims {
    namespace: String,
    name: String,
    uid: String,
    /// Resource, name and UID of what the token dies with.
    bound: Vec<(&'static str, String, String)>,
    audiences: Vec<String>,
    /// In seconds since 1970, as the next.
    not_before: i64,
    expires: i64,
}

impl Claims {
    fn of(claims: &Value) -> Option<Self> {
        let own = claims.get("kubernetes.io")?;
        let said = |pointer: &str| text(own, pointer).to_owned();
        let bound = [("pod", "pods"), ("secret", "secrets")].into_iter().filter_map(|(kind, plural)| {
            let bound = own.get(kind)?;
            Some((plural, text(bound, "/name").to_owned(), text(bound, "/uid").to_owned()))
        });
        let audiences = claims.get("aud").and_then(Value::as_array).into_iter().flatten();
        Some(Self {
            namespace: said("/namespace"),
            name: said("/serviceaccount/name"),
            uid: said("/serviceaccount/uid"),
            bound: bound.collect(),
            audiences: audiences.filter_map(Value::as_str).map(str::to_owned).collect(),
            not_before: claims.get("nbf").and_then(Value::as_i64).unwrap_or(i64::MIN),
            expires: claims.get("exp")?.as_i64()?,
        })
    }
}

fn hash(secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(secret.as_bytes()))
}

/// Maximum number of tokens of a user: the oldest ends when there is one more.
const MOST_TOKENS: usize = 64;
/// Number of bytes of a token that are the UID of its user; the others are secret.
const UID: usize = 16;

/// Makes a token of a user, which is good for a number of seconds.
///
/// It begins with the UID of its user, and is kept under it: so it ends with the user, and is found without a search.
pub fn issue(store: &Store, user: &User, seconds: i64) -> ApiResult<String> {
    let unkept = |error| match error {
        StoreError::Full => failure::store(&resource::USERS, &user.name, error),
        error => failure::internal("a token cannot be kept", &error),
    };
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
pub fn end(store: &Store, token: &str) {
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

/// The expiry of a stored token; long ago if it has none.
fn expiry(kept: &[u8]) -> i64 {
    let kept: Option<Value> = serde_json::from_slice(kept).ok();
    kept.and_then(|kept| kept.get("expires")?.as_i64()).unwrap_or_default()
}

/// Forgets tokens that have expired, of whomever.
pub fn sweep(store: &Store) -> Result<(), StoreError> {
    let (now, mut after) = (jiff::Timestamp::now().as_second(), None);
    loop {
        let page = store.list(TOKENS, None, Some(palisade_registry::PART), after.as_ref())?;
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
pub fn end_all(uid: &str) -> Write {
    Write::Clear { resource: TOKENS.to_owned(), namespace: uid.to_owned() }
}

fn opaque(store: &Store, members: &Members, secret: &str) -> Option<Identity> {
    let uid = owner(secret)?;
    let kept = store.get(&Key::new(TOKENS, &uid, hash(secret))).ok()??;
    if expiry(&kept.value) <= jiff::Timestamp::now().as_second() {
        return None;
    }
    let kept: Value = serde_json::from_slice(&kept.value).ok()?;
    let user = User::find(store, text(&kept, "/user"))?;
    (user.uid == uid).then(|| logged_in(members.of(&user.name), &user))
}

/// A user who is there, and may log in.
#[derive(Clone, Debug)]
pub struct User {
    /// The name.
    pub name: String,
    /// The UID, which no later user of the name has.
    pub uid: String,
    id: uuid::Uuid,
}

impl User {
    /// The user of a name, unless they are on their way out or the name is the system's.
    pub fn find(store: &Store, name: &str) -> Option<Self> {
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
fn logged_in(mut groups: Vec<String>, user: &User) -> Identity {
    groups.push("system:authenticated:oauth".to_owned());
    Identity { uid: user.uid.clone(), ..Identity::user(&user.name, groups) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        let key = rcgen::KeyPair::generate().unwrap();
        Tokens::new(&key.serialize_pem(), &key.public_key_pem()).unwrap()
    }

    /// A store with an account, and claims of it that are good for some seconds.
    fn account(seconds: i64) -> (Store, Value) {
        let (store, now) = (Store::ephemeral().unwrap(), jiff::Timestamp::now().as_second());
        let object = json!({"metadata": {"namespace": "a", "name": "b", "uid": "u"}});
        store.create(&Key::new("serviceaccounts", "a", "b"), object.to_string().as_bytes()).unwrap();
        let claims = json!({"aud": [ISSUER], "iss": ISSUER, "sub": "b", "exp": now + seconds, "nbf": now,
            "kubernetes.io": {"namespace": "a", "serviceaccount": {"name": "b", "uid": "u"}}});
        (store, claims)
    }

    fn signed(tokens: &Tokens, claims: &Value) -> String {
        jsonwebtoken::encode(&Header::new(Algorithm::ES256), claims, &tokens.signing).unwrap()
    }

    #[test]
    fn tokens_are_checked_alike_from_the_cache() {
        let (tokens, (store, good)) = (tokens(), account(600));
        let with = |pointer: &str, value: Value| {
            let mut claims = good.clone();
            *claims.pointer_mut(pointer).unwrap() = value;
            claims
        };
        let cases = [
            ("good", signed(&tokens, &good), true),
            ("another key", signed(&self::tokens(), &good), false),
            ("expired", signed(&tokens, &with("/exp", 1.into())), false),
            ("not yet", signed(&tokens, &with("/nbf", (1_i64 << 40).into())), false),
            ("another audience", signed(&tokens, &with("/aud", json!(["x"]))), false),
            ("another issuer", signed(&tokens, &with("/iss", "x".into())), false),
            (
                "another account",
                signed(&tokens, &with("/kubernetes.io/serviceaccount/uid", "v".into())),
                false,
            ),
        ];
        for _ in 0..2 {
            for (what, token, is_taken) in &cases {
                assert_eq!(tokens.check(&store, token, &[]).is_some(), *is_taken, "{what}");
            }
        }
        let (_, token, _) = &cases[0];
        assert!(tokens.check(&store, token, &["x".to_owned()]).is_none());
        store.delete(&Key::new("serviceaccounts", "a", "b"), None).unwrap();
        assert!(tokens.check(&store, token, &[]).is_none(), "its account is gone");
    }

    #[test]
    fn a_token_that_was_taken_expires() {
        let (tokens, (store, claims)) = (tokens(), account(4));
        let token = signed(&tokens, &claims);
        let taken = || tokens.check(&store, &token, &[]).is_some();
        assert!(taken());
        for _ in 0..100 {
            if !taken() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("the token is taken after its end");
    }
}
