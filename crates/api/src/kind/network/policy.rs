//! Rules for network policies, as `pkg/apis/networking/validation/validation.go` has them.

use std::net::IpAddr;

use palisade_k8s::FieldError;
use serde_json::Value;

use super::super::at::At;
use super::super::selecting::{check_port, check_selector};

type Errors = Vec<FieldError>;

/// A network: an address, and its prefix length.
#[derive(Clone, Copy)]
struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let is_number = !bits.is_empty() && bits.bytes().all(|digit| digit.is_ascii_digit());
        let bits = bits.parse().ok().filter(|bits| is_number && *bits <= most)?;
        Some(Self { address, bits })
    }

    /// Whether another network is a proper subset of this one.
    fn has_within(self, other: Self) -> bool {
        let shared = |one: u128, other: u128, width: u32| {
            let shift = width - u32::from(self.bits);
            one.checked_shr(shift).unwrap_or_default() == other.checked_shr(shift).unwrap_or_default()
        };
        let is_within = match (self.address, other.address) {
            (IpAddr::V4(one), IpAddr::V4(other)) => shared(one.to_bits().into(), other.to_bits().into(), 32),
            (IpAddr::V6(one), IpAddr::V6(other)) => shared(one.to_bits(), other.to_bits(), 128),
            _ => false,
        };
        is_within && self.bits < other.bits
    }
}

/// Validates a network policy.
pub(super) fn validate(policy: &Value) -> Errors {
    let mut errors = Vec::new();
    let spec = At::root(policy, "spec");
    check_selector(&spec.field("podSelector"), &mut errors);
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for rule in spec.field(direction).items() {
            rule.field("ports").items().for_each(|port| check_ports(&port, &mut errors));
            rule.field(peers).items().for_each(|peer| check_peer(&peer, &mut errors));
        }
    }
    let types = spec.field("policyTypes");
    if types.items().count() > 2 {
        errors.push(types.invalid_whole("may not specify more than two policyTypes"));
    } else {
        errors.extend(types.items().filter_map(|kind| kind.none_of(&["Ingress", "Egress"])));
    }
    errors
}

fn check_ports(range: &At<'_>, errors: &mut Errors) {
    let (port, end) = (range.field("port"), range.field("endPort"));
    errors.extend(range.field("protocol").none_of(&["SCTP", "TCP", "UDP"]));
    check_port(&port, errors);
    match (port.number(), end.number()) {
        (_, None) => {}
        (None, Some(_)) => errors.push(end.invalid("may not be specified unless `port` is a number")),
        (Some(first), Some(last)) if last < first => errors.push(end.invalid("must be at least `port`")),
        (Some(_), Some(_)) => errors.extend(end.outside(1..=65_535)),
    }
}

fn check_peer(peer: &At<'_>, errors: &mut Errors) {
    let selectors = ["podSelector", "namespaceSelector"];
    let has_selector = peer.set(&selectors).next().is_some();
    for selector in peer.set(&selectors) {
        check_selector(&selector, errors);
    }
    let block = peer.field("ipBlock");
    match (block.is_set(), has_selector) {
        (false, false) => errors.push(peer.required("must specify a peer")),
        (true, true) => errors.push(peer.forbidden("may not specify both ipBlock and another peer")),
        (true, false) => check_block(&block, errors),
        (false, true) => {}
    }
}

fn check_block(block: &At<'_>, errors: &mut Errors) {
    const WHY: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    let cidr = block.field("cidr");
    errors.extend(cidr.missing());
    let network = Network::parse(cidr.text());
    if network.is_none() && !cidr.text().is_empty() {
        errors.push(cidr.invalid(WHY));
    }
    for except in block.field("except").items() {
        match (network, Network::parse(except.text())) {
            (_, None) => errors.push(except.invalid(WHY)),
            (Some(network), Some(part)) if !network.has_within(part) => {
                errors.push(except.invalid("must be a strict subset of `cidr`"));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_parts() {
        let cases = [
            ("0.0.0.0/0", "1.2.3.0/24", true),
            ("1.2.3.0/24", "1.2.3.128/25", true),
            ("1.2.3.0/24", "1.2.3.0/24", false),
            ("1.2.3.0/24", "1.2.4.0/25", false),
            ("::/0", "1.2.3.0/24", false),
            ("2001:db8::/32", "2001:db8:1::/48", true),
            ("::/0", "::1/128", true),
        ];
        for (network, part, wanted) in cases {
            let [network, part] = [network, part].map(|text| Network::parse(text).unwrap());
            assert_eq!(network.has_within(part), wanted);
        }
        for text in ["", "1.2.3.4", "1.2.3.4/33", "1.2.3.4/", "1.2.3.4/+1", "x/1", "::/129"] {
            assert!(Network::parse(text).is_none(), "{text}");
        }
    }
}
