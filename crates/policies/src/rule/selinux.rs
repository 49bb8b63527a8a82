//! `seLinuxContext`.

use palisade_k8s::scc::SeLinuxLabels;
use palisade_scc::SeLinuxRule;

use crate::cel;

use super::Demand;

pub(crate) fn demands(rule: &SeLinuxRule) -> Vec<Demand> {
    let SeLinuxRule::MustBe(SeLinuxLabels { user, role, type_, level }) = rule else { return Vec::new() };
    let [user, role, type_] = [("user", user), ("role", role), ("type", type_)];
    let same =
        [user, role, type_].map(|(field, value)| format!("o.?{field}.orValue('') == {}", cel::text(value)));
    let (needs, matches) = match level.as_str() {
        "" => ("variables.level != '' && ", "variables.levelsAreTheNamespaces".to_owned()),
        level => (
            "",
            format!("variables.labels.all(o, {})", same_level("o.?level.orValue('')", &cel::text(level))),
        ),
    };
    let holds = format!("{needs}variables.labels.all(o, {}) && {matches}", same.join(" && "));
    let all = [user, role, type_, ("level", level)];
    let shown: Vec<String> = all
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(field, value)| format!("{field} {value}"))
        .collect();
    let shown =
        if level.is_empty() { [shown, vec!["the namespace's level".to_owned()]].concat() } else { shown };
    let finding = format!("seLinuxOptions must be {}", shown.join(", "));
    vec![Demand::new("labels", format!("seLinuxContext: MustRunAs {}", shown.join(", ")), holds, finding)]
}

/// Whether two levels have the same sensitivity and the same categories in any order; without a colon they must be
/// equal texts.
pub(crate) fn same_level(actual: &str, expected: &str) -> String {
    let sensitivity = |level: &str| format!("{level}.substring(0, {level}.indexOf(':'))");
    let categories = |level: &str| format!("{level}.substring({level}.indexOf(':') + 1).split(',')");
    let count = |level: &str| format!("{}.filter(y, y == x).size()", categories(level));
    let equal = format!(
        "l.size() == e.size() && l.contains(':') && e.contains(':') && {} == {} && {}.size() == {}.size() && {}.all(x, {} == {})",
        sensitivity("l"),
        sensitivity("e"),
        categories("l"),
        categories("e"),
        categories("l"),
        count("l"),
        count("e"),
    );
    format!("({actual} == {expected} || [{actual}].exists(l, [{expected}].exists(e, {equal})))")
}

pub(crate) fn settled(rule: &SeLinuxRule) -> Option<String> {
    matches!(rule, SeLinuxRule::MustBe(_)).then(|| "'seLinuxOptions' in variables.security".to_owned())
}

pub(crate) fn gift(rule: &SeLinuxRule) -> String {
    let SeLinuxRule::MustBe(SeLinuxLabels { user, role, type_, level }) = rule else {
        return "[]".to_owned();
    };
    let own = [("user", user), ("role", role), ("type", type_)];
    let own = own.iter().filter(|(_, value)| !value.is_empty());
    let mut entries: Vec<String> =
        own.map(|(field, value)| format!("'{field}': {}", cel::text(value))).collect();
    let level = if level.is_empty() { "variables.level".to_owned() } else { cel::text(level) };
    entries.push(format!("'level': {level}"));
    format!("[{{{}}}]", entries.join(", "))
}
