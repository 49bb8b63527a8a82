//! `fsGroup` and `supplementalGroups`.

use palisade_k8s::scc::IdRange;
use palisade_scc::GroupRule;

use crate::cel;

use super::Demand;

/// Whether the group of the expression `group` is in one of the ranges.
fn within(group: &str, ranges: &[IdRange]) -> String {
    cel::any(ranges.iter().map(|IdRange { min, max }| format!("{group} >= {min} && {group} <= {max}")))
        .replace('\n', " ")
}

fn show(ranges: &[IdRange]) -> String {
    ranges.iter().map(|range| format!("[{}, {}]", range.min, range.max)).collect::<Vec<_>>().join(", ")
}

/// Whether the default, the lowest ID of the first range, is itself in one of them.
fn gives_its_own(ranges: &[IdRange]) -> bool {
    ranges.first().is_some_and(|first| ranges.iter().any(|range| range.contains(first.min)))
}

pub(crate) fn fs_group_demands(rule: &GroupRule) -> Vec<Demand> {
    let (because, holds, finding) = match rule {
        GroupRule::Any => return Vec::new(),
        GroupRule::Ranges(ranges) => {
            let inside = within("variables.security.fsGroup", ranges);
            let holds = match gives_its_own(ranges) {
                true => format!("(!('fsGroup' in variables.security) || {inside})"),
                false => format!("('fsGroup' in variables.security && ({inside}))"),
            };
            (format!("fsGroup: MustRunAs {}", show(ranges)), holds, format!("fsGroup must be in {}", show(ranges)))
        }
        GroupRule::Namespace => (
            "fsGroup: MustRunAs of the namespace".to_owned(),
            "variables.groups.size() > 0 && variables.security.?fsGroup.orValue(variables.groups[0][0]) == variables.groups[0][0]"
                .to_owned(),
            "fsGroup must be the first of the namespace's groups".to_owned(),
        ),
    };
    vec![Demand::new("groups", because, holds, finding)]
}

pub(crate) fn supplemental_demands(rule: &GroupRule) -> Vec<Demand> {
    let given = "variables.security.supplementalGroups";
    let (because, holds, finding) = match rule {
        GroupRule::Any => return Vec::new(),
        GroupRule::Ranges(ranges) => {
            let inside = format!("{given}.size() > 0 && {given}.all(g, {})", within("g", ranges));
            let holds = match gives_its_own(ranges) {
                true => format!("(!('supplementalGroups' in variables.security) || {inside})"),
                false => format!("('supplementalGroups' in variables.security && {inside})"),
            };
            let finding = format!("supplementalGroups must be in {}", show(ranges));
            (format!("supplementalGroups: MustRunAs {}", show(ranges)), holds, finding)
        }
        GroupRule::Namespace => (
            "supplementalGroups: MustRunAs of the namespace".to_owned(),
            "variables.groups.size() > 0 && \
             [variables.security.?supplementalGroups.orValue([variables.groups[0][0]])].all(s, \
             s.size() > 0 && s.all(g, variables.groups.exists(r, g >= r[0] && g <= r[1])))"
                .to_owned(),
            "supplementalGroups must be of the namespace's groups".to_owned(),
        ),
    };
    vec![Demand::new("groups", because, holds, finding)]
}

pub(crate) fn settled(rule: &GroupRule, field: &str) -> Option<String> {
    (*rule != GroupRule::Any).then(|| format!("'{field}' in variables.security"))
}

pub(crate) fn fs_group_gift(rule: &GroupRule) -> String {
    gift(rule)
}

pub(crate) fn supplemental_gift(rule: &GroupRule) -> String {
    gift(rule)
}

fn gift(rule: &GroupRule) -> String {
    match rule {
        GroupRule::Any => "[]".to_owned(),
        GroupRule::Ranges(ranges) => cel::list(ranges.first().map(|range| range.min)),
        GroupRule::Namespace => "[variables.groups[0][0]]".to_owned(),
    }
}
