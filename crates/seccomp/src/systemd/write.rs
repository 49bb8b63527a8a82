//! Rules as `SystemCallFilter=` lines.

use crate::action::Action;
use crate::errno;
use crate::filter::Rules;

/// Why rules cannot be written for systemd.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SystemdError {
    /// An action that systemd has no word for.
    #[error("systemd has no word for {0}; it allows, denies with an error, and kills the process")]
    Action(Action),
    /// Conditions on arguments.
    #[error(
        "systemd cannot look at arguments, as the rules for {0} do; those syscalls would be allowed or denied whatever their arguments"
    )]
    Arguments(String),
}

/// Writes rules as systemd's lines. What it cannot say is an error, never left out.
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
    let names: Vec<_> = rules.archs.iter().map(|arch| arch.name().replace('_', "-")).collect();
    lines.push_str(&format!("SystemCallArchitectures={}\n", names.join(" ")));
    let mut words = Vec::new();
    for rule in &rules.rules {
        let error = |number: u16| errno::name(number).map_or_else(|| number.to_string(), str::to_owned);
        words.push(match (rules.default, rule.action) {
            (Action::Allow, Action::Errno(number)) => format!("{}:{}", rule.syscall, error(number)),
            (Action::Allow, Action::KillProcess) | (_, Action::Allow) => rule.syscall.name().to_owned(),
            (_, Action::Errno(number)) => format!("{}:{}", rule.syscall, error(number)),
            (_, other) => return Err(SystemdError::Action(other)),
        });
    }
    words.sort_unstable();
    words.dedup();
    let sign = if rules.default == Action::Allow { "~" } else { "" };
    for chunk in words.chunks(12) {
        lines.push_str(&format!("SystemCallFilter={sign}{}\n", chunk.join(" ")));
    }
    Ok(lines)
}
