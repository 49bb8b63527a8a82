//! The subject whose right to use an SCC admits a pod.

use palisade_k8s::SecurityContextConstraints;

use crate::cel;

/// The group of all authenticated users, controllers among them.
pub const EVERYBODY: &str = "system:authenticated";

/// The name and the groups of a subject, as expressions.
pub(crate) struct Subject {
    user: &'static str,
    groups: &'static str,
}

/// The pod's service account.
pub(crate) const ACCOUNT: Subject =
    Subject { user: "variables.accountUser", groups: "variables.accountGroups" };

/// The user of the request.
pub(crate) const USER: Subject =
    Subject { user: "request.userInfo.username", groups: "variables.userGroups" };

/// Whether an SCC's own lists name a subject; `None` if they are empty.
pub(crate) fn named(subject: &Subject, users: &[String], groups: &[String]) -> Option<String> {
    let by_user = (!users.is_empty()).then(|| format!("{} in {}", subject.user, cel::texts(users)));
    let by_group =
        (!groups.is_empty()).then(|| format!("{}.exists(g, g in {})", subject.groups, cel::texts(groups)));
    let tests: Vec<String> = by_user.into_iter().chain(by_group).collect();
    (!tests.is_empty()).then(|| tests.join(" || "))
}

/// The same for the pods of a template, which a controller creates: all authenticated users may use the SCC, or the service
/// account.
pub(crate) fn of_template(scc: &SecurityContextConstraints, is_open: bool) -> String {
    let users = SecurityContextConstraints::list(scc.users.as_ref());
    let groups = SecurityContextConstraints::list(scc.groups.as_ref());
    if is_open || groups.iter().any(|group| group == EVERYBODY) {
        return "'user'".to_owned();
    }
    let account = named(&ACCOUNT, users, groups).map(|test| format!("{test} || ")).unwrap_or_default();
    let name = cel::text(&scc.metadata.name);
    format!("{account}variables.mayAccount.name({name}).check('use').allowed() ? 'serviceaccount' : ''")
}

/// The value of the annotation for the subject with the right; empty if neither may use the SCC. The service account is
/// checked first, and lists before the authorizer.
pub(crate) fn grant(scc: &SecurityContextConstraints) -> String {
    let name = cel::text(&scc.metadata.name);
    let users = SecurityContextConstraints::list(scc.users.as_ref());
    let groups = SecurityContextConstraints::list(scc.groups.as_ref());
    let named = |subject| named(subject, users, groups).map(|test| format!("{test} || ")).unwrap_or_default();
    let (account, user) = (named(&ACCOUNT), named(&USER));
    format!(
        "variables.account != '' && ({account}variables.mayAccount.name({name}).check('use').allowed()) ? 'serviceaccount' :\n\
         {user}variables.mayUser.name({name}).check('use').allowed() ? 'user' :\n''"
    )
}
