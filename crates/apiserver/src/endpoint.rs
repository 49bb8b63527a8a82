//! Addresses of services.

use std::net::SocketAddr;

use palisade_store::Store;
use serde_json::Value;

use crate::objects;
use crate::resource::{self, text};

/// An address of a service, as its Endpoints have it.
pub(crate) fn endpoint(store: &Store, namespace: &str, name: &str, port: u16) -> Option<SocketAddr> {
    let (services, endpoints) = (resource::find("", "services")?, resource::find("", "endpoints")?);
    let found = objects::get(store, endpoints, namespace, name).ok()?.object;
    let service = objects::get(store, services, namespace, name).ok().map(|found| found.object);
    let ports = service.as_ref().and_then(|service| service.pointer("/spec/ports")?.as_array());
    // The port of the service is found in the Endpoints by its name.
    let is_meant = |one: &&Value| one.get("port").and_then(Value::as_u64) == Some(u64::from(port));
    let named = ports
        .into_iter()
        .flatten()
        .find(is_meant)
        .map(|one| text(one, "/name").to_owned())
        .unwrap_or_default();
    let subsets = found.get("subsets").and_then(Value::as_array)?;
    subsets.iter().find_map(|subset| {
        let ports = subset.get("ports").and_then(Value::as_array)?;
        let number = ports.iter().find(|one| text(one, "/name") == named)?.get("port")?.as_u64()?;
        let address = text(subset.pointer("/addresses/0")?, "/ip").parse().ok()?;
        Some(SocketAddr::new(address, u16::try_from(number).ok()?))
    })
}
