//! Pages of the server's objects, as far as a reader may read them.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Instant;

use palisade_admission::{ObjectKey, Policy, PolicyKind, PolicyObject};
use palisade_console::files::{self, Document};
use palisade_k8s::workload::{KINDS, WorkloadKind};
use palisade_k8s::{SecurityContextConstraints, yaml};
use palisade_rbac::Action;
use palisade_review::{
    Accounts, Comparison, LinkList, Options, Page, Report, Subject, Surroundings, Verdict, form, impact,
    impact_page, index, matrix,
};
use palisade_seccomp::builtin;
use palisade_store::Cursor;
use serde_json::Value;

use super::shipped;
use crate::api::Api;
use crate::authorize::allowed;
use crate::error::{ApiError, ApiResult};
use crate::failure;
use crate::identity::Identity;
use crate::limits;
use crate::objects;
use crate::request::{Query, encode};
use crate::resource::{self, Resource};

/// A page, and the URL of its change events.
pub(super) struct Made {
    pub(super) page: Page,
    pub(super) live: Option<String>,
}

/// A user who reads a page, and their rights.
#[derive(Clone)]
pub(super) struct Reader {
    api: Arc<Api>,
    identity: Identity,
}

/// How long a page may be computed.
pub(super) struct Patience {
    begun: Instant,
    /// Held elsewhere while the reader waits for the page.
    waits: Weak<()>,
}

impl Patience {
    pub(super) fn new(waits: Weak<()>) -> Self {
        Self { begun: Instant::now(), waits }
    }

    /// Whether the page ends with what it has.
    fn is_over(&self) -> bool {
        self.waits.strong_count() == 0 || self.begun.elapsed() > limits::PAGE_TIME
    }
}

/// The resources of workloads.
fn workloads() -> impl Iterator<Item = (&'static Resource, &'static WorkloadKind)> {
    KINDS.iter().filter_map(|kind| {
        Some((resource::find(kind.group, &format!("{}s", kind.kind.to_ascii_lowercase()))?, kind))
    })
}

fn sccs() -> Option<&'static Resource> {
    resource::find("security.openshift.io", "securitycontextconstraints")
}

/// The resources that pages depend on.
pub(super) fn beside() -> impl Iterator<Item = &'static Resource> {
    const RBAC: &str = palisade_k8s::rbac::GROUP;
    let others = [
        ("security.openshift.io", "securitycontextconstraints"),
        ("", "namespaces"),
        ("", "serviceaccounts"),
        ("storage.k8s.io", "csidrivers"),
        (RBAC, "roles"),
        (RBAC, "rolebindings"),
        (RBAC, "clusterroles"),
        (RBAC, "clusterrolebindings"),
    ];
    let others = others.into_iter().filter_map(|(group, plural)| resource::find(group, plural));
    workloads().map(|(resource, _)| resource).chain(others)
}

/// Remaining room on a page.
struct Room {
    count: usize,
    bytes: usize,
    is_full: bool,
}

/// The workloads of a namespace, and the other objects that a review needs.
struct Part {
    namespace: String,
    subjects: Vec<Subject>,
    surroundings: Surroundings,
}

/// The remark on a page whose time was not enough.
const CUT: &str = "Workloads are left out: their review takes too long for a page. The pages of single namespaces show others, and \
    `palisade scc impact` and `palisade review` have no such limit.";

/// Remarks about parts that a page leaves out.
type Remarks = BTreeSet<String>;

impl Reader {
    pub(super) fn new(api: &Arc<Api>, identity: &Identity) -> Self {
        Self { api: Arc::clone(api), identity: identity.clone() }
    }

    pub(super) fn name(&self) -> &str {
        &self.identity.name
    }

    pub(super) fn may(&self, verb: &str, resource: &Resource, namespace: &str, name: &str) -> bool {
        let (group, resource) = (resource.rule_group(), resource.plural());
        allowed(&self.api.policy, &self.identity, &Action { verb, group, resource, namespace, name })
            .is_some()
    }

    /// Whether the reader may know of an object's existence.
    pub(super) fn sees(&self, resource: &Resource, namespace: &str, name: &str) -> bool {
        let scope = if resource.is("", "namespaces") { name } else { namespace };
        self.may("watch", resource, namespace, "") || self.may("get", resource, scope, name)
    }

