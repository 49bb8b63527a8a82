//! The pages of seccomp profiles: a map of the syscalls by area, and the differences between two.

use palisade_seccomp::{Action, Arch, Difference, Filter, Node, Rules, systemd, table::Syscall};
use serde_json::json;

use crate::page::{Page, changes};

/// The syscalls of an area by their result.
#[derive(Debug, Default)]
pub struct Shares {
    /// Allowed, whatever their arguments.
    pub through: Vec<&'static str>,
    /// Decided by their arguments.
    pub conditional: Vec<&'static str>,
    /// Denied, whatever their arguments.
    pub denied: Vec<&'static str>,
}

/// The results of a filter for these syscalls of an ABI.
#[must_use]
pub fn shares(syscalls: &[Syscall], filter: &Filter, arch: Arch) -> Shares {
    let mut shares = Shares::default();
    for syscall in syscalls {
        let Some(number) = syscall.number(arch) else { continue };
        let list = match filter.graph().node(filter.decision(arch.audit(), number)) {
            Node::Leaf(Action::Allow | Action::Log) => &mut shares.through,
            Node::Leaf(_) => &mut shares.denied,
            Node::Test { .. } => &mut shares.conditional,
        };
        list.push(syscall.name());
    }
    shares
}

/// A map of the syscalls by area: allowed ones, conditions, and denied ones.
#[must_use]
pub fn syscalls(title: &str, rules: &Rules, filter: &Filter, arch: Arch) -> Page {
    let conditions = |name: &str| {
        let own = rules.rules.iter().filter(|rule| rule.syscall.name() == name);
        let words = own.map(|rule| {
            let all = rule
                .conditions
                .iter()
                .map(|condition| condition.named(&rule.syscall.argument(arch, condition.arg())));
            format!("{}: {}", rule.action, all.collect::<Vec<_>>().join(" and "))
        });
        words.collect::<Vec<_>>().join("; ")
    };
    let areas: Vec<serde_json::Value> = systemd::areas()
        .map(|(area, calls)| {
            let shares = shares(&calls, filter, arch);
            let conditional = shares.conditional.iter();
            let conditional: Vec<_> =
                conditional.map(|name| json!({"name": name, "conditions": conditions(name)})).collect();
            json!({"name": area, "through": shares.through, "conditional": conditional, "denied": shares.denied})
        })
        .collect();
    let archs: Vec<_> = rules.archs.iter().map(|arch| arch.name()).collect();
    let content = json!({
        "areas": areas, "default": rules.default.to_string(), "archs": archs.join(", "), "abi": arch.name(),
    });
    Page::new("syscalls.html", title, content)
}

/// The page of the differences between two profiles of these names.
#[must_use]
pub fn difference_page(a: &str, b: &str, differences: &[Difference], archs: &[Arch]) -> Page {
    let summary = match differences.len() {
        0 => format!("{a} and {b} decide the same."),
        count => format!("{count} differences, each with an example."),
    };
    let row = |found: &Difference| [found.written(archs), found.a.to_string(), found.b.to_string()];
    changes("Seccomp difference", &summary, ["Syscall", a, b], differences.iter().map(row).collect())
}
