//! The report of a review, ready to be printed: the schema of docs/review-json.md.

use std::collections::HashSet;

use palisade_admission::{Decision, Policy, Refusal, Step, Trace, explain};
use palisade_k8s::{FieldError, FieldPath, Pod};
use palisade_scc::Outcome;
use palisade_scc::pod_security::{assess, guaranteed_level};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::advice::{self, Advice, Case};
use crate::after::{After, By, Objection};
use crate::changed::{apply, changed};
use crate::familiarity::Neighbours;
use crate::subject::Subject;
use crate::surroundings::Surroundings;
use crate::unknown::Unknown;

/// The answer for one workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// SCC and all later checks admit it.
    Admitted,
    /// A check refuses it.
    Refused,
    /// SCC does not apply to its namespace.
    Exempt,
}

/// One workload's review.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The kind.
    pub kind: &'static str,
    /// The name; empty if it has none.
    pub name: String,
    /// The namespace.
    pub namespace: String,
    /// The file.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column, counted from 1.
    pub column: usize,
    /// The user who creates the pod.
    pub user: String,
    /// The service account of the pod.
    pub service_account: String,
    /// Whether its pods start.
    pub verdict: Verdict,
    /// The name of the SCC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scc: Option<String>,
    /// `user` or `serviceaccount`: the subject whose right admitted the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub granted_to: Option<&'static str>,
    /// The SCC that would admit the pod by the user's right alone.
    pub by_user: Option<String>,
    /// The same by the account.
    pub by_service_account: Option<String>,
    /// The Pod Security level of the pod as it would run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_security: Option<&'static str>,
    /// Remarks that hold whatever the verdict.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The refusal, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<RefusalReport>,
    /// Every SCC in the order of their evaluation.
    pub trace: Vec<StepReport>,
    /// The template after the SCC's changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Value>,
}

/// The refusal of a workload, with advice.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusalReport {
    /// The check that refuses it.
    pub by: By,
    /// The reason.
    pub message: String,
    /// The nearest of the SCCs that may be used, by [`palisade_scc::advice::distance`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
    /// The fields in violation.
    pub errors: Vec<ErrorReport>,
    /// Whether SCC leaves the pod alone.
    #[serde(skip)]
    pub is_without_scc: bool,
    /// Ways to an admission.
    #[serde(flatten)]
    pub advice: Advice,
}

/// A field in violation.
#[derive(Debug, Serialize)]
pub struct ErrorReport {
    /// The path of the field; empty if the reason is not about a field.
    pub field: String,
    /// The reason.
    pub message: String,
    /// The file.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column, counted from 1.
    pub column: usize,
}

/// The result of one SCC.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepReport {
    /// The name of the SCC.
    pub scc: String,
    /// The SCC's priority.
    pub priority: i32,
    /// The SCC's score: the higher, the more it permits.
    pub score: u32,
    /// The Pod Security level.
    pub pod_security: &'static str,
    /// How the user, and the service account, may use it.
    pub user: Option<String>,
    /// The service account of the pod.
    pub service_account: Option<String>,
    /// `admits`, `refuses` or `unusable`.
    pub outcome: &'static str,
    /// The fields in violation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ErrorReport>,
    /// The fields that it would set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
}

/// All reports as one object.
pub fn list(reports: &[Report], show_pod: bool) -> Value {
    let mut items = json!(reports);
    if !show_pod {
        for item in items.as_array_mut().into_iter().flatten() {
            item.as_object_mut().and_then(|item| item.shift_remove("pod"));
        }
    }
    json!({"apiVersion": "palisade.dev/v1", "kind": "ReviewList", "items": items})
}

impl Report {
    /// Reviews one workload. One with unknown fields is refused, and reviewed as it was probably meant.
    pub fn new(policy: &Policy, surroundings: &Surroundings, subject: &Subject) -> Self {
        match &subject.unknown {
            None => Self::of_known(policy, surroundings, subject),
            Some((unknown, meant)) => {
                let dropped = Self::of_known(policy, surroundings, subject);
                Self::of_known(policy, surroundings, meant).refused_for(unknown, subject, &dropped)
            }
        }
    }

