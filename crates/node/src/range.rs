//! The range of addresses of a node's pods, which no other network of the machine may have.

use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use crate::layout::Layout;

/// A range of IPv4 addresses for pods, as `10.85.0.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodRange {
    first: u32,
    length: u8,
}

/// The reason why a text cannot be the range of pods.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PodRangeError {
    /// It is not an IPv4 address with a prefix length.
    #[error("expected an IPv4 address and a prefix length, as 10.85.0.0/24")]
    Form,
    /// There are too few addresses for the bridge and pods, or so many that others' are among them.
    #[error("the prefix length must be from 8 to 29")]
    Length,
    /// The address is one within the range.
    #[error("the range begins with {0}: give {0}/{1}")]
    Inside(Ipv4Addr, u8),
    /// The addresses are not for interfaces of a machine.
    #[error("loopback, multicast and reserved addresses cannot be those of pods")]
    Reserved,
}

impl FromStr for PodRange {
    type Err = PodRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, length) = text.split_once('/').ok_or(PodRangeError::Form)?;
        let address: Ipv4Addr = address.parse().map_err(|_| PodRangeError::Form)?;
        let length: u8 = length.parse().map_err(|_| PodRangeError::Form)?;
        if !(8..=29).contains(&length) {
            return Err(PodRangeError::Length);
        }
        if matches!(address.octets(), [0 | 127 | 224..=255, ..]) {
            return Err(PodRangeError::Reserved);
        }
        let range = Self::new(address, length);
        match range.first == u32::from(address) {
            true => Ok(range),
            false => Err(PodRangeError::Inside(range.first.into(), length)),
        }
    }
}

/// The usual range, 10.85.0.0/24.
impl Default for PodRange {
    fn default() -> Self {
        Self::new(Ipv4Addr::new(10, 85, 0, 0), 24)
    }
}

impl fmt::Display for PodRange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", Ipv4Addr::from(self.first), self.length)
    }
}

impl PodRange {
    /// The range of an address. A length of 0 has all addresses.
    fn new(address: Ipv4Addr, length: u8) -> Self {
        Self { first: u32::from(address) & mask(length), length }
    }

    /// The address of the bridge, by which pods reach the machine: the first one, as CNI's plugins choose it.
    pub(crate) fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(self.first + 1)
    }

    /// Whether a pod may have an address.
    pub(crate) fn has_pod(self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.length) == self.first && address != self.gateway()
    }

    /// Whether two ranges share addresses: the first address of one is in the other.
    fn overlaps(self, other: Self) -> bool {
        (self.first ^ other.first) & mask(self.length.min(other.length)) == 0
    }
}

fn mask(length: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0)
}

/// The reason why a node cannot have a range.
#[derive(Debug, thiserror::Error)]
pub enum RangeError {
    /// Another node of this machine has it.
    #[error(
        "--pod-cidr {range} overlaps {other}, the range of this machine's node in {0}: {advice}, or end that node with `palisade down --node-dir {0}`",
        .node.display()
    )]
    Node {
        /// The requested range.
        range: PodRange,
        /// The other's.
        other: PodRange,
        /// The other's folder.
        node: PathBuf,
        /// A range that is free, as an option.
        advice: String,
    },
    /// The machine sends packets for it elsewhere.
    #[error("--pod-cidr {range} overlaps the route {route} of this machine by {interface}: {advice}")]
    Route {
        /// The requested range.
        range: PodRange,
        /// The route's range.
        route: PodRange,
        /// The route's interface.
        interface: String,
        /// A range that is free, as an option.
        advice: String,
    },
    /// The node's own bridge, and so pods that run, have another.
    #[error(
        "the pods of this node have addresses of {own}: give --pod-cidr {own}, or end them with `palisade down --node-dir {}`", .node.display()
    )]
    Own {
        /// The bridge's range.
        own: PodRange,
        /// The node's folder.
        node: PathBuf,
    },
    /// The range cannot be recorded.
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
}

