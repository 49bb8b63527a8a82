//! The `MutatingAdmissionPolicy`: it chooses the SCC, and sets its defaults on the pod.

use serde_json::{Value, json};

use crate::cel::{self, text};
use crate::entry::{Translated, shared};
use crate::facts::{Frozen, Place, Variable, facts};
use crate::patch::{self, name};
use crate::rule::Gifts;

/// Maximum number of SCCs in one mutation: each may take two authorizer checks, of which a mutation's budget permits
/// 28, and nothing else then.
pub(crate) const BLOCK: usize = 13;

/// The variables of all mutations.
pub(crate) fn variables(sccs: &[Translated<'_>]) -> Vec<Variable> {
    let mut variables = facts(Place::Object, Frozen::ByRequest);
    variables.extend(shared(sccs));
    variables.extend(sccs.iter().flat_map(|scc| [scc.fits(), scc.settled(), scc.grant()]));
    for (index, block) in sccs.chunks(BLOCK).enumerate() {
        variables.push(Variable::new(name("chosen", index), chosen(block, index)));
        variables.push(gifts(block, index));
        variables.extend(patch::variables(index));
    }
    variables
}

/// The first SCC in order that fits and may be used, and the subject with the right; empty if there is none.
fn chosen(block: &[Translated<'_>], index: usize) -> String {
    let skipped = match index {
        0 => "!variables.hasRanges".to_owned(),
        // An earlier mutation has chosen, and has removed the pod's own annotations.
        _ => "!variables.hasRanges || variables.annotated != ''".to_owned(),
    };
    let cases =
        block.iter().map(|scc| (scc.admits(), format!("[{}, {}]", text(scc.name()), scc.reference("grant"))));
    cel::first([(skipped, "[]".to_owned())].into_iter().chain(cases), "[]")
}

/// The defaults of the chosen SCC, a map: a variable for each would cost the API server eleven evaluations.
fn gifts(block: &[Translated<'_>], index: usize) -> Variable {
    let chosen = format!("variables.{}[0]", name("chosen", index));
    Variable::new(name("given", index), by_value(block, &chosen))
}

/// The defaults of one SCC; of several types, which CEL permits in one map only as `dyn`.
fn gift(gifts: &Gifts) -> String {
    let entries = [
        ("user", &gifts.user),
        ("nonRoot", &gifts.non_root),
        ("fsGroup", &gifts.fs_group),
        ("supplementalGroup", &gifts.supplemental_group),
        ("labels", &gifts.selinux),
        ("add", &gifts.add),
        ("drop", &gifts.drop),
        ("readOnly", &gifts.read_only),
        ("profile", &gifts.profile),
        ("escalation", &gifts.escalation),
        ("privilegedEscalation", &gifts.privileged_escalation),
    ];
    let entries = entries.map(|(key, value)| format!("'{key}': dyn({value})"));
    format!("{{{}}}", entries.join(", "))
}

/// The defaults of the chosen SCC: SCCs with the same defaults share a case, and the last needs none.
fn by_value(block: &[Translated<'_>], chosen: &str) -> String {
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for scc in block {
        let value = gift(&scc.rules.gifts);
        match groups.iter_mut().find(|(known, _)| *known == value) {
            Some((_, names)) => names.push(scc.name()),
            None => groups.push((value, vec![scc.name()])),
        }
    }
    let Some((last, _)) = groups.pop() else { return String::new() };
    let cases =
        groups.into_iter().map(|(value, names)| (format!("{chosen} in {}", cel::texts(names)), value));
    cel::first(cases, &last)
}

/// The mutations, in order.
pub(crate) fn mutations(count: usize) -> Vec<Value> {
    let blocks = count.div_ceil(BLOCK);
    (0..blocks)
        .map(|block| json!({"patchType": "JSONPatch", "jsonPatch": {"expression": patch::expression(block)}}))
        .collect()
}
