//! Addresses of the machine.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

/// The address of the interface with the default route; `None` without one. No packet is sent.
#[must_use]
pub fn of_default_route() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // An address for documentation, which no interface has.
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}