/// The range of a node's pods, which no other node of this machine gets until the last copy is dropped.
#[derive(Clone, Debug)]
pub struct Network {
    range: PodRange,
    _record: Arc<File>,
}

impl Network {
    /// Records that the node in a folder has a range. It is recorded before the others' are read, so that of two nodes
    /// that start at once each sees the other.
    pub(crate) fn new(layout: &Layout, range: PodRange) -> Result<Self, RangeError> {
        let path = layout.range();
        let record = record(&path, range, layout.root()).map_err(|error| RangeError::File(path, error))?;
        let routes = routes(&std::fs::read_to_string("/proc/net/route").unwrap_or_default());
        if let Err(error) = check(layout, range, &nodes(&layout.range()), &routes) {
            // A node that does not start leaves nothing.
            let _ = std::fs::remove_file(layout.range());
            let _ = std::fs::remove_dir(layout.run());
            return Err(error);
        }
        Ok(Self { range, _record: Arc::new(record) })
    }

    /// The range.
    pub(crate) fn range(&self) -> PodRange {
        self.range
    }
}

fn record(path: &Path, range: PodRange, root: &Path) -> std::io::Result<File> {
    if let Some(folder) = path.parent() {
        crate::private::private(folder)?;
    }
    let mut file = File::options().write(true).create(true).truncate(false).open(path)?;
    // Others hold it for the moment in which they see whether it is held.
    file.lock()?;
    file.set_len(0)?;
    writeln!(file, "{range} {}", root.display())?;
    Ok(file)
}

/// Another node of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Other {
    root: PathBuf,
    range: PodRange,
    /// Whether its agent runs.
    runs: bool,
}

/// The nodes of this machine that have recorded a range since it was started.
fn nodes(own: &Path) -> Vec<Other> {
    let folders = own.parent().and_then(Path::parent).map(std::fs::read_dir);
    let folders = folders.into_iter().flatten().flatten().flatten();
    let is_node = |folder: &std::fs::DirEntry| folder.file_name().to_string_lossy().starts_with("palisade-");
    let records = folders.filter(is_node).filter_map(|folder| Some(folder.path().join(own.file_name()?)));
    records.filter(|record| record != own).filter_map(|record| read(&record)).collect()
}

fn read(record: &Path) -> Option<Other> {
    let mut file = File::open(record).ok()?;
    let runs = file.try_lock_shared().is_err();
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    let (range, root) = text.trim_end().split_once(' ')?;
    Some(Other { root: root.into(), range: range.parse().ok()?, runs })
}

/// A route of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Route {
    interface: String,
    range: PodRange,
    /// Whether the addresses are those of a neighbour's, not behind a router.
    is_near: bool,
}

/// The routes in `/proc/net/route`, whose numbers are those of a little-endian machine's memory; without the default.
fn routes(table: &str) -> Vec<Route> {
    let route = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |place: usize| u32::from_str_radix(words.get(place)?, 16).ok().map(u32::swap_bytes);
        let (address, router, mask) = (number(1)?, number(2)?, number(7)?);
        let length = u8::try_from(mask.leading_ones()).ok()?;
        let range = PodRange::new(address.into(), length);
        Some(Route { interface: words.first()?.to_string(), range, is_near: router == 0 })
    };
    table.lines().skip(1).filter_map(route).filter(|route| route.range.length > 0).collect()
}