    /// The report of a workload whose unknown fields must be mended first; `self` is that of the mended one, `dropped` that
    /// of the one without them.
    fn refused_for(mut self, unknown: &[Unknown], subject: &Subject, dropped: &Self) -> Self {
        let message = format!(
            "kubectl and Helm 4 refuse these fields; Helm 3 and other clients drop them, and the pod without them is {}; as it was probably meant, it is {}",
            dropped.result(),
            self.result()
        );
        let mut advice = self.refusal.take().map(|refusal| refusal.advice).unwrap_or_default();
        let mends = || unknown.iter().flat_map(|unknown| &unknown.edits);
        advice.mends = mends().map(|edit| edit.words(&edit.path)).collect();
        advice.mend_places = mends().map(|edit| subject.document.place(&edit.path).into()).collect();
        self.verdict = Verdict::Refused;
        self.refusal = Some(RefusalReport {
            by: By::Decoding,
            message,
            nearest: None,
            is_without_scc: false,
            errors: unknown.iter().map(|unknown| unknown_report(unknown, subject)).collect(),
            advice,
        });
        self
    }

    /// The result in words.
    fn result(&self) -> String {
        match (&self.refusal, &self.scc) {
            (Some(refusal), _) => format!("refused: {}", refusal.message),
            (None, Some(scc)) => format!("admitted by {scc}"),
            (None, None) => "not subject to SCC".to_owned(),
        }
    }

    fn of_known(policy: &Policy, surroundings: &Surroundings, subject: &Subject) -> Self {
        let pod = subject.pod();
        let groups: Vec<&str> = subject.groups.iter().map(String::as_str).collect();
        let request = subject.request(&pod, &groups);
        let trace = explain(policy, &request);
        let place = subject.document.place(&palisade_k8s::FieldPath::root());
        let after = After::new(surroundings, &subject.namespace);
        let mut report = Self {
            kind: subject.kind.kind,
            name: subject.document.metadata("name").to_owned(),
            namespace: subject.namespace.clone(),
            file: place.source.name.clone(),
            line: place.position.line,
            column: place.position.column,
            user: subject.user.clone(),
            service_account: subject.service_account.clone(),
            verdict: Verdict::Exempt,
            scc: None,
            granted_to: None,
            by_user: alone(&trace, |step| step.user.is_some()),
            by_service_account: alone(&trace, |step| step.service_account.is_some()),
            pod_security: None,
            notes: notes(policy, subject, after.without_scc(&trace.decision).is_none()),
            refusal: None,
            trace: trace.steps.iter().map(|step| step_report(step, subject)).collect(),
            pod: None,
        };
        let neighbours = Neighbours::new(policy, surroundings, subject);
        report.decide(&trace, &Case { policy, subject, neighbours, after: &after }, &pod);
        report
    }

