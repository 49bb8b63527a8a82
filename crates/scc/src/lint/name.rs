//! Names of users and groups that no subject has, and the subject that was likely meant.

/// The user or the group that a name was likely meant to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meant<'n> {
    /// A service account.
    Account {
        /// Its namespace.
        namespace: &'n str,
        /// Its name.
        name: &'n str,
    },
    /// All service accounts of a namespace.
    AccountsOf(&'n str),
    /// A group, in place of a user.
    Group(&'n str),
    /// A service account without its name.
    SomeAccount,
    /// A group of service accounts without its namespace, or with more than that.
    SomeGroup,
}

/// The user or group that a name was likely meant to be, if no user or, with `is_group`, no group can have it.
#[must_use]
pub fn meant(name: &str, is_group: bool) -> Option<Meant<'_>> {
    let parts: Vec<&str> = name.split(':').collect();
    let is_any = |part: &&str| !part.is_empty();
    match parts.as_slice() {
        ["system", "serviceaccount", namespace, name] if parts.iter().all(is_any) => {
            is_group.then_some(Meant::Account { namespace, name })
        }
        ["system", "serviceaccount", namespace] if !namespace.is_empty() => {
            Some(Meant::AccountsOf(namespace))
        }
        ["system", "serviceaccounts", namespace, name] if parts.iter().all(is_any) => {
            Some(Meant::Account { namespace, name })
        }
        ["system", "serviceaccount", ..] => Some(Meant::SomeAccount),
        ["system", "serviceaccounts"] => (!is_group).then_some(Meant::Group(name)),
        ["system", "serviceaccounts", namespace] if !namespace.is_empty() => {
            (!is_group).then_some(Meant::Group(name))
        }
        ["system", "serviceaccounts", ..] => Some(Meant::SomeGroup),
        ["system", "authenticated" | "unauthenticated" | "masters" | "cluster-admins"] => {
            (!is_group).then_some(Meant::Group(name))
        }
        ["serviceaccounts", namespace] if !namespace.is_empty() => Some(Meant::AccountsOf(namespace)),
        [namespace, name] if *namespace != "system" && is_label(namespace) && is_label(name) => {
            Some(Meant::Account { namespace, name })
        }
        _ => None,
    }
}

fn is_label(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The field of an SCC that lists such subjects.
pub(super) fn in_scc(meant: Meant<'_>) -> String {
    match meant {
        Meant::Account { namespace, name } => {
            format!("if that account is meant, list system:serviceaccount:{namespace}:{name} under users")
        }
        Meant::AccountsOf(namespace) => {
            format!(
                "list system:serviceaccounts:{namespace} under groups for all accounts of the namespace, or \
                 system:serviceaccount:{namespace}:NAME under users for one"
            )
        }
        Meant::Group(_) => "it is a group: list it under groups".to_owned(),
        Meant::SomeGroup => "write system:serviceaccounts:NAMESPACE under groups".to_owned(),
        Meant::SomeAccount => "write system:serviceaccount:NAMESPACE:NAME under users".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggested_names_are_valid() {
        let account = |namespace, name| Some(Meant::Account { namespace, name });
        for (name, as_user, as_group) in [
            ("system:serviceaccount:a:b", None, account("a", "b")),
            ("serviceaccounts:a", Some(Meant::AccountsOf("a")), Some(Meant::AccountsOf("a"))),
            ("system:serviceaccount:a", Some(Meant::AccountsOf("a")), Some(Meant::AccountsOf("a"))),
            ("system:serviceaccount:", Some(Meant::SomeAccount), Some(Meant::SomeAccount)),
            ("system:serviceaccount:a:b:c", Some(Meant::SomeAccount), Some(Meant::SomeAccount)),
            ("system:serviceaccounts", Some(Meant::Group("system:serviceaccounts")), None),
            ("system:serviceaccounts:a", Some(Meant::Group("system:serviceaccounts:a")), None),
            ("system:serviceaccounts:a:b", account("a", "b"), account("a", "b")),
            ("system:serviceaccounts:a:b:c", Some(Meant::SomeGroup), Some(Meant::SomeGroup)),
            ("system:serviceaccounts:", Some(Meant::SomeGroup), Some(Meant::SomeGroup)),
            ("system:authenticated", Some(Meant::Group("system:authenticated")), None),
            ("argo:scc", account("argo", "scc"), account("argo", "scc")),
            ("system:admin", None, None),
            ("alice", None, None),
        ] {
            assert_eq!((meant(name, false), meant(name, true)), (as_user, as_group), "{name}");
            // The advised name is valid itself.
            for found in [as_user, as_group].into_iter().flatten() {
                match found {
                    Meant::Account { namespace, name } => {
                        assert_eq!(meant(&format!("system:serviceaccount:{namespace}:{name}"), false), None);
                    }
                    Meant::AccountsOf(namespace) => {
                        assert_eq!(meant(&format!("system:serviceaccounts:{namespace}"), true), None);
                    }
                    Meant::Group(name) => assert_eq!(meant(name, true), None),
                    Meant::SomeAccount | Meant::SomeGroup => {}
                }
            }
        }
    }
}
