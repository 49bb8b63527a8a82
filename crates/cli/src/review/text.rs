//! A review for people.

use std::io::{self, Write};

use palisade_review::{Advice, By, RefusalReport, Report, StepReport, Subject, Verdict};

use crate::paint;

/// Maximum number of offending fields that are shown; the wide form shows all.
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
            palisade_k8s::yaml::write(pod).lines().try_for_each(|line| writeln!(out, "    {line}"))?;
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
        (Verdict::Refused, _) => {
            let by = match report.refusal.as_ref().map(|refusal| refusal.by) {
                Some(By::Decoding) => " by strict decoding",
                Some(By::Kubernetes) => " by Kubernetes' validation",
                Some(By::PodSecurity) => " by Pod Security admission",
                Some(By::CsiVolumes) => " by the admission of CSI volumes",
                Some(By::Scc) | None => "",
            };
            writeln!(out, "{title} in {namespace}: {}{by}", paint::error("refused"))?;
        }
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
    let is_without_scc = report.refusal.as_ref().is_some_and(|refusal| refusal.is_without_scc);
    if report.verdict == Verdict::Exempt || is_without_scc {
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
            writeln!(out, "    {}", paint::faint(format!("{line:>4} | {}", cut(source.trim_end()))))?;
        }
    }
    let hidden = refusal.errors.len().saturating_sub(SHOWN_ERRORS);
    if hidden > 0 {
        writeln!(out, "  and {hidden} more (-o wide shows all)")?;
    }
    if refusal.errors.is_empty() && refusal.nearest.is_some() {
        writeln!(out, "  {}", refusal.message)?;
    }
    print_advice(out, refusal)
}

/// What the edits of a workload do, and what they take from it.
fn print_outcome(out: &mut impl Write, advice: &Advice) -> io::Result<()> {
    let all = if advice.edits.len() > 1 { "all of these together, and" } else { "this, and" };
    let outcome = match &advice.edits_for {
        Some(scc) => format!("{all} {scc} admits it"),
        None if !advice.edits.is_empty() => format!("{all} it is admitted"),
        None => return Ok(()),
    };
    writeln!(out, "         {}", paint::faint(outcome))?;
    if !advice.edits_lose.is_empty() {
        let lost = advice.edits_lose.join(", ");
        writeln!(out, "         {} {lost}", paint::warning("but it loses:"))?;
    }
    Ok(())
}

/// The visible start of a file's line: a whole file may be one line.
fn cut(line: &str) -> std::borrow::Cow<'_, str> {
    const LENGTH: usize = 400;
    match line.char_indices().nth(LENGTH) {
        None => line.into(),
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()).into(),
    }
}

fn print_advice(out: &mut impl Write, refusal: &RefusalReport) -> io::Result<()> {
    let advice = &refusal.advice;
    let first = advice.mends.iter().zip(&advice.mend_places).map(|edit| ("mend: ", edit));
    let then = advice.edits.iter().zip(&advice.edit_places).map(|edit| ("edit: ", edit));
    for (label, (edit, at)) in first.chain(then) {
        let at = paint::faint(format!("({}:{})", at.file, at.line));
        writeln!(out, "  {} {edit} {at}", paint::strong(label))?;
    }
    print_outcome(out, advice)?;
    if let Some(demands) = &advice.user_namespace {
        writeln!(out, "  {} {demands}", paint::strong("users:"))?;
    }
    for account in &advice.accounts {
        let (name, scc) = (&account.name, &account.scc);
        writeln!(
            out,
            "  {} serviceAccountName: {name}, which is admitted by {scc}",
            paint::strong("account:")
        )?;
    }
    if let Some(command) = &advice.label {
        writeln!(out, "  {} {command}", paint::strong("label:"))?;
    }
    match &advice.grant {
        Some(command) => writeln!(out, "  {} {command}", paint::strong("grant:"))?,
        None if advice.label.is_some() || refusal.by == By::Decoding || refusal.is_without_scc => {}
        None if !advice.together.is_empty() => {
            let lines = advice.together.join("\n         ");
            writeln!(out, "  {} {lines}", paint::strong("grant and label:"))?;
        }
        None if advice.obstacle.is_some() => {
            let obstacle = advice.obstacle.as_deref().unwrap_or_default();
            writeln!(out, "  {} {obstacle}", paint::strong("grant:"))?;
        }
        None => {
            writeln!(out, "  {} no other SCC of the policy would admit it as it is", paint::strong("grant:"))?
        }
    }
    if !advice.grant_also_gives.is_empty() {
        writeln!(out, "         {}", paint::warning("which also grants what the pod does not request:"))?;
        advice.grant_also_gives.iter().try_for_each(|more| writeln!(out, "         - {more}"))?;
    }
    if let Some(own) = &advice.own {
        let summary = advice.own_summary.as_deref().unwrap_or_default();
        let label = if advice.together.is_empty() { "" } else { "; with the label above" };
        writeln!(out, "  {} {summary}{label}; kubectl apply -f - of:", paint::strong("own SCC:"))?;
        let near = advice.own_base.as_deref().unwrap_or_default();
        own_lines(own, near, &advice.own_wider).iter().try_for_each(|line| writeln!(out, "    {line}"))?;
    }
    Ok(())
}

/// The lines of an SCC of one's own with its grant; a comment stands before each field that is wider than that of `near`.
fn own_lines(list: &serde_json::Value, near: &str, wider: &[(&'static str, String)]) -> Vec<String> {
    let yaml = palisade_k8s::yaml::write(list);
    let mut lines = Vec::new();
    // The SCC is the first of the list.
    let mut items = 0;
    for line in yaml.lines() {
        items += usize::from(line.starts_with("- "));
        let field = line.strip_prefix("- ").or_else(|| line.strip_prefix("  "));
        let field = field.and_then(|line| line.split_once(':')).map(|(field, _)| field);
        let more = wider.iter().find(|(name, _)| items == 1 && field == Some(*name));
        if let Some((_, what)) = more {
            // What pods ask for may hold line breaks, which would end the comment.
            let what = what.replace(|letter: char| letter.is_control(), " ");
            lines.push(format!("  # beyond {near}: {what}"));
        }
        lines.push(line.to_owned());
    }
    lines
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
