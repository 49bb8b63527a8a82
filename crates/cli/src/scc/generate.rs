//! `palisade scc generate`.

mod audit;
mod explain;
mod group;

use std::io::Write;

use palisade_admission::{Policy, PolicyBuilder};
use palisade_console::terminal;
use palisade_k8s::SecurityContextConstraints;
use palisade_scc::BuiltinSet;
use serde_json::{Value, json};

use crate::args::{GenerateArgs, ObjectOutput};
use crate::exit::Exit;
use crate::policy::ended;
use crate::review::{
    ASSUMED_NAMESPACE, Loaded, Options, Report, Subject, Surroundings, UNCONFINED, Verdict,
    assume_namespaces, beyond, subjects,
};
use group::Group;

/// The bases to look for, in order of preference.
const BASES: [&str; 2] = ["restricted-v2", "restricted"];

/// The inputs of the groups.
struct Ground {
    builder: PolicyBuilder,
    policy: Policy,
    surroundings: Surroundings,
    base: SecurityContextConstraints,
    subjects: Vec<Subject>,
    /// The number of files and objects that could not be read.
    left_out: usize,
}

pub(crate) fn run(args: &GenerateArgs) -> crate::Outcome {
    let ground = Ground::read(args)?;
    let groups = group::groups(&ground, args.per)?;
    if groups.is_empty() {
        return Err("no workload here is subject to SCC".into());
    }
    if args.audit {
        return Ok(ended(audit::print(&ground, &groups)?, ground.left_out));
    }
    if args.explain {
        explain::print(&mut terminal::out(), &groups)?;
    } else {
        print_objects(args.output, &groups)?;
    }
    let refused = tell(&ground, &groups)?;
    Ok(ended(if refused { Exit::Findings } else { Exit::Fine }, ground.left_out))
}

impl Ground {
    fn read(args: &GenerateArgs) -> Result<Self, crate::Failure> {
        let loaded = Loaded::of_args(&args.inputs)?;
        let surroundings = loaded.surroundings();
        let Loaded { documents, mut builder, mut left_out, .. } = loaded;
        let options = Options {
            namespace: args.inputs.namespace.as_deref(),
            service_account: args.serviceaccount.as_deref(),
            ..Options::default()
        };
        let subjects = subjects(&documents, &options, &mut left_out)?;
        if subjects.iter().any(|subject| subject.namespace == ASSUMED_NAMESPACE) {
            terminal::note(format_args!(
                "note: manifests that name no namespace are taken to be in {ASSUMED_NAMESPACE:?}; -n names theirs"
            ));
        }
        assume_namespaces(&mut builder, &subjects);
        let policy = builder.clone().build();
        let base = base(args.base.as_deref(), &policy, args.inputs.policy.scc_set.unwrap_or_default())?;
        Ok(Self { builder, policy, surroundings, base, subjects, left_out })
    }
}

/// The base by its name or its file; the policy's own SCC before a built-in one.
fn base(
    named: Option<&str>,
    policy: &Policy,
    set: BuiltinSet,
) -> Result<SecurityContextConstraints, crate::Failure> {
    let of_policy = |name: &str| policy.sccs().get(name).map(|entry| entry.scc().clone());
    match named {
        Some(name) => of_policy(name).map_or_else(|| super::diff::scc(name, set), Ok),
        None => match BASES.into_iter().find_map(of_policy) {
            Some(scc) => Ok(scc),
            None => super::diff::scc(BASES[0], BuiltinSet::V4),
        },
    }
}

fn print_objects(output: ObjectOutput, groups: &[Group<'_>]) -> Result<(), crate::Failure> {
    let objects: Vec<Value> = groups.iter().flat_map(Group::objects).collect();
    let mut out = terminal::data();
    match output {
        ObjectOutput::Json => {
            let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
            writeln!(out, "{}", terminal::json(&serde_json::to_string_pretty(&list)?))?;
        }
        ObjectOutput::Yaml => {
            for (index, object) in objects.iter().enumerate() {
                let separator = if index > 0 { "---\n" } else { "" };
                write!(out, "{separator}{}", palisade_k8s::yaml::write(object))?;
            }
        }
    }
    Ok(())
}

/// Reports on standard error what the objects do not show, after a decision on every workload with them. Returns
/// whether a workload is refused.
fn tell(ground: &Ground, groups: &[Group<'_>]) -> Result<bool, crate::Failure> {
    let policy = with_objects(&ground.builder, groups)?.build();
    let mut refused = false;
    for group in groups {
        for (subject, why) in group.hopeless() {
            refused = true;
            terminal::warn(format!("{} in {}: no SCC admits it: {why}", subject.title(), subject.namespace));
        }
        let Some(name) = group.scc_name() else { continue };
        group.blurs().for_each(|line| terminal::note(format!("{name}: {line}")));
        if group.gives_root() {
            terminal::warn(format!(
                "{name}: a pod of this account that names no user would run as root, which it gives by default; let no other \
                 pods use the account"
            ));
        }
        if let Some((subject, path)) = group.unconfined() {
            terminal::note(format!(
                "{name}: sets the SELinux type {UNCONFINED} for every pod of the account: {} mounts {path} of the node, and SELinux \
                 denies most files there to the usual type",
                subject.title()
            ));
        }
        if let Some(subject) = group.weakened() {
            terminal::note(format!(
                "{name}: drops all capabilities, also of {}, which runs as root: add those that it needs (often CHOWN, SETUID and SETGID) \
                 to the container, and generate again",
                subject.title()
            ));
        }
        if let Some(line) = group.smallest_built_in(ground) {
            terminal::note(format!("{name}: {line}"));
        }
        for subject in group.admitted() {
            let report = Report::new(&policy, &ground.surroundings, subject);
            let title = format!("{} in {}", subject.title(), subject.namespace);
            match (report.verdict, report.scc.as_deref(), &report.refusal) {
                (Verdict::Refused, _, Some(refusal)) => {
                    refused = true;
                    terminal::warn(format!("{title}: {}", refusal.message));
                }
                (_, Some(other), _)
                    if other != name && groups.iter().any(|g| g.scc_name() == Some(other)) =>
                {
                    terminal::warn(format!(
                        "{title}: {other} is tried first, since both are granted to account {}; give each workload an account of \
                         its own",
                        subject.service_account
                    ));
                }
                _ => {}
            }
        }
    }
    Ok(refused)
}

/// The policy with the groups' objects.
fn with_objects(builder: &PolicyBuilder, groups: &[Group<'_>]) -> Result<PolicyBuilder, crate::Failure> {
    let mut builder = builder.clone();
    builder.next_layer();
    for object in groups.iter().flat_map(Group::objects) {
        builder.add(&object)?;
    }
    Ok(builder)
}
