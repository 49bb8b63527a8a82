//! The `ValidatingAdmissionPolicy`: the pod must fit an SCC as it is, whoever changed it since one was chosen.

use palisade_k8s::SecurityContextConstraints;
use palisade_k8s::scc::annotation::{MCS, REQUIRED_SCC, UID_RANGE};
use serde_json::{Value, json};

use crate::cel::{self, text};
use crate::entry::{Translated, shared};
use crate::facts::{Frozen, Variable, facts};
use crate::grant;
use crate::mutating::BLOCK;
use crate::update;

/// Whether SCCs other than the one that was chosen are asked for: a policy's budget pays for so many.
pub(crate) fn asks_others(sccs: &[Translated<'_>]) -> bool {
    sccs.len() <= BLOCK
}

/// The variables of all validations. Where nothing is enforced, a pod has not been given what its SCC gives, and has only
/// to fit.
pub(crate) fn variables(sccs: &[Translated<'_>], enforced: bool) -> Vec<Variable> {
    if !enforced {
        return trial(sccs);
    }
    let mut variables = facts(Frozen::All);
    variables.extend(shared(sccs));
    for scc in sccs {
        variables.extend([scc.fits(), scc.settled(), scc.findings()]);
        if asks_others(sccs) {
            variables.push(scc.grant());
        }
    }
    if !asks_others(sccs) {
        variables.push(Variable::new("grantOfAnnotated", grant_of_annotated(sccs)));
    }
    variables.push(Variable::new("admitted", admitted(sccs)));
    variables.extend(message(sccs));
    variables
}

/// The variables where no mutation has chosen an SCC: the choice is made here.
fn trial(sccs: &[Translated<'_>]) -> Vec<Variable> {
    let mut variables = facts(Frozen::ByRequest);
    variables.extend(shared(sccs));
    let all = |scc: &Translated<'_>| [scc.fits(), scc.settled(), scc.findings(), scc.grant()];
    variables.extend(sccs.iter().flat_map(all));
    let admits = sccs.iter().map(|scc| scc.admits());
    variables.push(Variable::new("admitted", cel::any(admits)));
    variables.extend(message(sccs));
    variables
}

/// The grant of whatever SCC the pod is annotated with.
fn grant_of_annotated(sccs: &[Translated<'_>]) -> String {
    let named = |test: fn(&[String], &[String]) -> Option<String>| {
        let of = |scc: &Translated<'_>| {
            let object = scc.entry.scc();
            let (users, groups) = (object.users.as_ref(), object.groups.as_ref());
            let test =
                test(SecurityContextConstraints::list(users), SecurityContextConstraints::list(groups))?;
            Some(format!("variables.annotated == {} && ({test})", text(scc.name())))
        };
        cel::any(sccs.iter().filter_map(of))
    };
    let account = named(|users, groups| grant::named(&grant::ACCOUNT, users, groups));
    let user = named(|users, groups| grant::named(&grant::USER, users, groups));
    format!(
        "variables.account != '' && ({account} || variables.mayAccount.name(variables.annotated).check('use').allowed()) ? 'serviceaccount' :\n\
         {user} || variables.mayUser.name(variables.annotated).check('use').allowed() ? 'user' :\n''"
    )
}

/// The annotated SCC is tried first, since it is what admitted the pod; then all others in order.
fn admitted(sccs: &[Translated<'_>]) -> String {
    let holds = |scc: &Translated<'_>| {
        format!("{} && {} && {}", scc.considered(), scc.reference("fits"), scc.reference("settled"))
    };
    let annotated =
        |scc: &Translated<'_>| format!("variables.annotated == {} && {}", text(scc.name()), holds(scc));
    if !asks_others(sccs) {
        let fits = cel::any(sccs.iter().map(annotated));
        return format!("({fits}) && variables.grantOfAnnotated != ''");
    }
    let may = |scc: &Translated<'_>| format!("{} != ''", scc.reference("grant"));
    let annotated = sccs.iter().map(|scc| format!("{} && {}", annotated(scc), may(scc)));
    let others = sccs.iter().map(|scc| format!("{} && {}", holds(scc), may(scc)));
    cel::any(annotated.chain(others))
}

/// The message of a refusal: the SCCs that fit and may not be used, else the one that comes nearest and what is in its way.
/// Expressions of messages cannot ask the authorizer.
fn message(sccs: &[Translated<'_>]) -> Vec<Variable> {
    let fitting = sccs.iter().map(|scc| {
        format!("\n{} && {} ? {} : ''", scc.considered(), scc.reference("fits"), text(scc.name()))
    });
    let findings = sccs.iter().map(|scc| {
        let considered = scc.considered();
        format!(
            "\n{considered} && !{} ? [{}] + {} : []",
            scc.reference("fits"),
            text(scc.name()),
            scc.reference("findings")
        )
    });
    let refusal = "variables.annotated != '' && variables.annotated in variables.fitting ?\n\
         'the pod was changed after ' + variables.annotated + ' had been chosen, or that may no longer be used' :\n\
         variables.fitting.size() > 0 ? variables.fitting.join(', ') + (variables.fitting.size() == 1 ? ' fits' : ' fit') + \
         (variables.account == '' ? ', but the user may not use ' : \
         ', but neither the user nor the service account ' + variables.account + ' may use ') + \
         (variables.fitting.size() == 1 ? 'it' : 'any of them') + \
         ', or no MutatingAdmissionPolicy has set its defaults' :\n\
         variables.refusing.size() == 0 ? 'none could be tried' :\n\
         variables.nearest[0] + ' comes nearest, but ' + variables.nearest.filter(f, f != variables.nearest[0]).join('; ')";
    vec![
        Variable::new("fitting", format!("{}.filter(s, s != '')", cel::list(fitting))),
        Variable::new("refusing", format!("{}.filter(f, f.size() > 0)", cel::list(findings))),
        Variable::new(
            "nearest",
            "[variables.refusing.map(f, f.size())].map(n, variables.refusing.filter(f, f.size() == n.min()))[0][0]",
        ),
        Variable::new("refusal", refusal),
    ]
}

/// How many audit annotations a policy may have (`k8s.io/apiserver`, validation of admissionregistration).
const AUDITED: usize = 20;
/// How many characters the key of one may have.
const KEY: usize = 63;

/// Audit annotations, under OpenShift's keys: the API server puts the name of the policy before each. These
/// expressions cannot ask the authorizer either, so what is too restrictive is told of SCCs that may be used and of others.
pub(crate) fn audit_annotations(sccs: &[Translated<'_>]) -> Value {
    let mut annotations = vec![
        // Empty is none.
        json!({"key": "chosen", "valueExpression": "string(variables.relevant ? variables.annotated : '')"}),
        json!({"key": "reason", "valueExpression":
            "string(!variables.relevant ? '' : variables.annotated == '' ? variables.refusal : variables.annotated + ' admits the pod')"}),
    ];
    let too_restrictive = |scc: &Translated<'_>| {
        let key = format!("too-restrictive-{}", scc.name());
        let value = format!(
            "variables.relevant && variables.annotated == '' && {} && !{} ? {}.join(', ') : ''",
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

const REFUSED: &str = "unable to validate against any security context constraint";

/// The validations of a request, each with its message.
pub(crate) fn validations(sccs: &[Translated<'_>]) -> Value {
    let names = cel::texts(sccs.iter().map(|scc| scc.name()));
    let message = format!("'{REFUSED}: ' + string(variables.refusal)");
    let relevant = |expression: &str| format!("!variables.relevant || {expression}");
    json!([
        {
            "expression": relevant("variables.hasRanges"),
            "messageExpression": format!("'namespace ' + request.namespace + ' cannot take pods: it has no annotation {UID_RANGE} or {MCS}; its ranges are not allocated yet'"),
        },
        {
            "expression": relevant(&update::keeps_required()),
            "message": format!("invalid change to SCC annotation, {REQUIRED_SCC} cannot be changed"),
        },
        {
            "expression": relevant(&format!("variables.required == '' || variables.required in {names}")),
            "messageExpression": "'failed to retrieve the required SCC: there is no SecurityContextConstraints ' + string(variables.required)",
        },
        {"expression": relevant("variables.admitted"), "messageExpression": message},
    ])
}
