//! `palisade seccomp resolve`, `lint`, `import`, `export`, `intersect` and `union`.

use std::io::Write;

use palisade_seccomp::action::Action;
use palisade_seccomp::filter::Filter;
use palisade_seccomp::finding::Severity;
use palisade_seccomp::join::{self, decision};
use palisade_seccomp::lint;
use palisade_seccomp::profile::{write_docker, write_oci};
use palisade_seccomp::resolve::resolve as resolve_profile;
use palisade_seccomp::systemd;

use super::args::{ExportArgs, Form, ImportArgs, JoinArgs, LintArgs, ResolveArgs};
use super::input;
use crate::exit::Exit;

fn print(value: &serde_json::Value) -> crate::Outcome {
    writeln!(std::io::stdout().lock(), "{value:#}")?;
    Ok(Exit::Fine)
}

pub(super) fn resolve(args: &ResolveArgs) -> crate::Outcome {
    let (profile, rules) = input::rules(&args.file, &args.context)?;
    Filter::new(&rules).map_err(|error| format!("{}: {error}", args.file.display()))?;
    print(&write_oci(&rules, &profile))
}

pub(super) fn import(args: &ImportArgs) -> crate::Outcome {
    print(&write_docker(&input::profile(&args.file, args.strict)?))
}

pub(super) fn export(args: &ExportArgs) -> crate::Outcome {
    let (profile, rules) = input::rules(&args.file, &args.context)?;
    match args.form {
        Form::Oci => print(&write_oci(&rules, &profile)),
        Form::Docker => print(&write_docker(&profile)),
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
        return print(&write_oci(&join::join(&a, &b, choose)?, &profile));
    };
    let both = decision(&a)?.combine(&decision(&b)?, choose)?;
    let big_endian = a.archs.first().is_some_and(|arch| arch.is_big_endian());
    let program = both
        .compile(big_endian)
        .map_err(|length| format!("the program would have {length} instructions or more"))?;
    std::fs::write(out, program.to_bytes()).map_err(|error| format!("{}: {error}", out.display()))?;
    Ok(Exit::Fine)
}

/// Prints all findings; what cannot be read at all ends with 2.
pub(super) fn lint(args: &LintArgs) -> crate::Outcome {
    let mut out = anstream::stdout().lock();
    let mut worst = Exit::Fine;
    for file in &args.files {
        let text = input::text(file)?;
        let (profile, mut findings) = input::parse(&text);
        if let Some(profile) = &profile {
            findings.extend(resolve_profile(profile, &input::context(&args.context)?).findings);
            findings.extend(lint::lint(profile));
        }
        findings.sort_by_key(|finding| finding.at);
        for finding in &findings {
            let severity = match finding.severity {
                Severity::Error => crate::paint::error("error"),
                Severity::Warning => crate::paint::warning("warning"),
            };
            let field = if finding.field.is_empty() { String::new() } else { format!("{}: ", finding.field) };
            writeln!(out, "{}:{}: {severity}: {field}{}", file.display(), finding.at, finding.message)?;
        }
        let is_error = |finding: &palisade_seccomp::finding::Finding| finding.severity == Severity::Error;
        worst = match (findings.iter().any(is_error), findings.is_empty(), worst) {
            (true, ..) | (_, _, Exit::Wrong) => Exit::Wrong,
            (_, false, _) => Exit::Findings,
            (_, true, other) => other,
        };
    }
    Ok(worst)
}
