//! `--audit`: accounts that hold an SCC which is more than their pods need.

use std::collections::BTreeSet;
use std::io::Write;

use palisade_admission::{Decision, ObjectKey, PodRequest, Policy, PolicyKind, Scopes, evaluate, explain};
use palisade_console::terminal;
use palisade_k8s::Pod;
use palisade_scc::{Entry, Mutation, score};

use super::group::Group;
use super::{Ground, beyond, with_objects};
use crate::exit::Exit;
use crate::paint;
use crate::review::{Report, Subject};
use palisade_review::pod_changes;

/// The SCCs that one account was granted, and the needs of its pods.
struct Account<'g> {
    group: &'g Group<'g>,
    /// The granted SCCs that permit more than the least, each with its grant and the excess.
    surplus: Vec<Surplus>,
    /// The excess of the widest of them over the least.
    points: u32,
}

struct Surplus {
    scc: String,
    grant: String,
    /// Workloads that it admits today.
    in_use: Vec<String>,
    fields: Vec<String>,
    score: u32,
}

pub(super) fn print(ground: &Ground, groups: &[Group<'_>]) -> crate::Outcome {
    let mut accounts: Vec<Account<'_>> =
        groups.iter().filter_map(|group| Account::new(ground, group)).collect();
    accounts.sort_by_key(|account| std::cmp::Reverse(account.points));
    let mut out = terminal::out();
    for account in &accounts {
        account.print(&mut out, ground)?;
    }
    let refused: Vec<String> = groups
        .iter()
        .flat_map(|group| &group.subjects)
        .filter_map(|subject| refused(ground, subject))
        .collect();
    if let Some(first) = refused.first() {
        let many = refused.len();
        writeln!(
            out,
            "refused today, by all SCCs that may be used: {many}, the first is {first} (palisade review)"
        )?;
    }
    writeln!(out, "{} of {} accounts hold more than their pods need", accounts.len(), groups.len())?;
    Ok(if accounts.is_empty() { Exit::Fine } else { Exit::Findings })
}

/// The title of a workload that is refused today.
fn refused(ground: &Ground, subject: &Subject) -> Option<String> {
    let (pod, groups) = (subject.pod(), subject.groups.iter().map(String::as_str).collect::<Vec<_>>());
    let decision = evaluate(&ground.policy, &subject.request(&pod, &groups));
    matches!(decision, Decision::Refused(_)).then(|| format!("{} in {}", subject.title(), subject.namespace))
}

impl<'g> Account<'g> {
    fn new(ground: &Ground, group: &'g Group<'g>) -> Option<Self> {
        let least = group.scc()?;
        let reports: Vec<Report> = group
            .admitted()
            .map(|subject| Report::new(&ground.policy, &ground.surroundings, subject))
            .collect();
        let surplus: Vec<Surplus> = held(ground, group)
            .into_iter()
            .filter_map(|(entry, grant)| {
                let fields = beyond(entry.scc(), least);
                let used = group.admitted().zip(&reports);
                let used = used.filter(|(_, report)| report.scc.as_deref() == Some(entry.name()));
                (!fields.is_empty()).then(|| Surplus {
                    scc: entry.name().to_owned(),
                    grant,
                    in_use: used.map(|(subject, _)| subject.title()).collect(),
                    fields,
                    score: entry.rank().score,
                })
            })
            .collect();
        let widest = surplus.iter().map(|surplus| surplus.score).max()?;
        Some(Self { group, surplus, points: widest.saturating_sub(score(least)) })
    }

    fn print(&self, out: &mut impl Write, ground: &Ground) -> Result<(), crate::Failure> {
        let group = self.group;
        let (Some(account), Some(least)) = (group.account, group.scc()) else { return Ok(()) };
        let title = format!("{}/{account}", group.namespace);
        writeln!(out, "{}: {} points more than needed", paint::strong(title), self.points)?;
        for surplus in &self.surplus {
            let used =
                if surplus.in_use.is_empty() { "not in use".to_owned() } else { surplus.in_use.join(", ") };
            writeln!(out, "  holds {} by {} ({used}), and does not need", surplus.scc, surplus.grant)?;
            surplus.fields.iter().try_for_each(|field| writeln!(out, "    - {field}"))?;
        }
        let name = &least.metadata.name;
        writeln!(out, "  would do: {name}, score {}; with it alone", score(least))?;
        let without = self.policy_without(ground)?;
        for subject in group.admitted() {
            print_move(out, ground, &without, subject)?;
        }
        Ok(())
    }

    /// The policy with the least SCC and its grant, and without the excessive SCCs.
    fn policy_without(&self, ground: &Ground) -> Result<Policy, crate::Failure> {
        let mut policy = with_objects(&ground.builder, std::slice::from_ref(self.group))?.build();
        for surplus in &self.surplus {
            let key =
                ObjectKey { kind: PolicyKind::Scc, namespace: String::new(), name: surplus.scc.clone() };
            policy.remove(&key);
        }
        Ok(policy)
    }
}

/// The change for a workload.
fn print_move(
    out: &mut impl Write,
    ground: &Ground,
    new: &Policy,
    subject: &Subject,
) -> Result<(), crate::Failure> {
    let before = Report::new(&ground.policy, &ground.surroundings, subject);
    let after = Report::new(new, &ground.surroundings, subject);
    let name = |report: &Report| report.scc.clone().unwrap_or_else(|| "refused".to_owned());
    writeln!(out, "    {}: {} -> {}", subject.title(), name(&before), name(&after))?;
    for change in pod_changes(before.pod.as_ref(), after.pod.as_ref()) {
        writeln!(out, "      {change}")?;
    }
    Ok(())
}

/// The SCCs that the account was granted, each with the grant; those that any account may use do not count.
fn held<'g>(ground: &'g Ground, group: &Group<'_>) -> Vec<(&'g Entry, String)> {
    let (Some(account), Some(subject)) = (group.account, group.subjects.first()) else { return Vec::new() };
    let anybody: BTreeSet<String> = usable(ground, group, subject, "palisade-no-such-account")
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let own = usable(ground, group, subject, account).into_iter();
    own.filter(|(name, _)| !anybody.contains(name))
        .filter_map(|(name, grant)| Some((ground.policy.sccs().get(&name)?, grant)))
        .collect()
}

/// The SCCs that an account may use, with the grant of each.
fn usable(ground: &Ground, group: &Group<'_>, subject: &Subject, account: &str) -> Vec<(String, String)> {
    let mut pod = subject.pod.clone();
    palisade_k8s::put(&mut pod, &["spec", "serviceAccountName"], account.into());
    let required = ["metadata", "annotations", palisade_k8s::scc::annotation::REQUIRED_SCC];
    palisade_k8s::put(&mut pod, &required, "".into());
    let Ok(pod) = <Pod<'_> as serde::Deserialize>::deserialize(&pod) else { return Vec::new() };
    let request = PodRequest {
        namespace: group.namespace,
        user: "palisade-no-such-user",
        groups: &["system:authenticated"],
        pod: &pod,
        scopes: Scopes::default(),
        mutation: Mutation::Allowed,
    };
    let trace = explain(&ground.policy, &request);
    let grants = trace
        .steps
        .iter()
        .filter_map(|step| Some((step.entry.name().to_owned(), step.service_account.as_ref()?.to_string())));
    grants.collect()
}
