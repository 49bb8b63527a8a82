//! Writes profiles: OCI's form, flattened, and Docker's.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::{Entry, Gate, Origin, Profile};
use crate::action::Action;
use crate::arch::Arch;
use crate::filter::{Rules, Unknown};
use crate::rule::{Condition, Operator, Rule};
use crate::table::Syscall;

/// A profile as JSON.
pub type Written = Value;

/// Resolved rules in OCI's form, which containerd and every runtime interpret alike: they no longer depend on a
/// context. There a rule holds on every ABI: of a systemd unit's rules those are written that hold on `native`.
#[must_use]
pub fn write_oci(rules: &Rules, profile: &Profile, native: Arch) -> Written {
    let mut object = Map::new();
    action(&mut object, rules.default, "defaultAction", "defaultErrnoRet");
    object.insert("architectures".to_owned(), rules.archs.iter().map(|arch| arch.scmp()).collect());
    common(&mut object, profile);
    let entries = grouped(rules.rules.iter().filter(|rule| rule.archs.contains(native)));
    let entries = entries.into_iter().map(|(names, conditions, act)| {
        let mut entry = Map::new();
        entry.insert("names".to_owned(), names.into());
        action(&mut entry, act, "action", "errnoRet");
        if !conditions.is_empty() {
            entry.insert("args".to_owned(), conditions.iter().map(condition).collect());
        }
        Value::Object(entry)
    });
    let known = newest_known(rules).map(|syscall| {
        let mut entry = Map::new();
        entry.insert("names".to_owned(), json!([syscall.name()]));
        action(&mut entry, rules.default, "action", "errnoRet");
        Value::Object(entry)
    });
    object.insert("syscalls".to_owned(), entries.chain(known).collect());
    Value::Object(object)
}

/// Names with the same conditions and action.
type Group<'r> = (Vec<&'static str>, &'r [Condition], Action);

/// Rules with the same conditions and action as one entry. Rules for one syscall keep their order, which counts if they
/// contradict each other.
fn grouped<'r>(rules: impl Iterator<Item = &'r Rule>) -> Vec<Group<'r>> {
    let mut groups: Vec<Group<'r>> = Vec::new();
    let mut latest: HashMap<(&[Condition], Action), usize> = HashMap::new();
    let mut last: HashMap<Syscall, usize> = HashMap::new();
    for rule in rules {
        let key = (rule.conditions.as_slice(), rule.action);
        let before = last.get(&rule.syscall).copied();
        let open = latest.get(&key).copied().filter(|at| before.is_none_or(|before| before <= *at));
        let at = match open.and_then(|at| Some((at, groups.get_mut(at)?))) {
            Some((at, (names, ..))) => {
                if before != Some(at) {
                    names.push(rule.syscall.name());
                }
                at
            }
            None => {
                groups.push((vec![rule.syscall.name()], key.0, key.1));
                groups.len() - 1
            }
        };
        latest.insert(key, at);
        last.insert(rule.syscall, at);
    }
    groups
}

/// The syscall to name, with the default's action, if the rules know newer ones than they name: syscalls newer than all
/// names get `ENOSYS`.
fn newest_known(rules: &Rules) -> Option<Syscall> {
    let Unknown::Enosys { kernel } = rules.unknown else { return None };
    let exists = |syscall: &Syscall| rules.archs.iter().any(|arch| syscall.number(*arch).is_some());
    let named = rules.rules.iter().map(|rule| rule.syscall).filter(exists).map(Syscall::introduced).max();
    let known = Syscall::all().filter(exists).filter(|syscall| syscall.introduced() <= kernel);
    known.max_by_key(|syscall| syscall.introduced()).filter(|newest| Some(newest.introduced()) > named)
}

/// A profile in Docker's form, as it was parsed. Of a systemd unit's entries those are written that hold on `native`.
#[must_use]
pub fn write_docker(profile: &Profile, native: Arch) -> Written {
    let mut object = Map::new();
    action(&mut object, profile.default_action, "defaultAction", "defaultErrnoRet");
    let mut architectures = profile.architectures.clone();
    if profile.origin.is_unit() {
        let machine = [&[native][..], native.companions()].concat();
        let count = if profile.origin == Origin::Unit { machine.len() } else { 1 };
        architectures.extend(machine.into_iter().take(count).map(|arch| arch.scmp().to_owned()));
        architectures.sort();
        architectures.dedup();
    }
    if !architectures.is_empty() {
        object.insert("architectures".to_owned(), architectures.into());
    }
    if !profile.arch_map.is_empty() {
        let map = profile
            .arch_map
            .iter()
            .map(|map| json!({"architecture": map.architecture, "subArchitectures": map.sub_architectures}));
        object.insert("archMap".to_owned(), map.collect());
    }
    common(&mut object, profile);
    let entries = profile.entries.iter().filter(|entry| entry.abis.contains(native));
    object.insert("syscalls".to_owned(), entries.map(docker_entry).collect());
    Value::Object(object)
}

