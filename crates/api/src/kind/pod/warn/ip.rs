//! Addresses in a non-canonical form.

use std::net::IpAddr;

use super::Warnings;
use crate::kind::at::At;

pub(super) fn check(spec: &At<'_>, warnings: &mut Warnings) {
    let servers = spec.field("dnsConfig").field("nameservers").items();
    let aliases = spec.field("hostAliases").items().map(|alias| alias.field("ip"));
    servers.chain(aliases).for_each(|address| check_address(&address, warnings));
}

fn check_address(address: &At<'_>, warnings: &mut Warnings) {
    let text = address.text();
    let Ok(IpAddr::V6(parsed)) = text.parse() else { return };
    if let Some(mapped) = parsed.to_ipv4_mapped() {
        let what = format_args!("non-standard IP address {text:?} is invalid: use \"{mapped}\"");
        warnings.add(address, what);
    } else if parsed.to_string() != text {
        let what =
            format_args!("IPv6 address {text:?} should be in RFC 5952 canonical format (\"{parsed}\")");
        warnings.add(address, what);
    }
}
