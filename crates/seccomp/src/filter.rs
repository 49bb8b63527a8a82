//! The decision of a filter, before it is a program: for every ABI and every number, a function of the arguments. It is
//! total: each number of each architecture has its decision.

use palisade_k8s::KernelVersion;

use crate::action::Action;
use crate::arch::{Arch, X32_BIT};
use crate::graph::{Graph, Node, NodeId};
use crate::precedence::{self, Branch, Conflict};
use crate::region::{WORDS, Word};
use crate::rule::{Condition, Operator, Rule};
use crate::table::{self, Syscall};

/// One syscall, as the kernel passes it to a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data {
    /// The number.
    pub number: u32,
    /// The `AUDIT_ARCH_*`.
    pub arch: u32,
    /// The arguments.
    pub args: [u64; 6],
}

impl Data {
    /// The architecture that makes the syscall, among `archs`; of x86-64 and x32, which share `AUDIT_ARCH_X86_64`, the
    /// one that the number belongs to.
    #[must_use]
    pub fn arch_among(&self, archs: &[Arch]) -> Option<Arch> {
        let is_x32 = |arch: Arch| arch == Arch::X32;
        let found = archs.iter().copied().filter(|arch| arch.audit() == self.arch);
        found.filter(|&arch| self.arch != Arch::X32.audit() || is_x32(arch) == (self.number >= X32_BIT)).max()
    }

    /// Its words, in the order of [`Word`].
    #[expect(clippy::cast_possible_truncation, reason = "a word is half of an argument")]
    pub(crate) fn words(&self) -> [u32; WORDS] {
        let [a, b, c, d, e, f] = self.args.map(|arg| (arg as u32, (arg >> 32) as u32));
        [self.number, self.arch, a.0, a.1, b.0, b.1, c.0, c.1, d.0, d.1, e.0, e.1, f.0, f.1]
    }

    pub(crate) fn of_words(words: [u32; WORDS]) -> Self {
        let [number, arch, a, ah, b, bh, c, ch, d, dh, e, eh, f, fh] = words;
        let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let args = [join(a, ah), join(b, bh), join(c, ch), join(d, dh), join(e, eh), join(f, fh)];
        Self { number, arch, args }
    }
}

/// The result for syscall numbers that the profile's kernel did not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// `ENOSYS` for numbers without a syscall, and for syscalls newer than the profile's own kernel, so that programs
    /// fall back to older syscalls. Older syscalls that it does not list get its default.
    Enosys {
        /// The kernel that the profile was written for: that of the newest syscall it names.
        kernel: KernelVersion,
    },
    /// The profile's default, as libseccomp does.
    Default,
}

/// The input of a filter.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// The result for syscalls that no rule matches.
    pub default: Action,
    /// The ABIs it is for.
    pub archs: Vec<Arch>,
    /// The rules.
    pub rules: Vec<Rule>,
    /// The result for unknown numbers.
    pub unknown: Unknown,
    /// The result for syscalls by other ABIs. libseccomp and the runtimes kill the thread.
    pub bad_arch: Action,
    /// Whether a syscall that rules allow by its arguments may also be made through `socketcall` and `ipc`, where a
    /// filter cannot see those arguments. libseccomp allows it.
    pub open_multiplexers: bool,
}

impl Rules {
    /// The syscall with the highest number that a rule names on an architecture, and the number. runc has `ENOSYS` above
    /// it alone (libcontainer/seccomp/patchbpf, `findLastSyscalls`).
    #[must_use]
    pub fn highest_named(&self, arch: Arch) -> Option<(u32, Syscall)> {
        let named = self.rules.iter().filter(|rule| rule.archs.contains(arch));
        named.filter_map(|rule| Some((rule.syscall.number(arch)?, rule.syscall))).max()
    }
}

