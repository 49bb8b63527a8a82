//! Whether an SCC admits all pods, and gives none of them more than the base does.

use palisade_k8s::pod::Container;
use palisade_k8s::seccomp::{CONTAINER_ANNOTATION, POD_ANNOTATION};
use palisade_k8s::{FieldError, Pod, SecurityContextConstraints};

use super::Question;
use crate::attempt::{Context, attempt};
use crate::changes::{Changes, ContainerChanges};
use crate::findings::{Findings, Verdict};
use crate::plan::Plan;

/// The pods, each with the changes of the base.
#[derive(Debug)]
pub(super) struct Judge<'q> {
    cases: Vec<Case<'q>>,
    context: Context<'q>,
    base: &'q Plan,
}

#[derive(Clone, Debug)]
struct Case<'q> {
    /// The pod's place in the question.
    place: usize,
    pod: &'q Pod<'q>,
    /// The changes that the base would make.
    given: Changes<'q>,
}

/// Ignores findings, so that the changes of an evaluation are complete.
struct Ignore;

impl Findings for Ignore {
    fn add(&mut self, _error: impl FnOnce() -> FieldError) {}
    fn is_settled(&self) -> bool {
        false
    }
}

impl<'q> Judge<'q> {
    pub(super) fn new(question: &Question<'q>, base: &'q Plan) -> Self {
        let context = question.context;
        let pods = question.pods.iter().enumerate();
        let cases = pods.map(|(place, pod)| Case {
            place,
            pod,
            given: attempt(base, context, pod, &mut Ignore).unwrap_or_default(),
        });
        Self { cases: cases.collect(), context, base }
    }

    /// The pods that this SCC admits, and the places of the others, each with a reason.
    pub(super) fn without_hopeless(
        mut self,
        widest: &SecurityContextConstraints,
    ) -> (Self, Vec<(usize, String)>) {
        let mut hopeless = Vec::new();
        let (context, base) = (self.context, self.base);
        if let Ok(plan) = Plan::new(widest) {
            self.cases.retain(|case| {
                let refusal = case.refusal(&plan, context, base);
                hopeless.extend(refusal.iter().map(|why| (case.place, why.clone())));
                refusal.is_none()
            });
        }
        (self, hopeless)
    }

    /// The pods, in order.
    pub(super) fn pods(&self) -> impl ExactSizeIterator<Item = &'q Pod<'q>> {
        self.cases.iter().map(|case| case.pod)
    }

    /// The place in the question of the pod that is `index` here.
    pub(super) fn place(&self, index: usize) -> usize {
        self.cases.get(index).map_or(index, |case| case.place)
    }

    pub(super) fn admits_all(&self, scc: &SecurityContextConstraints) -> bool {
        let plan = Plan::new(scc);
        plan.is_ok_and(|plan| self.cases.iter().all(|case| case.is_admitted(&plan, self.context, self.base)))
    }

    /// Whether this pod is admitted.
    pub(super) fn admits(&self, scc: &SecurityContextConstraints, index: usize) -> bool {
        let case = self.cases.get(index);
        Plan::new(scc)
            .is_ok_and(|plan| case.is_some_and(|case| case.is_admitted(&plan, self.context, self.base)))
    }

    /// A pod that the SCC refuses, preferably that of `hint`, and the reason.
    pub(super) fn refusal(
        &self,
        scc: &SecurityContextConstraints,
        hint: Option<usize>,
    ) -> Option<(usize, String)> {
        let plan = match Plan::new(scc) {
            Ok(plan) => plan,
            Err(why) => return Some((0, why.to_string())),
        };
        let refuses = |index: &usize| {
            self.cases.get(*index).is_some_and(|case| !case.is_admitted(&plan, self.context, self.base))
        };
        let index = hint.into_iter().chain(0..self.cases.len()).find(refuses)?;
        let case = self.cases.get(index)?;
        Some((index, case.refusal(&plan, self.context, self.base)?))
    }
}

