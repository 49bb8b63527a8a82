//! Volume types, and drivers of `flexVolume`.

use palisade_k8s::pod::VolumeKind;
use palisade_scc::VolumeRule;

use crate::cel;

use super::Demand;

pub(crate) fn demands(rule: &VolumeRule) -> Vec<Demand> {
    let mut demands = Vec::new();
    if !rule.allow_all {
        demands.push(kinds(rule));
    }
    let applies = rule.allow_all || rule.allows_kind(VolumeKind::FlexVolume);
    if applies && !rule.flex_drivers.is_empty() {
        let holds = format!("variables.drivers.all(d, d in {})", cel::texts(&rule.flex_drivers));
        let shown = rule.flex_drivers.join(", ");
        let finding = format!("drivers of flexVolume must be of {shown}");
        demands.push(Demand::new("volumes", format!("allowedFlexVolumes: {shown}"), holds, finding));
    }
    demands
}

fn kinds(rule: &VolumeRule) -> Demand {
    let allowed: Vec<VolumeKind> =
        VolumeKind::ALL.iter().copied().filter(|kind| rule.allows_kind(*kind)).collect();
    let fields = cel::texts(allowed.iter().map(|kind| kind.pod_field()));
    // A projection of only the service account's token passes as a secret (reference/scc.md 2.15).
    let token = rule.allows_kind(VolumeKind::Secret) && !rule.allows_kind(VolumeKind::Projected);
    let kind = match token {
        true => format!("k in {fields} || k == 'projected' && variables.projectsTokensOnly"),
        false => format!("k in {fields}"),
    };
    let shown: Vec<&str> = allowed.iter().map(|kind| kind.policy_name()).collect();
    let shown = if shown.is_empty() { "none".to_owned() } else { shown.join(", ") };
    let holds = format!("variables.volumes.all(v, v.all(k, {kind}))");
    Demand::new("volumes", format!("volumes: {shown}"), holds, format!("volumes may only be {shown}"))
}