/// The reason why rules do not form a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Two rules contradict each other.
    #[error("two rules give the same syscalls different actions: `{first}` (entry {}) and `{second}` (entry {})", first.entry, second.entry)]
    Conflict {
        /// The first.
        first: Box<Rule>,
        /// The second.
        second: Box<Rule>,
    },
    /// More rules for one syscall than a program can hold.
    #[error("{count} rules for {syscall} on {arch} are more than any program holds; {MAX_BRANCHES} may be")]
    TooMany {
        /// How many.
        count: usize,
        /// For which syscall.
        syscall: String,
        /// On which architecture.
        arch: Arch,
    },
    /// No ABI to decide for.
    #[error("no architecture to make a filter for")]
    NoArch,
}

/// Each rule takes at least one instruction, and a program has at most 4,096; equal ones may be merged.
const MAX_BRANCHES: usize = 10_000;

/// The numbers of one `AUDIT_ARCH` and their decisions.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) audit: u32,
    /// First numbers, ascending from 0, each with the decision up to the next.
    pub(crate) ranges: Vec<(u32, NodeId)>,
}

/// A total decision: the result of each syscall of each ABI, whatever its arguments.
#[derive(Clone, Debug)]
pub struct Filter {
    pub(crate) graph: Graph,
    pub(crate) sections: Vec<Section>,
    pub(crate) bad_arch: NodeId,
    archs: Vec<Arch>,
}

impl Filter {
    /// Combines rules into a filter.
    pub fn new(rules: &Rules) -> Result<Self, FilterError> {
        // Capacity for a container's profile; it grows for a larger one.
        let mut graph = Graph::with_capacity(384);
        let bad_arch = graph.leaf(rules.bad_arch);
        let mut sections: Vec<Section> = Vec::new();
        let mut archs = rules.archs.clone();
        archs.sort_unstable();
        archs.dedup();
        for &arch in &archs {
            let ranges = Builder { rules, arch, graph: &mut graph }.ranges()?;
            match sections.iter_mut().find(|section| section.audit == arch.audit()) {
                Some(section) => join_x32(&mut section.ranges, ranges),
                None => sections.push(Section { audit: arch.audit(), ranges }),
            }
        }
        if sections.is_empty() {
            return Err(FilterError::NoArch);
        }
        Ok(Self { graph, sections, bad_arch, archs })
    }

    /// The ABIs it is for, sorted.
    #[must_use]
    pub fn archs(&self) -> &[Arch] {
        &self.archs
    }

    /// The decisions of the filter.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The decision on a number.
    #[must_use]
    pub fn decision(&self, audit: u32, number: u32) -> NodeId {
        let Some(section) = self.sections.iter().find(|section| section.audit == audit) else {
            return self.bad_arch;
        };
        let at = section.ranges.partition_point(|&(start, _)| start <= number);
        section.ranges.get(at.saturating_sub(1)).map_or(self.bad_arch, |&(_, id)| id)
    }

    /// The result of a syscall.
    #[must_use]
    pub fn decide(&self, data: &Data) -> Action {
        let words = data.words();
        let mut id = self.decision(data.arch, data.number);
        loop {
            match self.graph.node(id) {
                Node::Leaf(action) => return action,
                Node::Test { word, check, yes, no } => {
                    id = if check.holds(word.of(&words)) { yes } else { no };
                }
            }
        }
    }
}

impl Word {
    pub(crate) fn of(self, words: &[u32; WORDS]) -> u32 {
        words.get(self.place()).copied().unwrap_or_default()
    }
}

/// x86_64 and x32 share an `AUDIT_ARCH`: numbers below bit 30 are the first's, the others the second's.
fn join_x32(ranges: &mut Vec<(u32, NodeId)>, x32: Vec<(u32, NodeId)>) {
    ranges.retain(|&(start, _)| start < X32_BIT);
    let last = ranges.last().map(|&(_, id)| id);
    let at = x32.partition_point(|&(start, _)| start <= X32_BIT).saturating_sub(1);
    for (start, id) in x32.into_iter().skip(at) {
        if Some(id) != last || ranges.last().is_some_and(|&(_, other)| other != id) {
            ranges.push((start.max(X32_BIT), id));
        }
    }
}

