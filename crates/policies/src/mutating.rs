//! The `MutatingAdmissionPolicy`: it chooses the SCC, and gives the pod what that SCC gives.

use serde_json::{Value, json};

use crate::cel::{self, text};
use crate::entry::{Translated, shared};
use crate::facts::{Frozen, Variable, facts};
use crate::patch::{self, name};
use crate::rule::Gifts;

/// How many SCCs one mutation asks for: each may take two checks of the authorizer, of which a mutation's budget pays 28,
/// and nothing else then.
pub(crate) const BLOCK: usize = 13;

/// The variables of all mutations.
pub(crate) fn variables(sccs: &[Translated<'_>]) -> Vec<Variable> {
    let mut variables = facts(Frozen::ByRequest);
    variables.extend(shared(sccs));
    variables.extend(sccs.iter().flat_map(|scc| [scc.fits(), scc.settled(), scc.grant()]));
    for (index, block) in sccs.chunks(BLOCK).enumerate() {
        variables.push(Variable::new(name("chosen", index), chosen(block, index)));
        variables.extend(gifts(block, index));
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

/// The defaults of the chosen SCC, one variable a field.
fn gifts(block: &[Translated<'_>], index: usize) -> Vec<Variable> {
    let chosen = format!("variables.{}[0]", name("chosen", index));
    type Field = (&'static str, fn(&Gifts) -> &String);
    let fields: [Field; 11] = [
        ("giveUser", |gifts| &gifts.user),
        ("giveNonRoot", |gifts| &gifts.non_root),
        ("giveFsGroup", |gifts| &gifts.fs_group),
        ("giveSupplementalGroup", |gifts| &gifts.supplemental_group),
        ("giveLabels", |gifts| &gifts.selinux),
        ("addCapabilities", |gifts| &gifts.add),
        ("dropCapabilities", |gifts| &gifts.drop),
        ("giveReadOnly", |gifts| &gifts.read_only),
        ("giveProfile", |gifts| &gifts.profile),
        ("giveEscalation", |gifts| &gifts.escalation),
        ("givePrivilegedEscalation", |gifts| &gifts.privileged_escalation),
    ];
    let variable = |(base, field): Field| Variable::new(name(base, index), by_value(block, &chosen, field));
    fields.map(variable).into()
}

/// The value that the chosen SCC has: SCCs of one value share a case, and the most frequent value needs none.
fn by_value(block: &[Translated<'_>], chosen: &str, field: fn(&Gifts) -> &String) -> String {
    let mut groups: Vec<(&String, Vec<&str>)> = Vec::new();
    for scc in block {
        let value = field(&scc.rules.gifts);
        match groups.iter_mut().find(|(known, _)| *known == value) {
            Some((_, names)) => names.push(scc.name()),
            None => groups.push((value, vec![scc.name()])),
        }
    }
    groups.sort_by_key(|(_, names)| names.len());
    let Some((most, _)) = groups.pop() else { return String::new() };
    let cases =
        groups.iter().map(|(value, names)| (format!("{chosen} in {}", cel::texts(names)), (*value).clone()));
    cel::first(cases, most)
}

/// The mutations, in order.
pub(crate) fn mutations(count: usize) -> Vec<Value> {
    let blocks = count.div_ceil(BLOCK);
    (0..blocks)
        .map(|block| json!({"patchType": "JSONPatch", "jsonPatch": {"expression": patch::expression(block)}}))
        .collect()
}