    /// The page of a path.
    pub(super) fn page(
        &self,
        name: &str,
        query: &Query,
        form: &Query,
        patience: &Patience,
    ) -> ApiResult<Made> {
        let namespace = query.get("namespace").filter(|name| !name.is_empty());
        let revision = self.api.store.revision();
        let of = namespace.map(|name| format!("namespace={}&", encode(name))).unwrap_or_default();
        let live = Some(format!("/console/live?{of}since={revision}"));
        let page = match name {
            "" => self.index()?,
            "review" => self.review(namespace, patience)?,
            "scc" => self.comparison(query)?,
            "impact" => return Ok(Made { page: self.impact(namespace, form, patience)?, live: None }),
            "seccomp" => return Ok(Made { page: shipped::page(query)?, live: None }),
            _ => return Err(ApiError::no_such_path()),
        };
        Ok(Made { page, live })
    }

    fn index(&self) -> ApiResult<Page> {
        let namespaces = self.namespaces()?;
        let link = |page: &str, namespace: &str| format!("/console/{page}?namespace={}", encode(namespace));
        let shown = namespaces.iter().take(limits::LISTED);
        let review = shown.map(|name| (link("review", name), name.clone()));
        let readable = self.readable();
        let compared = readable.iter().filter(|scc| *scc != "restricted-v2");
        let compared = compared.map(|scc| (format!("/console/scc?b={}", encode(scc)), scc.clone()));
        let profiles = builtin::ALL
            .iter()
            .map(|(name, _)| (format!("/console/seccomp?a={}", encode(name)), (*name).to_owned()));
        Ok(index(&[
            LinkList {
                heading: "Workloads by namespace: which SCC admits them, and why",
                empty: "You may list workloads in no namespace.",
                links: review.collect(),
                more: namespaces.len().saturating_sub(limits::LISTED),
            },
            LinkList {
                heading: "SCCs beside restricted-v2",
                empty: "You may read no SCC.",
                links: compared.take(limits::LISTED).collect(),
                more: readable.len().saturating_sub(limits::LISTED + 1),
            },
            LinkList { heading: "Seccomp profiles", empty: "", links: profiles.collect(), more: 0 },
        ]))
    }

