//! libseccomp, as the reference for the decisions of a filter.

use std::io::{Read, Seek};

use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};
use palisade_seccomp::{
    Action, Arch, Condition, Operator, Program, Rule, Rules, Unknown,
    table::{self, Syscall},
};

/// The layout of libseccomp's programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One comparison after the other: its default, and crun's.
    Linear = 1,
    /// A search tree: runc's for more than 32 rules.
    Tree = 2,
}

/// A filter that libseccomp takes rules into.
#[derive(Debug)]
pub struct Oracle(ScmpFilterContext);

impl Oracle {
    /// A filter without rules for these architectures, the first of which need not be this machine's.
    #[must_use]
    pub fn new(default: Action, archs: &[Arch], layout: Layout) -> Self {
        let mut context = ScmpFilterContext::new(action(default)).expect("a filter");
        let native = ScmpArch::native();
        for arch in archs {
            context.add_arch(scmp(*arch)).expect("libseccomp knows the architecture");
        }
        if !archs.iter().any(|arch| scmp(*arch) == native) {
            context.remove_arch(native).expect("the machine's own can be left out");
        }
        context.set_ctl_optimize(layout as u32).expect("libseccomp 2.5");
        Self(context)
    }

    /// Adds a rule, unless libseccomp refuses it: as the default's, or as one that contradicts another.
    pub fn add(&mut self, rule: &Rule) -> bool {
        let Ok(call) = ScmpSyscall::from_name(rule.syscall.name()) else { return false };
        let conditions: Vec<_> = rule.conditions.iter().map(compare).collect();
        self.0.add_rule_conditional(action(rule.action), call, &conditions).is_ok()
    }

    /// The program.
    #[must_use]
    pub fn export(&self, big_endian: bool) -> Program {
        let mut file = tempfile::tempfile().expect("a file");
        self.0.export_bpf(&file).expect("libseccomp writes it");
        let mut bytes = Vec::new();
        file.rewind().and_then(|()| file.read_to_end(&mut bytes)).expect("it is read");
        Program::from_bytes(&bytes, big_endian).expect("libseccomp's programs are programs")
    }

    /// The program of rules of which libseccomp takes all but those whose action is the default.
    #[must_use]
    pub fn of(rules: &Rules, layout: Layout) -> Self {
        assert_eq!(rules.unknown, Unknown::Default, "libseccomp knows no other");
        let mut oracle = Self::new(rules.default, &rules.archs, layout);
        for rule in rules.rules.iter().filter(|rule| rule.action != rules.default) {
            assert!(oracle.add(rule) || ScmpSyscall::from_name(rule.syscall.name()).is_err(), "{rule}");
        }
        oracle
    }
}

/// Whether the libseccomp at hand has a number wherever Palisade has one for a syscall: its tables are older, and
/// 2.5.4's lacks `map_shadow_stack` on x32.
#[must_use]
pub fn knows(syscall: Syscall, archs: &[Arch]) -> bool {
    archs.iter().filter(|arch| syscall.number(**arch).is_some()).all(|arch| {
        let number = ScmpSyscall::from_name_by_arch(syscall.name(), scmp(*arch)).map(i32::from);
        number.is_ok_and(|number| number >= 0 || table::carrier(syscall.name()).is_some())
    })
}

/// libseccomp's value for an architecture.
#[must_use]
pub fn scmp(arch: Arch) -> ScmpArch {
    match arch {
        Arch::X86_64 => ScmpArch::X8664,
        Arch::X86 => ScmpArch::X86,
        Arch::X32 => ScmpArch::X32,
        Arch::Aarch64 => ScmpArch::Aarch64,
        Arch::Arm => ScmpArch::Arm,
        Arch::Riscv64 => ScmpArch::Riscv64,
        Arch::Ppc64le => ScmpArch::Ppc64Le,
        Arch::S390x => ScmpArch::S390X,
        Arch::S390 => ScmpArch::S390,
        Arch::Loongarch64 => ScmpArch::Loongarch64,
        Arch::Mips64el => ScmpArch::Mipsel64,
        Arch::Mipsel64n32 => ScmpArch::Mipsel64N32,
        Arch::Mipsel => ScmpArch::Mipsel,
    }
}

fn action(action: Action) -> ScmpAction {
    match action {
        Action::Allow => ScmpAction::Allow,
        Action::Log => ScmpAction::Log,
        Action::Errno(data) => ScmpAction::Errno(i32::from(data)),
        Action::Trace(data) => ScmpAction::Trace(data),
        Action::Notify => ScmpAction::Notify,
        Action::Trap(_) => ScmpAction::Trap,
        Action::KillThread => ScmpAction::KillThread,
        Action::KillProcess => ScmpAction::KillProcess,
    }
}

fn compare(condition: &Condition) -> ScmpArgCompare {
    let operator = match condition.operator() {
        Operator::NotEqual => ScmpCompareOp::NotEqual,
        Operator::Less => ScmpCompareOp::Less,
        Operator::LessOrEqual => ScmpCompareOp::LessOrEqual,
        Operator::Equal => ScmpCompareOp::Equal,
        Operator::GreaterOrEqual => ScmpCompareOp::GreaterEqual,
        Operator::Greater => ScmpCompareOp::Greater,
        Operator::MaskedEqual { mask } => ScmpCompareOp::MaskedEqual(mask),
    };
    ScmpArgCompare::new(u32::from(condition.arg()), operator, condition.value())
}
