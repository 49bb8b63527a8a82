//! Addresses and ports of nodes that services hold: each belongs to one service.
//!
//! Wording and order are those of `k8s.io/kubernetes/pkg/registry/core/service`, `storage/alloc.go`.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use palisade_k8s::{FieldError, FieldPath, put};
use serde_json::{Value, json};

use crate::kind::text;

/// Addresses of services, without that of the network and the last one: 10.96.0.0/12.
const ADDRESSES: RangeInclusive<u32> = 0x0a60_0001..=0x0a6f_fffe;
/// The first of these addresses, that of the service `kubernetes`.
pub const FIRST: &str = "10.96.0.1";
/// The addresses at the start of the range, and the ports, that are given only to services which name them.
const NAMED: [u32; 2] = [256, 86];
/// Ports of nodes.
pub(super) const PORTS: RangeInclusive<u32> = 30_000..=32_767;

/// An address or a port, which at most one service has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Number {
    /// An address of the cluster.
    Address(u32),
    /// A port of every node.
    Port(u32),
}

/// Why a service is not given what it lacks.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// It names what it cannot have.
    Invalid(Vec<FieldError>),
    /// Nothing is left.
    Full(String),
}

/// The numbers that all services hold.
pub trait Source {
    /// Takes a number, unless another service holds it.
    fn take(&mut self, number: Number) -> bool;
}

/// The numbers that a service holds.
#[must_use]
pub fn held(service: &Value) -> Vec<Number> {
    let addresses = service.pointer("/spec/clusterIPs").and_then(Value::as_array).into_iter().flatten();
    let addresses = addresses.filter_map(|address| Some(Number::Address(parse(address.as_str()?)?)));
    addresses.chain(ports(service).map(Number::Port)).collect()
}

fn parse(address: &str) -> Option<u32> {
    address.parse::<Ipv4Addr>().ok().map(Ipv4Addr::to_bits)
}

/// Ports of nodes that a service names, that of its health check last.
fn ports(service: &Value) -> impl Iterator<Item = u32> {
    let ports = service.pointer("/spec/ports").and_then(Value::as_array).into_iter().flatten();
    let ports =
        ports.filter_map(|port| port.get("nodePort")).chain(service.pointer("/spec/healthCheckNodePort"));
    ports.filter_map(Value::as_u64).filter_map(|port| u32::try_from(port).ok()).filter(|port| *port != 0)
}

/// Whether the ports of a service are ports of nodes too.
pub(super) fn has_node_ports(service: &Value) -> bool {
    matches!(text(service, "/spec/type"), "NodePort" | "LoadBalancer")
}

/// Keeps the ports of nodes that a service had; one that is of no such type any more loses them, unless it names others.
pub(super) fn keep_ports(service: &mut Value, old: &Value) {
    let (was, is): (HashSet<u32>, HashSet<u32>) = (ports(old).collect(), ports(service).collect());
    match (has_node_ports(old), has_node_ports(service)) {
        (true, true) => keep_by_name(service, old, was.intersection(&is).copied().collect()),
        (true, false) if is.is_subset(&was) => {
            for port in list_mut(service).filter_map(Value::as_object_mut) {
                port.shift_remove("nodePort");
            }
        }
        _ => {}
    }
}

fn list_mut(service: &mut Value) -> impl Iterator<Item = &mut Value> {
    service.pointer_mut("/spec/ports").and_then(Value::as_array_mut).into_iter().flatten()
}

/// Gives ports without one the port of nodes that the port of the same name had, unless another one names it.
fn keep_by_name(service: &mut Value, old: &Value, mut used: HashSet<u32>) {
    let list = old.pointer("/spec/ports").and_then(Value::as_array).into_iter().flatten();
    let by_name: HashMap<&str, u32> = list.map(|port| (text(port, "/name"), number(port))).collect();
    for port in list_mut(service).filter(|port| number(port) == 0) {
        let had = by_name.get(text(port, "/name")).copied().unwrap_or_default();
        if had != 0 && used.insert(had) {
            put(port, &["nodePort"], had.into());
        }
    }
}

/// The port of nodes of a port; 0 for none.
fn number(port: &Value) -> u32 {
    port.get("nodePort").and_then(Value::as_u64).and_then(|port| u32::try_from(port).ok()).unwrap_or_default()
}

/// Gives a service its address and its ports of nodes where it has none; it keeps what it had.
///
/// # Errors
///
/// The service names an address or a port that is outside of the range or another service's; or all are taken.
pub fn allocate(service: &mut Value, old: Option<&Value>, source: &mut dyn Source) -> Result<(), Refusal> {
    if text(service, "/spec/type") == "ExternalName" || !service.get("spec").is_some_and(Value::is_object) {
        return Ok(());
    }
    let seed = text(service, "/metadata/uid").bytes().fold(0, |seed, byte| mix(seed ^ u64::from(byte)));
    let mut allocator = Allocator { source, seed, errors: Vec::new() };
    if old.is_none_or(|old| text(old, "/spec/clusterIP").is_empty()) {
        allocator.address(service)?;
    }
    if has_node_ports(service) {
        allocator.ports(service)?;
    }
    match allocator.errors.is_empty() {
        true => Ok(()),
        false => Err(Refusal::Invalid(allocator.errors)),
    }
}

