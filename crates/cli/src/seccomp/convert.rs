//! `palisade seccomp resolve`, `lint`, `import`, `export`, `intersect` and `union`.

use std::io::Write;
use std::path::Path;

use palisade_k8s::manifest::Position;
use palisade_seccomp::{
    Action, Arch, Decision, Filter, Finding, Severity, join as join_rules,
    profile::{Origin, Profile, write_docker, write_oci},
    systemd,
};

use super::args::{ContextArgs, ExportArgs, Form, ImportArgs, JoinArgs, LintArgs, ResolveArgs};
use super::input::{self, Input};
use crate::exit::Exit;

fn print(value: &serde_json::Value) -> crate::Outcome {
    writeln!(std::io::stdout().lock(), "{}", palisade_console::terminal::json(&format!("{value:#}")))?;
    Ok(Exit::Fine)
}

pub(super) fn resolve(args: &ResolveArgs) -> crate::Outcome {
    let (profile, rules) = input::rules(&args.file, &args.context)?;
    Filter::new(&rules).map_err(|error| format!("{}: {error}", args.file.display()))?;
    one_abi(&args.file, &profile, native(&args.context));
    print(&write_oci(&rules, &profile, native(&args.context)))
}

/// The machine's architecture of the options.
fn native(args: &ContextArgs) -> Arch {
    args.arch.unwrap_or_else(Arch::native)
}

/// Warns if a unit's rules differ among ABIs, since those of a container's profile do not.
fn one_abi(file: &Path, profile: &Profile, native: Arch) {
    let differ = profile.entries.iter().any(|entry| {
        native.companions().iter().any(|arch| entry.abis.contains(*arch) != entry.abis.contains(native))
    });
    if differ && profile.origin == Origin::Unit {
        anstream::eprintln!(
            "{}: {}: systemd's filters differ between ABIs, which a container's profile cannot say: the rules of {native} are written for all",
            crate::paint::warning("warning"),
            file.display(),
        );
    }
}

pub(super) fn import(args: &ImportArgs) -> crate::Outcome {
    let (shown, profile) = input::profile(&args.file, args.strict)?;
    one_abi(&shown, &profile, Arch::native());
    print(&write_docker(&profile, Arch::native()))
}

pub(super) fn export(args: &ExportArgs) -> crate::Outcome {
    let (profile, rules) = input::rules(&args.file, &args.context)?;
    match args.form {
        Form::Oci | Form::Docker => {
            let native = native(&args.context);
            one_abi(&args.file, &profile, native);
            print(&if args.form == Form::Oci {
                write_oci(&rules, &profile, native)
            } else {
                write_docker(&profile, native)
            })
        }
        Form::Systemd => {
            let lines =
                systemd::write(&rules).map_err(|error| format!("{}: {error}", args.file.display()))?;
            write!(std::io::stdout().lock(), "{lines}")?;
            Ok(Exit::Fine)
        }
    }
}

pub(super) fn join(args: &JoinArgs, choose: fn(Action, Action) -> Action) -> crate::Outcome {
    let (profile, a) = input::rules(&args.a, &args.context)?;
    let (_, b) = input::rules(&args.b, &args.context)?;
    let Some(out) = &args.out else {
        return print(&write_oci(&join_rules(&a, &b, choose)?, &profile, native(&args.context)));
    };
    let both = Decision::of_rules(&a)?.combine(&Decision::of_rules(&b)?, choose)?;
    let big_endian = a.archs.first().is_some_and(|arch| arch.is_big_endian());
    let program = both
        .compile(big_endian)
        .map_err(|length| format!("the program would have {length} instructions or more"))?;
    std::fs::write(out, program.to_bytes()).map_err(|error| format!("{}: {error}", out.display()))?;
    Ok(Exit::Fine)
}

/// Prints all findings. Input that cannot be read ends the command with 2, after all other profiles.
pub(super) fn lint(args: &LintArgs) -> crate::Outcome {
    let mut out = palisade_console::terminal::out();
    let mut worst = Exit::Fine;
    for path in &args.files {
        let found = if path.is_dir() { input::of_folder(path)? } else { input::each_or_error(path) };
        for input in found {
            let exit = match input {
                Ok(input) => lint_one(&mut out, &input, &args.context)?,
                Err(error) => crate::exit::report(&*error),
            };
            worst = worst.max(exit);
        }
    }
    Ok(worst)
}

fn lint_one(out: &mut impl Write, input: &Input, args: &ContextArgs) -> crate::Outcome {
    let mut findings = input.source.findings.clone();
    let mut last = Vec::new();
    if let Some(profile) = input.source.profile() {
        let resolved = input::resolved(profile, args)?;
        let addition = palisade_seccomp::addition(profile, &resolved.rules, native(args));
        last.extend(addition.map(|entry| format!("all that is missing above, in one entry to add: {entry}")));
        findings.extend(palisade_seccomp::lint(profile, &resolved.rules, native(args)));
        findings.extend(resolved.findings);
        last.extend(findings.is_empty().then(|| checked(profile, &resolved.rules.archs, args)));
        last.extend(ends_the_process(profile).map(str::to_owned));
    }
    // Findings about a profile as a whole have its start as their position.
    let start = Position { line: 1, column: 1 };
    findings
        .iter_mut()
        .filter(|finding| finding.at == start)
        .for_each(|finding| finding.at = input.source.at);
    findings.sort_by_key(|finding| finding.at);
    let is_error = |finding: &Finding| finding.severity == Severity::Error || args.strict;
    for finding in &findings {
        let severity = match is_error(finding) {
            true => crate::paint::error("error"),
            false => crate::paint::warning("warning"),
        };
        let field = if finding.field.is_empty() { String::new() } else { format!("{}: ", finding.field) };
        writeln!(out, "{}:{}: {severity}: {field}{}", input.shown.display(), finding.at, finding.message)?;
    }
    for line in last {
        writeln!(out, "{}: {line}", input.shown.display())?;
    }
    Ok(match findings.iter().any(is_error) {
        true => Exit::Wrong,
        false if findings.is_empty() => Exit::Fine,
        false => Exit::Findings,
    })
}

/// What was checked of a profile without findings.
fn checked(profile: &Profile, archs: &[Arch], args: &ContextArgs) -> String {
    let archs: Vec<_> = archs.iter().map(ToString::to_string).collect();
    let needs =
        if profile.origin.is_unit() { "a program's start" } else { "runc, crun and a program's start" };
    format!(
        "no findings for {} and Linux {}; checked: the needs of {needs}, names, newer forms of syscalls, entries that cancel each \
         other, arguments",
        archs.join(", "),
        args.kernel.unwrap_or(palisade_seccomp::table::NEWEST)
    )
}

/// What becomes of a service that makes a denied syscall, where systemd's default is in force.
fn ends_the_process(profile: &Profile) -> Option<&'static str> {
    let kills = |action: Action| matches!(action, Action::KillProcess | Action::KillThread);
    match profile.origin.is_unit() {
        true if kills(profile.default_action) => Some(
            "a syscall that the unit does not let through ends the process (status=31/SYS), also one that a ~ line takes out, as \
             ~@privileged does with chown and ~@resources with sched_setaffinity; SystemCallErrorNumber=EPERM lets it fail instead",
        ),
        true if profile.entries.iter().any(|entry| kills(entry.action)) => Some(
            "a syscall that a ~ line names without an error ends the process (status=31/SYS); with one, as ~@clock:EPERM, or with \
             SystemCallErrorNumber=EPERM, it fails instead",
        ),
        _ => None,
    }
}