    /// The namespaces in which some kind of workload may be listed.
    fn namespaces(&self) -> ApiResult<Vec<String>> {
        let Some(namespaces) = resource::find("", "namespaces") else { return Ok(Vec::new()) };
        let may =
            |namespace: &str| workloads().any(|(resource, _)| self.may("list", resource, namespace, ""));
        let everywhere = may("");
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = self.api.store.list(namespaces.storage(), None, Some(limits::PART), after.as_ref());
            let page = page.map_err(|error| failure::store(namespaces, "", error))?;
            let names = page.objects.into_iter().map(|object| object.key.name);
            found.extend(names.filter(|name| everywhere || may(name)));
            after = page.next;
            if after.is_none() {
                return Ok(found);
            }
        }
    }

    /// The SCCs that may be read, in the order of their evaluation.
    fn readable(&self) -> Vec<String> {
        let policy = self.api.policy.snapshot();
        let names = policy.sccs().entries().map(|entry| entry.name().to_owned());
        names.filter(|name| self.reads_scc(name)).collect()
    }

    fn reads_scc(&self, name: &str) -> bool {
        sccs().is_some_and(|sccs| self.may("list", sccs, "", "") || self.may("get", sccs, "", name))
    }

    /// Whether an SCC may be read or used: its users learn its content from each refusal.
    fn knows_scc(&self, scc: &SecurityContextConstraints, namespace: &str) -> bool {
        let name = &scc.metadata.name;
        let is_named = scc.users.iter().flatten().any(|user| *user == self.identity.name)
            || scc.groups.iter().flatten().any(|group| self.identity.groups.contains(group));
        is_named || self.reads_scc(name) || sccs().is_some_and(|sccs| self.may("use", sccs, namespace, name))
    }

    /// The policy with only the SCCs that the reader knows, and the number of the others.
    fn policy(&self, namespace: &str) -> (Policy, usize) {
        let mut policy = Policy::clone(&self.api.policy.snapshot());
        let unknown = policy.sccs().entries().filter(|entry| !self.knows_scc(entry.scc(), namespace));
        let unknown: Vec<String> = unknown.map(|entry| entry.name().to_owned()).collect();
        for name in &unknown {
            policy.remove(&ObjectKey { kind: PolicyKind::Scc, namespace: String::new(), name: name.clone() });
        }
        (policy, unknown.len())
    }

    /// The review of a namespace, or of all objects that may be read.
    fn review(&self, namespace: Option<&str>, patience: &Patience) -> ApiResult<Page> {
        let (parts, mut remarks) = self.gather(namespace)?;
        let whole = self.api.policy.snapshot();
        let (mut reports, mut subjects) = (Vec::new(), Vec::new());
        for Part { namespace, subjects: own, surroundings } in parts {
            let (policy, unknown) = self.policy(&namespace);
            if unknown > 0 {
                remarks.insert("SCCs that you may neither get nor use are left out.".to_owned());
            }
            for subject in own {
                if patience.is_over() {
                    remarks.insert(CUT.to_owned());
                    break;
                }
                let mut report = Report::new(&policy, &surroundings, &subject);
                if unknown > 0 {
                    correct(&mut report, &Report::new(&whole, &surroundings, &subject), &policy);
                }
                reports.push(report);
                subjects.push(subject);
            }
        }
        Ok(matrix(&reports, &subjects).noting(remarks))
    }

    /// The workloads of a namespace, or of all, as far as they may be read and fit on the page.
    fn gather(&self, namespace: Option<&str>) -> ApiResult<(Vec<Part>, Remarks)> {
        let names = match namespace {
            Some(name) => vec![name.to_owned()],
            None => self.namespaces()?,
        };
        let (mut parts, mut remarks) = (Vec::new(), Remarks::new());
        let mut room = Room { count: limits::SHOWN.0, bytes: limits::SHOWN.1, is_full: false };
        for namespace in names {
            let documents = self.workloads(&namespace, &mut room, &mut remarks)?;
            if !documents.is_empty() {
                let beside = self.beside(&namespace, &mut remarks)?;
                let accounts = Accounts::new(&beside);
                let subjects =
                    documents.iter().filter_map(|document| self.subject(document, &accounts, &mut remarks));
                parts.push(Part {
                    subjects: subjects.collect(),
                    surroundings: Surroundings::new(&beside),
                    namespace,
                });
            }
            if room.is_full {
                remarks.insert(format!(
                    "There are more workloads than one page shows: {}, or those of {} MiB. The pages of single namespaces and \
                     `palisade scc generate --cluster --audit` show others.",
                    limits::SHOWN.0,
                    limits::SHOWN.1 >> 20
                ));
                break;
            }
        }
        Ok((parts, remarks))
    }

    fn subject(
        &self,
        document: &Document,
        accounts: &Accounts<'_>,
        remarks: &mut Remarks,
    ) -> Option<Subject> {
        match Subject::new(document, accounts, &Options::default()) {
            Ok(Some(mut subject)) => {
                if subject.kind.controller.is_empty() {
                    subject.user.clone_from(&self.identity.name);
                    subject.groups.clone_from(&self.identity.groups);
                }
                Some(subject)
            }
            Ok(None) => None,
            Err(error) => {
                remarks.insert(format!("Left out: {error}."));
                None
            }
        }
    }

    /// The workloads of a namespace, of the kinds that may be listed there, as far as they fit on the page.
    fn workloads(&self, namespace: &str, room: &mut Room, remarks: &mut Remarks) -> ApiResult<Vec<Document>> {
        let (mut found, mut is_partial) = (Vec::new(), false);
        for (resource, kind) in workloads() {
            if !self.may("list", resource, namespace, "") {
                is_partial = true;
                continue;
            }
            self.each(resource, namespace, |object, size| {
                if is_controlled(&object) {
                    return true;
                }
                if room.count == 0 || size > room.bytes {
                    room.is_full = true;
                    return false;
                }
                room.count -= 1;
                room.bytes -= size;
                add(kind.short, resource, object, &mut found, remarks);
                true
            })?;
        }
        if is_partial {
            remarks.insert("Kinds of workloads that you may not list are left out.".to_owned());
        }
        Ok(found)
    }

    /// The other objects that a review of a namespace needs, as far as they may be read.
    fn beside(&self, namespace: &str, remarks: &mut Remarks) -> ApiResult<Vec<Document>> {
        let mut found = Vec::new();
        if let Some(namespaces) =
            resource::find("", "namespaces").filter(|all| self.may("get", all, namespace, namespace))
        {
            let kept = objects::get(&self.api.store, namespaces, "", namespace)?;
            add("namespace", namespaces, kept.object, &mut found, remarks);
        } else {
            remarks.insert(
                "The Pod Security labels of namespaces that you may not get are left out.".to_owned(),
            );
        }
        for (group, plural, within) in
            [("", "serviceaccounts", namespace), ("storage.k8s.io", "csidrivers", "")]
        {
            let Some(resource) = resource::find(group, plural) else { continue };
            if self.may("list", resource, within, "") {
                let mut left = limits::BESIDE;
                self.each(resource, within, |object, _| {
                    add(plural, resource, object, &mut found, remarks);
                    left -= 1;
                    left > 0
                })?;
            }
        }
        Ok(found)
    }

    /// Passes objects and their sizes to a function until it has enough.
    fn each(
        &self,
        resource: &Resource,
        namespace: &str,
        mut with: impl FnMut(Value, usize) -> bool,
    ) -> ApiResult<()> {
        let within = Some(namespace).filter(|namespace| !namespace.is_empty());
        let (mut after, mut goes_on): (Option<Cursor>, bool) = (None, true);
        while goes_on {
            let page = self.api.store.list(resource.storage(), within, Some(limits::PART), after.as_ref());
            let page = page.map_err(|error| failure::store(resource, "", error))?;
            for object in page.objects.iter() {
                let read = objects::parse(&object.value, object.revision);
                let read =
                    read.map_err(|error| failure::internal("a stored object cannot be read", &error))?;
                goes_on = with(read, object.value.len());
                if !goes_on {
                    break;
                }
            }
            after = page.next;
            goes_on &= after.is_some();
        }
        Ok(())
    }

    /// Two SCCs side by side.
    fn comparison(&self, query: &Query) -> ApiResult<Page> {
        let policy = self.api.policy.snapshot();
        let (a, b) = (query.get("a").unwrap_or("restricted-v2"), query.get("b").unwrap_or("restricted-v2"));
        let entry = |name: &str| {
            let entry = policy.sccs().get(name).filter(|_| self.reads_scc(name));
            entry.ok_or_else(|| ApiError::bad_request(format!("there is no SCC {name:?} that you may read")))
        };
        Ok(Comparison::new(entry(a)?.scc(), entry(b)?.scc()).page(a, b))
    }

    /// The form for an impact analysis, or the impact of the submitted SCCs.
    fn impact(&self, namespace: Option<&str>, sent: &Query, patience: &Patience) -> ApiResult<Page> {
        let title = namespace.unwrap_or("all namespaces that you may read");
        let Some(text) = sent.get("with") else { return Ok(form(title, "", "")) };
        let objects = match proposed(text) {
            Ok(objects) => objects,
            Err(wrong) => return Ok(form(title, text, &wrong)),
        };
        let (parts, mut remarks) = self.gather(namespace)?;
        let (mut moves, mut of) = (Vec::new(), 0);
        for Part { namespace, subjects, surroundings } in &parts {
            let (before, _) = self.policy(namespace);
            let mut after = before.clone();
            objects.iter().for_each(|object| after.apply(object.clone()));
            for subject in subjects {
                if patience.is_over() {
                    remarks.insert(CUT.to_owned());
                    break;
                }
                let subject = std::slice::from_ref(subject);
                moves.extend(impact(subject, (&before, surroundings), (&after, surroundings)));
                of += 1;
            }
        }
        Ok(impact_page(&moves, of).noting(remarks))
    }
}