/// A number that looks like chance and is not.
const fn mix(seed: u64) -> u64 {
    let mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Gives one service what it needs.
struct Allocator<'s> {
    source: &'s mut dyn Source,
    seed: u64,
    errors: Vec<FieldError>,
}

impl Allocator<'_> {
    /// Takes a free number: one by chance, or the first where most are taken. Of the first ones of the range, which services
    /// may name, as a last resort.
    fn any(
        &mut self,
        range: RangeInclusive<u32>,
        named: u32,
        of: fn(u32) -> Number,
    ) -> Result<u32, &'static str> {
        let first = range.start() + named;
        let mut by_chance = || {
            self.seed = mix(self.seed);
            first + u32::try_from(self.seed % u64::from(range.end() - first + 1)).unwrap_or_default()
        };
        let tried: Vec<u32> = (0..TRIES).map(|_| by_chance()).collect();
        let mut all = tried.into_iter().chain(first..=*range.end()).chain(*range.start()..first);
        all.find(|number| self.source.take(of(*number))).ok_or("range is full")
    }

    fn address(&mut self, service: &mut Value) -> Result<(), Refusal> {
        let field = || FieldPath::of("spec").field("clusterIPs");
        let named =
            service.pointer("/spec/clusterIPs").and_then(Value::as_array).cloned().unwrap_or_default();
        match text(service, "/spec/clusterIP") {
            "None" => {}
            "" if !named.is_empty() => {
                let why = "must be empty when `clusterIP` is not specified";
                self.errors.push(FieldError::invalid(field(), named, why));
            }
            "" => {
                let found = self.any(ADDRESSES, NAMED[0], Number::Address);
                let found = found.map_err(|why| full("a serviceIP", why))?;
                let found = Ipv4Addr::from_bits(found).to_string();
                put(service, &["spec", "clusterIPs"], json!([found]));
                put(service, &["spec", "clusterIP"], found.into());
            }
            _ => {
                let mut texts = named.iter().filter_map(Value::as_str);
                let why = texts.find_map(|address| self.unusable(address));
                self.errors.extend(why.map(|why| FieldError::invalid(field(), named.clone(), why)));
            }
        }
        Ok(())
    }

    /// The reason why the service cannot have an address that it names, if there is one. Validation refuses malformed addresses.
    fn unusable(&mut self, address: &str) -> Option<String> {
        let parsed: IpAddr = address.parse().ok()?;
        let number = match parsed {
            IpAddr::V4(v4) if ADDRESSES.contains(&v4.to_bits()) => v4.to_bits(),
            _ => {
                return Some(format!(
                    "failed to allocate IP {address}: the provided IP ({address}) is not in the valid range. The range of valid IPs is 10.96.0.0/12"
                ));
            }
        };
        let is_taken = !self.source.take(Number::Address(number));
        is_taken.then(|| format!("failed to allocate IP {address}: provided IP is already allocated"))
    }

    fn ports(&mut self, service: &mut Value) -> Result<(), Refusal> {
        let is_balancer = text(service, "/spec/type") == "LoadBalancer";
        let declined = service.pointer("/spec/allocateLoadBalancerNodePorts") == Some(&Value::Bool(false));
        // What is named first, so that no other port of the service is given it.
        let mut named = HashSet::new();
        for (at, port) in list_mut(service).enumerate() {
            let path = FieldPath::of("spec").field("ports").index(at).field("nodePort");
            // The ports of two protocols may have one number.
            if number(port) != 0 && named.insert(number(port)) {
                self.named_port(number(port), path);
            }
        }
        if !(is_balancer && declined) {
            for port in list_mut(service).filter(|port| number(port) == 0) {
                put(port, &["nodePort"], self.any_port("a nodePort")?.into());
            }
        }
        if is_balancer && text(service, "/spec/externalTrafficPolicy") == "Local" {
            self.health_port(service)?;
        }
        Ok(())
    }

    fn health_port(&mut self, service: &mut Value) -> Result<(), Refusal> {
        const FIELD: &str = "healthCheckNodePort";
        let named = service.pointer("/spec/healthCheckNodePort").and_then(Value::as_u64).unwrap_or_default();
        match u32::try_from(named).unwrap_or_default() {
            0 => put(service, &["spec", FIELD], self.any_port("a healthCheckNodePort")?.into()),
            number => self.named_port(number, FieldPath::of("spec").field(FIELD)),
        }
        Ok(())
    }

    fn any_port(&mut self, what: &str) -> Result<u32, Refusal> {
        self.any(PORTS, NAMED[1], Number::Port).map_err(|why| full(what, why))
    }

    /// Takes a port that the service names. One out of the range is refused by its own rule.
    fn named_port(&mut self, number: u32, path: FieldPath) {
        if !self.source.take(Number::Port(number)) {
            self.errors.push(FieldError::invalid(path, number, "provided port is already allocated"));
        }
    }
}

/// Numbers that are tried by chance.
const TRIES: usize = 32;

fn full(what: &str, why: &str) -> Refusal {
    Refusal::Full(format!("failed to allocate {what}: {why}"))
}