fn common(object: &mut Map<String, Value>, profile: &Profile) {
    if let Some(flags) = &profile.flags {
        object.insert("flags".to_owned(), flags.clone().into());
    }
    for (field, text) in
        [("listenerPath", &profile.listener_path), ("listenerMetadata", &profile.listener_metadata)]
    {
        if let Some(text) = text {
            object.insert(field.to_owned(), text.clone().into());
        }
    }
}

fn docker_entry(entry: &Entry) -> Value {
    let mut object = Map::new();
    object.insert("names".to_owned(), entry.names.iter().map(|(name, _)| name.as_str()).collect());
    action(&mut object, entry.action, "action", "errnoRet");
    if !entry.args.is_empty() {
        object.insert("args".to_owned(), entry.args.iter().map(condition).collect());
    }
    if !entry.comment.is_empty() {
        object.insert("comment".to_owned(), entry.comment.clone().into());
    }
    for (field, gate) in [("includes", &entry.includes), ("excludes", &entry.excludes)] {
        if !gate.is_empty() {
            object.insert(field.to_owned(), docker_gate(gate));
        }
    }
    Value::Object(object)
}

fn docker_gate(gate: &Gate) -> Value {
    let mut object = Map::new();
    for (field, list) in [("caps", &gate.caps), ("arches", &gate.arches)] {
        if !list.is_empty() {
            object.insert(field.to_owned(), list.clone().into());
        }
    }
    if let Some(kernel) = gate.min_kernel {
        object.insert("minKernel".to_owned(), kernel.to_string().into());
    }
    Value::Object(object)
}

fn action(object: &mut Map<String, Value>, action: Action, field: &str, errno_field: &str) {
    object.insert(field.to_owned(), action.scmp().into());
    if let Action::Errno(data) | Action::Trace(data) = action {
        object.insert(errno_field.to_owned(), data.into());
    }
}

fn condition(condition: &Condition) -> Value {
    let (index, value) = (condition.arg(), condition.value());
    let op = match condition.operator() {
        Operator::NotEqual => "SCMP_CMP_NE",
        Operator::Less => "SCMP_CMP_LT",
        Operator::LessOrEqual => "SCMP_CMP_LE",
        Operator::Equal => "SCMP_CMP_EQ",
        Operator::GreaterOrEqual => "SCMP_CMP_GE",
        Operator::Greater => "SCMP_CMP_GT",
        Operator::MaskedEqual { mask } => {
            return json!({"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"});
        }
    };
    json!({"index": index, "value": value, "op": op})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::rules;
    use Action::{Allow, Errno};

    /// Rules, and the names and actions of their entries.
    #[test]
    fn rules_are_grouped_in_an_order_that_decides_the_same() {
        type Entries<'a> = &'a [(&'a [&'a str], &'a str)];
        let cases: &[(&[crate::example::Case<'_>], Entries<'_>)] = &[
            (&[("read", &[], Allow), ("write", &[], Allow)], &[(&["read", "write"], "SCMP_ACT_ALLOW")]),
            (&[("read", &[], Allow), ("read", &[], Allow)], &[(&["read"], "SCMP_ACT_ALLOW")]),
            // The first of two contradicting ones counts, and stays the first.
            (
                &[("read", &[], Allow), ("write", &[], Errno(9)), ("write", &[], Allow)],
                &[
                    (&["read"], "SCMP_ACT_ALLOW"),
                    (&["write"], "SCMP_ACT_ERRNO"),
                    (&["write"], "SCMP_ACT_ALLOW"),
                ],
            ),
        ];
        for (list, expected) in cases {
            let rules = rules(&[Arch::X86_64], list);
            let written = write_oci(&rules, &Profile::empty(rules.default), Arch::X86_64);
            let entries: Vec<_> = written["syscalls"]
                .as_array()
                .unwrap()
                .iter()
                .map(|entry| {
                    let names: Vec<_> =
                        entry["names"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
                    (names, entry["action"].as_str().unwrap())
                })
                .collect();
            let expected: Vec<_> = expected.iter().map(|(names, action)| (names.to_vec(), *action)).collect();
            assert_eq!(entries, expected, "{list:?}");
        }
    }

    #[test]
    fn what_is_known_and_not_named_is_named() {
        let mut rules = rules(&[Arch::X86_64], &[("read", &[], Allow)]);
        for (kernel, expected) in [((1, 0), None), ((6, 6), Some("fchmodat2"))] {
            rules.unknown = Unknown::Enosys { kernel: palisade_k8s::KernelVersion::new(kernel.0, kernel.1) };
            let newest = newest_known(&rules);
            assert_eq!(
                newest.map(Syscall::introduced),
                expected.and_then(Syscall::named).map(Syscall::introduced),
                "{kernel:?}"
            );
        }
    }
}
