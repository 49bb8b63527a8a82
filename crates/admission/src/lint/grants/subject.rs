//! Subjects of bindings that match no user, group or account.

use palisade_k8s::FieldPath;
use palisade_k8s::rbac::Subject;
use palisade_scc::{Finding, Meant, meant, suggestion};

use super::warn;

/// The error of a subject, if any: the field, the problem, and the subject that was likely meant.
pub(super) fn finding(subject: &Subject, index: usize, is_of_cluster: bool) -> Option<Finding> {
    let (kind, name) = (subject.kind.as_str(), subject.name.as_str());
    let flaw = |field: &'static str, message: String, help: String| {
        let path = FieldPath::of("subjects").index(index).field(field);
        Some(warn("impossible-subject", path, message, help))
    };
    let nobody = || format!("{kind} {name:?} matches no subject");
    if !matches!(kind, "User" | "Group" | "ServiceAccount") {
        let kinds = ["User", "Group", "ServiceAccount"].into_iter();
        let help = suggestion(kind, kinds, "write User, Group or ServiceAccount");
        return flaw("kind", format!("unknown kind of subject {kind:?}"), help);
    }
    if name.contains('*') {
        let help = "names are compared as they stand: bind a group such as system:serviceaccounts:NAMESPACE";
        return flaw("name", nobody(), help.to_owned());
    }
    if kind == "ServiceAccount" {
        // The namespace of a RoleBinding's subject defaults to the binding's (`plugin/pkg/auth/authorizer/rbac`,
        // `appliesToUser`).
        if is_of_cluster && subject.namespace.is_empty() {
            let message = "a ServiceAccount of a ClusterRoleBinding needs its namespace";
            return flaw("namespace", message.to_owned(), "add it".to_owned());
        }
        let help = match meant(name, true) {
            Some(Meant::Account { namespace, name }) => format!("write name: {name}, namespace: {namespace}"),
            _ => "write its bare name, and its namespace beside".to_owned(),
        };
        return name.contains(':').then(|| flaw("name", nobody(), help)).flatten();
    }
    let (field, help) = match meant(name, kind == "Group")? {
        Meant::Account { namespace, name } => (
            if subject.name.starts_with("system:serviceaccount:") { "kind" } else { "name" },
            format!(
                "if that account is meant, write kind: ServiceAccount, name: {name}, namespace: {namespace}"
            ),
        ),
        Meant::AccountsOf(namespace) => (
            "name",
            format!(
                "write kind: Group, name: system:serviceaccounts:{namespace} for all accounts of the namespace, or \
                 kind: ServiceAccount with its name for one"
            ),
        ),
        Meant::Group(_) => ("kind", "it is a group: write kind: Group".to_owned()),
        Meant::SomeAccount => {
            ("name", "write kind: ServiceAccount with its name and its namespace".to_owned())
        }
        Meant::SomeGroup => ("name", "write kind: Group, name: system:serviceaccounts:NAMESPACE".to_owned()),
    };
    flaw(field, nobody(), help)
}