    fn decide(&mut self, trace: &Trace<'_>, case: &Case<'_>, pod: &Pod<'_>) {
        let subject = case.subject;
        let mut result = subject.template.clone();
        let mut outcome = subject.pod.clone();
        let without = case.after.without_scc(&trace.decision);
        let is_exempt = without.is_some();
        let admits = |pod: &Value| is_exempt || case.admitted(pod).is_some();
        match &trace.decision {
            _ if is_exempt => self.notes.extend(without),
            Decision::Exempt(_) => {}
            Decision::Admitted(admission) => {
                self.verdict = Verdict::Admitted;
                self.scc = Some(admission.scc.to_owned());
                self.granted_to = Some(admission.subject.as_str());
                self.notes.extend(outranked(trace, admission.scc));
                self.notes.extend(of_administrator(trace, case.policy, self).or_else(|| unused_grant(self)));
                self.notes.extend(unwritable_claim(trace, admission.scc, subject));
                self.notes
                    .extend(user_of_privileged(&changed(&subject.pod, pod, &admission.changes), subject));
                apply(admission.patch(pod).finish(), &mut result);
                outcome = changed(&subject.pod, pod, &admission.changes);
            }
            Decision::Refused(refusal) => {
                self.verdict = Verdict::Refused;
                self.notes.extend(crate::notes::of_pod(&subject.pod, subject, &admits));
                self.refusal = Some(refusal_report(trace, refusal, case));
                return;
            }
        }
        if let Ok(parsed) = Pod::deserialize(&outcome) {
            self.pod_security = Some(assess(&parsed).level.as_str());
            self.notes.extend(case.after.warnings(&outcome, &parsed));
            self.notes.extend(case.after.as_written(subject, &parsed));
        }
        self.notes.extend(crate::notes::of_pod(&outcome, subject, &admits));
        self.pod = Some(result);
        if let Some(objection) = case.after.objection(&outcome) {
            self.verdict = Verdict::Refused;
            let set = match &trace.decision {
                Decision::Admitted(admission) => admission.changes.fields(),
                _ => Vec::new(),
            };
            self.refusal = Some(objection_report(&objection, self.scc.as_deref(), &set, case));
        }
    }
}

fn alone(trace: &Trace<'_>, may_use: impl Fn(&Step<'_>) -> bool) -> Option<String> {
    let admits = |step: &&Step<'_>| may_use(step) && matches!(step.outcome, Outcome::Admits(_));
    trace.steps.iter().find(admits).map(|step| step.entry.name().to_owned())
}

/// The more restrictive SCC that would admit the pod too, if the chosen one did not precede it by priority.
fn outranked(trace: &Trace<'_>, chosen: &str) -> Option<String> {
    let admits = |step: &&Step<'_>| step.is_usable() && matches!(step.outcome, Outcome::Admits(_));
    let first = trace.steps.iter().find(|step| step.entry.name() == chosen)?.entry.rank();
    let others = trace.steps.iter().filter(admits).map(|step| step.entry.rank());
    let tighter = others.filter(|rank| rank.priority < first.priority && rank.score < first.score);
    let tightest = tighter.min_by_key(|rank| rank.score)?;
    Some(format!(
        "{chosen} comes first by its priority {}; {}, which is more restrictive, would admit it too (`palisade scc impact` \
         compares them)",
        first.priority, tightest.name
    ))
}

/// A pod that is admitted only because the one who creates it may use every SCC, as administrators may.
fn of_administrator(trace: &Trace<'_>, policy: &Policy, report: &Report) -> Option<String> {
    // A pod that requires an SCC has one step: who may use that one need not be an administrator.
    let may_all = policy.sccs().entries().count() == trace.steps.len()
        && trace.steps.iter().all(|step| step.user.is_some());
    if !may_all || report.granted_to != Some("user") || report.by_service_account == report.scc {
        return None;
    }
    let Report { user, service_account, .. } = report;
    let path = trace.steps.first()?.user.as_ref()?;
    let alone =
        report.by_service_account.as_deref().map_or("refused".to_owned(), |scc| format!("admitted by {scc}"));
    Some(format!(
        "{user} may use every SCC ({path}); the same pod of a Deployment, or of someone else, counts on its service account {service_account} alone: {alone}"
    ))
}

/// The SCC granted to the service account, where another precedes it by the user's right: the grant changes nothing for
/// this pod.
fn unused_grant(report: &Report) -> Option<String> {
    let Report { user, service_account, .. } = report;
    let (chosen, granted) = (report.scc.as_deref()?, report.by_service_account.as_deref()?);
    let is_unused = report.granted_to == Some("user") && granted != chosen;
    is_unused.then(|| {
        format!(
            "{granted}, granted to service account {service_account}, would admit it too, but {chosen} comes first, by the right of \
             {user}; if the pod needs what {granted} sets, annotate its template with {}: {granted}",
            palisade_k8s::scc::annotation::REQUIRED_SCC
        )
    })
}

