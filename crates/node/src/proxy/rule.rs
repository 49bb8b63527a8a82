//! The rule of iptables that leads a node's pods to the relay.

use std::net::SocketAddrV4;

use crate::iptables::{self, iptables};
use crate::layout::Layout;

const CHAIN: &str = "PREROUTING";

/// What the rule leads where, for packets that come from the node's bridge.
pub(crate) struct Rule<'r> {
    pub(crate) layout: &'r Layout,
    pub(crate) from: SocketAddrV4,
    pub(crate) to: SocketAddrV4,
}

impl Rule<'_> {
    /// Makes this the node's only rule, if it is not.
    pub(crate) async fn keep(&self) -> Result<(), &'static str> {
        const FAILED: &str = "iptables fails";
        let own = own(self.layout).await.ok_or(FAILED)?;
        if let [only] = own.as_slice()
            && self.is(only)
        {
            return Ok(());
        }
        for old in own {
            iptables::delete(&old).await;
        }
        let words = self.words();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        // First, before those of other proxies for services.
        iptables(&[["-I", CHAIN].as_slice(), &words].concat()).await.map(drop).ok_or(FAILED)
    }

    fn words(&self) -> Vec<String> {
        let (bridge, mark) = (self.layout.bridge(), mark(self.layout));
        let (address, port) = (self.from.ip(), self.from.port());
        let to = self.to;
        let matched =
            format!("-d {address}/32 -i {bridge} -p tcp -m tcp --dport {port} -m comment --comment");
        let mut words: Vec<String> = matched.split(' ').map(str::to_owned).collect();
        words.push(mark);
        words.extend(["-j".to_owned(), "DNAT".to_owned(), "--to-destination".to_owned(), to.to_string()]);
        words
    }

    /// Whether a rule that was read is this one.
    fn is(&self, read: &iptables::Rule) -> bool {
        let words = self.words();
        read.0.len() == words.len() + 2 && words.iter().all(|word| read.0.contains(word))
    }
}

/// The comment of a node's rules, which no other has.
fn mark(layout: &Layout) -> String {
    format!("{}: the API server", layout.network())
}

/// The rules of a node.
async fn own(layout: &Layout) -> Option<Vec<iptables::Rule>> {
    let mark = mark(layout);
    let mut rules = iptables::rules().await?;
    rules.retain(|rule| {
        rule.0.first().is_some_and(|word| word == "-A")
            && rule.0.get(1).is_some_and(|chain| chain == CHAIN)
            && rule.0.contains(&mark)
    });
    Some(rules)
}

/// Removes the rules of a node.
pub(crate) async fn remove(layout: &Layout) {
    for rule in own(layout).await.unwrap_or_default() {
        iptables::delete(&rule).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_recognized_as_iptables_prints_it() {
        let layout = Layout::new("/var/lib/palisade".as_ref());
        let (from, to) = ("10.96.0.1:443".parse().unwrap(), "10.85.0.1:40000".parse().unwrap());
        let rule = Rule { layout: &layout, from, to };
        let (bridge, network) = (layout.bridge(), layout.network());
        let line = format!(
            "-A PREROUTING -d 10.96.0.1/32 -i {bridge} -p tcp -m tcp --dport 443 -m comment --comment \"{network}: the API server\" -j DNAT --to-destination 10.85.0.1:40000"
        );
        assert!(rule.is(&iptables::Rule::parse(&line)), "{:?}", rule.words());
        for (part, other) in
            [("40000", "40001"), ("10.96.0.1", "10.96.0.2"), ("dport 443", "dport 444"), ("-j DNAT", "")]
        {
            assert!(!rule.is(&iptables::Rule::parse(&line.replace(part, other))), "{part}");
        }
    }
}
