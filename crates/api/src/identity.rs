//! Identities: users, their groups, and the names that the system reserves.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use palisade_k8s::put;
use serde_json::{Value, json};

/// The user of requests without credentials.
pub const ANONYMOUS: &str = "system:anonymous";
/// The group of all who are authenticated.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of requests without credentials.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The group with every right, without any role.
pub const MASTERS: &str = "system:masters";

/// A user with their groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name, unique among users.
    pub name: String,
    /// The UID; empty if the user has none.
    pub uid: String,
    /// The groups, including those that the system assigns.
    pub groups: Vec<String>,
    /// Extra information from authentication, by key.
    pub extra: Vec<(String, Vec<String>)>,
}

impl Identity {
    /// The user of a request without credentials.
    pub fn anonymous() -> Self {
        Self {
            name: ANONYMOUS.to_owned(),
            uid: String::new(),
            groups: vec![UNAUTHENTICATED.to_owned()],
            extra: Vec::new(),
        }
    }

    /// An authenticated user.
    pub fn user(name: impl Into<String>, mut groups: Vec<String>) -> Self {
        groups.push(AUTHENTICATED.to_owned());
        Self { name: name.into(), uid: String::new(), groups, extra: Vec::new() }
    }

    /// A service account.
    pub fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        let groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
        let mut identity = Self::user(palisade_rbac::service_account_user(namespace, name), groups);
        uid.clone_into(&mut identity.uid);
        identity
    }

    /// The server itself: its controllers and its initial objects.
    pub fn system() -> Self {
        Self::user("system:apiserver", vec![MASTERS.to_owned()])
    }

    /// Whether everything is permitted, without any role.
    pub fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == MASTERS)
    }

    /// The groups, borrowed.
    pub fn groups(&self) -> Vec<&str> {
        self.groups.iter().map(String::as_str).collect()
    }

    /// The scopes of the user's token; empty for an unrestricted one.
    pub fn scopes(&self) -> Vec<&str> {
        let of_scopes = self.extra.iter().filter(|(key, _)| key == palisade_rbac::SCOPES);
        of_scopes.flat_map(|(_, scopes)| scopes).map(String::as_str).collect()
    }

    /// The form in reviews and the audit log.
    pub fn to_json(&self) -> Value {
        let mut info = json!({"username": self.name});
        if !self.uid.is_empty() {
            put(&mut info, &["uid"], self.uid.as_str().into());
        }
        put(&mut info, &["groups"], self.groups.clone().into());
        if !self.extra.is_empty() {
            put(
                &mut info,
                &["extra"],
                self.extra.iter().map(|(key, values)| (key.clone(), json!(values))).collect(),
            );
        }
        info
    }
}

/// The sender of a request.
#[derive(Clone, Debug)]
pub struct Requester {
    /// The user whose rights count: the impersonated one, if there is one.
    pub identity: Identity,
    /// The user who impersonates that one.
    pub impersonator: Option<Identity>,
}

impl Requester {
    /// The user who sent the request.
    pub fn own(&self) -> &Identity {
        self.impersonator.as_ref().unwrap_or(&self.identity)
    }
}

/// The name and the password of an `Authorization: Basic` header.
pub fn basic(header: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(header.strip_prefix("Basic ")?.trim()).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}
