//! The end of an installation: webhooks first, so that it works with every replica dead.

use kube::api::{DeleteParams, PropagationPolicy};
use kube::{Client, Error};

use super::install::InstallError;
use super::object::{api, name, title};
use crate::install::{Part, Settings, objects};

/// The extent of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The webhooks: pods pass without SCC from now on. Everything else stays.
    Webhooks,
    /// Everything but the SCCs, their definition and their roles.
    All,
}

/// Removes an installation; `say` is called with each deleted object. Missing objects are not an error.
///
/// # Errors
///
/// The API server refuses or does not answer.
pub async fn remove(
    client: &Client,
    settings: &Settings,
    extent: Extent,
    say: &mut dyn FnMut(&str),
) -> Result<(), InstallError> {
    let parts: &[Part] = match extent {
        Extent::Webhooks => &[Part::Webhooks],
        Extent::All => &[Part::Webhooks, Part::Profiles, Part::Guard, Part::Server],
    };
    let params =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..DeleteParams::default() };
    for object in parts.iter().flat_map(|part| objects(*part, settings).into_iter().rev()) {
        match api(client, &object).delete(name(&object), &params).await {
            Ok(_) => say(&format!("{} is removed", title(&object))),
            Err(Error::Api(status)) if status.is_not_found() => {}
            Err(error) => return Err(InstallError::Object(title(&object), error)),
        }
    }
    Ok(())
}