/// Checks that a node may have a range.
fn check(layout: &Layout, range: PodRange, nodes: &[Other], routes: &[Route]) -> Result<(), RangeError> {
    let bridge = layout.bridge();
    let (own, others): (Vec<&Route>, Vec<&Route>) =
        routes.iter().partition(|route| route.interface == bridge);
    // Pods go on without their agent, as long as their bridge is there.
    let is_there = |node: &&Other| {
        let bridge = Layout::new(&node.root).bridge();
        node.runs || others.iter().any(|route| route.interface == bridge)
    };
    let nodes: Vec<&Other> = nodes.iter().filter(is_there).collect();
    if let Some(own) = own.first().filter(|own| own.range != range) {
        return Err(RangeError::Own { own: own.range, node: layout.root().to_owned() });
    }
    // A wider route by a router, as that of a VPN, leaves its parts to others.
    let is_taken = |route: &&&Route| {
        route.range.overlaps(range) && (route.is_near || route.range.length >= range.length)
    };
    let taken = || nodes.iter().map(|node| node.range).chain(others.iter().map(|route| route.range));
    if let Some(node) = nodes.iter().find(|node| node.range.overlaps(range)) {
        let (other, node) = (node.range, node.root.clone());
        return Err(RangeError::Node { range, other, node, advice: advice(taken()) });
    }
    if let Some(route) = others.iter().find(is_taken) {
        let (interface, route) = (route.interface.clone(), route.range);
        return Err(RangeError::Route { range, route, interface, advice: advice(taken()) });
    }
    Ok(())
}

