//! Workloads that share one SCC, and that SCC.

use std::collections::{BTreeMap, BTreeSet};

use palisade_admission::{Decision, evaluate};
use palisade_k8s::{Pod, SecurityContextConstraints};
use palisade_scc::least::{Least, Question, is_enough, least};
use palisade_scc::{BuiltinSet, Context, NamespaceRanges, SccSet};
use serde::Deserialize;
use serde_json::Value;

use super::{Ground, beyond};
use crate::args::Per;
use crate::review::{
    Subject, UNCONFINED, free_name, is_root_with_capabilities, kept_off, scc_object, use_role,
};

/// Workloads of one namespace, and the least SCC for them.
pub(super) struct Group<'g> {
    pub(super) namespace: &'g str,
    /// The account, if all have the same.
    pub(super) account: Option<&'g str>,
    pub(super) subjects: Vec<&'g Subject>,
    pub(super) least: Least,
    /// The built-in SCC that permits nothing beyond it.
    pub(super) built_in: Option<SecurityContextConstraints>,
}

/// The groups of all workloads that are subject to SCC.
pub(super) fn groups(ground: &Ground, per: Per) -> Result<Vec<Group<'_>>, crate::Failure> {
    let mut by_key: BTreeMap<(&str, String), Vec<&Subject>> = BTreeMap::new();
    for subject in ground.subjects.iter().filter(|subject| is_judged(ground, subject)) {
        let key = match per {
            Per::Account => subject.service_account.clone(),
            Per::Namespace => String::new(),
            Per::Workload => format!("{}-{}", subject.kind.short, subject.document.metadata("name")),
        };
        by_key.entry((&subject.namespace, key)).or_default().push(subject);
    }
    let sets = BuiltIn::read();
    let mut taken = BTreeSet::new();
    let mut groups = Vec::new();
    for ((namespace, key), subjects) in by_key {
        let wished = if key.is_empty() { namespace.to_owned() } else { format!("{namespace}-{key}") };
        let name =
            free_name(&wished, |name| taken.contains(name) || ground.policy.sccs().get(name).is_some());
        groups.push(Group::new(ground, &sets, namespace, &name, subjects)?);
        taken.insert(name);
    }
    Ok(groups)
}

/// Whether SCC decides about the workload's pods.
fn is_judged(ground: &Ground, subject: &Subject) -> bool {
    let pod = subject.pod();
    let groups: Vec<&str> = subject.groups.iter().map(String::as_str).collect();
    let request = subject.request(&pod, &groups);
    match evaluate(&ground.policy, &request) {
        Decision::Exempt(why) => {
            let title = format!("{} in {}", subject.title(), subject.namespace);
            palisade_console::terminal::note(format!("{title}: not subject to SCC: {why}"));
            false
        }
        _ => true,
    }
}

/// Sets the SELinux type that pods need to read the node's files, where the SCC chooses the labels and still admits every pod.
fn put_label(scc: &mut SecurityContextConstraints, question: &Question<'_>) {
    let with = |scc: &SecurityContextConstraints| {
        let mut scc = scc.clone();
        let labels = scc.se_linux_context.se_linux_options.get_or_insert_default();
        let is_free = labels.type_.is_empty();
        UNCONFINED.clone_into(&mut labels.type_);
        (is_free && scc.se_linux_context.type_ == "MustRunAs").then_some(scc)
    };
    let Some((labelled, base)) = with(scc).zip(with(question.base)) else { return };
    if is_enough(&labelled, &Question { base: &base, ..*question }) {
        *scc = labelled;
    }
}

/// The built-in SCCs, the most restrictive first.
struct BuiltIn(Vec<SecurityContextConstraints>);

impl BuiltIn {
    fn read() -> Self {
        let documents = palisade_k8s::manifest::read(BuiltinSet::V4.manifest()).unwrap_or_default();
        let objects = documents.iter().map(palisade_k8s::manifest::Node::to_json);
        let sccs = objects.filter_map(|object| SecurityContextConstraints::deserialize(object).ok());
        let set = SccSet::new(sccs.filter(|scc| !scc.run_as_user.type_.is_empty()));
        let mut entries: Vec<_> = set.entries().collect();
        entries.sort_by_key(|entry| (entry.rank().score, entry.name().to_owned()));
        Self(entries.into_iter().map(|entry| entry.scc().clone()).collect())
    }
}

impl<'g> Group<'g> {
    fn new(
        ground: &'g Ground,
        sets: &BuiltIn,
        namespace: &'g str,
        name: &str,
        subjects: Vec<&'g Subject>,
    ) -> Result<Self, crate::Failure> {
        let pods: Vec<Pod<'_>> = subjects.iter().map(|subject| subject.pod()).collect();
        let context = context(ground, namespace)?;
        let question = Question { pods: &pods, context, base: &ground.base };
        let why = |error| format!("SCC {} in namespace {namespace}: {error}", ground.base.metadata.name);
        let mut least = least(name, &question).map_err(why)?;
        if subjects.iter().any(|subject| kept_off(&subject.pod).is_some()) {
            put_label(&mut least.scc, &question);
        }
        let first = subjects.first().map(|subject| subject.service_account.as_str());
        let account = first.filter(|first| subjects.iter().all(|subject| subject.service_account == *first));
        let equal = |scc: &&SecurityContextConstraints| {
            is_enough(scc, &question) && beyond(scc, &least.scc).is_empty()
        };
        let built_in = sets.0.iter().find(equal).cloned();
        Ok(Self { namespace, account, subjects, least, built_in })
    }

