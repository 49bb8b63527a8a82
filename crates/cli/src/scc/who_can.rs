//! `palisade scc who-can`.

use std::collections::BTreeSet;
use std::io::Write;

use palisade_admission::Policy;
use palisade_k8s::scc::{GROUP, RESOURCE, USE};
use palisade_rbac::Holder;
use palisade_scc::{Entry, suggestion};

use crate::args::WhoCanArgs;
use crate::exit::Exit;
use crate::policy::ended;
use crate::review::Loaded;

pub(crate) fn run(args: &WhoCanArgs) -> crate::Outcome {
    let Loaded { builder, left_out, .. } = Loaded::of_args(&args.inputs)?;
    let policy = builder.build();
    let Some(entry) = policy.sccs().get(&args.scc) else {
        let names = policy.sccs().entries().map(Entry::name);
        let hint = suggestion(&args.scc, names, "");
        let hint = if hint.is_empty() { hint } else { format!("; {hint}") };
        return Err(format!("the policy holds no SCC {:?}{hint}", args.scc).into());
    };
    let grants = grants(&policy, entry, args.inputs.namespace.as_deref());
    let mut out = palisade_console::terminal::out();
    for (kind, name, grant) in &grants {
        writeln!(out, "{kind} {name}: {grant}")?;
    }
    if grants.is_empty() {
        writeln!(out, "nobody may use {}", args.scc)?;
    }
    Ok(ended(Exit::Fine, left_out))
}

/// Every user and group that may use the SCC, each with a grant: its kind, its name, and where it comes from.
fn grants<'p>(
    policy: &'p Policy,
    entry: &'p Entry,
    namespace: Option<&str>,
) -> BTreeSet<(&'static str, &'p str, String)> {
    let scc = entry.scc();
    let listed = |kind, list: Option<&'p Vec<String>>, field: &'static str| {
        list.into_iter().flatten().map(move |name| (kind, name.as_str(), format!("{field} of the SCC")))
    };
    let users = listed("User", scc.users.as_ref(), "users");
    let own = users.chain(listed("Group", scc.groups.as_ref(), "groups"));
    let bound = policy.rbac().grants(USE, GROUP, RESOURCE).filter(|grant| {
        grant.names.contains(entry.name())
            && namespace.is_none_or(|here| grant.namespace.is_none_or(|granted| granted == here))
    });
    let bound = bound.map(|grant| match grant.holder {
        Holder::User(name) => ("User", name, grant.to_string()),
        Holder::Group(name) => ("Group", name, grant.to_string()),
    });
    own.chain(bound).collect()
}
