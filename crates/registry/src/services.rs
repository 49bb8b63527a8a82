//! The addresses and ports that services hold, in step with the store: each belongs to one service.
//!
//! They are derived from the stored services, so that none has to be returned: a deleted service holds nothing. A number is
//! only reserved between its choice and the write of its service; a write that fails, or a dry run, uses none.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use palisade_api::kind::allocation::{Number, Refusal, Source, allocate, held};
use palisade_api::kind::{SERVICES, text};
use palisade_store::Key;
use serde_json::Value;

use crate::error::{ApiError, ApiResult};

/// What services hold.
#[derive(Debug, Default)]
pub struct Services(Mutex<Index>);

#[derive(Debug, Default)]
struct Index {
    by_service: HashMap<Key, Vec<Number>>,
    /// The holders and reservations of each number: more than one where an older store had them.
    holders: BTreeMap<Number, u32>,
}

impl Index {
    fn hold(&mut self, numbers: &[Number]) {
        numbers.iter().for_each(|number| *self.holders.entry(*number).or_default() += 1);
    }

    fn release(&mut self, numbers: &[Number]) {
        for number in numbers {
            match self.holders.get_mut(number) {
                Some(holders) if *holders > 1 => *holders -= 1,
                _ => drop(self.holders.remove(number)),
            }
        }
    }
}

impl Services {
    /// Whether the objects of a resource are services.
    #[must_use]
    pub fn are_in(storage: &str) -> bool {
        storage == SERVICES.storage()
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what a service holds; nothing of one that is gone.
    pub fn set(&self, key: &Key, service: Option<&Value>) {
        let mut index = self.index();
        let was = index.by_service.remove(key).unwrap_or_default();
        index.release(&was);
        if let Some(service) = service {
            let numbers = held(service);
            index.hold(&numbers);
            index.by_service.insert(key.clone(), numbers);
        }
    }

    /// Gives a service that is about to be written what it lacks.
    ///
    /// # Errors
    ///
    /// What it names is another's or of another range, or nothing is left.
    pub fn reserve(
        self: &Arc<Self>,
        key: &Key,
        service: &mut Value,
        old: Option<&Value>,
    ) -> ApiResult<Reserved> {
        let mut index = self.index();
        let mut taker = Taker {
            own: index.by_service.get(key).cloned().unwrap_or_default(),
            index: &index,
            taken: BTreeSet::new(),
        };
        allocate(service, old, &mut taker).map_err(|refusal| match refusal {
            Refusal::Full(why) => ApiError::internal(&why),
            Refusal::Invalid(errors) => {
                ApiError::invalid(&SERVICES, text(service, "/metadata/name"), &errors)
            }
        })?;
        let numbers: Vec<Number> = taker.taken.into_iter().collect();
        index.hold(&numbers);
        Ok(Reserved { services: Arc::clone(self), numbers })
    }
}

/// Takes numbers for one service.
struct Taker<'i> {
    index: &'i Index,
    own: Vec<Number>,
    taken: BTreeSet<Number>,
}

impl Source for Taker<'_> {
    fn take(&mut self, number: Number) -> bool {
        let is_free = !self.index.holders.contains_key(&number) || self.own.contains(&number);
        is_free && self.taken.insert(number)
    }
}

