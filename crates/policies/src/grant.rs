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

/// The controller that makes the pods of a workload.
pub(crate) const CONTROLLER: Subject =
    Subject { user: "variables.controllerUser", groups: "variables.controllerGroups" };

/// The expression of whether an SCC's own lists name a subject; `None` if the lists are empty.
pub(crate) fn named(subject: &Subject, users: &[String], groups: &[String]) -> Option<String> {
    let by_user = (!users.is_empty()).then(|| format!("{} in {}", subject.user, cel::texts(users)));
    let by_group =
        (!groups.is_empty()).then(|| format!("{}.exists(g, g in {})", subject.groups, cel::texts(groups)));
    let tests: Vec<String> = by_user.into_iter().chain(by_group).collect();
    (!tests.is_empty()).then(|| tests.join(" || "))
}

/// The same for the pods of a template, which a controller creates: all authenticated users may use the SCC, or the service
/// account, or the controller. Of the controller the lists alone count where `asks_controller` does not have the authorizer
/// asked for it.
pub(crate) fn of_template(scc: &SecurityContextConstraints, is_open: bool, asks_controller: bool) -> String {
    let users = SecurityContextConstraints::list(scc.users.as_ref());
    let groups = SecurityContextConstraints::list(scc.groups.as_ref());
    if is_open || groups.iter().any(|group| group == EVERYBODY) {
        return "'user'".to_owned();
    }
    let name = cel::text(&scc.metadata.name);
    let check = |may: &str| format!("variables.{may}.name({name}).check('use').allowed()");
    let any = |of: &Subject, check: Option<String>| {
        let tests: Vec<String> = named(of, users, groups).into_iter().chain(check).collect();
        (!tests.is_empty()).then(|| tests.join(" || "))
    };
    let account = any(&ACCOUNT, Some(check("mayAccount")));
    let controller = any(&CONTROLLER, asks_controller.then(|| check("mayController")));
    let subjects = [("serviceaccount", account), ("user", controller)];
    let cases = subjects.into_iter().filter_map(|(of, test)| Some(format!("{} ? '{of}' : ", test?)));
    format!("{}''", cases.collect::<String>())
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
