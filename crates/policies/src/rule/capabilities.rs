//! Linux capabilities.

use palisade_scc::CapabilityRule;

use crate::cel;

use super::Demand;

pub(crate) fn demands(rule: &CapabilityRule) -> Vec<Demand> {
    if rule.allow_all {
        return Vec::new();
    }
    let mut allowed: Vec<&String> = rule.default_add.iter().chain(&rule.allowed).collect();
    allowed.dedup();
    let (holds, shown) = match allowed.as_slice() {
        [] => ("variables.added.all(l, l.size() == 0)".to_owned(), "none".to_owned()),
        allowed => {
            let holds = format!("variables.added.all(l, l.all(n, n in {}))", cel::texts(allowed));
            (holds, allowed.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", "))
        }
    };
    let finding = match allowed.is_empty() {
        true => "capabilities may not be added".to_owned(),
        false => format!("capabilities.add may hold only {shown}"),
    };
    vec![Demand::new("capabilities", format!("allowedCapabilities: {shown}"), holds, finding)]
}

pub(crate) fn settled(rule: &CapabilityRule) -> Option<String> {
    let dropped = rule.required_drop.iter().map(|name| format!("{} in c.drop", cel::text(name)));
    let added = rule.default_add.iter().map(|name| {
        let name = cel::text(name);
        format!("({name} in c.add || {name} in c.drop)")
    });
    let conditions: Vec<String> = dropped.chain(added).collect();
    if conditions.is_empty() {
        return None;
    }
    Some(format!("variables.frozenCapabilities.all(c, {})", conditions.join(" && ")))
}

pub(crate) fn gifts(rule: &CapabilityRule) -> (String, String) {
    (cel::texts(&rule.default_add), cel::texts(&rule.required_drop))
}
