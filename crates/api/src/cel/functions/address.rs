//! IP addresses and networks, represented by their canonical texts.

use std::net::IpAddr;
use std::sync::Arc;

use cel::extractors::This;
use cel::{Context, ExecutionError, FunctionContext, Value};

use super::{Outcome, fails};

pub(super) fn add(context: &mut Context<'_, '_>) {
    let _ = context.add_function("isIP", |text: Arc<String>| parse(&text).is_some());
    let _ = context.add_function("ip", ip);
    let _ = context.add_function("ip.isCanonical", |text: Arc<String>| -> Outcome {
        Ok(Value::Bool(address("ip.isCanonical", &text)?.to_string() == *text))
    });
    let _ = context.add_function("family", |This(this): This<Arc<String>>| -> Outcome {
        address("family", &this).map(|address| Value::Int(if address.is_ipv4() { 4 } else { 6 }))
    });
    for (name, holds) in QUALITIES {
        let quality = move |This(this): This<Arc<String>>| -> Outcome {
            address(name, &this).map(|address| Value::Bool(holds(&address)))
        };
        let _ = context.add_function(name, quality);
    }
    networks(context);
}

type Quality = (&'static str, fn(&IpAddr) -> bool);

/// The kinds of addresses, as Go's `net/netip` tells them.
const QUALITIES: [Quality; 5] = [
    ("isUnspecified", IpAddr::is_unspecified),
    ("isLoopback", IpAddr::is_loopback),
    ("isLinkLocalMulticast", is_link_local_multicast),
    ("isLinkLocalUnicast", is_link_local_unicast),
    ("isGlobalUnicast", is_global_unicast),
];

fn is_link_local_multicast(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets().starts_with(&[224, 0, 0]),
        IpAddr::V6(address) => address.is_multicast() && address.octets()[1] & 0x0f == 2,
    }
}

fn is_link_local_unicast(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn is_global_unicast(address: &IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    let is_other = is_broadcast || address.is_unspecified() || address.is_loopback();
    !is_other && !address.is_multicast() && !is_link_local_unicast(address)
}

/// `ip('10.0.0.1')`, and the address of a network: `cidr('10.0.0.1/8').ip()`.
fn ip(call: &FunctionContext<'_, '_>, This(text): This<Arc<String>>) -> Outcome {
    let address = match call.this {
        Some(_) => network("ip", &text)?.address,
        None => address("ip", &text)?,
    };
    Ok(Value::from(address.to_string()))
}

fn networks(context: &mut Context<'_, '_>) {
    let _ = context.add_function("isCIDR", |text: Arc<String>| Network::parse(&text).is_some());
    let _ = context.add_function("cidr", |text: Arc<String>| -> Outcome {
        Ok(Value::from(network("cidr", &text)?.to_string()))
    });
    let holds = |This(this): This<Arc<String>>, inner: Arc<String>| -> Outcome {
        Ok(Value::Bool(network("containsIP", &this)?.contains(address("containsIP", &inner)?)))
    };
    let _ = context.add_function("containsIP", holds);
    let holds = |This(this): This<Arc<String>>, inner: Arc<String>| -> Outcome {
        let (outer, inner) = (network("containsCIDR", &this)?, network("containsCIDR", &inner)?);
        Ok(Value::Bool(outer.bits <= inner.bits && outer.contains(inner.address)))
    };
    let _ = context.add_function("containsCIDR", holds);
    let _ = context.add_function("prefixLength", |This(this): This<Arc<String>>| -> Outcome {
        Ok(Value::Int(network("prefixLength", &this)?.bits.into()))
    });
    let _ = context.add_function("masked", |This(this): This<Arc<String>>| -> Outcome {
        Ok(Value::from(network("masked", &this)?.masked().to_string()))
    });
}

/// An address; those of IPv4 that are mapped into IPv6 count as invalid, as in Kubernetes.
fn parse(text: &str) -> Option<IpAddr> {
    let address = text.parse().ok()?;
    let is_mapped = matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
    (!is_mapped).then_some(address)
}

fn address(function: &str, text: &str) -> Result<IpAddr, ExecutionError> {
    let why = || format!("IP Address {text:?} parse error during conversion from string");
    parse(text).ok_or_else(|| fails(function, why()))
}

fn network(function: &str, text: &str) -> Result<Network, ExecutionError> {
    let why = || format!("network address {text:?} parse error during conversion from string");
    Network::parse(text).ok_or_else(|| fails(function, why()))
}

/// A network, or an address with its network's length.
#[derive(Clone, Copy)]
struct Network {
    address: IpAddr,
    bits: u32,
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.rsplit_once('/')?;
        let address = parse(address)?;
        let is_number =
            bits.bytes().all(|byte| byte.is_ascii_digit()) && (bits.len() < 2 || !bits.starts_with('0'));
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.parse().ok().filter(|bits| is_number && *bits <= most)?;
        Some(Self { address, bits })
    }

    fn masked(self) -> Self {
        let address = match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - self.bits).unwrap_or(0);
                IpAddr::V4((address.to_bits() & mask).into())
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - self.bits).unwrap_or(0);
                IpAddr::V6((address.to_bits() & mask).into())
            }
        };
        Self { address, ..self }
    }

    /// Whether an address is in the network; never one of the other family.
    fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && Self { address, ..self }.masked().address == self.masked().address
    }
}