/// The SCCs of a text, checked, or the error in it.
fn proposed(text: &str) -> Result<Vec<PolicyObject>, String> {
    let documents =
        files::parse("SCC", text.to_owned()).map_err(|error| palisade_k8s::error_chain(&error))?;
    let mut found = Vec::new();
    for document in documents {
        if document.text("kind") != palisade_k8s::scc::KIND {
            return Err(format!("{:?} is not an SCC", document.text("kind")));
        }
        let object = PolicyObject::read(&document.node.to_json()).map_err(|error| error.to_string())?;
        found.extend(object);
    }
    if found.len() > limits::PROPOSED {
        let (most, found) = (limits::PROPOSED, found.len());
        return Err(format!("the impact of at most {most} SCCs is shown at once, and these are {found}"));
    }
    if found.is_empty() { Err("there is no SCC in it".to_owned()) } else { Ok(found) }
}

/// Replaces the verdict of a partial policy by that of the whole policy, and no more: the SCC that decides is not named
/// if the reader may not know it.
fn correct(report: &mut Report, whole: &Report, known: &Policy) {
    let is_known = |scc: &String| known.sccs().get(scc).is_some();
    let is_hidden = whole.scc.as_ref().is_some_and(|scc| !is_known(scc));
    if is_hidden && whole.verdict == Verdict::Admitted {
        report.verdict = Verdict::Admitted;
        report.scc = None;
        report.refusal = None;
        report.pod_security = None;
        report.notes.push("admitted by an SCC that you may not read".to_owned());
    }
}

/// Adds an object as a document whose lines are those of `oc get -o yaml`.
fn add(short: &str, resource: &Resource, object: Value, found: &mut Vec<Document>, remarks: &mut Remarks) {
    let mut object = resource.show(object);
    if let Some(metadata) = object.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("managedFields");
    }
    let name = format!("{short}/{}", resource::text(&object, "/metadata/name"));
    match files::parse(&name, yaml::write(&object)) {
        Ok(documents) => found.extend(documents),
        Err(error) => drop(remarks.insert(format!("Left out: {}.", palisade_k8s::error_chain(&error)))),
    }
}

/// Whether a controller owns the object: the controller's template is reviewed instead.
fn is_controlled(object: &Value) -> bool {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    owners.into_iter().flatten().any(|owner| owner.get("controller") == Some(&Value::Bool(true)))
}