/// The first range after the usual one that is free.
fn advice(taken: impl Iterator<Item = PodRange>) -> String {
    let usual = PodRange::new(Ipv4Addr::new(10, 85, 0, 0), 16);
    let near: Vec<PodRange> = taken.filter(|taken| taken.overlaps(usual)).collect();
    let mut all = (1..=255).map(|third| PodRange::new(Ipv4Addr::new(10, 85, third, 0), 24));
    match all.find(|range| near.iter().all(|taken| !taken.overlaps(*range))) {
        Some(free) => format!("give another range, as --pod-cidr {free}"),
        None => "give a range that is free".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> PodRange {
        let (address, length) = text.split_once('/').unwrap();
        PodRange::new(address.parse().unwrap(), length.parse().unwrap())
    }

    #[test]
    fn a_range_is_read_with_the_reason_if_it_is_none() {
        for (text, expected) in [
            ("10.85.0.0/24", Ok(())),
            ("172.20.0.0/16", Ok(())),
            ("10.85.0.8/29", Ok(())),
            ("10.85.0.5/24", Err(PodRangeError::Inside(Ipv4Addr::new(10, 85, 0, 0), 24))),
            ("10.85.0.0/30", Err(PodRangeError::Length)),
            ("10.85.0.0/0", Err(PodRangeError::Length)),
            ("10.85.0.0/33", Err(PodRangeError::Length)),
            ("127.0.0.0/24", Err(PodRangeError::Reserved)),
            ("224.0.0.0/24", Err(PodRangeError::Reserved)),
            ("10.85.0.0", Err(PodRangeError::Form)),
            ("10.85.0/24", Err(PodRangeError::Form)),
            ("fd00::/64", Err(PodRangeError::Form)),
            ("10.85.0.0/24x", Err(PodRangeError::Form)),
            ("", Err(PodRangeError::Form)),
        ] {
            let got = text.parse::<PodRange>();
            assert_eq!(got.clone().map(|_| ()), expected, "{text}");
            assert!(got.is_err() || got.unwrap().to_string() == text);
        }
    }

    #[test]
    fn pods_have_all_addresses_but_the_bridges() {
        let range = range("10.85.0.8/29");
        assert_eq!(range.gateway(), Ipv4Addr::new(10, 85, 0, 9));
        for (last, is_pods) in [(9, false), (10, true), (14, true), (16, false), (7, false)] {
            assert_eq!(range.has_pod(Ipv4Addr::new(10, 85, 0, last)), is_pods, "{last}");
        }
        assert!(!range.has_pod(Ipv4Addr::LOCALHOST));
    }

    #[test]
    fn ranges_overlap_if_they_share_an_address() {
        for (a, b, expected) in [
            ("10.85.0.0/24", "10.85.0.0/24", true),
            ("10.85.0.0/24", "10.85.1.0/24", false),
            ("10.85.0.0/16", "10.85.255.0/24", true),
            ("10.85.0.0/24", "10.85.0.255/32", true),
            ("10.85.0.0/24", "0.0.0.0/0", true),
        ] {
            assert_eq!(range(a).overlaps(range(b)), expected, "{a} {b}");
            assert_eq!(range(b).overlaps(range(a)), expected, "{b} {a}");
        }
    }

    #[test]
    fn a_range_that_others_have_is_refused_with_one_that_is_free() {
        let layout = Layout::new(Path::new("/none"));
        // 10.85.0.0/24 by another bridge, 10.90.0.0/16 by a router, 10.91.0.0/16 beside, the default route.
        let table = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
            palother 0000550A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n\
            tun0 00005A0A 0100000A 0003 0 0 0 0000FFFF 0 0 0\n\
            eth1 00005B0A 00000000 0001 0 0 0 0000FFFF 0 0 0\n\
            eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0\n\
            nonsense\n";
        let of = |root: &str, text: &str, runs| Other { root: root.into(), range: range(text), runs };
        let bridge = |root: &str| Layout::new(Path::new(root)).bridge();
        let table = table.replace("palother", &bridge("/killed"));
        let routes = super::routes(&table);
        assert_eq!(routes.len(), 3, "{routes:?}");
        let nodes = [
            of("/second", "10.85.1.0/24", true),
            of("/killed", "10.85.0.0/24", false),
            of("/gone", "10.85.2.0/24", false),
        ];
        let say = |text: &str| {
            check(&layout, range(text), &nodes, &routes)
                .map_err(|error| error.to_string())
                .err()
                .unwrap_or_default()
        };
        for (asked, expected) in [
            (
                "10.85.0.0/24",
                "overlaps 10.85.0.0/24, the range of this machine's node in /killed: give another range, as --pod-cidr 10.85.2.0/24, or end that node with `palisade down --node-dir /killed`",
            ),
            ("10.85.0.0/16", "overlaps 10.85.1.0/24, the range of this machine's node in /second"),
            (
                "10.91.1.0/24",
                "overlaps the route 10.91.0.0/16 of this machine by eth1: give another range, as --pod-cidr 10.85.2.0/24",
            ),
            ("10.90.0.0/16", "overlaps the route 10.90.0.0/16 of this machine by tun0"),
            ("10.85.2.0/24", ""),
            ("10.90.1.0/24", ""),
            ("192.168.0.0/16", ""),
        ] {
            let said = say(asked);
            assert!(said.contains(expected) && said.is_empty() == expected.is_empty(), "{asked}: {said}");
        }
    }

    #[test]
    fn the_nodes_own_bridge_decides() {
        let layout = Layout::new(Path::new("/none"));
        let own = [Route { interface: layout.bridge(), range: range("10.85.3.0/24"), is_near: true }];
        check(&layout, range("10.85.3.0/24"), &[], &own).unwrap();
        let said = check(&layout, range("10.85.4.0/24"), &[], &own).unwrap_err().to_string();
        assert!(
            said.contains("give --pod-cidr 10.85.3.0/24, or end them with `palisade down --node-dir /none`"),
            "{said}"
        );
    }

    #[test]
    fn a_record_counts_while_it_is_held() {
        let run = tempfile::tempdir().unwrap();
        let at = |id: &str| run.path().join(format!("palisade-{id}/pod-cidr"));
        let first = record(&at("a"), range("10.85.0.0/24"), Path::new("/a b")).unwrap();
        let other = |runs| Other { root: "/a b".into(), range: range("10.85.0.0/24"), runs };
        assert_eq!(nodes(&at("b")), [other(true)]);
        assert_eq!(nodes(&at("a")), []);
        drop(first);
        assert_eq!(nodes(&at("b")), [other(false)]);
    }
}
