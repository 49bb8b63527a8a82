//! Resolved rules: syscalls, conditions on arguments, and actions.

use crate::action::Action;
use crate::arch::ArchSet;
use crate::table::Syscall;

/// The comparison of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `==`
    Equal,
    /// `>=`
    GreaterOrEqual,
    /// `>`
    Greater,
    /// `(argument & mask) == value`; bits of the value outside of the mask are ignored.
    MaskedEqual {
        /// The compared bits.
        mask: u64,
    },
}

/// A condition on one argument. All comparisons are unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Condition {
    arg: u8,
    operator: Operator,
    value: u64,
}

impl Condition {
    /// A condition on argument 0 to 5; `None` for another number.
    #[must_use]
    pub fn new(arg: u8, operator: Operator, value: u64) -> Option<Self> {
        (arg < 6).then_some(Self { arg, operator, value })
    }

    /// The argument, from 0.
    #[must_use]
    pub fn arg(&self) -> u8 {
        self.arg
    }

    /// The comparison.
    #[must_use]
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// The value to compare with.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.value
    }

    /// The condition on an ABI: on one with 32-bit arguments the upper halves are cut off. `None` if it then holds for
    /// every argument.
    pub(crate) fn on(self, wide: bool) -> Option<Self> {
        let cut = |value: u64| if wide { value } else { value & 0xffff_ffff };
        let operator = match self.operator {
            Operator::MaskedEqual { mask } => Operator::MaskedEqual { mask: cut(mask) },
            other => other,
        };
        let value = match operator {
            Operator::MaskedEqual { mask: 0 } => return None,
            Operator::MaskedEqual { mask } => self.value & mask,
            _ => cut(self.value),
        };
        Some(Self { arg: self.arg, operator, value })
    }

    /// Whether it holds for an argument.
    #[must_use]
    pub fn holds(&self, argument: u64) -> bool {
        match self.operator {
            Operator::NotEqual => argument != self.value,
            Operator::Less => argument < self.value,
            Operator::LessOrEqual => argument <= self.value,
            Operator::Equal => argument == self.value,
            Operator::GreaterOrEqual => argument >= self.value,
            Operator::Greater => argument > self.value,
            Operator::MaskedEqual { mask } => argument & mask == self.value & mask,
        }
    }
}

impl Condition {
    /// The condition as a text, on an argument of this name.
    #[must_use]
    pub fn named(&self, argument: &str) -> String {
        let value = self.value;
        let sign = match self.operator {
            Operator::NotEqual => "!=",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Equal => "==",
            Operator::GreaterOrEqual => ">=",
            Operator::Greater => ">",
            Operator::MaskedEqual { mask } => return format!("{argument} & {mask:#x} == {value:#x}"),
        };
        format!("{argument} {sign} {value:#x}")
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.named(&format!("arg{}", self.arg)))
    }
}

/// One syscall, all of these conditions, one action.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// The syscall.
    pub syscall: Syscall,
    /// All must hold. Empty: the rule holds for every syscall.
    pub conditions: Vec<Condition>,
    /// The result.
    pub action: Action,
    /// The ABIs of the rule. Profiles of containers have only rules for all.
    pub archs: ArchSet,
    /// The index of its entry in the profile's `syscalls`.
    pub entry: usize,
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.syscall.name())?;
        for (at, condition) in self.conditions.iter().enumerate() {
            write!(f, "{} {condition}", if at == 0 { " if" } else { " and" })?;
        }
        write!(f, ": {}", self.action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn conditions_are_unsigned_and_cut_to_the_abi() {
        use Operator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, MaskedEqual, NotEqual};
        // Operator, value, argument, whether it holds, and whether it does where arguments have 32 bits.
        let cases = [
            (Equal, 5, 5, true, true),
            (Equal, 5, 0x1_0000_0005, false, true),
            (NotEqual, 5, 0x1_0000_0005, true, false),
            (Less, 5, u64::MAX, false, false),
            (Greater, 5, u64::MAX, true, true),
            (LessOrEqual, 5, 5, true, true),
            (GreaterOrEqual, 6, 5, false, false),
            (MaskedEqual { mask: 6 }, 0xf4, 5, true, true),
            (MaskedEqual { mask: 0x1_0000_0002 }, 2, 0x1_0000_0002, false, true),
        ];
        for (operator, value, argument, wide, narrow) in cases {
            let condition = Condition::new(0, operator, value).unwrap();
            assert_eq!(condition.holds(argument), wide, "{condition} {argument:#x}");
            let cut = condition.on(false).is_none_or(|cut| cut.holds(argument & 0xffff_ffff));
            assert_eq!(cut, narrow, "32 bits: {condition} {argument:#x}");
        }
        assert_eq!(Condition::new(6, Equal, 0), None);
        assert_eq!(Condition::new(0, MaskedEqual { mask: 1 << 32 }, 0).unwrap().on(false), None);
        assert_eq!(
            Condition::new(1, MaskedEqual { mask: 7 }, 2).unwrap().named("flags"),
            "flags & 0x7 == 0x2"
        );
    }
}
