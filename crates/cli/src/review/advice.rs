//! The two ways from a refusal to a yes: a grant, or an edit.

use palisade_admission::{Step, Trace};
use palisade_k8s::field::Segment;
use palisade_k8s::{FieldError, FieldErrorKind};
use palisade_scc::Outcome;
use serde::Serialize;

use super::subject::Subject;

/// What would help; at least one of the two, unless no SCC can ever admit the pod.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Advice {
    /// The command that grants the most restrictive SCC that would admit the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) grant: Option<String>,
    /// What to change in the workload, so that the nearest SCC admits it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) edits: Vec<String>,
}

/// The usable SCC that the fewest fields stand in the way of; the first tried of several.
pub(crate) fn nearest<'t, 'x>(trace: &'t Trace<'x>) -> Option<&'t Step<'x>> {
    let distance = |step: &&Step<'_>| match &step.outcome {
        Outcome::Refuses(errors) => errors.len(),
        _ => usize::MAX,
    };
    trace.steps.iter().filter(|step| step.is_usable()).min_by_key(distance)
}

/// The advice for a refused workload; `errors` are those of the nearest SCC.
pub(crate) fn advice(trace: &Trace<'_>, subject: &Subject, errors: &[FieldError]) -> Advice {
    let admitting = trace.steps.iter().filter(|step| matches!(step.outcome, Outcome::Admits(_)));
    let grant = admitting.min_by_key(|step| step.entry.rank().score).map(|step| {
        let (scc, account, namespace) = (step.entry.name(), &subject.service_account, &subject.namespace);
        format!("oc adm policy add-scc-to-user {scc} -z {account} -n {namespace}")
    });
    let mut edits: Vec<String> = errors.iter().map(|error| edit(error, subject)).collect();
    edits.dedup();
    Advice { grant, edits }
}

/// What to change at one field.
fn edit(error: &FieldError, subject: &Subject) -> String {
    let path = subject.path(&error.path);
    let last = error.path.segments().iter().rev().find_map(|segment| match segment {
        Segment::Field(name) => Some(name.as_ref()),
        _ => None,
    });
    match (last.unwrap_or_default(), error.kind) {
        ("privileged" | "allowPrivilegeEscalation" | "hostUsers", _) => format!("set {path}: false"),
        ("readOnlyRootFilesystem" | "runAsNonRoot", _) => format!("set {path}: true"),
        ("add", _) => format!("remove {} from {path}", error.value),
        ("hostNetwork" | "hostPID" | "hostIPC" | "hostPort" | "sysctls", _) => format!("remove {path}"),
        ("volumes", _) => format!("use another kind of volume than {} at {path}", error.value),
        ("driver", _) => format!("use an allowed driver at {path}"),
        (_, FieldErrorKind::Required) => format!("set {path}: {}", error.detail),
        (_, FieldErrorKind::Forbidden) => format!("remove {path} ({})", error.detail),
        _ => format!("remove {path}, so that the SCC gives one, or change it: {}", error.detail),
    }
}
