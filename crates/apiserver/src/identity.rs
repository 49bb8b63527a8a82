//! Identities: users, their groups, and the names that the system reserves.

use palisade_k8s::put;
use serde_json::{Value, json};

/// The name of who does not say who they are.
pub(crate) const ANONYMOUS: &str = "system:anonymous";
/// The group of everybody who says so.
pub(crate) const AUTHENTICATED: &str = "system:authenticated";
/// The group of everybody else.
pub(crate) const UNAUTHENTICATED: &str = "system:unauthenticated";
/// Those of this group may do everything, whatever roles say.
pub(crate) const MASTERS: &str = "system:masters";

/// A user with their groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) groups: Vec<String>,
    pub(crate) extra: Vec<(String, Vec<String>)>,
}

impl Identity {
    pub(crate) fn anonymous() -> Self {
        Self {
            name: ANONYMOUS.to_owned(),
            uid: String::new(),
            groups: vec![UNAUTHENTICATED.to_owned()],
            extra: Vec::new(),
        }
    }

    /// Somebody who has shown who they are.
    pub(crate) fn user(name: impl Into<String>, mut groups: Vec<String>) -> Self {
        groups.push(AUTHENTICATED.to_owned());
        // OpenShift tells who came by its own login from machines and certificates.
        Self { name: name.into(), uid: String::new(), groups, extra: Vec::new() }
    }

    /// A service account.
    pub(crate) fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        let groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
        let mut identity = Self::user(palisade_rbac::service_account_user(namespace, name), groups);
        uid.clone_into(&mut identity.uid);
        identity
    }

    /// The server itself: its controllers and its first objects.
    pub(crate) fn system() -> Self {
        Self::user("system:apiserver", vec![MASTERS.to_owned()])
    }

    pub(crate) fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == MASTERS)
    }

    pub(crate) fn groups(&self) -> Vec<&str> {
        self.groups.iter().map(String::as_str).collect()
    }

    /// The scopes of the token that was shown; none for one that is good for everything.
    pub(crate) fn scopes(&self) -> Vec<&str> {
        let of_scopes = self.extra.iter().filter(|(key, _)| key == palisade_rbac::SCOPES);
        of_scopes.flat_map(|(_, scopes)| scopes).map(String::as_str).collect()
    }

    /// As reviews and the audit log write it.
    pub(crate) fn to_json(&self) -> Value {
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
pub(crate) struct Requester {
    /// The user whose rights count: the impersonated one, if there is one.
    pub(crate) who: Identity,
    /// The user who impersonates that one.
    pub(crate) impersonator: Option<Identity>,
}

impl Requester {
    /// The user who sent the request.
    pub(crate) fn own(&self) -> &Identity {
        self.impersonator.as_ref().unwrap_or(&self.who)
    }
}