/// Numbers that no other service is given until this is dropped: when the service is written, or is not.
#[derive(Debug)]
pub struct Reserved {
    services: Arc<Services>,
    numbers: Vec<Number>,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.services.index().release(&self.numbers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn key(name: &str) -> Key {
        Key::new(SERVICES.storage(), "shop", name)
    }

    fn service(name: &str, spec: Value) -> Value {
        let mut service = json!({"metadata": {"name": name, "uid": name}, "spec": spec});
        SERVICES.prepare(&mut service, None);
        service
    }

    /// Writes a service as a request does; gives what it has then, or the refusal.
    fn write(services: &Arc<Services>, name: &str, spec: Value) -> Result<Value, String> {
        let mut service = service(name, spec);
        let _reserved = services.reserve(&key(name), &mut service, None).map_err(|error| error.message)?;
        let errors = SERVICES.validate(&service, None);
        assert!(errors.is_empty(), "{errors:?}");
        services.set(&key(name), Some(&service));
        Ok(service)
    }

    fn ports(count: u64) -> Value {
        (1..=count).map(|port| json!({"name": format!("p{port}"), "port": port})).collect()
    }

    #[test]
    fn each_service_has_what_no_other_has() {
        let services = Arc::new(Services::default());
        let mut seen = BTreeSet::new();
        for number in 0..10_000 {
            let made = write(&services, &format!("s{number}"), json!({"ports": ports(1)})).unwrap();
            let numbers = held(&made);
            assert!(numbers.len() == 1 && seen.insert(numbers[0]), "{made}");
        }
        for number in 0..922 {
            let spec = json!({"type": "NodePort", "ports": ports(3)});
            let made = write(&services, &format!("n{number}"), spec).unwrap();
            let numbers = held(&made);
            assert!(numbers.len() == 4 && numbers.into_iter().all(|number| seen.insert(number)), "{made}");
        }
        let full = write(&services, "more", json!({"type": "NodePort", "ports": ports(3)}));
        assert_eq!(
            full.unwrap_err(),
            "Internal error occurred: failed to allocate a nodePort: range is full"
        );
        services.set(&key("n7"), None);
        write(&services, "more", json!({"type": "NodePort", "ports": ports(3)})).unwrap();
    }

    #[test]
    fn what_is_named_is_refused_where_it_is_anothers_or_of_another_range() {
        let services = Arc::new(Services::default());
        let node = |port: u64| json!([{"port": 80, "nodePort": port}]);
        let named = json!({"clusterIP": "10.96.0.10", "type": "NodePort", "ports": node(30_080)});
        write(&services, "first", named).unwrap();
        for (spec, why) in [
            (
                json!({"clusterIP": "10.96.0.10", "ports": ports(1)}),
                "spec.clusterIPs: Invalid value: [\"10.96.0.10\"]: failed to allocate IP 10.96.0.10: provided IP is already allocated",
            ),
            (
                json!({"clusterIP": "10.0.0.1", "ports": ports(1)}),
                "the provided IP (10.0.0.1) is not in the valid range. The range of valid IPs is 10.96.0.0/12",
            ),
            (json!({"clusterIP": "10.96.0.0", "ports": ports(1)}), "is not in the valid range"),
            (json!({"clusterIP": "fd00::1", "ports": ports(1)}), "is not in the valid range"),
            (
                json!({"clusterIPs": ["10.96.0.11"], "ports": ports(1)}),
                "must be empty when `clusterIP` is not specified",
            ),
            (
                json!({"type": "NodePort", "ports": node(30_080)}),
                "spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated",
            ),
            (
                json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30_080, "ports": ports(1)}),
                "spec.healthCheckNodePort: Invalid value: 30080: provided port is already allocated",
            ),
        ] {
            let refused = write(&services, "second", spec.clone()).unwrap_err();
            assert!(refused.contains(why), "{spec}: {refused}");
        }
        // What was refused, or was not written, took nothing.
        let mut dry = service("dry", json!({"clusterIP": "10.96.0.11", "ports": ports(1)}));
        drop(services.reserve(&key("dry"), &mut dry, None).unwrap());
        write(
            &services,
            "second",
            json!({"clusterIP": "10.96.0.11", "type": "NodePort", "ports": node(30_081)}),
        )
        .unwrap();
        for spec in [
            json!({"type": "ExternalName", "externalName": "a.example"}),
            json!({"clusterIP": "None", "ports": ports(1)}),
        ] {
            assert_eq!(held(&write(&services, "other", spec).unwrap()), []);
        }
    }

    #[test]
    fn a_service_keeps_what_it_has_as_it_changes() {
        let services = Arc::new(Services::default());
        let change = |old: &Value, spec: Value| {
            let mut new = json!({"metadata": old["metadata"], "spec": spec});
            SERVICES.prepare(&mut new, Some(old));
            let _reserved = services.reserve(&key("s"), &mut new, Some(old)).unwrap();
            let errors = SERVICES.validate(&new, Some(old));
            assert!(errors.is_empty(), "{errors:?}");
            services.set(&key("s"), Some(&new));
            new
        };
        let old = write(&services, "s", json!({"type": "NodePort", "ports": ports(2)})).unwrap();
        let new = change(
            &old,
            json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": ports(3)}),
        );
        assert_eq!(
            (&new["spec"]["clusterIP"], &new["spec"]["ports"][1]),
            (&old["spec"]["clusterIP"], &old["spec"]["ports"][1])
        );
        assert_eq!(held(&new).len(), 5, "{new}");
        let mut inner = new["spec"].clone();
        inner["type"] = "ClusterIP".into();
        for field in ["externalTrafficPolicy", "allocateLoadBalancerNodePorts", "healthCheckNodePort"] {
            inner.as_object_mut().unwrap().shift_remove(field);
        }
        let inner = change(&new, inner);
        assert_eq!(held(&inner), held(&new)[..1], "{inner}");
        let outer = change(
            &inner,
            json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ports": ports(2)}),
        );
        assert_eq!(held(&outer), held(&new)[..1], "{outer}");
    }
}
