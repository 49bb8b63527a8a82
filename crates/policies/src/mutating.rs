//! The `MutatingAdmissionPolicy`: it chooses the SCC, and gives the pod what that SCC gives.

use serde_json::{Value, json};

use crate::cel::{self, text};
use crate::entry::{Translated, shared};
use crate::facts::{Frozen, Place, Variable, facts};
use crate::patch::{self, name};
use crate::rule::Gifts;

/// How many SCCs one mutation asks for: each may take two checks of the authorizer, of which a mutation's budget pays 28,
/// and nothing else then.
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

/// The first SCC in order that fits and may be used, and whose right that is; empty if there is none.
fn chosen(block: &[Translated<'_>], index: usize) -> String {
    let skipped = match index {
        0 => "!variables.hasRanges".to_owned(),
        // An earlier mutation has chosen, and has taken away what the pod brought along.
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

/// The gifts of one SCC; of several types, which CEL takes in one map only as `dyn`.
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

/// The gifts of the chosen SCC: SCCs that give the same share a case, and the last needs none.
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
