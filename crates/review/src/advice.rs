//! Ways from a refusal to an admission. All proposals are tested.

use palisade_admission::{Decision, PodRequest, Policy, Scopes, Step, Trace, evaluate, explain};
use palisade_console::files::Place;
use palisade_k8s::field::Segment;
use palisade_k8s::manifest::Node;
use palisade_k8s::scc::annotation::REQUIRED_SCC;
use palisade_k8s::{FieldPath, Pod, SecurityContextConstraints};
use palisade_scc::advice::{Action, Edit, Familiarity, Refused, distance};
use palisade_scc::pod_security::Level;
use palisade_scc::{BuiltinSet, Context, Difference, Entry, Mutation, diff};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::after::After;
use crate::familiarity::Neighbours;
use crate::subject::Subject;
use crate::{grant, loss, user_namespace};

#[cfg(test)]
mod tests;

/// Changes that get a pod admitted, each tested; all absent if no SCC can ever admit it.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Advice {
    /// The command after which the namespace admits the pod, at the highest Pod Security level that does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The command that grants an SCC that would admit the pod, chosen as [`Refused::grant`] says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// Permissions of that SCC beyond those that the pod needs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grant_also_gives: Vec<String>,
    /// An SCC of one's own that permits just the missing parts, with its grant: a `List`, ready to apply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own: Option<Value>,
    /// Permissions of that SCC beyond those of the SCC that it is derived from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_summary: Option<String>,
    /// The SCC that it is made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_base: Option<String>,
    /// The permissions beyond it by field.
    #[serde(skip)]
    pub own_wider: Vec<(&'static str, String)>,
    /// Commands that get it admitted together, where none does alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub together: Vec<String>,
    /// An SCC that would admit it, and the reason of the later refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<String>,
    /// Accounts of the namespace under which the pod would be admitted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<Account>,
    /// Edits that mend unknown fields: all other advice is for the workload after them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mends: Vec<String>,
    /// The position of each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mend_places: Vec<Spot>,
    /// Edits of the workload; all together get the pod admitted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<String>,
    /// The same, of the workload's fields.
    #[serde(skip)]
    pub(crate) changes: Vec<Edit>,
    /// The position of each edit: the line of the field or, if it is to be added, of its parent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edit_places: Vec<Spot>,
    /// What the pod can no longer do after them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edits_lose: Vec<String>,
    /// The SCC that then admits it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edits_for: Option<String>,
    /// The demands of user namespaces on the cluster, where the advice needs one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_namespace: Option<String>,
}

/// A position in a file.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Spot {
    /// The file.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column, counted from 1.
    pub column: usize,
}

impl From<Place> for Spot {
    fn from(place: Place) -> Self {
        Self { file: place.source.name.clone(), line: place.position.line, column: place.position.column }
    }
}

/// An account that may use an SCC that fits.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Account {
    /// The name; empty if it has none.
    pub name: String,
    /// The name of the SCC.
    pub scc: String,
}

impl Advice {
    /// Takes edits of the workload, with their words and places.
    pub(crate) fn put_changes(&mut self, changes: Vec<Edit>, subject: &Subject) {
        self.edits = changes.iter().map(|edit| edit.words(&edit.path)).collect();
        let place = |edit| Spot::from(subject.document.place(&target(edit, subject)));
        self.edit_places = changes.iter().map(place).collect();
        self.changes = changes;
    }
}

/// The target of an edit: for a list, the removed element.
fn target(edit: &Edit, subject: &Subject) -> FieldPath {
    let Action::RemoveItem(item) = &edit.action else { return edit.path.clone() };
    let list = subject.document.node.at_path(&edit.path);
    let index = list.and_then(|list| list.items().iter().position(|node| node.to_json() == *item));
    index.map_or_else(|| edit.path.clone(), |index| edit.path.clone().index(index))
}

/// Whether an object has a value at a path.
fn is_set(object: &Value, path: &FieldPath) -> bool {
    let value = path.segments().iter().try_fold(object, |value, segment| match segment {
        Segment::Field(name) => value.get(name.as_ref()),
        Segment::Key(key) => value.get(key),
        Segment::Index(index) => value.get(index),
    });
    value.is_some()
}

