//! Rules as `SystemCallFilter=` lines.

use std::collections::{BTreeMap, BTreeSet};

use super::sets;
use crate::action::Action;
use crate::arch::{Arch, ArchSet};
use crate::errno;
use crate::filter::Rules;

/// The reason why rules cannot be written for systemd.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SystemdError {
    /// An action that systemd lacks.
    #[error("systemd has no word for {0}; it allows, denies with an error, and kills the process")]
    Action(Action),
    /// Conditions on arguments.
    #[error(
        "systemd cannot look at arguments, as the rules for {0} do; those syscalls would be allowed or denied whatever their arguments"
    )]
    Arguments(String),
    /// A syscall with different rules on different ABIs.
    #[error("systemd names a syscall for all ABIs, and the rule for {syscall} does not hold on {missing}")]
    Partial {
        /// The syscall.
        syscall: &'static str,
        /// The first ABI without the rule.
        missing: Arch,
    },
    /// Another result for other ABIs than systemd gives them.
    #[error(
        "systemd kills threads that use unlisted ABIs, or filters every ABI of the machine; these rules give {0} to others"
    )]
    OtherAbis(Action),
}

/// Writes rules as systemd's lines. Rules that it cannot express are an error, never left out.
pub fn write(rules: &Rules) -> Result<String, SystemdError> {
    let mut conditional: Vec<_> = rules
        .rules
        .iter()
        .filter(|rule| !rule.conditions.is_empty())
        .map(|rule| rule.syscall.name())
        .collect();
    conditional.dedup();
    if !conditional.is_empty() {
        return Err(SystemdError::Arguments(conditional.join(", ")));
    }
    let mut lines = String::from("[Service]\n");
    match rules.default {
        Action::Errno(number) => {
            let name = errno::name(number).map_or_else(|| number.to_string(), str::to_owned);
            lines.push_str(&format!("SystemCallErrorNumber={name}\n"));
        }
        Action::KillProcess | Action::Allow => {}
        other => return Err(SystemdError::Action(other)),
    }
    lines.push_str(&architectures(rules)?);
    on_all_abis(rules)?;
    let Words { allowed, denied } = words(rules)?;
    let signed = if rules.default == Action::Allow {
        [("~", denied), ("", allowed)]
    } else {
        [("", allowed), ("~", denied)]
    };
    for (sign, words) in signed {
        for chunk in words.chunks(12) {
            lines.push_str(&format!("SystemCallFilter={sign}{}\n", chunk.join(" ")));
        }
    }
    Ok(lines)
}

/// The names in lines without and with `~`.
struct Words {
    allowed: Vec<String>,
    denied: Vec<String>,
}

/// A list that allows has errors only after `~`, and includes `@default` whatever else it names.
fn words(rules: &Rules) -> Result<Words, SystemdError> {
    let mut words = Words { allowed: Vec::new(), denied: Vec::new() };
    let lists_denied = rules.default == Action::Allow;
    for rule in &rules.rules {
        let name = rule.syscall.name();
        match rule.action {
            Action::Errno(number) => {
                let error = errno::name(number).map_or_else(|| number.to_string(), str::to_owned);
                words.denied.push(format!("{name}:{error}"));
            }
            Action::KillProcess if lists_denied => words.denied.push(name.to_owned()),
            Action::Allow if !lists_denied => words.allowed.push(name.to_owned()),
            other => return Err(SystemdError::Action(other)),
        }
    }
    if !lists_denied {
        let named: BTreeSet<_> = rules.rules.iter().map(|rule| rule.syscall.name()).collect();
        let left_out = sets::members("@default").into_iter().filter(|name| !named.contains(name));
        words.denied.extend(left_out.map(str::to_owned));
        if words.allowed.is_empty() {
            words.allowed.push("@default".to_owned());
        }
    }
    for list in [&mut words.allowed, &mut words.denied] {
        list.sort_unstable();
        list.dedup();
    }
    Ok(words)
}

/// `SystemCallArchitectures=`, which is absent if the filter is for every ABI of a machine and allows others.
fn architectures(rules: &Rules) -> Result<String, SystemdError> {
    let of_a_machine = |arch: &Arch| {
        let abis = [&[*arch][..], arch.companions()].concat();
        ArchSet::of(&abis) == ArchSet::of(&rules.archs)
    };
    match rules.bad_arch {
        Action::KillThread => {
            let names: Vec<_> = rules.archs.iter().map(|arch| arch.name().replace('_', "-")).collect();
            Ok(format!("SystemCallArchitectures={}\n", names.join(" ")))
        }
        Action::Allow if rules.archs.iter().any(of_a_machine) => Ok(String::new()),
        other => Err(SystemdError::OtherAbis(other)),
    }
}