/// Privileged containers to which the SCC gives a user of the namespace's range.
fn user_of_privileged(outcome: &Value, subject: &Subject) -> Option<String> {
    let name = crate::notes::privileged_of_any_user(&subject.pod).next()?;
    let user = crate::notes::user_of(outcome, name).filter(|user| *user != 0)?;
    Some(format!(
        "container {name} is privileged and runs as user {user}, which the SCC chooses, not as root: if it needs root, set its securityContext.runAsUser: 0"
    ))
}

/// A claim that a more restrictive SCC, which comes later by its priority, would make writable by a group.
fn unwritable_claim(trace: &Trace<'_>, chosen: &str, subject: &Subject) -> Option<String> {
    let spec = subject.pod.get("spec")?;
    let group = FieldPath::of("spec.securityContext.fsGroup");
    let volumes = spec.get("volumes").and_then(Value::as_array).into_iter().flatten();
    let is_claim =
        |volume: &&Value| volume.get("persistentVolumeClaim").is_some() || volume.get("ephemeral").is_some();
    let claim = volumes.filter(is_claim).find_map(|volume| {
        let claim = volume.pointer("/persistentVolumeClaim/claimName").or_else(|| volume.get("name"));
        claim?.as_str()
    })?;
    let sets_group = |step: &Step<'_>| match &step.outcome {
        Outcome::Admits(changes) => changes.fields().contains(&group),
        _ => false,
    };
    let chosen_step = trace.steps.iter().find(|step| step.entry.name() == chosen)?;
    if spec.pointer("/securityContext/fsGroup").is_some() || sets_group(chosen_step) {
        return None;
    }
    let other = trace.steps.iter().find(|step| step.is_usable() && sets_group(step))?;
    Some(format!(
        "{chosen} sets no fsGroup, so that the claim {claim} may not be writable by another user than root (\"permission denied\"); {} would set one: set {}, or pin the pod to it with openshift.io/required-scc",
        other.entry.name(),
        subject.path(&group),
    ))
}

/// Notes about the namespace, whose ranges matter where SCC applies, and about the pin.
fn notes(policy: &Policy, subject: &Subject, is_subject: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if !subject.namespace_is_given {
        notes.push("no namespace is given (-n); reviewed as in a project of its own".to_owned());
    }
    let is_assumed = palisade_admission::Namespace::is_assumed;
    if is_subject && policy.namespace(&subject.namespace).is_some_and(is_assumed) {
        notes.push(format!(
            "namespace {} has no ranges in the policy; assumed are user IDs 1000000000/10000, level s0:c1,c0",
            subject.namespace
        ));
    }
    if let Some(user) = &subject.not_by {
        notes.push(format!(
            "the rights of {user} do not count: {} creates the pods of a {}, so that those of their service account do",
            subject.user, subject.kind.kind
        ));
    }
    if !subject.kind.template.is_empty() && subject.document.node.at_path(&required_scc_path()).is_some() {
        notes.push("openshift.io/required-scc does nothing here; it belongs on the pod template".to_owned());
    }
    notes
}

fn required_scc_path() -> palisade_k8s::FieldPath {
    palisade_k8s::FieldPath::of("metadata.annotations").key(palisade_k8s::scc::annotation::REQUIRED_SCC)
}