/// A number with a rule for it; packed into one word, since there are many and they are sorted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Use(u64);

impl Use {
    /// The bits of a word beside the number and the carrier's byte.
    const MAX_RULES: usize = 0xff_ffff;

    /// `carried` is the operation of `socketcall` or `ipc`; 0 if the syscall is made directly.
    fn new(number: u32, rule: usize, carried: u32) -> Self {
        Self(u64::from(number) << 32 | ((rule & Self::MAX_RULES) as u64) << 8 | u64::from(carried & 0xff))
    }

    fn number(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn rule(self) -> usize {
        (self.0 >> 8) as usize & Self::MAX_RULES
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lowest byte")]
    fn carried(self) -> u32 {
        u32::from(self.0 as u8)
    }
}

struct Builder<'a> {
    rules: &'a Rules,
    arch: Arch,
    graph: &'a mut Graph,
}

impl Builder<'_> {
    fn ranges(&mut self) -> Result<Vec<(u32, NodeId)>, FilterError> {
        let mut ranges = Vec::with_capacity(128);
        let default = self.graph.leaf(self.rules.default);
        let unknown = match self.rules.unknown {
            Unknown::Enosys { .. } => self.graph.leaf(Action::Errno(self.arch.enosys())),
            Unknown::Default => default,
        };
        self.outside_before(&mut ranges);
        let listed = self.listed()?;
        let mut listed = listed.into_iter().peekable();
        for number in self.arch.base()..=table::highest(self.arch) {
            let id = match listed.next_if(|&(other, _)| other == number) {
                Some((_, id)) => id,
                None => self.unlisted(number, default, unknown),
            };
            push(&mut ranges, number, id);
        }
        let mut next = table::highest(self.arch) + 1;
        for (number, id) in listed {
            push(&mut ranges, next, unknown);
            push(&mut ranges, number, id);
            next = number + 1;
        }
        push(&mut ranges, next, unknown);
        self.outside_after(&mut ranges, unknown);
        Ok(ranges)
    }

    /// Numbers below the ABI's first.
    fn outside_before(&mut self, ranges: &mut Vec<(u32, NodeId)>) {
        let below = match self.arch {
            Arch::X32 => self.rules.bad_arch,
            _ if self.rules.unknown == Unknown::Default => self.rules.default,
            _ => Action::Errno(self.arch.enosys()),
        };
        if self.arch.base() > 0 {
            ranges.push((0, self.graph.leaf(below)));
        }
    }

    /// On x86_64, x32's numbers belong to another ABI; except -1, which a tracer sets to skip a syscall.
    fn outside_after(&mut self, ranges: &mut Vec<(u32, NodeId)>, unknown: NodeId) {
        if self.arch == Arch::X86_64 {
            push(ranges, X32_BIT, self.graph.leaf(self.rules.bad_arch));
            push(ranges, u32::MAX, unknown);
        }
    }

    fn unlisted(&self, number: u32, default: NodeId, unknown: NodeId) -> NodeId {
        let Unknown::Enosys { kernel } = self.rules.unknown else { return default };
        match Syscall::numbered(self.arch, number) {
            Some(syscall) if syscall.introduced() <= kernel => default,
            _ => unknown,
        }
    }

    /// The numbers with rules, and their decisions.
    fn listed(&mut self) -> Result<Vec<(u32, NodeId)>, FilterError> {
        let count = self.rules.rules.len();
        if count > Use::MAX_RULES {
            return Err(FilterError::TooMany { count, syscall: "all syscalls".to_owned(), arch: self.arch });
        }
        let mut uses = Vec::with_capacity(count);
        for (at, rule) in self.rules.rules.iter().enumerate() {
            self.add_uses(at, rule, &mut uses);
        }
        uses.sort_unstable();
        let mut listed = Vec::with_capacity(uses.len());
        for group in uses.chunk_by(|a, b| a.number() == b.number()) {
            let Some(first) = group.first() else { continue };
            listed.push((first.number(), self.decision(group)?));
        }
        Ok(listed)
    }