/// Each rule holds on every ABI that has its syscall.
fn on_all_abis(rules: &Rules) -> Result<(), SystemdError> {
    let mut held: BTreeMap<_, Vec<ArchSet>> = BTreeMap::new();
    for rule in &rules.rules {
        held.entry((rule.syscall, rule.action)).or_default().push(rule.archs);
    }
    for ((syscall, _), sets) in held {
        let without =
            |arch: &&Arch| syscall.number(**arch).is_some() && !sets.iter().any(|set| set.contains(**arch));
        if let Some(&missing) = rules.archs.iter().find(without) {
            return Err(SystemdError::Partial { syscall: syscall.name(), missing });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::Decision;
    use crate::resolve::{Context, resolve};
    use crate::table;

    /// A unit's lines on x86_64, written again.
    fn again(lines: &str) -> Result<String, SystemdError> {
        let context = Context { arch: Arch::X86_64, caps: Default::default(), kernel: table::NEWEST };
        let (profile, findings) = crate::systemd::read(lines);
        write(&resolve(&profile.unwrap_or_else(|| panic!("{findings:?}")), &context).rules)
    }

    #[test]
    fn architectures_are_written_where_they_were_named() {
        for (lines, named) in [
            ("SystemCallFilter=~@debug @obsolete:ENOSYS kexec_load\n", None),
            (
                "SystemCallFilter=read\nSystemCallArchitectures=native\n",
                Some("SystemCallArchitectures=x86-64"),
            ),
            (
                "SystemCallFilter=read\nSystemCallArchitectures=x86\n",
                Some("SystemCallArchitectures=x86-64 x86"),
            ),
        ] {
            let written = again(lines).unwrap();
            assert_eq!(
                written.lines().find(|line| line.starts_with("SystemCallArchitectures")),
                named,
                "{written}"
            );
        }
    }

    #[test]
    fn what_is_written_is_read_as_the_same_list() {
        for lines in [
            "SystemCallFilter=@system-service\nSystemCallFilter=~@mount ptrace:EACCES\nSystemCallErrorNumber=EPERM\n",
            "SystemCallFilter=read\nSystemCallFilter=~brk\n",
            "SystemCallFilter=read\nSystemCallFilter=~read @default\nSystemCallFilter=~open:ENOENT\n",
            "SystemCallFilter=~open:ENOENT read\n",
        ] {
            let written = again(lines).unwrap();
            assert_eq!(again(&written).unwrap(), written, "{lines}");
            let decided = |lines: &str| {
                let context = Context { arch: Arch::X86_64, caps: Default::default(), kernel: table::NEWEST };
                let rules = resolve(&crate::systemd::read(lines).0.unwrap(), &context).rules;
                (Decision::of_rules(&rules).unwrap(), rules.archs)
            };
            let ((first, archs), (second, _)) = (decided(lines), decided(&written));
            assert_eq!(first.differences(&second, &archs, 1), Ok(vec![]), "{written}");
        }
    }

    #[test]
    fn rules_of_one_abi_and_other_answers_to_other_abis_are_errors() {
        let (profile, _) = crate::systemd::read("SystemCallFilter=~read write\n");
        let context = Context { arch: Arch::X86_64, caps: Default::default(), kernel: table::NEWEST };
        let rules = resolve(&profile.unwrap(), &context).rules;
        let mut partial = rules.clone();
        partial.rules.retain_mut(|rule| {
            rule.archs = rule.archs.minus(ArchSet::of(&[Arch::X86]));
            true
        });
        assert_eq!(write(&partial), Err(SystemdError::Partial { syscall: "read", missing: Arch::X86 }));
        let fewer = Rules { archs: vec![Arch::X86_64], ..rules.clone() };
        assert_eq!(write(&fewer), Err(SystemdError::OtherAbis(Action::Allow)));
        let errno = Rules { bad_arch: Action::Errno(1), ..rules };
        assert_eq!(write(&errno), Err(SystemdError::OtherAbis(Action::Errno(1))));
    }
}