impl Case<'_> {
    fn is_admitted(&self, plan: &Plan, context: Context<'_>, base: &Plan) -> bool {
        let mut verdict = Verdict::default();
        let changes = attempt(plan, context, self.pod, &mut verdict);
        changes
            .is_ok_and(|changes| !verdict.is_refused() && self.given_beyond(&changes, plan, base).is_none())
    }

    fn refusal(&self, plan: &Plan, context: Context<'_>, base: &Plan) -> Option<String> {
        let mut errors: Vec<FieldError> = Vec::new();
        let changes = match attempt(plan, context, self.pod, &mut errors) {
            Ok(changes) => changes,
            Err(why) => return Some(why.to_string()),
        };
        match errors.first() {
            Some(error) => Some(format!("{}: {}", error.path, error.message())),
            None => self.given_beyond(&changes, plan, base).map(str::to_owned),
        }
    }

    /// A value that the pod would be given and the base does not give, in words.
    fn given_beyond(&self, changes: &Changes<'_>, plan: &Plan, base: &Plan) -> Option<&'static str> {
        self.pod_given_beyond(changes, plan, base).or_else(|| {
            let containers = self.pod.spec.all_containers();
            containers.into_iter().find_map(|(at, container)| {
                let empty = ContainerChanges::default();
                let of = |changes: &'_ [ContainerChanges<'_>]| {
                    changes.iter().position(|change| change.at == Some(at))
                };
                let new = of(&changes.containers).and_then(|index| changes.containers.get(index));
                let old = of(&self.given.containers).and_then(|index| self.given.containers.get(index));
                container_given_beyond(container, new.unwrap_or(&empty), old)
            })
        })
    }

    fn pod_given_beyond(&self, changes: &Changes<'_>, plan: &Plan, base: &Plan) -> Option<&'static str> {
        let inherits = |own: fn(&Container<'_>) -> bool| {
            self.pod.spec.all_containers().any(|(_, container)| !own(container))
        };
        if changes.fs_group.is_some() && self.given.fs_group.is_none() {
            return Some("the pod has no fsGroup, and the base sets none");
        }
        if let Some(labels) = changes.selinux
            && inherits(|container| container.security().is_some_and(|own| own.se_linux_options.is_some()))
        {
            let given = self.given.selinux.map(|given| (given.user, given.role, given.type_));
            if given != Some((labels.user, labels.role, labels.type_)) {
                return Some("the pod names no SELinux labels, and would get others than the base gives");
            }
        }
        let is_silent = self.pod.metadata.annotation(POD_ANNOTATION).is_none_or(str::is_empty)
            && self.pod.spec.security_context.as_ref().is_none_or(|own| own.seccomp_profile.is_none());
        let differs = plan.seccomp.default_profile() != base.seccomp.default_profile();
        if is_silent && differs && self.a_container_names_no_profile() {
            return Some("the pod names no seccomp profile, and would get another than the base gives");
        }
        None
    }

    fn a_container_names_no_profile(&self) -> bool {
        let annotations = self.pod.metadata.annotations.as_ref();
        self.pod.spec.all_containers().any(|(_, container)| {
            let field = container.security().is_some_and(|own| own.seccomp_profile.is_some());
            let annotation =
                annotations.and_then(|all| all.get_prefixed(CONTAINER_ANNOTATION, &container.name));
            !field && annotation.is_none()
        })
    }
}

fn container_given_beyond(
    container: &Container<'_>,
    new: &ContainerChanges<'_>,
    old: Option<&ContainerChanges<'_>>,
) -> Option<&'static str> {
    let empty = ContainerChanges::default();
    let old = old.unwrap_or(&empty);
    if let Some(user) = new.run_as_user {
        match old.run_as_user {
            None => return Some("a container has no user, and the base sets none"),
            Some(given) if user == 0 && given != 0 => {
                return Some("a container that names no user would run as root");
            }
            Some(_) => {}
        }
    }
    if new.run_as_non_root && !old.run_as_non_root {
        return Some("a container does not say runAsNonRoot, and the base does not either");
    }
    if new.read_only_root && !old.read_only_root {
        return Some("a container does not say readOnlyRootFilesystem, and the base leaves it writable");
    }
    if new.escalation.is_some() && new.escalation != old.escalation {
        return Some("a container does not say allowPrivilegeEscalation, and the base gives another value");
    }
    let privileged = container.security().and_then(|own| own.privileged) == Some(true);
    if new.escalation == Some(false) && (privileged || adds_sys_admin(container)) {
        return Some(
            "Kubernetes refuses allowPrivilegeEscalation: false beside privileged and CAP_SYS_ADMIN",
        );
    }
    let (new, old) = (new.capabilities.as_ref()?, old.capabilities.as_ref());
    let beyond = |list: &[&str], given: &[&str]| list.iter().any(|name| !given.contains(name));
    let asked = container.security().and_then(|own| own.capabilities.as_ref());
    let asked_drop: Vec<&str> =
        asked.into_iter().flat_map(|asked| asked.drop.iter().map(|name| &**name)).collect();
    let given_drop = old.map_or(asked_drop.as_slice(), |old| &old.drop);
    if beyond(&new.drop, given_drop) {
        return Some("a container would lose capabilities that the base leaves to it");
    }
    None
}

fn adds_sys_admin(container: &Container<'_>) -> bool {
    let lists = container.security().and_then(|own| own.capabilities.as_ref());
    lists.is_some_and(|lists| lists.add.iter().any(|name| **name == *"CAP_SYS_ADMIN"))
}