/// The command that makes a namespace enforce a Pod Security level.
pub(crate) fn label_command(namespace: &str, level: Level) -> String {
    format!("kubectl label namespace {namespace} pod-security.kubernetes.io/enforce={level} --overwrite")
}

/// One refused workload, and all that advice depends on.
pub(crate) struct Case<'a> {
    pub policy: &'a Policy,
    pub subject: &'a Subject,
    pub neighbours: Neighbours<'a>,
    pub after: &'a After<'a>,
}

impl Case<'_> {
    /// The advice for a refused workload.
    pub(crate) fn advice(&self) -> Advice {
        let mut advice = Advice { accounts: self.accounts(), ..Advice::default() };
        let Some(ranges) = self.policy.namespace(&self.subject.namespace).and_then(|n| n.ranges().ok())
        else {
            return advice;
        };
        let context = Context { ranges, kernel: self.policy.kernel() };
        let pinned = self.pin();
        let mut free = self.subject.pod.clone();
        if pinned.is_some() {
            unpin(&mut free);
        }
        let (usable, familiarity) = self.usable(&free);
        let then = |pod: &Value, parsed: &Pod<'_>, changes: &palisade_scc::Changes<'_>| {
            self.after.accepts(pod, parsed, changes)
        };
        let entries: Vec<&Entry> = self.policy.sccs().entries().collect();
        let refused = Refused {
            entries: &entries,
            usable: &usable,
            familiarity: &familiarity,
            context,
            pod: &free,
            then: &then,
        };
        let edits = refused.edits();
        if let Some((place, edits)) = &edits {
            self.put_edits(edits, pinned.is_some(), &mut advice);
            advice.edits_for = entries.get(*place).map(|entry| entry.name().to_owned());
        }
        let own = refused.own(&self.own_name());
        let granted = match &pinned {
            Some(name) => self.pinned_grant(&refused, name),
            None => refused.grant(),
        };
        let entry = granted.and_then(|place| entries.get(place));
        let field = self.subject.path(&FieldPath::of("spec.hostUsers")).to_string();
        advice.user_namespace = user_namespace::demands(
            edits.as_ref().map_or(&[], |(_, edits)| edits),
            entry.map(|entry| entry.scc()),
            &field,
            || refused.user_namespace_helps(),
        );
        if entry.is_none() && pinned.is_none() {
            self.beyond_scc(&refused, &mut advice);
        }
        if let Some(entry) = entry {
            advice.grant = Some(self.grant_command(entry.name()));
            advice.grant_also_gives = words(refused.unneeded(entry.scc(), own.as_ref()));
        }
        // A new SCC is proposed only if no SCC is pinned and the granted one would permit more than is needed.
        let own =
            own.filter(|_| pinned.is_none() && (entry.is_none() || !advice.grant_also_gives.is_empty()));
        if let Some(own) = own {
            self.put_own(own, &refused, &mut advice);
        }
        advice
    }

    /// Edits after which the checks besides SCC admit the pod as it is written, each of them needed.
    pub(crate) fn without_scc(&self) -> Advice {
        let mut advice = Advice::default();
        let ranges =
            self.policy.namespace(&self.subject.namespace).and_then(|namespace| namespace.ranges().ok());
        let (Some(ranges), Some(nonroot)) = (ranges, of_builtin("nonroot-v2")) else { return advice };
        let then = |pod: &Value, _: &Pod<'_>, _: &palisade_scc::Changes<'_>| self.is_admitted_as_written(pod);
        let refused = Refused {
            entries: &[&nonroot],
            usable: &[0],
            familiarity: &[],
            context: Context { ranges, kernel: self.policy.kernel() },
            pod: &self.subject.pod,
            then: &then,
        };
        if let Some((_, edits)) = refused.edits() {
            self.put_edits(&self.needed(edits), false, &mut advice);
        }
        advice
    }

    /// Whether the checks besides SCC admit a pod that no SCC completes.
    fn is_admitted_as_written(&self, pod: &Value) -> bool {
        self.after.objection(pod).is_none() && crate::notes::never_starts(pod).is_empty()
    }

    /// The edits without those that the checks besides SCC do not ask for; those of the whole pod take the place of the containers'.
    fn needed(&self, edits: Vec<Edit>) -> Vec<Edit> {
        let mut left = [Edit::of_pod(&self.subject.pod), edits].concat();
        for place in (0..left.len()).rev() {
            let mut fewer = left.clone();
            fewer.remove(place);
            let mut pod = self.subject.pod.clone();
            fewer.iter().for_each(|edit| _ = edit.apply(&edit.path, &mut pod));
            if self.is_admitted_as_written(&pod) {
                left = fewer;
            }
        }
        left
    }

    /// A new SCC, with what it permits beyond the one that it is made from. A pod that mounts the node's files gets the label
    /// without which SELinux denies them.
    fn put_own(&self, own: SecurityContextConstraints, refused: &Refused<'_>, advice: &mut Advice) {
        let own = &match crate::notes::confined(refused.pod) {
            Some(_) => refused.labelled(own, crate::notes::UNCONFINED),
            None => own,
        };
        if let Some(near) = refused.base().and_then(|place| refused.entries.get(place)) {
            let wider = wider(own, near.scc());
            let more: Vec<String> = wider.iter().map(|(field, what)| format!("{field}: {what}")).collect();
            let what = if more.is_empty() { "tried first".to_owned() } else { more.join("; ") };
            let (users, root) = (self.users_of(own), self.root_of(own));
            advice.own_summary = Some(format!("like {}, plus {what}{users}{root}", near.name()));
            advice.own_base = Some(near.name().to_owned());
            advice.own_wider = wider;
        }
        advice.own = Some(self.manifest(own, &advice.own_wider));
    }

    /// What an SCC does to containers that name no user, where that may keep one from starting: a privileged container is often made
    /// to be root, and so is an image without a user.
    fn users_of(&self, own: &SecurityContextConstraints) -> &'static str {
        let pod = &self.subject.pod;
        match own.run_as_user.type_.as_str() {
            "MustRunAs" | "MustRunAsRange" if crate::notes::privileged_of_any_user(pod).next().is_some() => {
                "; user IDs of the namespace, not root"
            }
            "MustRunAsNonRoot" if crate::notes::has_open_user(pod) => {
                "; a container without runAsUser starts only if its image's USER is a number other than 0"
            }
            _ => "",
        }
    }

    /// What an SCC takes from containers that run as root: most images that do change owners or users at their start.
    fn root_of(&self, own: &SecurityContextConstraints) -> &'static str {
        let drops = own.required_drop_capabilities.iter().flatten().any(|name| name == "ALL");
        match drops && crate::notes::is_root_with_capabilities(&self.subject.pod) {
            true => {
                "; root without capabilities: add those that it needs (often CHOWN, SETUID and SETGID) to the container, and ask again"
            }
            false => "",
        }
    }

    /// Edits in words, with their places; before them that of the pin.
    fn put_edits(&self, edits: &[Edit], is_pinned: bool, advice: &mut Advice) {
        // What the API server has set is not in the file, and is not set again once its cause is gone.
        let is_written =
            |edit: &Edit| edit.action != Action::Remove || is_set(&self.subject.template, &edit.path);
        let unpin = is_pinned.then(|| Edit { path: pin_path(), action: Action::Remove });
        let edits = unpin.into_iter().chain(edits.iter().filter(|edit| is_written(edit)).cloned());
        let edits: Vec<Edit> = edits.collect();
        let mut after = self.subject.template.clone();
        edits.iter().for_each(|edit| _ = edit.apply(&edit.path, &mut after));
        advice.edits_lose = loss::between(&self.subject.template, &after);
        let of_workload = |edit: Edit| Edit { path: self.subject.path(&edit.path), ..edit };
        advice.put_changes(edits.into_iter().map(of_workload).collect(), self.subject);
    }

    fn grant_command(&self, scc: &str) -> String {
        let (account, namespace) = (&self.subject.service_account, &self.subject.namespace);
        format!("oc adm policy add-scc-to-user {scc} -z {account} -n {namespace}")
    }

    /// Advice if an SCC that may not be used would admit the pod, and a check after SCC would not.
    fn beyond_scc(&self, refused: &Refused<'_>, advice: &mut Advice) -> Option<()> {
        let whatever = |_: &Value, _: &Pod<'_>, _: &palisade_scc::Changes<'_>| true;
        let by_scc = Refused { then: &whatever, ..*refused };
        if by_scc.is_admitted() {
            return None;
        }
        let entry = refused.entries.get(by_scc.grant()?)?;
        let pod = Pod::deserialize(refused.pod).ok()?;
        let changes =
            palisade_scc::attempt(entry.plan().ok()?, refused.context, &pod, &mut Vec::new()).ok()?;
        let outcome = crate::changed::changed(refused.pod, &pod, &changes);
        let Some(objection) = self.after.objection(&outcome) else {
            let why = crate::notes::never_starts(&outcome).into_iter().next()?;
            advice.obstacle = Some(format!("{} would admit it, but {why}", entry.name()));
            return Some(());
        };
        match objection.level {
            Some(level) => {
                let label = label_command(&self.subject.namespace, level);
                advice.together = vec![self.grant_command(entry.name()), label];
                self.beside_label(level, refused, entry.scc(), advice);
            }
            None => {
                let errors =
                    objection.errors.iter().map(|error| format!("{}: {}", error.path, error.message()));
                let why = errors.take(3).collect::<Vec<_>>().join("; ");
                advice.obstacle =
                    Some(format!("{} would admit it, but {}: {why}", entry.name(), objection.message));
            }
        }
        Some(())
    }

    /// What a grant beside a new label of the namespace gives beyond what is needed, and the SCC that would do beside it.
    fn beside_label(
        &self,
        level: Level,
        refused: &Refused<'_>,
        granted: &SecurityContextConstraints,
        advice: &mut Advice,
    ) {
        let then = |pod: &Value, parsed: &Pod<'_>, changes: &palisade_scc::Changes<'_>| {
            let outcome = crate::changed::changed(pod, parsed, changes);
            let objection = self.after.objection(&outcome);
            objection.is_none_or(|objection| objection.level.is_some_and(|own| own >= level))
                && crate::notes::never_starts(&outcome).is_empty()
        };
        let labelled = Refused { then: &then, ..*refused };
        let own = labelled.own(&self.own_name());
        advice.grant_also_gives = words(labelled.unneeded(granted, own.as_ref()));
        if let Some(own) = own.filter(|_| !advice.grant_also_gives.is_empty()) {
            self.put_own(own, &labelled, advice);
        }
    }

    /// The SCC that the pod requires by name.
    pub(crate) fn pin(&self) -> Option<String> {
        let annotations = self.subject.pod.pointer("/metadata/annotations")?;
        annotations.get(REQUIRED_SCC)?.as_str().filter(|name| !name.is_empty()).map(str::to_owned)
    }

    /// The pinned SCC, if the pod is admitted once it may be used.
    fn pinned_grant(&self, refused: &Refused<'_>, name: &str) -> Option<usize> {
        let place = refused.entries.iter().position(|entry| entry.name() == name)?;
        let only = [place];
        let alone = Refused { usable: &only, ..*refused };
        alone.is_admitted().then_some(place).filter(|place| !refused.usable.contains(place))
    }

    fn request<'r>(&'r self, groups: &'r [&'r str], pod: &'r Pod<'r>) -> PodRequest<'r> {
        let (namespace, user) = (self.subject.namespace.as_str(), self.subject.user.as_str());
        PodRequest { namespace, user, groups, scopes: Scopes::default(), pod, mutation: Mutation::Allowed }
    }

    /// The usable SCC that the pod is nearest to.
    pub(crate) fn nearest<'t, 'x>(&self, trace: &'t Trace<'x>) -> Option<&'t Step<'x>> {
        let familiarity = self.neighbours.familiarity(&trace.steps);
        let usable = trace.steps.iter().zip(familiarity).filter(|(step, _)| step.is_usable());
        let near = usable.min_by_key(|(step, familiarity)| {
            let distance = distance(step.entry, &step.outcome, *familiarity);
            (distance.is_none(), distance)
        });
        near.map(|(step, _)| step)
    }

    /// The places of the SCCs that may be used, whichever the pod is pinned to, and the standing of all.
    fn usable(&self, free: &Value) -> (Vec<usize>, Vec<Familiarity>) {
        let groups: Vec<&str> = self.subject.groups.iter().map(String::as_str).collect();
        let Ok(pod) = Pod::deserialize(free) else { return Default::default() };
        let trace = explain(self.policy, &self.request(&groups, &pod));
        // A pod without a pin is evaluated with every SCC, in order.
        let steps = trace.steps.iter().enumerate();
        let usable = steps.filter(|(_, step)| step.is_usable()).map(|(place, _)| place).collect();
        (usable, self.neighbours.familiarity(&trace.steps))
    }

    /// A name for an SCC of the workload's own: that of the workload, in its namespace.
    fn own_name(&self) -> String {
        let name = self.subject.document.metadata("name");
        let wished = format!("{}-{}", self.subject.namespace, if name.is_empty() { "pod" } else { name });
        grant::name(&wished, |name| self.policy.sccs().get(name).is_some())
    }

    /// The SCC, a role that may use it and its binding to the pod's account.
    fn manifest(&self, own: &SecurityContextConstraints, wider: &[(&'static str, String)]) -> Value {
        let kept: Vec<&str> = wider.iter().map(|(field, _)| *field).collect();
        let (namespace, account) = (&self.subject.namespace, &self.subject.service_account);
        let [role, binding] = grant::role(&own.metadata.name, namespace, &[account]);
        // OpenShift before 4.11, whose clients compare with the schema themselves.
        let is_older = self.policy.sccs().get("restricted-v2").is_none();
        json!({"apiVersion": "v1", "kind": "List", "items": [grant::short(own, &kept, is_older), role, binding]})
    }

    /// The accounts of the namespace under which all checks would pass.
    fn accounts(&self) -> Vec<Account> {
        self.neighbours
            .others()
            .filter_map(|name| self.under(&name).map(|scc| Account { name, scc }))
            .take(3)
            .collect()
    }

    fn under(&self, account: &str) -> Option<String> {
        let mut value = self.subject.pod.clone();
        palisade_k8s::put(&mut value, &["spec", "serviceAccountName"], account.into());
        self.admitted(&value)
    }

    /// The SCC that admits a pod like the subject's, if all checks pass.
    pub(crate) fn admitted(&self, value: &Value) -> Option<String> {
        let pod = Pod::deserialize(value).ok()?;
        let groups: Vec<&str> = self.subject.groups.iter().map(String::as_str).collect();
        match evaluate(self.policy, &self.request(&groups, &pod)) {
            Decision::Admitted(admission) if self.after.accepts(value, &pod, &admission.changes) => {
                Some(admission.scc.to_owned())
            }
            _ => None,
        }
    }
}

/// An SCC of the built-in set.
fn of_builtin(name: &str) -> Option<Entry> {
    let objects = palisade_k8s::manifest::read(BuiltinSet::V4.manifest()).ok()?;
    let mut objects = objects.iter().map(Node::to_json);
    let object = objects.find(|object| {
        object.pointer("/metadata/name") == Some(&name.into()) && object["kind"] == palisade_k8s::scc::KIND
    })?;
    SecurityContextConstraints::deserialize(object).ok().map(Entry::new)
}

fn pin_path() -> FieldPath {
    FieldPath::of("metadata.annotations").key(REQUIRED_SCC)
}

fn unpin(pod: &mut Value) {
    let annotations = pod.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
    annotations.and_then(|annotations| annotations.shift_remove(REQUIRED_SCC));
}

/// The permissions of `wide` beyond those of `narrow`, one for each field; users, groups and priority are ignored.
pub fn beyond(wide: &SecurityContextConstraints, narrow: &SecurityContextConstraints) -> Vec<String> {
    wider(wide, narrow).into_iter().map(|(field, what)| format!("{field}: {what}")).collect()
}

fn wider(
    wide: &SecurityContextConstraints,
    narrow: &SecurityContextConstraints,
) -> Vec<(&'static str, String)> {
    let grants = ["users", "groups", "priority"];
    let differences = diff(wide, narrow).into_iter().filter(|difference| !grants.contains(&difference.field));
    differences.filter_map(|difference| Some((difference.field, difference.only_a?))).collect()
}

/// The permissions that only the first has, one for each field.
fn words(differences: Vec<Difference>) -> Vec<String> {
    let only = |difference: Difference| Some(format!("{}: {}", difference.field, difference.only_a?));
    differences.into_iter().filter_map(only).collect()
}
