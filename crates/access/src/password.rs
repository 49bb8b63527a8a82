//! Passwords of users: kept as PBKDF2 hashes, each with its own salt.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use palisade_store::{Key, Store, StoreError, Write};
use serde_json::{Value, json};

use crate::token::{self, User};

/// The place of password hashes in the store, outside of the API's resources.
pub const PASSWORDS: &str = "palisade/passwords";
/// Iterations of the hash, which make guessing expensive.
const ROUNDS: NonZeroU32 = NonZeroU32::MIN.saturating_add(209_999);
const ALGORITHM: pbkdf2::Algorithm = pbkdf2::PBKDF2_HMAC_SHA256;

/// Gives a user a password, in place of an older one. It is kept under the user's UID, so it ends with the user; and
/// users who logged in with the older one have to do so again.
///
/// # Errors
///
/// The store cannot be written.
pub fn set(store: &Store, user: &User, password: &str) -> Result<(), StoreError> {
    let salt = *uuid::Uuid::new_v4().as_bytes();
    let value = json!({"salt": STANDARD.encode(salt), "hash": STANDARD.encode(derive(&salt, password))});
    let password = Write::Put { key: key(user), value: value.to_string().into_bytes() };
    store.transact(vec![password, token::end_all(&user.uid)]).map(drop)
}

fn key(user: &User) -> Key {
    Key::new(PASSWORDS, &user.uid, &user.name)
}

/// The writes that take away how the user of a UID can log in.
pub fn end_all(uid: &str) -> [Write; 2] {
    [Write::Clear { resource: PASSWORDS.to_owned(), namespace: uid.to_owned() }, token::end_all(uid)]
}

/// Gives existing users their passwords from before those were kept under UIDs. Passwords without a user, and
/// tokens from then, are forgotten.
///
/// # Errors
///
/// The store cannot be read or written.
pub fn settle(store: &Store) -> Result<(), StoreError> {
    let mut writes = Vec::new();
    for old in store.list(PASSWORDS, Some(""), None, None)?.objects {
        if let Some(user) = User::find(store, &old.key.name) {
            writes.push(Write::Put { key: key(&user), value: old.value });
        }
    }
    writes.extend(end_all(""));
    store.transact(writes).map(drop)
}

fn derive(salt: &[u8], password: &str) -> [u8; 32] {
    let mut out = [0; 32];
    pbkdf2::derive(ALGORITHM, ROUNDS, salt, password.as_bytes(), &mut out);
    out
}

/// The user of a name, if it is their password. A user without one takes as long to refuse.
pub fn check(store: &Store, user: &str, password: &str) -> Option<User> {
    let user = User::find(store, user);
    let kept = user.as_ref().and_then(|user| store.get(&key(user)).ok()?);
    let kept: Option<Value> = kept.and_then(|kept| serde_json::from_slice(&kept.value).ok());
    let bytes = |field: &str| STANDARD.decode(kept.as_ref()?.get(field)?.as_str()?).ok();
    let (salt, hash) = (bytes("salt").unwrap_or_default(), bytes("hash").unwrap_or_else(|| vec![0; 32]));
    let is_right = pbkdf2::verify(ALGORITHM, ROUNDS, &salt, password.as_bytes(), &hash).is_ok();
    user.filter(|_| is_right && kept.is_some())
}
