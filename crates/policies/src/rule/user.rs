//! `runAsUser`.

use palisade_k8s::scc::IdRange;
use palisade_scc::UserRule;

use super::Demand;

pub(crate) fn demands(rule: UserRule) -> Vec<Demand> {
    match rule {
        UserRule::Any => Vec::new(),
        UserRule::NonRoot => vec![
            Demand::new(
                "users",
                "runAsUser: MustRunAsNonRoot",
                "!(0 in variables.users)",
                "runAsUser must not be 0",
            ),
            Demand::new(
                "users",
                "runAsUser: MustRunAsNonRoot",
                "!variables.deniesNonRoot",
                "runAsNonRoot must be true",
            ),
        ],
        UserRule::Exactly(uid) => {
            let holds = format!("variables.users.all(u, u == {uid})");
            vec![Demand::new(
                "users",
                format!("runAsUser: MustRunAs {uid}"),
                holds,
                format!("runAsUser must be {uid}"),
            )]
        }
        UserRule::Range(IdRange { min, max }) => {
            let within = format!("variables.users.all(u, u >= {min} && u <= {max})");
            // An empty range does not even contain its default.
            let holds = if min <= max { within } else { format!("!variables.lacksAnyUser && {within}") };
            let finding = format!("runAsUser must be in [{min}, {max}]");
            vec![Demand::new("users", format!("runAsUser: MustRunAsRange {min} to {max}"), holds, finding)]
        }
        UserRule::NamespaceRange => {
            let holds = "variables.uids.size() == 2 && \
                (variables.uids[0] <= variables.uids[1] || !variables.lacksAnyUser) && \
                variables.users.all(u, u >= variables.uids[0] && u <= variables.uids[1])";
            let finding = "runAsUser must be in the namespace's openshift.io/sa.scc.uid-range";
            vec![Demand::new("users", "runAsUser: MustRunAsRange of the namespace", holds, finding)]
        }
    }
}

pub(crate) fn settled(rule: UserRule) -> Option<String> {
    Some(match rule {
        UserRule::Any => "!variables.lacksNonRoot".to_owned(),
        UserRule::NonRoot => "!variables.lacksNonRoot && !variables.lacksNonRootAndUser".to_owned(),
        UserRule::Exactly(_) | UserRule::Range(_) | UserRule::NamespaceRange => {
            "!variables.lacksNonRoot && !variables.lacksUser".to_owned()
        }
    })
}

pub(crate) fn gift(rule: UserRule) -> String {
    match rule {
        UserRule::Any | UserRule::NonRoot => "[]".to_owned(),
        UserRule::Exactly(uid) => format!("[{uid}]"),
        UserRule::Range(range) => format!("[{}]", range.min),
        UserRule::NamespaceRange => "[variables.uids[0]]".to_owned(),
    }
}

pub(crate) fn implies_non_root(rule: UserRule) -> bool {
    rule == UserRule::NonRoot
}
