//! The end of an installation: webhooks first, so that it works with every replica dead.

use kube::api::{DeleteParams, PropagationPolicy};
use kube::{Client, Error};

use super::install::InstallError;
use super::object::{api, name, title};
use super::policies::{Identity, named};
use crate::install::{Part, Settings, objects};

/// The extent of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The webhooks: pods pass without SCC from now on. Everything else stays.
    Webhooks,
    /// Everything, compiled policies included, but the SCCs, their definition and their roles.
    All,
}

/// Removes an installation; `say` is called with each deleted object. Missing objects are not an error. `policies` are
/// the compiled admission policies in the order of creation.
///
/// # Errors
///
/// The API server refuses or does not answer.
pub async fn remove(
    client: &Client,
    settings: &Settings,
    extent: Extent,
    policies: &[Identity],
    say: &mut dyn FnMut(&str),
) -> Result<(), InstallError> {
    let (parts, policies): (&[Part], _) = match extent {
        Extent::Webhooks => (&[Part::Webhooks], &[] as &[Identity]),
        // Policies would refuse the pods of new namespaces, whose ranges no replica allocates any more.
        Extent::All => (&[Part::Webhooks, Part::Profiles, Part::Guard, Part::Server], policies),
    };
    let params =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..DeleteParams::default() };
    let installed = parts.iter().flat_map(|part| objects(*part, settings).into_iter().rev());
    for object in policies.iter().rev().copied().map(named).chain(installed) {
        match api(client, &object).delete(name(&object), &params).await {
            Ok(_) => say(&format!("{} is removed", title(&object))),
            Err(Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(InstallError::Object(title(&object), error)),
        }
    }
    Ok(())
}
