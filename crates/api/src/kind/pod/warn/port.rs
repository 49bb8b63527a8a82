//! Duplicate ports.

use std::collections::HashMap;

use super::{Warnings, containers};
use crate::kind::at::At;

/// A port of a container.
struct Port<'v> {
    at: At<'v>,
    address: &'v str,
    host: i64,
}

impl<'v> Port<'v> {
    fn new(at: At<'v>) -> Self {
        let (address, host) = (at.field("hostIP").text(), at.field("hostPort").number().unwrap_or_default());
        Self { at, address, host }
    }

    /// In Go's format.
    fn printed(&self) -> String {
        format!(
            "{{Name:{} HostPort:{} ContainerPort:{} Protocol:{} HostIP:{}}}",
            self.at.field("name").text(),
            self.host,
            self.at.field("containerPort").number().unwrap_or_default(),
            self.at.field("protocol").text(),
            self.address
        )
    }

    /// The conflict with an earlier port of the same number and protocol.
    fn clash(&self, other: &Self) -> Option<&'static str> {
        if (self.address, self.host) == (other.address, other.host) {
            Some("duplicate")
        } else if self.host == 0 || other.host == 0 {
            Some("overlapping")
        } else {
            (self.host == other.host && (self.address.is_empty() || other.address.is_empty()))
                .then_some("dangerously ambiguous")
        }
    }
}

/// The ports of one number and protocol, indexed so that conflicts are found without comparing all pairs.
#[derive(Default)]
struct Same<'v> {
    ports: Vec<Port<'v>>,
    by_host: HashMap<i64, Vec<usize>>,
    by_place: HashMap<(&'v str, i64), Vec<usize>>,
}

impl<'v> Same<'v> {
    /// The earlier ports that may conflict with one, in order. Each of them does, so that a caller with enough can
    /// stop.
    fn rivals(&self, port: &Port<'v>) -> Vec<usize> {
        let of_host = |host: i64| self.by_host.get(&host).into_iter().flatten().copied();
        let at = |address: &'v str| self.by_place.get(&(address, port.host)).into_iter().flatten().copied();
        let mut found: Vec<usize> = match (port.host, port.address) {
            (0, _) => (0..self.ports.len()).take(super::ENOUGH).collect(),
            (host, "") => of_host(0).take(super::ENOUGH).chain(of_host(host).take(super::ENOUGH)).collect(),
            (_, address) => of_host(0)
                .take(super::ENOUGH)
                .chain(at("").take(super::ENOUGH))
                .chain(at(address).take(super::ENOUGH))
                .collect(),
        };
        found.sort_unstable();
        found
    }

    fn add(&mut self, port: Port<'v>) {
        let at = self.ports.len();
        self.by_host.entry(port.host).or_default().push(at);
        self.by_place.entry((port.address, port.host)).or_default().push(at);
        self.ports.push(port);
    }
}

pub(super) fn check(spec: &At<'_>, warnings: &mut Warnings) {
    let ports = || containers(spec).flat_map(|container| container.field("ports").items());
    let mut all: HashMap<(i64, &str), Same<'_>> = HashMap::new();
    for port in ports().map(Port::new) {
        if warnings.is_full() {
            return;
        }
        if !port.address.is_empty() && port.host == 0 {
            warnings.add(&port.at, format_args!("hostIP set without hostPort: {}", port.printed()));
        }
        let key =
            (port.at.field("containerPort").number().unwrap_or_default(), port.at.field("protocol").text());
        let same = all.entry(key).or_default();
        for other in same.rivals(&port).into_iter().filter_map(|rival| same.ports.get(rival)) {
            if let Some(how) = port.clash(other) {
                warnings.add(&port.at, format_args!("{how} port definition with {}", other.at.path()));
            }
        }
        same.add(port);
    }
    check_names(ports(), warnings);
}

fn check_names<'v>(ports: impl Iterator<Item = At<'v>>, warnings: &mut Warnings) {
    let mut seen: HashMap<&str, At<'v>> = HashMap::new();
    for port in ports {
        let name = port.field("name").text();
        match seen.get(name) {
            _ if name.is_empty() => {}
            None => drop(seen.insert(name, port)),
            Some(other) => {
                let other = other.path();
                let what = format_args!(
                    "duplicate port name {name:?} with {other}, services and probes that select ports by name will use {other}"
                );
                warnings.add(&port, what);
            }
        }
    }
}