    /// The numbers for which a rule counts: its syscall's, and that of the syscall that carries it.
    fn add_uses(&self, at: usize, rule: &Rule, uses: &mut Vec<Use>) {
        if !rule.archs.contains(self.arch) {
            return;
        }
        if let Some(number) = rule.syscall.number(self.arch) {
            uses.push(Use::new(number, at, 0));
        }
        let may_carry = rule.conditions.is_empty() || self.rules.open_multiplexers;
        if !self.arch.is_multiplexed() || !may_carry {
            return;
        }
        let carrier = table::carrier(rule.syscall.name());
        let number = carrier.and_then(|(name, _)| Syscall::named(name)?.number(self.arch));
        if let (Some(number), Some((_, carried))) = (number, carrier) {
            uses.push(Use::new(number, at, carried));
        }
    }

    fn decision(&mut self, uses: &[Use]) -> Result<NodeId, FilterError> {
        // Most syscalls have one rule, without conditions.
        if let Some(first) = uses.first().filter(|first| first.carried() == 0)
            && let Some(rule) = self.rules.rules.get(first.rule()).filter(|rule| rule.conditions.is_empty())
        {
            return Ok(self.graph.leaf(rule.action));
        }
        let branches = self.branches(uses)?;
        Ok(match branches.as_slice() {
            [branch] if branch.conditions.is_empty() => self.graph.leaf(branch.action),
            branches => self.chain(branches),
        })
    }

    /// The rules for a number, in the order of their evaluation. One without conditions is the only one.
    fn branches(&self, uses: &[Use]) -> Result<Vec<Branch>, FilterError> {
        let mut branches = Vec::with_capacity(uses.len());
        for used in uses {
            let at = used.rule();
            let Some(rule) = self.rules.rules.get(at) else { continue };
            let branch =
                Branch { conditions: self.conditions(rule, used.carried()), action: rule.action, rule: at };
            if branch.conditions.is_empty() {
                return Ok(vec![branch]);
            }
            branches.push(branch);
        }
        if branches.len() > MAX_BRANCHES {
            let number = uses.first().map_or(0, |used| used.number());
            let syscall = Syscall::numbered(self.arch, number).map_or("a syscall", Syscall::name).to_owned();
            return Err(FilterError::TooMany { count: branches.len(), syscall, arch: self.arch });
        }
        precedence::order(branches, self.arch.is_wide()).map_err(|conflict| self.conflict(conflict))
    }

    /// A rule's conditions on this ABI. A carried syscall's own first argument cannot be checked: the carrier's first
    /// selects the operation.
    fn conditions(&self, rule: &Rule, carried: u32) -> Vec<Condition> {
        let own = rule.conditions.iter().filter(|condition| carried == 0 || condition.arg() != 0);
        let mut conditions: Vec<_> = own.filter_map(|condition| condition.on(self.arch.is_wide())).collect();
        if carried != 0 {
            conditions.extend(Condition::new(0, Operator::Equal, u64::from(carried)));
        }
        conditions.sort_by_key(Condition::arg);
        conditions
    }

    fn conflict(&self, conflict: Conflict) -> FilterError {
        let rule = |at: usize| self.rules.rules.get(at).cloned().map(Box::new);
        match (rule(conflict.0), rule(conflict.1)) {
            (Some(first), Some(second)) => FilterError::Conflict { first, second },
            _ => FilterError::NoArch,
        }
    }

    /// Branches in the order of their evaluation, then the default.
    fn chain(&mut self, branches: &[Branch]) -> NodeId {
        let wide = self.arch.is_wide();
        let mut next = self.graph.leaf(self.rules.default);
        for branch in branches.iter().rev() {
            let action = self.graph.leaf(branch.action);
            let conditions = branch.conditions.iter().rev();
            next = conditions.fold(action, |yes, condition| self.graph.condition(condition, wide, yes, next));
        }
        let one = matches!(branches, [branch] if branch.conditions.len() == 1);
        if one { next } else { self.graph.simplify(next) }
    }
}

