//! `palisade policies compile`.

use std::io::Write;

use palisade_admission::Policy;
use palisade_console::terminal;
use palisade_k8s::{KernelVersion, manifest, scc, yaml};
use palisade_policies::{Compiled, EVERYBODY, Mode, Settings, WORKLOADS, compile};
use palisade_rbac::{Action, User};
use palisade_scc::BuiltinSet;
use serde_json::Value;

use super::args::{Choices, CompileArgs, Source};
use crate::args::PolicyArgs;
use crate::exit::Exit;
use crate::policy;

pub(crate) fn run(args: &CompileArgs) -> crate::Outcome {
    let mut builder = policy::load(&arguments(&args.source, args.choices.kernel))?;
    if let Some(paths) = &args.rbac {
        policy::add_layer(&mut builder, &policy::objects(paths, None)?)?;
    }
    let policy = builder.build();
    let settings = settings(&args.choices, &policy);
    let compiled = compile(policy.sccs(), &settings)?;
    tell(&compiled, &settings, false);
    let mut out = std::io::stdout().lock();
    for object in grants(args)?.iter().chain(&compiled.objects) {
        write!(out, "---\n{}", yaml::write(object))?;
    }
    Ok(Exit::Fine)
}

/// The same source in the vocabulary of other commands.
pub(super) fn arguments(source: &Source, kernel: Option<KernelVersion>) -> PolicyArgs {
    PolicyArgs { policy: source.files.clone(), scc_set: source.scc_set, kernel }
}

pub(super) fn settings(choices: &Choices, policy: &Policy) -> Settings {
    Settings {
        kernel: choices.kernel.unwrap_or(KernelVersion::LATEST),
        exempt: choices.exempt.clone(),
        mode: choices.mode.into(),
        connect: choices.exec,
        everybody: everybody(policy),
    }
}

/// The SCCs that all authenticated users may use in every namespace; `None` if no roles are known.
pub(super) fn everybody(policy: &Policy) -> Option<Vec<String>> {
    if policy.rbac().is_empty() {
        return None;
    }
    let user = User { name: "", groups: &[EVERYBODY] };
    let names = policy.sccs().entries().map(|entry| entry.name());
    let is_open = |name: &&str| {
        let action = Action { verb: "use", group: scc::GROUP, resource: scc::RESOURCE, name, namespace: "" };
        policy.rbac().authorize(&user, &action).is_some()
    };
    Some(names.filter(is_open).map(str::to_owned).collect())
}

/// Limits of CEL, and the alternative check for each.
const LEFT_TO_OTHERS: [&str; 3] = [
    "ranges of namespaces are not allocated: annotate them, or run the controllers of `palisade webhook` without its webhooks",
    "SCC objects are neither defaulted nor validated: `palisade scc lint`, or the webhooks",
    "refusals do not name the right that is missing: `palisade review`, or `kubectl auth can-i use securitycontextconstraints.security.openshift.io/NAME --as=USER -n NAMESPACE`",
];

/// The same, unless a watch follows the SCCs.
const NOT_FOLLOWED: &str =
    "edits of SCCs are not followed: `palisade policies apply --watch`, or `palisade policies status`";

/// The parts that are left out, and the checks that cover them instead.
pub(super) fn tell(compiled: &Compiled, settings: &Settings, watches: bool) {
    for note in LEFT_TO_OTHERS.iter().chain((!watches).then_some(&NOT_FOLLOWED)) {
        terminal::note(format_args!("note: {note}"));
    }
    if !settings.connect {
        terminal::note(format_args!("note: exec and attach are not held: --exec, or the webhooks"));
    }
    let note = match compiled.get("ValidatingAdmissionPolicy", WORKLOADS) {
        _ if settings.mode == Mode::Audit => None,
        None if settings.everybody.is_none() => {
            Some("authors of workloads are not warned, since no roles and bindings are known")
        }
        None => Some("there are too many SCCs to warn authors of workloads: `palisade review`"),
        Some(_) if !compiled.asks_controllers => Some(
            "there are too many SCCs to ask for the rights of controllers in warnings on workloads, but for those that the SCCs \
             name: `palisade review`",
        ),
        Some(_) => None,
    };
    note.into_iter().for_each(|note| terminal::note(format_args!("note: {note}")));
    for (scc, why) in &compiled.unusable {
        terminal::note(format_args!("{scc} is left out, since it can admit no pod: {why}"));
    }
}

/// The roles and bindings to print.
fn grants(args: &CompileArgs) -> Result<Vec<Value>, crate::Failure> {
    let Some(paths) = &args.rbac else { return Ok(Vec::new()) };
    let default = args.source.files.is_empty().then(BuiltinSet::default);
    let mut objects = Vec::new();
    if let Some(set) = args.source.scc_set.or(default) {
        objects.extend(manifest::read(set.manifest())?.iter().map(manifest::Node::to_json));
    }
    objects.extend(policy::objects(paths, None)?.iter().map(|document| document.node.to_json()));
    objects.retain(|object| {
        let version = object.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
        version.starts_with("rbac.authorization.k8s.io/")
    });
    Ok(objects)
}
