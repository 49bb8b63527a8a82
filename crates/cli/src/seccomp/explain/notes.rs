//! Notes on the result of a syscall in runtimes whose libseccomp or runc is older than the profile, and in the kernel.

use palisade_seccomp::{
    Action, Arch, Data, Decider, Explanation, Rules, Unmet,
    profile::{Entry, Profile},
    table::Syscall,
};

use super::place;
use crate::seccomp::args::ExplainArgs;
use crate::seccomp::input;

#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) lines: Vec<String>,
    /// Whether the kernel itself denies what the filter lets through.
    pub(super) kernel_fails: bool,
}

pub(super) fn of(
    args: &ExplainArgs,
    profile: &Profile,
    explanation: &Explanation,
    rules: &Rules,
    (arch, data): (Arch, &Data),
) -> Result<Notes, crate::Failure> {
    let mut notes = Notes::default();
    let Some(syscall) = Syscall::numbered(arch, data.number) else { return Ok(notes) };
    if profile.origin.is_unit() {
        let context = input::context(profile, &args.rest.context)?;
        let denied =
            |entry: &&Entry| is_denied_by_kernel(entry, &entry.unmet(&context), syscall, (arch, data));
        if let (true, Some(at)) =
            (explanation.action.lets_through(), profile.entries.iter().position(|e| denied(&e)))
        {
            notes.kernel_fails = true;
            notes.lines.push(format!(
                "{}: on this kernel no filter, but the kernel itself: it fails with EACCES (PR_SET_MDWE) what would make memory executable that is or was writable",
                place(args, profile, at)
            ));
        }
        return Ok(notes);
    }
    if let Decider::Rule(_) = explanation.decider {
        notes.lines.extend(hidden(args, profile, explanation, rules, (arch, syscall)));
        notes.lines.extend(older_libseccomp(explanation.action, rules, syscall));
        notes.lines.extend(older_runc(explanation.action, rules));
    }
    Ok(notes)
}

/// An entry of a unit that stands for a filter on older kernels, and denies these arguments there.
fn is_denied_by_kernel(
    entry: &Entry,
    unmet: &[Unmet],
    syscall: Syscall,
    (arch, data): (Arch, &Data),
) -> bool {
    let names = entry.names.iter().any(|(name, _)| name == syscall.name());
    let is_here = entry.abis.contains(arch) && matches!(unmet, [Unmet::Before(_)]);
    let fits = entry.args.iter().all(|condition| {
        let argument = data.args.get(usize::from(condition.arg())).copied().unwrap_or_default();
        condition.holds(if arch.is_wide() { argument } else { argument & 0xffff_ffff })
    });
    names && is_here && fits && !entry.action.lets_through()
}

/// Entries that say something else of the syscall, after one without conditions.
fn hidden(
    args: &ExplainArgs,
    profile: &Profile,
    explanation: &Explanation,
    rules: &Rules,
    (arch, syscall): (Arch, Syscall),
) -> Vec<String> {
    let tried = |at: usize| explanation.tried.iter().any(|tried| tried.rule == at);
    let others = rules.rules.iter().enumerate().filter(|(at, rule)| {
        rule.syscall == syscall
            && rule.archs.contains(arch)
            && rule.action != explanation.action
            && !tried(*at)
    });
    let mut lines: Vec<_> = others
        .map(|(_, rule)| {
            format!(
                "{}, {}: names it too, and comes after the one that decides",
                place(args, profile, rule.entry),
                rule.action
            )
        })
        .collect();
    lines.dedup();
    lines
}

/// A name that the runtime's libseccomp does not know is left out of the filter.
fn older_libseccomp(action: Action, rules: &Rules, syscall: Syscall) -> Option<String> {
    let release = syscall.libseccomp().filter(|_| action != rules.default)?;
    Some(format!(
        "libseccomp knows {syscall} from {release} on; a runtime with an older one leaves the name out, so that it gets the default, {}, there (from runc 1.0.0-rc93 on ENOSYS, where no syscall of a higher number is named)",
        rules.default
    ))
}

/// runc reads `errnoRet` since 9a808dd01.
fn older_runc(action: Action, rules: &Rules) -> Option<String> {
    let eperm = Action::Errno(palisade_seccomp::errno::EPERM);
    let repeats = matches!(action, Action::Errno(_)) && action != eperm && rules.default == eperm;
    repeats.then(|| {
        format!("runc before 1.0.0-rc91 ignores errnoRet and takes {action} for {eperm}, the default, and starts no container (\"requested action matches default action of filter\")")
    })
}
