//! Passwords of users: kept as PBKDF2 hashes, each with its own salt.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use palisade_store::{Key, Store, StoreError};
use serde_json::{Value, json};

/// Where they are kept. No resource of the API is kept under this name.
const PASSWORDS: &str = "palisade/passwords";
/// How often the hash is repeated, so that guessing costs something.
const ROUNDS: NonZeroU32 = NonZeroU32::MIN.saturating_add(209_999);
const ALGORITHM: pbkdf2::Algorithm = pbkdf2::PBKDF2_HMAC_SHA256;

/// Gives a user a password, in place of an older one.
///
/// # Errors
///
/// The store cannot be written.
pub(crate) fn set(store: &Store, user: &str, password: &str) -> Result<(), StoreError> {
    let salt = *uuid::Uuid::new_v4().as_bytes();
    let value = json!({"salt": STANDARD.encode(salt), "hash": STANDARD.encode(derive(&salt, password))});
    let (key, bytes) = (Key::new(PASSWORDS, "", user), value.to_string().into_bytes());
    match store.get(&key)? {
        Some(old) => store.update(&key, old.revision, &bytes).map(drop),
        None => store.create(&key, &bytes).map(drop),
    }
}

/// Takes a user's password away, if there is one.
pub(crate) fn remove(store: &Store, user: &str) -> Result<(), StoreError> {
    match store.delete(&Key::new(PASSWORDS, "", user), None) {
        Ok(_) | Err(StoreError::Missing(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn derive(salt: &[u8], password: &str) -> [u8; 32] {
    let mut out = [0; 32];
    pbkdf2::derive(ALGORITHM, ROUNDS, salt, password.as_bytes(), &mut out);
    out
}

/// Whether it is the user's password. A user without one takes as long to refuse.
pub(crate) fn check(store: &Store, user: &str, password: &str) -> bool {
    let kept = store.get(&Key::new(PASSWORDS, "", user)).ok().flatten();
    let kept: Option<Value> = kept.and_then(|kept| serde_json::from_slice(&kept.value).ok());
    let bytes = |field: &str| STANDARD.decode(kept.as_ref()?.get(field)?.as_str()?).ok();
    let (salt, hash) = (bytes("salt").unwrap_or_default(), bytes("hash").unwrap_or_else(|| vec![0; 32]));
    let is_right = pbkdf2::verify(ALGORITHM, ROUNDS, &salt, password.as_bytes(), &hash).is_ok();
    is_right && kept.is_some()
}
