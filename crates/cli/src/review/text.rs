//! A review for people.

use std::io::{self, Write};

use super::report::{RefusalReport, Report, StepReport, Verdict};
use super::subject::Subject;
use crate::paint;

/// How many of the fields in the way are shown; the wide form shows all.
const SHOWN_ERRORS: usize = 2;

pub(crate) fn print(
    out: &mut impl Write,
    reports: &[Report],
    subjects: &[Subject],
    wide: bool,
    show_pod: bool,
) -> io::Result<()> {
    for (report, subject) in reports.iter().zip(subjects) {
        headline(out, report, subject)?;
        for note in &report.notes {
            writeln!(out, "  {} {note}", paint::warning("note:"))?;
        }
        if let Some(refusal) = &report.refusal {
            print_refusal(out, refusal, subject)?;
        }
        if wide {
            report.trace.iter().try_for_each(|step| print_step(out, step, report.scc.as_deref()))?;
        }
        if let (true, Some(pod)) = (show_pod, &report.pod) {
            let yaml = serde_saphyr::to_string(pod).map_err(io::Error::other)?;
            yaml.lines().try_for_each(|line| writeln!(out, "    {line}"))?;
        }
    }
    let count = |verdict| reports.iter().filter(|report| report.verdict == verdict).count();
    writeln!(
        out,
        "\n{} admitted, {} refused, {} not subject to SCC",
        count(Verdict::Admitted),
        count(Verdict::Refused),
        count(Verdict::Exempt)
    )
}

fn headline(out: &mut impl Write, report: &Report, subject: &Subject) -> io::Result<()> {
    let title = paint::strong(subject.title());
    let namespace = &report.namespace;
    match (report.verdict, &report.scc) {
        (Verdict::Refused, _) => writeln!(out, "{title} in {namespace}: {}", paint::error("refused"))?,
        (_, Some(scc)) => {
            let level = report.pod_security.unwrap_or_default();
            let granted = if report.granted_to == Some("user") { "user" } else { "service account" };
            writeln!(
                out,
                "{title} in {namespace}: {} by {scc} (granted to the {granted}; Pod Security: {level})",
                paint::good("admitted")
            )?;
        }
        (_, None) => writeln!(out, "{title} in {namespace}: {}", paint::good("not subject to SCC"))?,
    }
    if report.verdict == Verdict::Exempt {
        return Ok(());
    }
    let verdict = |scc: &Option<String>| scc.clone().unwrap_or_else(|| "refused".to_owned());
    let (user, account) = (verdict(&report.by_user), verdict(&report.by_service_account));
    writeln!(
        out,
        "  by user {}: {user}; by service account {}: {account}",
        report.user, report.service_account
    )
}

fn print_refusal(out: &mut impl Write, refusal: &RefusalReport, subject: &Subject) -> io::Result<()> {
    match &refusal.nearest {
        Some(scc) => writeln!(out, "  nearest is {scc}, but:")?,
        None => writeln!(out, "  {}", refusal.message)?,
    }
    for error in refusal.errors.iter().take(SHOWN_ERRORS) {
        let (file, line, column) = (&error.file, error.line, error.column);
        writeln!(out, "  {file}:{line}:{column}: {}: {}", error.field, error.message)?;
        if let Some(source) = subject.document.source.line(line) {
            writeln!(out, "    {}", paint::faint(format!("{line:>4} | {}", source.trim_end())))?;
        }
    }
    let hidden = refusal.errors.len().saturating_sub(SHOWN_ERRORS);
    if hidden > 0 {
        writeln!(out, "  and {hidden} more (-o wide shows all)")?;
    }
    if refusal.errors.is_empty() && refusal.nearest.is_some() {
        writeln!(out, "  {}", refusal.message)?;
    }
    match &refusal.advice.grant {
        Some(command) => writeln!(out, "  {} {command}", paint::strong("grant:"))?,
        None => writeln!(out, "  {} no SCC of the policy would admit it as it is", paint::strong("grant:"))?,
    }
    for edit in &refusal.advice.edits {
        writeln!(out, "  {} {edit}", paint::strong("edit: "))?;
    }
    Ok(())
}

fn print_step(out: &mut impl Write, step: &StepReport, chosen: Option<&str>) -> io::Result<()> {
    let mark = if chosen == Some(step.scc.as_str()) { "*" } else { " " };
    let (scc, priority, score, level) = (&step.scc, step.priority, step.score, step.pod_security);
    writeln!(
        out,
        " {mark} {scc} (priority {priority}, score {score}, guarantees {level}): {}",
        step.outcome
    )?;
    let grant = |path: &Option<String>| path.clone().unwrap_or_else(|| "no grant".to_owned());
    writeln!(out, "     user: {}; service account: {}", grant(&step.user), grant(&step.service_account))?;
    for error in &step.errors {
        let separator = if error.field.is_empty() { "" } else { ": " };
        writeln!(out, "     - {}{separator}{}", error.field, error.message)?;
    }
    if !step.changes.is_empty() {
        writeln!(out, "     sets {}", step.changes.join(", "))?;
    }
    Ok(())
}
