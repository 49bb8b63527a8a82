//! `palisade policies`: SCCs as admission policies of Kubernetes itself.

pub(crate) mod args;
#[cfg(feature = "serve")]
mod cluster;
mod compile;
#[cfg(feature = "serve")]
mod state;

use args::PoliciesCommand;

/// The objects of the built-in set 4, for an installation.
#[cfg(feature = "serve")]
pub(crate) fn built_in(
    mode: palisade_webhook::Mode,
    exempt: &[String],
) -> Result<Vec<serde_json::Value>, crate::Failure> {
    let mut builder = palisade_admission::PolicyBuilder::default();
    builder.add_set(palisade_scc::BuiltinSet::V4)?;
    let mode = match mode {
        palisade_webhook::Mode::Enforce => palisade_policies::Mode::Enforce,
        palisade_webhook::Mode::Warn => palisade_policies::Mode::Warn,
        palisade_webhook::Mode::Audit => palisade_policies::Mode::Audit,
    };
    let policy = builder.build();
    let everybody = compile::everybody(&policy);
    let settings =
        palisade_policies::Settings { exempt: exempt.to_vec(), mode, everybody, ..Default::default() };
    Ok(palisade_policies::compile(policy.sccs(), &settings)?.objects)
}

pub(crate) fn run(command: &PoliciesCommand) -> crate::Outcome {
    match command {
        PoliciesCommand::Compile(args) => compile::run(args),
        #[cfg(feature = "serve")]
        PoliciesCommand::Apply(args) => cluster::apply(args),
        #[cfg(feature = "serve")]
        PoliciesCommand::Status(args) => cluster::status(args),
        #[cfg(feature = "serve")]
        PoliciesCommand::Remove(args) => cluster::remove(args),
    }
}