    /// The workload for which the SCC sets an SELinux type, and the path of the node.
    pub(super) fn unconfined(&self) -> Option<(&'g Subject, String)> {
        let labels = self.scc()?.se_linux_context.se_linux_options.as_ref()?;
        let kept_off = self.subjects.iter().find_map(|subject| Some((*subject, kept_off(&subject.pod)?)));
        kept_off.filter(|_| labels.type_ == UNCONFINED)
    }

    /// The workload that runs as root and loses its capabilities by the SCC.
    pub(super) fn weakened(&self) -> Option<&'g Subject> {
        let drops = self.scc()?.required_drop_capabilities.iter().flatten().any(|name| name == "ALL");
        let root = self.subjects.iter().find(|subject| is_root_with_capabilities(&subject.pod));
        root.copied().filter(|_| drops)
    }

    /// The SCC for the group; `None` if no SCC admits any of its pods.
    pub(super) fn scc(&self) -> Option<&SecurityContextConstraints> {
        let any = self.least.hopeless.len() < self.subjects.len();
        any.then(|| self.built_in.as_ref().unwrap_or(&self.least.scc))
    }

    pub(super) fn scc_name(&self) -> Option<&str> {
        self.scc().map(|scc| scc.metadata.name.as_str())
    }

    /// The SCC unless it is built in, the role and the binding.
    pub(super) fn objects(&self) -> Vec<Value> {
        let Some(scc) = self.scc() else { return Vec::new() };
        let accounts: BTreeSet<&str> =
            self.admitted().map(|subject| subject.service_account.as_str()).collect();
        let accounts: Vec<&str> = accounts.into_iter().collect();
        let own = self.built_in.is_none().then(|| scc_object(scc));
        own.into_iter().chain(use_role(&scc.metadata.name, self.namespace, &accounts)).collect()
    }

    /// The workload at an index of the question.
    pub(super) fn title(&self, place: usize) -> String {
        self.subjects.get(place).map(|subject| subject.title()).unwrap_or_default()
    }

    /// Workloads that no SCC admits, with the reason.
    pub(super) fn hopeless(&self) -> impl Iterator<Item = (&'g Subject, &str)> {
        let found = self.least.hopeless.iter();
        found.filter_map(|(place, why)| Some((*self.subjects.get(*place)?, why.as_str())))
    }

    /// The other workloads.
    pub(super) fn admitted(&self) -> impl Iterator<Item = &'g Subject> {
        let is_hopeless = |place: usize| self.least.hopeless.iter().any(|(other, _)| *other == place);
        self.subjects
            .iter()
            .enumerate()
            .filter(move |(place, _)| !is_hopeless(*place))
            .map(|(_, subject)| *subject)
    }

    /// Whether the SCC gives user 0 to containers that name no user.
    pub(super) fn gives_root(&self) -> bool {
        let users = self.scc().map(|scc| &scc.run_as_user);
        users.is_some_and(|users| users.uid == Some(0) || users.uid_range_min == Some(0))
    }

    /// Pods that one SCC cannot tell apart, and two could.
    pub(super) fn blurs(&self) -> impl Iterator<Item = String> {
        self.least.blurs.iter().map(|blur| {
            let names = |places: &[usize]| {
                places.iter().map(|place| self.title(*place)).collect::<Vec<_>>().join(", ")
            };
            let advice = match &blur.halves {
                Some([one, other]) => format!(
                    "two SCCs would permit less, each with an account of its own: one for {}, one for {}",
                    names(one),
                    names(other)
                ),
                None => "two SCCs would not permit less".to_owned(),
            };
            format!("{}: {}; {advice}", blur.field, blur.reason)
        })
    }

    /// The most restrictive of the policy's SCCs that would suffice, in words.
    pub(super) fn smallest_built_in(&self, ground: &Ground) -> Option<String> {
        // None of them sets the SELinux type that the group's pods need.
        if self.unconfined().is_some() {
            return None;
        }
        let pods: Vec<Pod<'_>> = self.admitted().map(Subject::pod).collect();
        let context = context(ground, self.namespace).ok()?;
        let question = Question { pods: &pods, context, base: &ground.base };
        let mut entries: Vec<_> = ground.policy.sccs().entries().collect();
        entries.sort_by_key(|entry| entry.rank().score);
        let found = entries.into_iter().find(|entry| is_enough(entry.scc(), &question))?;
        let more = beyond(found.scc(), self.scc()?).len();
        let name = found.name();
        let granted = match is_default(name) {
            true => ", which every account may use already, so that these objects do not restrict it",
            false => "",
        };
        Some(format!("{name} would do too{granted}; it permits more in {more} fields (palisade scc diff)"))
    }
}

/// Whether an SCC is one that clusters grant to all authenticated users.
fn is_default(name: &str) -> bool {
    matches!(name, "restricted-v2" | "restricted-v3")
}

/// The namespace and the kernel.
pub(super) fn context<'g>(ground: &'g Ground, namespace: &str) -> Result<Context<'g>, crate::Failure> {
    let found = ground.policy.namespace(namespace);
    let found = found.ok_or_else(|| format!("namespace {namespace} is not in the policy"))?;
    let ranges: &NamespaceRanges =
        found.ranges().map_err(|error| format!("namespace {namespace}: {error}"))?;
    Ok(Context { ranges, kernel: ground.policy.kernel() })
}
