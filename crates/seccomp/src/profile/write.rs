//! Writes profiles: OCI's form, flattened, and Docker's.

use serde_json::{Map, Value, json};

use super::{Entry, Gate, Profile};
use crate::action::Action;
use crate::filter::Rules;
use crate::rule::{Condition, Operator};

/// A profile as JSON.
pub type Written = Value;

/// Resolved rules in OCI's form, which containerd and every runtime read alike: nothing in it depends on a
/// context any more.
#[must_use]
pub fn write_oci(rules: &Rules, profile: &Profile) -> Written {
    let mut object = Map::new();
    action(&mut object, rules.default, "defaultAction", "defaultErrnoRet");
    object.insert("architectures".to_owned(), rules.archs.iter().map(|arch| arch.scmp()).collect());
    common(&mut object, profile);
    let mut entries: Vec<(Vec<&str>, &[Condition], Action)> = Vec::new();
    for rule in &rules.rules {
        match entries
            .iter_mut()
            .find(|(_, conditions, action)| *conditions == rule.conditions && *action == rule.action)
        {
            Some((names, ..)) if !names.contains(&rule.call.name()) => names.push(rule.call.name()),
            Some(_) => {}
            None => entries.push((vec![rule.call.name()], &rule.conditions, rule.action)),
        }
    }
    let entries = entries.into_iter().map(|(names, conditions, act)| {
        let mut entry = Map::new();
        entry.insert("names".to_owned(), names.into());
        action(&mut entry, act, "action", "errnoRet");
        if !conditions.is_empty() {
            entry.insert("args".to_owned(), conditions.iter().map(condition).collect());
        }
        Value::Object(entry)
    });
    object.insert("syscalls".to_owned(), entries.collect());
    Value::Object(object)
}

/// A profile in Docker's form, as it was read.
#[must_use]
pub fn write_docker(profile: &Profile) -> Written {
    let mut object = Map::new();
    action(&mut object, profile.default_action, "defaultAction", "defaultErrnoRet");
    if !profile.architectures.is_empty() {
        object.insert("architectures".to_owned(), profile.architectures.clone().into());
    }
    if !profile.arch_map.is_empty() {
        let map = profile
            .arch_map
            .iter()
            .map(|map| json!({"architecture": map.architecture, "subArchitectures": map.sub_architectures}));
        object.insert("archMap".to_owned(), map.collect());
    }
    common(&mut object, profile);
    object.insert("syscalls".to_owned(), profile.entries.iter().map(docker_entry).collect());
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
