//! `palisade scc lint`.

use std::io::Write;

use palisade_scc::Severity;

use crate::args::LintArgs;
use crate::exit::Exit;
use crate::{files, paint};

pub(crate) fn run(args: &LintArgs) -> crate::Outcome {
    let documents = files::read(&args.files)?;
    let mut out = anstream::stdout().lock();
    let mut count = 0;
    for document in &documents {
        for finding in palisade_admission::lint(&document.node.to_json()) {
            count += 1;
            let severity = match finding.severity {
                Severity::Error => paint::error(finding.severity),
                Severity::Warning => paint::warning(finding.severity),
            };
            let place = document.place(&finding.path);
            let (path, message, rule, help) = (&finding.path, &finding.message, finding.rule, &finding.help);
            writeln!(out, "{place}: {severity}: {path}: {message} [{rule}]")?;
            writeln!(out, "    help: {help}")?;
        }
    }
    writeln!(out, "{} objects, {count} findings", documents.len())?;
    Ok(if count > 0 { Exit::Findings } else { Exit::Fine })
}
