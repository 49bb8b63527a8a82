//! The service `kubernetes` in the namespace `default`, by which pods find this server, with the server's address in its
//! Endpoints and EndpointSlice, as kube-apiserver keeps them (`pkg/controlplane/controller/kubernetesservice`).

use std::net::IpAddr;

use palisade_api::kind::allocation::FIRST;
use palisade_k8s::put;
use serde_json::{Value, json};

use crate::error::{ApiError, ApiResult, Reason};
use crate::failure;
use crate::hub::Event;
use crate::objects;
use crate::resource::{self, Resource, text};
use crate::server::ApiServer;
use crate::time;

const NAMESPACE: &str = "default";
const NAME: &str = "kubernetes";
/// Port of the service.
const PORT: u16 = 443;

/// The address at which others reach this server.
#[derive(Clone, Copy, Debug)]
pub struct Front {
    /// `None` of a server on loopback: its address leads every other machine, and every pod, to itself.
    address: Option<IpAddr>,
    port: u16,
}

impl Front {
    /// Of a server that listens on an address. One that listens on all of them is reached at the first address among
    /// its further names, else at that of the default route.
    #[must_use]
    pub fn new(listen: IpAddr, port: u16, names: &[String]) -> Self {
        let named = || names.iter().find_map(|name| name.parse().ok());
        let address = match listen.is_unspecified() {
            true => named().or_else(palisade_sys::address::of_default_route),
            false => Some(listen),
        };
        Self { address: address.filter(|address| !address.is_loopback()), port }
    }

    /// The address in the Endpoints, which the server's certificate is valid for.
    #[must_use]
    pub fn address(self) -> Option<IpAddr> {
        self.address
    }

    /// Whether an event is about one of the objects.
    pub(crate) fn is_in(event: &Event) -> bool {
        let kinds = ["services", "endpoints", "discovery.k8s.io/endpointslices"];
        event.namespace == NAMESPACE && event.name == NAME && kinds.contains(&event.storage.as_str())
    }

    /// Makes the objects that are missing, and restores what others have changed in them. In an old store the service may
    /// lack its address, which another has: then the server goes on without.
    pub fn settle(self, api: &dyn ApiServer) {
        let kept = keep(api, self.service(), &["spec"], &["type", "ports"])
            .and_then(|()| keep(api, self.endpoints(), &[], &["subsets"]))
            .and_then(|()| keep(api, self.slice(), &[], &["endpoints", "ports"]));
        if let Err(error) = kept {
            tracing::warn!("pods do not find this server by the service {NAME}: {}", error.message);
        }
    }

    fn service(self) -> Value {
        json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"labels": {"component": "apiserver", "provider": NAME}},
            "spec": {"type": "ClusterIP", "clusterIP": FIRST,
                "ports": [{"name": "https", "port": PORT, "protocol": "TCP", "targetPort": self.port}]}})
    }

    fn ports(self) -> Value {
        json!([{"name": "https", "port": self.port, "protocol": "TCP"}])
    }

    fn endpoints(self) -> Value {
        let of = |address| json!({"addresses": [{"ip": address}], "ports": self.ports()});
        let subsets: Vec<Value> = self.address.map(of).into_iter().collect();
        json!({"apiVersion": "v1", "kind": "Endpoints",
            "metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}, "subsets": subsets})
    }

    fn slice(self) -> Value {
        let of = |address| json!({"addresses": [address], "conditions": {"ready": true}});
        let endpoints: Vec<Value> = self.address.map(of).into_iter().collect();
        let family = if self.address.is_some_and(|address| address.is_ipv6()) { "IPv6" } else { "IPv4" };
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
            "metadata": {"labels": {"kubernetes.io/service-name": NAME}}, "endpoints": endpoints,
            "ports": self.ports()})
    }
}

/// Makes an object, or sets fields of the present one, which are at a path.
fn keep(api: &dyn ApiServer, mut wanted: Value, path: &[&str], fields: &[&str]) -> ApiResult<()> {
    let resource = resource::of_object(&wanted).ok_or_else(ApiError::no_such_path)?;
    put(&mut wanted, &["metadata", "name"], NAME.into());
    put(&mut wanted, &["metadata", "namespace"], NAMESPACE.into());
    let found = match objects::get(api.store(), resource, NAMESPACE, NAME) {
        Ok(found) => found.object,
        Err(error) if error.reason == Reason::NotFound => return make(api, resource, wanted),
        Err(error) => return Err(error),
    };
    let mut new = found.clone();
    for field in fields {
        let at = [path, &[*field]].concat();
        let value = wanted.pointer(&format!("/{}", at.join("/"))).cloned().unwrap_or_default();
        put(&mut new, &at, value);
    }
    // After a conflicting write, its event brings the object here again.
    if new != found { objects::keep(api.store(), resource, new).map(drop) } else { Ok(()) }
}

fn make(api: &dyn ApiServer, resource: &Resource, mut object: Value) -> ApiResult<()> {
    put(&mut object, &["metadata", "uid"], uuid::Uuid::new_v4().to_string().into());
    put(&mut object, &["metadata", "creationTimestamp"], time::now().into());
    resource.prepare(&mut object, None);
    let key = objects::key(resource, NAMESPACE, text(&object, "/metadata/name"));
    let reserved = match resource.plural() {
        "services" => Some(api.services().reserve(&key, &mut object, None)?),
        _ => None,
    };
    let made = objects::create(api.store(), resource, NAMESPACE, object);
    drop(reserved);
    match made {
        Ok(_) | Err(palisade_store::StoreError::Exists(_)) => Ok(()),
        Err(error) => Err(failure::store(resource, NAME, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_one_that_others_reach() {
        let names = ["api.example".to_owned(), "192.0.2.7".to_owned()];
        for (listen, expected) in [
            ("192.0.2.9", Some("192.0.2.9")),
            ("0.0.0.0", Some("192.0.2.7")),
            ("::", Some("192.0.2.7")),
            ("127.0.0.1", None),
            ("::1", None),
        ] {
            let front = Front::new(listen.parse().unwrap(), 6443, &names);
            assert_eq!(front.address, expected.map(|address| address.parse().unwrap()), "{listen}");
            let count = usize::from(expected.is_some());
            assert_eq!(front.endpoints()["subsets"].as_array().unwrap().len(), count);
            assert_eq!(front.slice()["endpoints"].as_array().unwrap().len(), count);
        }
    }

    #[test]
    fn the_objects_are_valid() {
        let front = Front::new("192.0.2.9".parse().unwrap(), 6443, &[]);
        for mut object in [front.service(), front.endpoints(), front.slice()] {
            let resource = resource::of_object(&object).unwrap();
            put(&mut object, &["metadata", "name"], NAME.into());
            resource.prepare(&mut object, None);
            assert_eq!(resource.validate(&object, None), [], "{object}");
            assert!(resource.shape().fit(&mut object).is_ok());
        }
    }
}