/// The refusal of a pod that SCC admits, with `set` to it.
fn objection_report(
    objection: &Objection,
    scc: Option<&str>,
    set: &[FieldPath],
    case: &Case<'_>,
) -> RefusalReport {
    let wrong: HashSet<String> = objection.errors.iter().map(|error| error.path.to_string()).collect();
    let blamed = |field: &&FieldPath| {
        let field = field.to_string();
        // The error is about the field's parent, or the field itself.
        let holders = field.match_indices(['.', '[']).filter_map(|(end, _)| field.get(..end));
        holders.chain([field.as_str()]).any(|path| wrong.contains(path))
    };
    let blamed: Vec<String> =
        set.iter().filter(blamed).map(|field| case.subject.path(field).to_string()).collect();
    let namespace = &case.subject.namespace;
    let label = objection.level.map(|level| advice::label_command(namespace, level));
    RefusalReport {
        by: objection.by,
        message: match scc {
            Some(scc) if blamed.is_empty() => format!("SCC {scc} lets it through, but {}", objection.message),
            Some(scc) => format!(
                "SCC {scc} lets it through and sets {}, but {}: change that SCC, or have another",
                blamed.join(", "),
                objection.message
            ),
            None => objection.message.clone(),
        },
        nearest: None,
        is_without_scc: scc.is_none(),
        errors: objection.errors.iter().map(|error| error_report(error, case.subject)).collect(),
        advice: Advice { label, ..if scc.is_some() { case.advice() } else { case.without_scc() } },
    }
}

fn refusal_report(trace: &Trace<'_>, refusal: &Refusal, case: &Case<'_>) -> RefusalReport {
    let subject = case.subject;
    let pinned = trace.steps.len() == 1 && case.pin().is_some();
    let nearest = case.nearest(trace);
    let errors = match nearest.map(|step| &step.outcome) {
        Some(Outcome::Refuses(errors)) => errors.as_slice(),
        _ => &[],
    };
    RefusalReport {
        by: By::Scc,
        message: match refusal {
            Refusal::NoneFits if nearest.is_none() && pinned => format!(
                "the pod is pinned to {} by openshift.io/required-scc, which neither the user nor the service account {} may use",
                case.pin().unwrap_or_default(),
                subject.service_account
            ),
            Refusal::NoneFits if nearest.is_none() => {
                "neither the user nor the service account may use an SCC that can admit a pod here".to_owned()
            }
            other => other.to_string(),
        },
        nearest: nearest.map(|step| step.entry.name().to_owned()),
        is_without_scc: false,
        errors: errors.iter().map(|error| error_report(error, subject)).collect(),
        advice: case.advice(),
    }
}

fn unknown_report(unknown: &Unknown, subject: &Subject) -> ErrorReport {
    let place = subject.document.place(&unknown.path);
    ErrorReport {
        field: unknown.path.to_string(),
        message: unknown.message.clone(),
        file: place.source.name.clone(),
        line: place.position.line,
        column: place.position.column,
    }
}

fn error_report(error: &FieldError, subject: &Subject) -> ErrorReport {
    let place = subject.place(&error.path);
    ErrorReport {
        field: subject.path(&error.path).to_string(),
        message: error.message(),
        file: place.source.name.clone(),
        line: place.position.line,
        column: place.position.column,
    }
}

fn step_report(step: &Step<'_>, subject: &Subject) -> StepReport {
    let rank = step.entry.rank();
    let (outcome, errors, changes) = match &step.outcome {
        Outcome::Admits(changes) | Outcome::Changes(changes) => ("admits", Vec::new(), changes.fields()),
        Outcome::Refuses(errors) => {
            ("refuses", errors.iter().map(|error| error_report(error, subject)).collect(), Vec::new())
        }
        Outcome::Unusable(why) => {
            let error = ErrorReport {
                field: String::new(),
                message: why.to_string(),
                file: String::new(),
                line: 0,
                column: 0,
            };
            ("unusable", vec![error], Vec::new())
        }
    };
    StepReport {
        scc: rank.name.to_owned(),
        priority: rank.priority,
        score: rank.score,
        pod_security: guaranteed_level(step.entry.scc()).as_str(),
        user: step.user.as_ref().map(ToString::to_string),
        service_account: step.service_account.as_ref().map(ToString::to_string),
        outcome,
        errors,
        changes: changes.iter().map(|path| subject.path(path).to_string()).collect(),
    }
}
