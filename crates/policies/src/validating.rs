//! The `ValidatingAdmissionPolicy`: the pod must fit an SCC as it is, whoever changed it since one was chosen.

use palisade_k8s::SecurityContextConstraints;
use palisade_k8s::scc::annotation::REQUIRED_SCC;
use serde_json::{Value, json};

use crate::cel::{self, text};
use crate::entry::{Translated, shared};
use crate::facts::{ANNOTATIONS, CONTAINERS, Frozen, Place, Variable, facts, no_ranges};
use crate::grant;
use crate::limits::AUDITED;
use crate::mutating::BLOCK;
use crate::trial::{self, Trial};
use crate::update;

/// Whether SCCs other than the chosen one are evaluated too: while a policy's budget of checks suffices for all.
pub(crate) fn asks_others(sccs: &[Translated<'_>]) -> bool {
    sccs.len() <= BLOCK
}

/// The variables of all validations. If nothing is enforced, a pod does not have its SCC's defaults, and has only to
/// fit.
pub(crate) fn variables(sccs: &[Translated<'_>], enforced: bool) -> Vec<Variable> {
    if !enforced {
        return trial::variables(sccs, Trial::Request);
    }
    let mut variables = facts(Place::Object, Frozen::All);
    variables.extend(shared(sccs));
    for scc in sccs {
        variables.extend([scc.fits(), scc.settled(), scc.findings()]);
        if asks_others(sccs) {
            variables.push(scc.grant());
        }
    }
    if !asks_others(sccs) {
        variables.push(Variable::new("grantOfAnnotated", grant_of("variables.annotated", sccs)));
        variables.push(candidates(sccs));
        variables.extend((0..CANDIDATES).map(|place| grant_of_candidate(place, sccs)));
    }
    variables.push(Variable::new("admitted", admitted(sccs)));
    variables.extend(message(sccs));
    variables
}

/// Number of SCCs beside the annotated one whose grants are looked at: two checks for each, which leaves a part of the budget.
const CANDIDATES: usize = 10;

/// The SCCs that a subresource's pod fits. The API server drops what the mutation annotates there, so that the annotation
/// is that of the SCC which admitted the pod when it was created.
fn candidates(sccs: &[Translated<'_>]) -> Variable {
    let names = sccs.iter().map(|scc| format!("{} ? {} : ''", holds(scc), text(scc.name())));
    let fitting = format!("{}.filter(s, s != '' && s != variables.annotated)", cel::lines(names));
    Variable::new("candidates", format!("request.?subResource.orValue('') == '' ? [] : {fitting}"))
}

/// The name of the variable with the grant of a candidate.
fn candidate(place: usize) -> String {
    format!("grantOfCandidate{place}")
}

fn grant_of_candidate(place: usize, sccs: &[Translated<'_>]) -> Variable {
    let grant = grant_of(&format!("variables.candidates[{place}]"), sccs);
    Variable::new(candidate(place), format!("variables.candidates.size() <= {place} ? '' :\n{grant}"))
}

/// The grant of the SCC with the name of an expression.
fn grant_of(name: &str, sccs: &[Translated<'_>]) -> String {
    let named = |test: fn(&[String], &[String]) -> Option<String>| {
        let of = |scc: &Translated<'_>| {
            let object = scc.entry.scc();
            let (users, groups) = (object.users.as_ref(), object.groups.as_ref());
            let test =
                test(SecurityContextConstraints::list(users), SecurityContextConstraints::list(groups))?;
            Some(format!("{name} == {} && ({test})", text(scc.name())))
        };
        cel::any(sccs.iter().filter_map(of))
    };
    let account = named(|users, groups| grant::named(&grant::ACCOUNT, users, groups));
    let user = named(|users, groups| grant::named(&grant::USER, users, groups));
    format!(
        "variables.account != '' && ({account} || variables.mayAccount.name({name}).check('use').allowed()) ? 'serviceaccount' :\n\
         {user} || variables.mayUser.name({name}).check('use').allowed() ? 'user' :\n''"
    )
}

/// Whether a pod fits an SCC as it is.
fn holds(scc: &Translated<'_>) -> String {
    format!("{} && {} && {}", scc.considered(), scc.reference("fits"), scc.reference("settled"))
}

/// The annotated SCC is evaluated first, since it is what admitted the pod; then all others in order.
fn admitted(sccs: &[Translated<'_>]) -> String {
    let annotated =
        |scc: &Translated<'_>| format!("variables.annotated == {} && {}", text(scc.name()), holds(scc));
    if !asks_others(sccs) {
        let fits = cel::any(sccs.iter().map(annotated));
        let others = cel::any((0..CANDIDATES).map(|place| format!("variables.{} != ''", candidate(place))));
        return format!("({fits}) && variables.grantOfAnnotated != '' ||\n{others}");
    }
    let may = |scc: &Translated<'_>| format!("{} != ''", scc.reference("grant"));
    let annotated = sccs.iter().map(|scc| format!("{} && {}", annotated(scc), may(scc)));
    let others = sccs.iter().map(|scc| format!("{} && {}", holds(scc), may(scc)));
    cel::any(annotated.chain(others))
}

/// The API server evaluates the message of every pod, also of admitted ones: they have an annotation, and no SCC is
/// evaluated for them here.
const CHANGED: &str = "variables.annotated != '' && request.?subResource.orValue('') == '' ?\n\
    'the pod was changed after ' + variables.annotated + ' had been chosen, or that may no longer be used, or no MutatingAdmissionPolicy has chosen it' :\n";

fn message(sccs: &[Translated<'_>]) -> Vec<Variable> {
    let nobody = "(variables.account == '' ? ', but the user may not use ' : \
        ', but neither the user nor the service account ' + variables.account + ' may use ')";
    trial::message(sccs, CHANGED, nobody, ", or no MutatingAdmissionPolicy has set its defaults")
}

/// Maximum length of a key, in characters.
const KEY: usize = 63;

/// Audit annotations, under OpenShift's keys: the API server prepends the name of the policy to each. These expressions
/// cannot call the authorizer either, so violations are reported for SCCs that may be used and for others.
///
/// Where nothing is enforced no annotation of the pod is to be believed, and only the authorizer could tell whether it is
/// admitted: the API server records there what would be refused, with the reason, by itself.
pub(crate) fn audit_annotations(sccs: &[Translated<'_>], enforced: bool) -> Value {
    if !enforced {
        return json!([]);
    }
    let keeps_required = update::keeps_required();
    let mut annotations = vec![
        // Empty means none.
        json!({"key": "chosen", "valueExpression":
            format!("string(variables.relevant && ({keeps_required}) ? variables.annotated : '')")}),
        json!({"key": "reason", "valueExpression":
            format!("string(!variables.relevant ? '' : !({keeps_required}) ? {} : variables.annotated == '' ? variables.refusal : \
                variables.annotated + ' admits the pod')", text(&required_changed()))}),
        // SCCs that a refused pod fits, without the right to use them.
        json!({"key": "denied", "valueExpression":
            "variables.annotated == '' && variables.relevant && request.operation == 'CREATE' ? variables.fitting.join(',') : ''"}),
    ];
    let too_restrictive = |scc: &Translated<'_>| {
        let key = format!("too-restrictive-{}", scc.name());
        let value = format!(
            "variables.annotated == '' && variables.relevant && {} && !{} ? {}.join(', ') : ''",
            scc.considered(),
            scc.reference("fits"),
            scc.reference("findings")
        );
        (key.len() <= KEY).then(|| json!({"key": key, "valueExpression": value}))
    };
    let room = AUDITED - annotations.len();
    annotations.extend(sccs.iter().filter_map(too_restrictive).take(room));
    annotations.into()
}

pub(crate) const REFUSED: &str = "unable to validate against any security context constraint";

/// The message on an update of the required SCC.
fn required_changed() -> String {
    format!("invalid change to SCC annotation, {REQUIRED_SCC} cannot be changed")
}

/// The validations of a request, each with its message.
pub(crate) fn validations(sccs: &[Translated<'_>]) -> Value {
    let names = cel::texts(sccs.iter().map(|scc| scc.name()));
    let message = format!("'{REFUSED}: ' + string(variables.refusal)");
    let relevant = |expression: &str| format!("!variables.relevant || {expression}");
    forbidding(json!([
        {
            "expression": "!variables.isTooLarge",
            "message": format!("a pod may have at most {ANNOTATIONS} annotations and {CONTAINERS} containers, so that the API server can decide on it in time"),
        },
        {
            "expression": relevant("variables.hasRanges"),
            "messageExpression": no_ranges(),
        },
        {
            "expression": relevant(&update::keeps_required()),
            "message": required_changed(),
        },
        {
            "expression": relevant(&format!("variables.required == '' || variables.required in {names}")),
            // The API server drops a message with a line break.
            "messageExpression": "'failed to retrieve the required SCC: there is no SecurityContextConstraints ' + \
                (variables.required.size() > 253 || variables.required.contains('\\n') ? 'of that name' : string(variables.required))",
        },
        {"expression": relevant("variables.admitted"), "messageExpression": message},
    ]))
}

/// Refusals with the code of OpenShift and of the webhooks, 403; that of a policy without a reason is 422.
pub(crate) fn forbidding(mut validations: Value) -> Value {
    for validation in validations.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        validation.insert("reason".to_owned(), "Forbidden".into());
    }
    validations
}