/// The rules for one number of an ABI, in the order of their evaluation.
pub(crate) fn branches(rules: &Rules, arch: Arch, number: u32) -> Result<Vec<Branch>, FilterError> {
    let builder = Builder { rules, arch, graph: &mut Graph::default() };
    let mut uses = Vec::new();
    for (at, rule) in rules.rules.iter().enumerate() {
        builder.add_uses(at, rule, &mut uses);
    }
    uses.retain(|used| used.number() == number);
    builder.branches(&uses)
}

/// Adds the decision from a number on. Neighbours with one decision are one range, which saves the tests between them.
fn push(ranges: &mut Vec<(u32, NodeId)>, start: u32, id: NodeId) {
    if ranges.last().is_none_or(|&(_, last)| last != id) {
        ranges.push((start, id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Action::{Allow, Errno, KillThread};
    use crate::example::{call, rules};

    #[test]
    fn every_number_of_every_abi_has_its_decision() {
        let mut rules = rules(
            &[Arch::X86_64, Arch::X86, Arch::X32],
            &[("read", &[], Allow), ("socket", &[(0, Operator::Equal, 1)], Allow)],
        );
        rules.unknown = Unknown::Enosys { kernel: KernelVersion::new(5, 0) };
        let filter = Filter::new(&rules).unwrap();
        let number = |arch: Arch, number: u32| Data { number, arch: arch.audit(), args: [0; 6] };
        let cases = [
            (call(Arch::X86_64, "read", &[]), Allow),
            (call(Arch::X86, "read", &[]), Allow),
            (call(Arch::X32, "read", &[]), Allow),
            (call(Arch::X86_64, "write", &[]), Errno(1)),
            // Newer than the profile, without a syscall, and past the last.
            (call(Arch::X86_64, "openat2", &[]), Errno(38)),
            (number(Arch::X86_64, 400), Errno(38)),
            (number(Arch::X86_64, 5000), Errno(38)),
            (call(Arch::X86_64, "socket", &[1]), Allow),
            (call(Arch::X86_64, "socket", &[1 << 32 | 1]), Errno(1)),
            // 32-bit ABIs have no upper half, and may come through socketcall.
            (call(Arch::X86, "socket", &[1 << 32 | 1]), Allow),
            (call(Arch::X86, "socketcall", &[1]), Allow),
            (call(Arch::X86, "socketcall", &[2]), Errno(1)),
            (number(Arch::Aarch64, 63), KillThread),
        ];
        for (data, expected) in cases {
            assert_eq!(filter.decide(&data), expected, "{data:x?}");
        }
    }

    #[test]
    fn a_rule_of_one_abi_holds_there_only() {
        let mut rules = rules(&[Arch::X86_64, Arch::X86], &[("read", &[], Allow)]);
        rules.rules[0].archs = crate::arch::ArchSet::of(&[Arch::X86]);
        let filter = Filter::new(&rules).unwrap();
        assert_eq!(filter.decide(&call(Arch::X86, "read", &[])), Allow);
        assert_eq!(filter.decide(&call(Arch::X86_64, "read", &[])), Errno(1));
    }

    #[test]
    fn x32_is_another_abi_above_bit_30() {
        let filter = Filter::new(&rules(&[Arch::X86_64], &[("read", &[], Allow)])).unwrap();
        let answer = |number: u32| filter.decide(&Data { number, arch: Arch::X86_64.audit(), args: [0; 6] });
        assert_eq!([answer(0), answer(X32_BIT), answer(u32::MAX)], [Allow, KillThread, Errno(1)]);
        assert_eq!(Filter::new(&rules(&[], &[])).map(|_| ()), Err(FilterError::NoArch));
    }

    #[test]
    fn x32_is_told_by_its_bit() {
        let both = [Arch::X86_64, Arch::X32];
        let of = |number: u32| Data { number, arch: Arch::X86_64.audit(), args: [0; 6] }.arch_among(&both);
        assert_eq!((of(1), of(X32_BIT | 1)), (Some(Arch::X86_64), Some(Arch::X32)));
    }
}
